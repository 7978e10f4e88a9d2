# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
#
# traffic.bash - numbered traffic beside moves, and what the NFs have counted of it. A scenario that
# moves flows sources it after lib.sh.
#
# Rates are low: these scenarios are about what becomes of each packet, not about speed, and a CPU
# that is too busy to empty a ring loses packets of its own accord.

LIMIT=100000 # flows in one listing: more than any scenario has
traffic_pid=
traffic_port=20000
traffic_status=
traffic= # the report of the last run
operation= # the last move's
SERVICE=fw # whose flows move() moves

# ---- traffic ------------------------------------------------------------------------------------

# traffic_start FLOWS ARGUMENTS...: that many UDP flows, both ways, until traffic_end. Returns when
# all are open, which is also when their server answers.
traffic_start()
{
	local flows=$1
	shift
	traffic_port=$((traffic_port + 1)) # new flows in each run: their state starts from nothing
	"$BUILD/flowferry" traffic run --quiet -o json --forever --bidirectional --flows "$flows" --worst 1000 \
		--port $traffic_port "$@" >/run/traffic.json 2>/run/traffic.err &
	traffic_pid=$!
	wait_for "[ \$(flows_count 'udp and port $traffic_port') -ge $flows ]"
}

# traffic_stop: the report goes to $traffic, its exit status to $traffic_status
traffic_stop()
{
	traffic_status=0
	kill -TERM "$traffic_pid"
	wait "$traffic_pid" || traffic_status=$?
	traffic_pid=
	traffic=$(cat /run/traffic.json)
	[ -n "$traffic" ] || fail "traffic: exit $traffic_status: $(cat /run/traffic.err)"
}

# traffic_end: likewise. Nothing may be missing, doubled, out of order or reset.
traffic_end()
{
	traffic_stop
	[ $traffic_status -eq 0 ] || fail "traffic: exit $traffic_status
$(jq . /run/traffic.json)"
	# the judge's own word, and then what it bases it on
	assert_json "$traffic" '.ok and .verdict == "passed"'
	assert_json "$traffic" '.lost == 0 and .duplicated == 0 and .reordered == 0'
	assert_json "$traffic" '.udp.forward.sent > 0 and .udp.forward.received == .udp.forward.sent'
	assert_json "$traffic" '.udp.reverse.sent > 0 and .udp.reverse.received == .udp.reverse.sent'
}

# traffic_progress: returns when a good many packets more have gone through the NFs
traffic_progress()
{
	local before
	before=$(packets_count)
	wait_for "[ \$(packets_count) -ge $((before + ${1:-500})) ]"
}

# ---- what the hosts hold ------------------------------------------------------------------------

# state_list: a line of JSON for each flow's state on each host, as its own agent tells it. Copies of
# one flow on two hosts are two lines; those of standbys don't count.
state_list()
{
	local name host
	ff instances -o json |
		jq -r '.instances[] | select(.standby_of == null) | [.name, .host] | @tsv' |
		while read -r name host; do
			printf '{"instance": "%s", "host": "%s", "list": ' "$name" "$host"
			host_api "$host" GET "/v1/flows?instance=$name&limit=$LIMIT"
			echo '}'
		done | jq -c '.list.flows[] + {instance, host}'
}

# udp_counts: flow -> packets, of the running traffic's UDP flows in a state_list
udp_counts()
{
	jq -sc --arg port ":$traffic_port" 'map(select((.flow | startswith("udp")) and
		(.flow | split(" ") | any(endswith($port)))) |
		{key: .flow, value: (.state.packets | add)}) | from_entries'
}

# goes_on BEFORE: each flow that was counted in that file has a higher count in a state_list: its state
# wasn't begun anew
goes_on()
{
	udp_counts | jq -e --slurpfile before "$1" '. as $now | $before[0] | length > 0 and
		(to_entries | all(.[]; $now[.key] > .value))'
}

# flows_count [FILTER [INSTANCE]]
flows_count()
{
	ff flows list --limit $LIMIT ${1:+--filter "$1"} ${2:+--instance "$2"} -o json |
		jq '.flows | length'
}

# instance NAME: as its own agent tells it now; the orchestrator's figures are up to a second old
instance()
{
	local host
	host=$(ff instances -o json | jq -er --arg name "$1" '.instances[] | select(.name == $name).host')
	host_api "$host" GET /v1/instances |
		jq -e --arg name "$1" '.instances[] | select(.name == $name)'
}

packets_count()
{
	ff instances -o json | jq '[.instances[].packets // 0] | add'
}

# I1, I7: each flow's state is on one host alone, and a move leaves none behind at the source. What was
# looked at is in /run/state.json.
assert_one_owner()
{
	state_list >/run/state.json
	jq -es 'length > 0 and all(group_by(.flow)[]; length == 1)' /run/state.json >/dev/null ||
		fail "none, or more than one: $(jq -sc 'group_by(.flow)[] | select(length > 1)' /run/state.json)"
}

# I3: the fences have told when nothing was on its way to a former owner any more, so nothing came to
# one. Of order-preserving moves that went well.
assert_no_strays()
{
	local reasons
	reasons=$(ff hosts -o json | jq -r '.hosts[].name' | while read -r host; do
		host_api "$host" GET /v1/host | jq -c '{host, strays: (.reasons.stray // 0)}'
	done | jq -s .)
	assert_json "$reasons" 'length > 0 and all(.[]; .strays == 0)'
}

# I4: state counts what was sent, flow by flow and direction by direction. Up to 1000 UDP flows, that
# --worst lists all.
assert_conserved()
{
	state_list | jq -s --slurpfile report /run/traffic.json '$report[0] as $traffic |
		def canonical: split(" ") | if .[1] | test("198.18.1.2|2001:db8:1::2") then .
			else [.[0], .[2], .[1]] end | join(" ");
		def sent: map({key: .flow | canonical, value: .sent}) | from_entries;
		($traffic.udp.forward.worst | sent) as $forward |
		($traffic.udp.reverse.worst | sent) as $reverse |
		[.[] | select(.flow | startswith("udp")) | select($forward[.flow])] as $counted |
		($traffic.udp.size) as $size |
		{
			flows: ($counted | length),
			sent: ($forward | length),
			wrong: [$counted[] | {flow, instance, moves, packets: .state.packets,
				bytes: .state.bytes, sent: [$forward[.flow], $reverse[.flow]]} |
				select(.packets != .sent or .bytes != (.sent | map(. * $size)))]
		}' >/run/conserved.json
	assert_json "$(cat /run/conserved.json)" '.flows > 0 and .flows == .sent and .wrong == []'
}

# ---- moves --------------------------------------------------------------------------------------

# move ARGUMENTS...: that completes, order-preserving, with nothing given up. Its report goes to
# $operation.
move()
{
	operation=$(ff move --service $SERVICE "$@" -o json) || fail "move $*: $operation"
	assert_json "$operation" '.state == "completed" and .packets_dropped == 0 and
		.overflow == null and .error == null'
}

# moves_while PID...: everything around between fw-1, fw-2 and fw-3, from fw-1, for as long as one of
# these programs is at work; several times, or it was over too soon
moves_while()
{
	local from=1 moves=0
	while kill -0 "$@" 2>/dev/null; do
		move --from fw-$from --to fw-$((from % 3 + 1))
		from=$((from % 3 + 1))
		moves=$((moves + 1))
	done
	[ $moves -ge 2 ] || fail "only $moves moves before it was over"
	[ $from -eq 1 ] || move --from fw-$from --to fw-1
}

# owner_of FLOW
owner_of()
{
	ff flows get "$1" -o json | jq -r .instance
}
