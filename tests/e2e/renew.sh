# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# The whole site gets a new CA and new certificates while flows are moved, and no daemon is restarted.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

pki=/run/flowferry/lab/pki
declare -A addresses=([gw]="198.18.8.1 2001:db8:8::1" [nf1]="198.18.8.11 2001:db8:8::11"
	[nf2]="198.18.8.12 2001:db8:8::12" [orch]="198.18.8.9 2001:db8:8::9")

put() # FILE AS: whole, at once
{
	cp "$1" "$2.new"
	mv "$2.new" "$2"
}

# answers CERT KEY CA: whether nf1's agent takes them, and shows a certificate of that CA
answers()
{
	in_host gw curl --silent --fail --output /dev/null --max-time 5 --cert "$1" --key "$2" --cacert "$3" \
		https://198.18.8.11:7601/v1/host
}

pids() { ff lab status -o json | jq -c '[.hosts[].processes[].pid]'; }

lab_up --hosts 2
before=$(pids)
traffic_start 20 --rate 1000
mkdir /run/old
cp $pki/* /run/old
ff pki init --dir /run/new
for host in "${!addresses[@]}"; do
	# shellcheck disable=SC2086 # a list
	ff pki issue --dir /run/new "$host" ${addresses[$host]}
done
answers $pki/gw.pem $pki/gw.key $pki/ca.pem || fail "the old certificates don't work"

step "both CAs are trusted"
cat /run/old/ca.pem /run/new/ca.pem >/run/both.pem
put /run/both.pem $pki/ca.pem
move --from fw-1 --to fw-2

step "each host gets its certificate; between certificate and key, the old ones stay in use"
for host in "${!addresses[@]}"; do
	put "/run/new/$host.pem" "$pki/$host.pem"
	move --from fw-2 --to fw-1 --slots 0-999
	put "/run/new/$host.key" "$pki/$host.key"
	move --from fw-1 --to fw-2 --slots 0-999
done
assert_eq "$(grep -c "can't be used" /run/flowferry/lab/nf1.log)" 1 "warnings"

step "the old CA is trusted no more"
put /run/new/ca.pem $pki/ca.pem
move --from fw-2 --to fw-1
answers $pki/gw.pem $pki/gw.key $pki/ca.pem || fail "the new certificates don't work"
! answers /run/old/gw.pem /run/old/gw.key $pki/ca.pem || fail "a certificate of the old CA is taken"
! answers $pki/gw.pem $pki/gw.key /run/old/ca.pem || fail "the old certificate is shown"
assert_json "$(ff hosts -o json)" 'all(.hosts[]; .state == "up")'
assert_eq "$(pids)" "$before" "the daemons"
traffic_end
assert_one_owner
