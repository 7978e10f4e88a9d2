# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
#
# crash.bash - daemons that are killed while a move is under way, and what must be true afterwards. A
# scenario sources it after traffic.bash.
#
# Long phases are hit where a stopped daemon holds the operation, short ones by a random delay, so that
# over the cases and the runs every step is. The seed is printed; CRASH_SEED=N repeats the delays (not
# the scheduling, which has a will of its own).

SLOTS=64
END_S=60 # for an operation to end whose daemons have been restarted: patience is 15 s a step
CRASH_SEED=${CRASH_SEED:-$((EPOCHSECONDS % 32768))}
RANDOM=$CRASH_SEED
echo "CRASH_SEED=$CRASH_SEED"

move_id=
from=fw-1
to=fw-2
events_fd= # of the operation's events, as they come
events_pid=
dropped_sum=0 # packets that operations have said to be lost

# ---- a move, and a blow ---------------------------------------------------------------------------

# move_begin [MEMBERS]: a move of all from $from to $to, asked for with these, too; its id goes to $move_id
move_begin()
{
	local since body
	body="{\"service\": \"fw\", \"from\": \"$from\", \"to\": \"$to\"${1:+, $1}}"
	since=$(ff events -o json --limit 1 | jq .seq)
	coproc EVENTS { exec "$BUILD/flowferry" events --follow --since "$since" -o json 2>/dev/null; }
	events_fd=${EVENTS[0]}
	# shellcheck disable=SC2153 # the coprocess EVENTS has it
	events_pid=$EVENTS_PID
	move_id=$(api POST /v1/moves "$body" | jq -er .id) || fail "no move: $body"
}

# phase_wait PHASE: true when the operation enters it, false if it ends without
phase_wait()
{
	local line
	while read -r -t 20 -u "$events_fd" line; do
		case $line in
		*move-phase*"$move_id"*": $1\""*) return 0 ;;
		*move-ended*"$move_id"*) return 1 ;;
		esac
	done
	return 1
}

events_end()
{
	kill "$events_pid" 2>/dev/null || true
	wait "$events_pid" 2>/dev/null || true
}

sleep_ms()
{
	[ "$1" -eq 0 ] || sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}

# pids_learn: now, so that no time passes between a phase and the blow
declare -A pid_of
pids_learn()
{
	local name pid
	while read -r name pid; do
		pid_of[$name]=$pid
	done < <(ff lab status -o json | jq -r '.hosts[] | select(.processes | length > 0) |
		"\(.name) \(.processes[0].pid)"')
}

# hold HOST, let_go HOST: its daemon stops in its tracks, so that the operation stays where it is. One
# of its threads has to take the signal first, when it gets a CPU; until then all others go on.
hold()
{
	local pid=${pid_of[$1]}
	kill -STOP "$pid"
	wait_for "grep -q '^State:.*stopped' /proc/$pid/status"
}

let_go()
{
	kill -CONT "${pid_of[$1]}" 2>/dev/null || true
}

host_of() # INSTANCE
{
	echo "nf${1#fw-}"
}

# move_begin_held GATEWAY [MEMBERS]: a move that waits in switch for that gateway. It is kept in prepare
# until the gateway has done that part.
move_begin_held()
{
	local source
	source=$(host_of $from)
	hold "$source"
	move_begin "${@:2}"
	wait_for "host_api $1 GET /v1/host | jq -e '.moves | any(.prepared)'"
	hold "$1"
	let_go "$source"
	phase_wait switch || fail "no switch"
}

# strike HOSTS...: kills their daemons all at once, and starts them again
strike()
{
	local host pids=()
	for host in "$@"; do pids+=("${pid_of[$host]}"); done
	kill -KILL "${pids[@]}"
	for host in "$@"; do
		wait_for "! kill -0 ${pid_of[$host]}"
		ff lab restart "$host" >/dev/null
	done
}

# ---- what must be true afterwards -----------------------------------------------------------------

# What hosts have is looked at by as few jq as there can be, which take their time to begin.

# Waits until the operation has ended; it goes to $operation
operation_end()
{
	wait_for "api GET /v1/operations/$move_id | jq -e '.state | IN(\"completed\", \"rolled-back\",
		\"failed\")'" $END_S
	operation=$(api GET "/v1/operations/$move_id")
}

agents()
{
	local socket
	for socket in /run/flowferry/*/agent.sock; do
		socket=${socket%/agent.sock}
		echo "${socket##*/}"
	done
}

# map HOST NAME: of its data path
map()
{
	bpftool -j map dump pinned "/sys/fs/bpf/flowferry/$1/maps/$2"
}

# no_moves: no host knows of any
no_moves()
{
	local host
	for host in $(agents); do host_api "$host" GET /v1/host; done |
		jq -es 'length > 0 and all(.[]; .moves == [])'
}

# banks: for each host in turn, which one packets read
banks()
{
	local host
	for host in $(agents); do map "$host" services; done |
		jq -e '.[0].formatted.value[".data.services"][0].services[1].active % 2'
}

# slots_dump HOST BANK: its entries
slots_dump()
{
	local slot index
	for ((slot = 0; slot < SLOTS; slot++)); do
		index=$(((2 + $2) * 16384 + slot))
		echo "map lookup pinned /sys/fs/bpf/flowferry/$1/maps/table key $((index & 255))" \
			"$((index >> 8 & 255)) $((index >> 16 & 255)) 0"
	done >/run/slots.batch
	bpftool -j batch file /run/slots.batch
}

# tables_dump: for each host, what its kernel steers by
tables_dump()
{
	local host bank banks
	mapfile -t banks < <(banks)
	for host in $(agents); do
		bank=${banks[0]}
		banks=("${banks[@]:1}")
		printf '{"host": "%s", "bank": %s, "slots": %s, "pins": %s, "lanes": %s}\n' "$host" "$bank" \
			"$(slots_dump "$host" "$bank")" "$(map "$host" pins)" "$(map "$host" lanes)"
	done
}

# Each host's kernel steers each slot as the orchestrator says, and neither parks nor logs; no lane speaks
# of a move.
assert_tables()
{
	tables_dump >/run/tables.json
	jq -c --argjson table "$(api GET /v1/services/fw/table)" \
		--argjson instances "$(api GET /v1/instances)" '
		($instances.instances | map({key: .name, value: {id, host}}) | from_entries) as $by_name |
		([$table.owners[] | $by_name[.[1]] as $owner | .[0] | split(",")[] | split("-") |
			map(tonumber) | range(.[0]; .[-1] + 1) | {key: tostring, value: $owner}] |
			from_entries) as $owners | . as $at |
		([.slots[].output // .slots[] | .formatted.value.steer | {owner, here, flags}] |
			to_entries[] | $owners[.key | tostring] as $owner |
			select(.value != {owner: $owner.id, flags: 0,
				here: (if $owner.host == $at.host then $owner.id else 0 end)}) |
			{host: $at.host, slot: .key, there: .value, $owner}),
		(.pins[].formatted.value.steer[$at.bank].flags | select(. != 0 and . != 4) |
			{host: $at.host, pin_flags: .}),
		(.lanes[].formatted.value | select(.token != 0) | {host: $at.host, lane: .}),
		(select(.slots | length != '$SLOTS') | "not all slots of \(.host)")
		' /run/tables.json >/run/wrong.json
	[ ! -s /run/wrong.json ] || fail "wrong entries: $(cat /run/wrong.json)"
	assert_eq "$(wc -l </run/tables.json)" "$(agents | wc -l)" "hosts that were looked at"
}

# Nobody knows of a move any more, each flow has one owner, and each goes on: its packets are counted, on
# one host or another. A host that an operation had to end without learns so within moments.
assert_sound()
{
	wait_for no_moves
	assert_tables
	assert_one_owner
	udp_counts </run/state.json >/run/counts.json
	wait_for "state_list | goes_on /run/counts.json"
}

# crash_end WHAT BEGUN: the operation ends, and all is well
crash_end()
{
	local state dropped said
	events_end
	operation_end
	IFS=$'\t' read -r state dropped said < <(jq -r '[.state, .packets_dropped,
		([.state, .error.message, .note] | map(select(.)) | join("; "))] | @tsv' <<<"$operation")
	echo "$1: $said ($(((${EPOCHREALTIME/./} - ${2/./}) / 1000)) ms)"
	dropped_sum=$((dropped_sum + dropped))
	assert_sound
	[ "$state" != completed ] || { local x=$from; from=$to; to=$x; }
}
