# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Moves of all kinds, two at a time, while daemons are killed at random: what no list of cases has
# thought of. Short by default; SOAK_S=600 is for a night on which nobody waits.
# timeout: 900
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/crash.bash"

SOAK_S=${SOAK_S:-20}
LUCK_S=60 # more, where chance has killed too few in that time
HOSTS=(gw nf1 nf2 nf3 orch)
moves=0 refused=0 kills=0

# move_random SEED: some may be refused: of nothing, of another's slots, of flows that a move holds, without
# an orchestrator
move_random()
{
	RANDOM=$1 # or all would begin with the same
	local from=$((RANDOM % 3 + 1)) first=$((RANDOM % SLOTS)) what status=0
	local last=$((first + RANDOM % (SLOTS - first)))
	local kinds=("" "" "--slots $first-$last" "--slots $first" "--flows $((RANDOM % 40 + 1))"
		"--filter udp" "--filter tcp" "--guarantee loss-free")
	what=${kinds[RANDOM % ${#kinds[@]}]}
	# shellcheck disable=SC2086 # options and their values
	ff move --service fw --from fw-$from --to fw-$(((from + RANDOM % 2) % 3 + 1)) $what \
		>/run/move-$BASHPID 2>&1 || status=$?
	case $status in
	0 | 1 | 3) exit $status ;;
	*)
		echo "exit $status: $what: $(cat /run/move-$BASHPID)"
		exit 100
		;;
	esac
}

too_few() { [ $((moves - refused)) -lt 5 ] || [ $kills -lt 3 ]; }

lab_up --slots "$SLOTS"
traffic_start 90 --ipv4 --ipv6 --rate 1000 --proto both --tcp-flows 6 --tcp-rate 60 --tcp-echo
traffic_progress
deadline=$((SECONDS + SOAK_S))
while [ $SECONDS -lt $deadline ] || { too_few && [ $SECONDS -lt $((deadline + LUCK_S)) ]; }; do
	pids=()
	for _ in 1 2; do
		move_random $RANDOM &
		pids+=($!)
	done
	if [ $((RANDOM % 3)) -eq 0 ]; then
		pids_learn
		sleep_ms $((RANDOM % 100))
		strike "${HOSTS[RANDOM % ${#HOSTS[@]}]}"
		kills=$((kills + 1))
	fi
	for pid in "${pids[@]}"; do
		status=0
		wait "$pid" || status=$?
		[ $status -ne 100 ] || fail "wrong usage"
		moves=$((moves + 1))
		[ $status -eq 0 ] || refused=$((refused + 1))
	done
done
echo "$moves moves, of which $refused were refused or failed; $kills daemons killed"
! too_few || fail "too few to say anything"

step "all operations end, and nothing is left of them"
wait_for "ff operations --limit 1000 -o json | jq -e 'all(.operations[]; .state |
	IN(\"completed\", \"rolled-back\", \"failed\"))'" "$END_S"
assert_sound

step "what was sent has arrived, once and in order, and is counted"
dropped=$(ff operations --limit 1000 -o json | jq '[.operations[].packets_dropped // 0] | add')
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
assert_eq "$dropped" 0 "packets that operations report as lost"
