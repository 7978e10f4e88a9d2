# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Two steering hosts: a flow's two directions come through either, and both switch.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# steered GATEWAY: packets that it has received from client and server
steered()
{
	in_host "$1" cat /proc/net/dev | awk '$1 == "c0:" || $1 == "s0:" { sum += $3 } END { print sum }'
}

lab_up --gateways 2
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 6 --tcp-rate 100 --tcp-echo \
	--tcp-short 5
traffic_progress
for gateway in gw gw2; do
	assert [ "$(steered $gateway)" -gt 100 ]
done

step "moves, with both steering"
fences=$(for gateway in gw gw2; do host_api $gateway GET /v1/host; done |
	jq -s '[.[].reasons["fence-sent"] // 0]')
move --from fw-1 --to fw-2
assert_one_owner
assert_json "$(for gateway in gw gw2; do host_api $gateway GET /v1/host; done | jq -s .)" \
	'[.[].reasons["fence-sent"]] as $now | all(range(2); $now[.] > $before[.])' \
	--argjson before "$fences"
move --from fw-2 --to fw-1 --slots 0-1000
move --from fw-2 --to fw-3 --flows 10
move --from fw-3 --to fw-1 --filter 'udp and src net 198.18.1.0/24'
assert_one_owner
move --from fw-2 --to fw-3
move --from fw-1 --to fw-3
move --from fw-3 --to fw-1
assert_one_owner

step "nothing lost, doubled, reordered, reset; every packet counted once"
traffic_end
assert_no_strays
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0 and .tcp.client.short.completed > 0'
assert_conserved
