# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Moves between two instances on one host: no tunnel, no second clock, both tables in one.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

lab_up --hosts 2
ff instance add fw-1b --service fw --host nf1
assert_json "$(ff instances -o json)" '.instances[] | select(.name == "fw-1b") |
	.host == "nf1" and .slots == 0'
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 4 --tcp-rate 100 --tcp-echo
traffic_progress

step "a whole instance, both ways"
for _ in 1 2; do
	move --from fw-1 --to fw-1b
	assert_eq "$(instance fw-1 | jq .flows)" 0 "flows left behind"
	assert_one_owner
	move --from fw-1b --to fw-1
	assert_one_owner
done
assert_json "$operation" '.flows > 0'

step "some slots, some flows, a filter"
move --from fw-1 --to fw-1b --slots 0-1000
move --from fw-1 --to fw-1b --flows 5
move --from fw-1 --to fw-1b --filter 'tcp'
assert_eq "$(flows_count tcp fw-1)" 0 "TCP flows left behind"
assert_one_owner

step "between hosts and within one, in turn"
move --from fw-1b --to fw-2
move --from fw-2 --to fw-1
move --from fw-1 --to fw-1b
assert_one_owner

step "past the bound: rolled back, or in another order, and nothing lost"
for policy in abort reorder; do
	operation=$(ff move --service fw --from fw-1b --to fw-1 --park-limit 1 \
		--on-overflow $policy -o json) || true
	assert_json "$operation" '.packets_dropped == 0 and (.state | IN("completed", "rolled-back"))'
	assert_one_owner
	[ "$(jq -r .state <<<"$operation")" = rolled-back ] || move --from fw-1 --to fw-1b
done

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved

step "an instance that owns something is not removed; an empty one is"
assert_exit 1 ff instance remove fw-1b
move --from fw-1b --to fw-2
ff instance remove fw-1b
assert_json "$(ff instances -o json)" '[.instances[].name] | sort == ["fw-1", "fw-2"]'
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
