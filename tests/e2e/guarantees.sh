# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# What a move promises, and what goes when more packets come than may be parked: it is told, and
# nothing else goes.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

MOVES_MAX=20 # that a freeze meets more packets than a bound of one is all but certain in each

# overflow POLICY PACKETS: moves with a bound of one packet, to and fro, until so many more came.
# $operations lists them, $operation is the last one.
overflow()
{
	local policy=$1 packets=$2 from=fw-1 to=fw-2 i
	operations='[]'
	for ((i = 0; i < MOVES_MAX; i++)); do
		operation=$(ff move --service fw --from $from --to $to --park-limit 1 \
			--on-overflow "$policy" -o json) || fail "move: $operation"
		operations=$(jq -n --argjson all "$operations" --argjson one "$operation" '$all + [$one]')
		local x=$from
		from=$to to=$x
		jq -e "([.[].overflow.packets] | add) < $packets" <<<"$operations" >/dev/null || return 0
	done
	fail "the bound was hit too rarely in $MOVES_MAX moves: $operations"
}

lab_up --hosts 2
# everything in one place, so that a freeze concerns every packet
move --from fw-2 --to fw-1

step "none: nothing is parked"
traffic_start 90 --ipv4 --ipv6 --rate 3000 --tolerate lost --tolerate reordered
move --from fw-1 --to fw-2 --guarantee none
assert_json "$operation" '.guarantee == "none" and .packets_parked == 0'
assert_one_owner
move --from fw-2 --to fw-1 --guarantee none
traffic_stop
assert_eq "$traffic_status" 0 "traffic's exit status"
assert_json "$traffic" '.duplicated == 0'

step "loss-free: nothing is lost, and every packet counted"
traffic_start 90 --ipv4 --ipv6 --rate 3000 --tolerate reordered
for _ in 1 2 3; do
	move --from fw-1 --to fw-2 --guarantee loss-free
	move --from fw-2 --to fw-1 --guarantee loss-free
done
assert_one_owner
traffic_stop
assert_json "$traffic" '.lost == 0 and .duplicated == 0 and .ok'
assert_conserved

step "abort: the move is rolled back; nothing lost, nothing reordered"
traffic_start 80 --ipv4 --ipv6 --rate 8000
# so slow a way, which samples share, that a round takes some 0.3 s: thousands of packets
in_host nf1 tc qdisc add dev f0 root tbf rate 1mbit burst 4kb latency 2s
operation=$(ff move --service fw --from fw-1 --to fw-2 --park-limit 100 --on-overflow abort \
	-o json) && fail "was not aborted: $operation"
in_host nf1 tc qdisc del dev f0 root
assert_json "$operation" '.state == "rolled-back" and .packets_dropped == 0 and
	.overflow.policy == "abort" and .overflow.packets > 0 and (.error.message | test("parked"))'
assert_json "$(ff instances -o json)" '[.instances[] | select(.slots > 0).name] == ["fw-1"]'
assert_one_owner
traffic_end
assert_conserved

step "drop: as many are lost as it says"
traffic_start 70 --ipv4 --ipv6 --rate 8000 --tolerate lost
overflow drop 10
assert_json "$operations" 'all(.[]; .state == "completed" and
	.packets_dropped == (.overflow.packets // 0))'
traffic_stop
assert_json "$traffic" '.duplicated == 0 and .reordered == 0'
assert_json "$traffic" '.lost == $dropped' \
	--argjson dropped "$(jq '[.[].packets_dropped] | add' <<<"$operations")"
assert_one_owner
[ "$(jq -r .to <<<"$operation")" = fw-1 ] || move --from fw-2 --to fw-1

step "reorder: none is lost, none uncounted"
traffic_start 6 --ipv4 --ipv6 --rate 8000 --tolerate reordered
overflow reorder 100
assert_json "$operations" 'all(.[]; .state == "completed" and .packets_dropped == 0)'
assert_json "$operation" '.overflow.policy == "reorder"'
assert_one_owner
traffic_stop
assert_json "$traffic" '.lost == 0 and .duplicated == 0'
assert_conserved
