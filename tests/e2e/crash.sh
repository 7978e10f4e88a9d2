# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A daemon is killed in each step of a move: I1, I5. The flows go on, each has one owner, the
# operation ends, and what is lost is told.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/crash.bash"

MOVE_MS=200 # that a move takes here, about

# held PHASE HOSTS...: killed while the gateway keeps the operation in prepare or switch
held()
{
	local phase=$1 begun=$EPOCHREALTIME
	shift
	pids_learn
	if [ "$phase" = prepare ]; then
		hold gw
		move_begin
		phase_wait prepare
	else
		move_begin_held gw
	fi
	sleep_ms $((RANDOM % 20))
	strike "$@"
	let_go gw
	crash_end "$phase, $*" "$begun"
}

# anywhere HOSTS...: killed at a random moment of the move
anywhere()
{
	local delay_ms=$((RANDOM % MOVE_MS)) begun=$EPOCHREALTIME
	pids_learn
	move_begin
	sleep_ms $delay_ms
	strike "$@"
	crash_end "after $delay_ms ms, $*" "$begun"
}

# at PHASE SPREAD_MS HOSTS...: killed when it enters the phase, or within that time
at()
{
	local phase=$1 delay_ms=$((RANDOM % $2)) begun=$EPOCHREALTIME
	shift 2
	pids_learn
	move_begin
	phase_wait "$phase" || fail "it has ended before $phase"
	sleep_ms $delay_ms
	strike "$@"
	crash_end "$phase + $delay_ms ms, $*" "$begun"
}

lab_up --hosts 2 --slots "$SLOTS"
traffic_start 90 --ipv4 --ipv6 --rate 400 --proto both --tcp-flows 6 --tcp-rate 60 --tcp-echo
traffic_progress
for host in nf1 nf2 gw orch; do
	step "$host"
	held prepare $host
	at prepare 50 $host
	held switch $host
	at finish 100 $host
	anywhere $host
done

step "several at once"
held switch nf2 orch
anywhere nf1 orch
at finish 100 nf1 nf2 gw orch

step "a target that goes while its source copies within prepare"
begun=$EPOCHREALTIME
pids_learn
hold "$(host_of "$to")"
move_begin
wait_for "host_api $(host_of "$from") GET /v1/host | jq -e '.moves | any(.prepared)'"
strike "$(host_of "$to")"
crash_end "prepare" "$begun"
assert_json "$operation" '.state == "completed"'

step "a move that is asked for while the orchestrator looks for its hosts"
begun=$EPOCHREALTIME
pids_learn
strike orch
move_begin
crash_end "at once" "$begun"
assert_json "$operation" '.state == "completed"'

step "what was sent has arrived, once and in order, and is counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
assert_eq "$dropped_sum" 0 "packets that operations report as lost"
