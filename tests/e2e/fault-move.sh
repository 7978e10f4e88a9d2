# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A host dies while a move from it, and then one to it, is under way: one of two gateways has switched, the
# target parks, the source waits for the other gateway. Nobody's patience is waited for: the flows go on with
# their state, at the source's standby or at the source.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/crash.bash"
. "$E2E/fault.bash"

END_MS=4000 # asserted; without the news of a death it is 15 s and more

# held_move FROM TO: it waits in switch for gw2, and $to's host parks what gw steers
held_move()
{
	# shellcheck disable=SC2034 # move_begin's
	from=$1
	to=$2
	pids_learn
	move_begin_held gw2
	target=$(host_of "$to")
	wait_for "host_api $target GET /v1/moves/$move_id | jq -e '.parked > 0'"
}

# strike_host HOST: it dies, and the move ends; its operation goes to $operation
strike_host()
{
	local begun=${EPOCHREALTIME/./} ms
	host_kill "$1"
	let_go gw2
	events_end
	operation_end
	ms=$(((${EPOCHREALTIME/./} - begun) / 1000))
	echo "$move_id: $(jq -r '[.state, .error.message, .note] | map(select(.)) | join("; ")' \
		<<<"$operation"), after $ms ms"
	[ $ms -le $END_MS ] || fail "the move has ended after $ms ms"
}

# Nobody knows of a move any more, the host that was away included.
moves_gone()
{
	local host
	for host in $(agents); do
		wait_for "host_api $host GET /v1/host | jq -e '.moves == []'"
	done
}

# other_host HOST...: of an NF, but none of these
other_host()
{
	ff hosts -o json | jq -er '[.hosts[].name | select(startswith("nf"))] - $ARGS.positional | .[0]' \
		--args "$@"
}

GATEWAYS=2 protect_up 3
standby=$(standby_of fw-1)
heir=$(host_of "$standby")
ff instance add fw-x --service fw --host "$(other_host nf1 "$heir")"

step "the source dies"
traffic_progress
held_move fw-1 fw-x
state_list | udp_counts >/run/before.json
strike_host nf1
assert_json "$operation" '.state == "rolled-back" and .error != null'
assert_contains "$(jq -r .note <<<"$operation")" "its flows are $standby's"
recovery_wait 1
assert_json "$recovery" ".recovery.detect_ms <= $DETECT_MS and .recovery.recovered_ms <= $RECOVER_MS"
told=$(jq .recovery.packets_lost_at_most <<<"$recovery")
wait_for "state_list | goes_on /run/before.json"
assert_eq "$(owner)" "$standby" "the owner of all"
host_back nf1
wait_for "host_api nf1 GET /v1/instances | jq -e '.instances == []'"
moves_gone
assert_one_owner
traffic_end_lossy
[ "$lost" -le "$told" ] || fail "$lost packets lost, at most $told told"

step "the target dies"
traffic_lossy
wait_for protected
wait_for "ff conditions -o json | jq -e '.conditions | all(.[]; .kind != \"failure\")'"
ff instance remove fw-x
victim=$(other_host "$heir" "$(host_of "$(standby_of "$standby")")")
ff instance add fw-y --service fw --host "$victim"
held_move "$standby" fw-y
state_list | udp_counts >/run/before.json
strike_host "$victim"
assert_json "$operation" '.state != "completed"'
wait_for "state_list | goes_on /run/before.json"
assert_eq "$(owner)" "$standby" "the owner of all"
assert_eq "$(recoveries)" 1 recoveries
host_back "$victim"
moves_gone
assert_one_owner
traffic_end_lossy
