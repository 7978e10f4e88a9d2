# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# An NF with all three scopes of state: per-flow state moves, the others are declared, stay, and add up.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# shellcheck disable=SC2034 # for traffic.bash
SERVICE=monitor
A=monitor-1
B=monitor-2

# scope NAME: the entries of that scope, of all instances
scope()
{
	local instance
	for instance in $A $B; do
		api GET "/v1/instances/$instance/state"
	done | jq -s --arg scope "$1" '[.[].states[] | select(.scope == $scope).entries[]]'
}

lab_up --nf monitor --hosts 2
assert_json "$(api GET /v1/instances/$A/state)" \
	'[.states[].scope] | sort == ["all-flows", "multi-flow", "per-flow"]'
traffic_start 90 --ipv4 --ipv6 --rate 2000
traffic_progress
for _ in 1 2 3; do
	move --from $A --to $B
	assert_eq "$(instance $A | jq .flows)" 0 "flows left behind"
	assert_one_owner
	traffic_progress
	move --from $B --to $A --slots 0-2047
	assert_one_owner
	traffic_progress
done
traffic_end

step "per-flow state is one history, wherever the flow was"
assert_conserved
assert_json "$(state_list | jq -s '[.[] | select(.flow | startswith("udp"))]')" 'all(.[];
	.moves == (if .slot < 2048 then 6 else 0 end) and .state.first_ns > 0 and .state.first_ns < .state.last_ns and .state.answered == 1)'

step "histograms: the instances' sums are the packets sent"
totals=$(scope all-flows)
assert_json "$totals" 'length == 2 and all(.[]; .value.packets > 0)'
assert_json "$totals" '[.[].value.udp] | add == $sent' \
	--argjson sent "$(jq '.udp.forward.sent + .udp.reverse.sent' <<<"$traffic")"
assert_json "$totals" 'all(.[].value; .packets == .udp + .tcp + .sctp + .icmp + .icmp6 and
	.packets == .ipv4 + .ipv6 and .packets == (.sizes | add))'
assert_eq "$(jq '[.[].value.packets] | add' <<<"$totals")" \
	"$(for instance in $A $B; do instance "$instance"; done | jq -s '[.[].packets] | add')" packets

step "hosts, as each instance has seen them"
hosts=$(scope multi-flow)
assert_json "$hosts" '[.[].key.addr] | unique == ["198.18.1.2", "198.18.2.2", "2001:db8:1::2",
	"2001:db8:2::2"]'
assert_json "$hosts" '[.[].value.packets] | add == $packets' \
	--argjson packets "$(jq '[.[].value.packets] | add' <<<"$totals")"
