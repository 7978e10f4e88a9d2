# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A daemon is killed while a move is rolled back: I1, I3, I5. The flows stay where they were, or have
# arrived; nothing in between. Of two gateways one keeps the operation where it's wanted, while packets
# that the other has steered are parked.
# timeout: 600
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/crash.bash"

# back_begin: a move is cancelled that gw has switched; the way back waits for gw2, in stay
back_begin()
{
	pids_learn
	move_begin_held gw2
	api DELETE "/v1/operations/$move_id" >/dev/null
	phase_wait stay || fail "no way back"
}

# back_hold: the same; then it waits for the source, in hold. gw2 has been asked to switch, too; a new
# one hasn't, so the move can't be completed any more.
back_hold()
{
	back_begin
	hold "$(host_of "$from")"
	strike gw2
	pids_learn
	phase_wait hold || fail "it has ended before hold"
}

# staying HOSTS...: killed there. Then gw2 goes on; if it switches, and only then promises to stay, the
# move may yet be completed.
staying()
{
	local begun=$EPOCHREALTIME
	back_begin
	[ $# -eq 0 ] || strike "$@"
	let_go gw2
	crash_end "cancelled, stay, $*" "$begun"
}

# cancelled HOSTS...: killed while the way back waits for gw2, in unswitch, and the source holds.
cancelled()
{
	local begun=$EPOCHREALTIME
	back_hold
	hold gw2
	let_go "$(host_of "$from")"
	phase_wait unswitch || fail "it has ended before unswitch"
	sleep_ms $((RANDOM % 20))
	strike "$@"
	let_go gw2
	crash_end "cancelled, unswitch, $*" "$begun"
}

# returning PHASE HOSTS...: killed later on that way
returning()
{
	local phase=$1 begun=$EPOCHREALTIME
	shift
	back_hold
	let_go "$(host_of "$from")"
	phase_wait "$phase" || fail "it has ended before $phase"
	sleep_ms $((RANDOM % 5))
	strike "$@"
	crash_end "cancelled, $phase, $*" "$begun"
}

# overflowing HOSTS...: killed as the target refuses, because more was parked than may be
overflowing()
{
	local begun=$EPOCHREALTIME
	pids_learn
	move_begin_held gw2 '"park_limit": 1, "on_overflow": "abort"'
	wait_for "host_api $(host_of "$to") GET /v1/moves/$move_id | jq -e '.overflowed > 0'"
	let_go gw2
	phase_wait decide || fail "it wasn't refused"
	sleep_ms $((RANDOM % 5))
	strike "$@"
	crash_end "overflow, decide, $*" "$begun"
}

# early HOSTS...: killed while a move is aborted that has not switched, and its source is slow
early()
{
	local begun=$EPOCHREALTIME source
	source=$(host_of "$from")
	pids_learn
	hold "$source"
	move_begin
	wait_for "host_api gw2 GET /v1/host | jq -e '.moves != []'"
	api DELETE "/v1/operations/$move_id" >/dev/null
	phase_wait abort || fail "no way back"
	strike "$@"
	let_go "$source"
	crash_end "cancelled, abort, $*" "$begun"
}

lab_up --hosts 2 --gateways 2 --slots "$SLOTS"
traffic_start 90 --ipv4 --ipv6 --rate 400 --proto both --tcp-flows 6 --tcp-rate 60 --tcp-echo
traffic_progress
for host in nf1 nf2 gw orch; do
	step "$host"
	early $host
	cancelled $host
	overflowing $host
done
step "a gateway that is slow"
for _ in {1..4}; do staying; done
step "later"
staying gw2
staying orch
cancelled gw2
returning return "$(host_of "$to")"
returning return orch
returning resume "$(host_of "$from")"
returning revert "$(host_of "$to")"
step "several at once"
cancelled "$(host_of "$to")" orch
cancelled "$(host_of "$from")" gw

step "what was sent has arrived, once and in order, and is counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
assert_eq "$dropped_sum" 0 "packets that operations report as lost"
