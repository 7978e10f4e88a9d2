# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# The lab with its daemons: up, in use, restarted, down.
. "$E2E/lib.sh"

step "up, with defaults"
lab_up
status=$(ff lab status -o json)
assert_json "$status" '.complete and .orchestrator_answers and .nf == "firewall" and .slots == 4096'
assert_json "$status" '[.hosts[] | select(.role == "nf-host") | .instances] ==
	[["fw-1"], ["fw-2"], ["fw-3"]]'
assert_json "$status" '[.hosts[] | select(.role | IN("gateway", "nf-host", "orch")) |
	.processes[0].alive] == [true, true, true, true, true]'
in_host client ping -q -c 3 -i 0.1 -W 5 198.18.2.2
in_host client ping -q -c 3 -i 0.1 -W 5 2001:db8:2::2

step "through the NFs, not past them"
before=$(ff instances -o json | jq '[.instances[].packets] | add')
in_host client ping -q -c 10 -i 0.1 -W 5 198.18.2.2
wait_for "[ \$(ff instances -o json | jq '[.instances[].packets] | add') -ge $((before + 20)) ]"

step "a second one is refused, the first goes on"
assert_exit 2 ff lab up
assert_contains "$output" "a lab is up"
in_host client ping -q -c 1 -W 5 198.18.2.2

step "only root changes it"
assert_exit 1 unshare --user "$BUILD/flowferry" lab down
assert_contains "$output" "the lab needs root"
assert_exit 1 unshare --user "$BUILD/flowferry" lab restart nf1
assert_contains "$output" "the lab needs root"
in_host client ping -q -c 1 -W 5 198.18.2.2

step "options of a command are the command's"
assert_contains "$(ff lab exec client ip -o link show lo)" "LOOPBACK"
assert_contains "$(ff lab exec client -- ip -o link show lo)" "LOOPBACK"

step "restart of a daemon that was killed"
for host in nf1 orch; do
	pid=$(lab_pid $host)
	kill -KILL "$pid"
	wait_for "ff lab status -o json |
		jq -e '.hosts[] | select(.name == \"$host\") | .processes[0].alive | not'"
	in_host client ping -q -c 1 -W 5 198.18.2.2 # the data path needs no daemon
	if [ $host = nf1 ]; then # the others' flows can be seen; that some are missing, too
		assert_exit 1 ff flows list
		assert_contains "$output" "EXPIRES IN"
		assert_contains "$output" "flows of fw-1 are left out: host nf1"
		ff flows list --instance fw-2
	fi
	if [ $host = orch ]; then
		assert_contains "$(ff lab status)" "The orchestrator doesn't answer"
	fi
	restarted=$(ff lab restart $host -o json)
	assert_json "$restarted" ".host == \"$host\" and .pid == $(lab_pid $host)"
	[ "$(lab_pid $host)" != "$pid" ] || fail "$host has its old pid"
done
wait_for "ff hosts -o json | jq -e '[.hosts[].state] == [\"up\", \"up\", \"up\", \"up\"]'" 20
in_host client ping -q -c 3 -i 0.1 -W 5 2001:db8:2::2

step "a second daemon on what the first one has is refused, and changes nothing"
progs() { ip -n ff-nf1 -json link show f0 | jq '.[0].xdp.prog.id'; }
before=$(progs)
sed 's,^socket:.*,socket: /run/second.sock,; /^listen:/,/port:/d; $astate_dir: /run' \
	/run/flowferry/lab/nf1.yaml >/run/second.yaml
assert_exit 1 timeout 20 nsenter --net=/run/netns/ff-nf1 "$BUILD/flowferry-agent" --config /run/second.yaml
assert_contains "$output" "the data path in /sys/fs/bpf/flowferry/nf1 is in use"
assert_eq "$(progs)" "$before" "the program on nf1's interface"
sed 's,^socket:.*,socket: /run/second.sock,' /run/flowferry/lab/orch.yaml >/run/second.yaml
assert_exit 1 timeout 20 nsenter --net=/run/netns/ff-orch "$BUILD/flowferry-orchestrator" \
	--config /run/second.yaml
assert_contains "$output" "database /run/flowferry/lab/orchestrator.db is in use"
ff move --service fw --from fw-1 --to fw-2

step "down leaves nothing behind"
pids=$(ff lab status -o json | jq '.hosts[].processes[].pid')
lab_down
for pid in $pids; do
	assert [ ! -e "/proc/$pid/exe" ]
done
assert_eq "$(lab_remains)" "" "left behind"

step "installed elsewhere, it finds its parts"
mkdir -p /run/prefix/bin /run/prefix/lib/flowferry
cp "$BUILD"/flowferry{,-agent,-orchestrator} /run/prefix/bin
cp -r "$BUILD/nf" /run/prefix/lib/flowferry/
BUILD=/run/prefix/bin
lab_up --hosts 2
in_host client ping -q -c 3 -i 0.1 -W 5 198.18.2.2
lab_down
