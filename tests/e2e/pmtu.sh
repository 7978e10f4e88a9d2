# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A fabric that can't carry a tunnelled packet of full size: senders are told what fits, and go on.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

OVERHEAD=66 # what the tunnel adds to an IPv4 or IPv6 packet: Ethernet, IPv4, UDP, Geneve, option

too_big()
{
	host_api gw GET /v1/host | jq '.reasons["drop-too-big"] // 0'
}

lab_up --fabric-mtu 1500
move --from fw-2 --to fw-1
move --from fw-3 --to fw-1
fits=$((1500 - OVERHEAD))

step "a packet that may not be fragmented: Fragmentation Needed, Packet Too Big, with the right MTU"
# 28 and 48: IP and ICMP headers. The first packet is answered with the error.
assert_exit 1 in_host client ping -c 1 -W 5 -M 'do' -s $((1500 - 28)) 198.18.2.2
assert_contains "$output" "mtu = $fits"
assert_exit 1 in_host client ping -c 1 -W 5 -M 'do' -s $((1500 - 48)) 2001:db8:2::2
assert_contains "$output" "mtu=$fits"
assert [ "$(too_big)" -eq 2 ]
in_host client ping -q -c 1 -W 5 -M 'do' -s $((fits - 28)) 198.18.2.2
in_host client ping -q -c 1 -W 5 -M 'do' -s $((fits - 48)) 2001:db8:2::2
assert [ "$(too_big)" -eq 2 ]
assert_json "$(in_host client ip -j route get 198.18.2.2)" ".[0].metrics[0].mtu == $fits"

step "downloads, which the server has to send in smaller packets, through moves"
mkdir /run/www
head -c 30000000 /dev/urandom >/run/www/large
"$BUILD/flowferry" lab exec server -- /usr/bin/python3 -m http.server --bind :: \
	--directory /run/www 8080 2>/run/www.log &
wait_for "in_host server ss -tln | grep -q :8080"
for server in 198.18.2.2 '[2001:db8:2::2]'; do
	rm -f /run/download
	"$BUILD/flowferry" lab exec client -- curl --silent --show-error --limit-rate 4M \
		--output /run/download "http://$server:8080/large" &
	curl=$!
	wait_for "[ -s /run/download ]"
	moves_while $curl
	wait $curl || fail "curl: exit $?"
	assert cmp /run/www/large /run/download
done

step "fragments, once their sender knows the path"
for target in 198.18.2.2 2001:db8:2::2; do
	in_host client ping -q -c 2 -W 1 -i 0.2 -s 4000 $target || true
	in_host client ping -q -c 5 -W 5 -i 0.1 -s 4000 $target
done
