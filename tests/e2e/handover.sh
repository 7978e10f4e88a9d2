# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Moves between two instances of one host hand the maps over: nothing is copied, nothing is parked, and
# what can't go so is copied. The agent is killed in each step; instances are upgraded in place.
SLOTS=1024 # 512 groups of two
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/crash.bash"
SLOTS=1024
from=fw-1
to=fw-1b

host_of()
{
	echo nf1
}

turn()
{
	local x=$from
	from=$to
	to=$x
}

# handed: a move without a copy
handed()
{
	move --from $from --to $to
	assert_json "$operation" '.bytes == 0 and .rounds == 0 and .freeze_us == 0 and
		.packets_parked == 0 and .flows > 0'
}

# copied ARGUMENTS...
copied()
{
	move --from $from --to $to "$@"
	assert_json "$operation" '.bytes > 0 and .rounds > 0'
}

# at PHASE SPREAD_MS HOSTS...: killed when the move enters it, or within that time
at()
{
	local phase=$1 delay_ms=$((RANDOM % $2)) begun=$EPOCHREALTIME
	shift 2
	pids_learn
	move_begin
	phase_wait "$phase" || echo "it has ended before $phase"
	sleep_ms $delay_ms
	strike "$@"
	crash_end "$phase + $delay_ms ms, $*" "$begun"
}

# held PHASE HOSTS...: killed while the gateway, which has no say, is silent
held()
{
	local begun=$EPOCHREALTIME
	pids_learn
	move_begin_held gw
	strike "$@"
	let_go gw
	crash_end "switch, $*" "$begun"
}

# Every owner has a standby with a whole copy.
protected()
{
	ff services -o json | jq -e '.services[0].protect | .owners > 0 and .protected == .owners'
}

# packets_of HOST INSTANCE: that its state has counted of each flow
packets_of()
{
	host_api "$1" GET "/v1/flows?instance=$2&limit=$LIMIT" |
		jq -c '[.flows[] | {flow, packets: .state.packets}] | sort'
}

lab_up --hosts 2 --slots $SLOTS
ff instance add fw-1b --service fw --host nf1
move --from fw-2 --to fw-1
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 4 --tcp-rate 100 --tcp-echo
traffic_progress

step "a whole instance, to and fro"
for _ in 1 2 3 4; do
	handed
	assert_eq "$(instance $from | jq .flows)" 0 "flows left behind"
	assert_one_owner
	turn
done
assert_json "$(state_list | jq -s .)" "length >= 94 and all(.[]; .instance == \"fw-1\")"
assert_json "$(ff flows list --filter udp --limit 500 -o json)" "[.flows[] |
	select(.moves == 4 and .moved_by == $(jq .id <<<"$operation"))] | length >= 90"

step "groups that others have slots in: handed over where these are another's, else copied"
move --from fw-1 --to fw-2 --slots 5
handed
turn
handed
turn
copied --slots 8-14
copied
turn
handed
turn

step "with a pin beside them: copied"
move --from fw-1 --to fw-2 --flows 1
copied
turn
copied
turn
move --from fw-2 --to fw-1
handed
turn
assert_one_owner

step "its agent is killed in each step"
at precopy 30 nf1
at switch 10 nf1
held nf1
at finish 60 nf1
at prepare 20 nf1 orch
at switch 10 nf1 gw
held nf1 orch

step "with standbys, which follow"
cat >/run/policy.yaml <<'POLICY'
utilisation: {up_percent: 99, target_percent: 98, down_percent: 0,
  imbalance_percent: 100, host_percent: 100, pressure_percent: 100}
capacity: {packets_per_s: 1000000}
protect: {enabled: true, lag_ms: 50}
POLICY
ff policy set fw /run/policy.yaml
for _ in 1 2 3; do
	wait_for protected
	handed
	turn
done
wait_for protected
step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
assert_eq "$dropped_sum" 0 "packets that operations report as lost"

step "the standby has the same"
# shellcheck disable=SC2034 # wait_for's
standby=$(ff instances -o json | jq -er --arg name $from \
	'.instances[] | select(.name == $name).standby.instance')
packets_of nf1 $from >/run/owner.json
assert_json "$(cat /run/owner.json)" 'length > 90'
wait_for '[ "$(packets_of nf2 "$standby")" = "$(cat /run/owner.json)" ]'
