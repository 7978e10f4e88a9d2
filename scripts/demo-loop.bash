# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# demo-loop.bash - the second half of scripts/demo: nobody moves anything, a policy does. Load ramps, an
# elephant makes it uneven, a host dies, another one is drained, load falls; what the loop does about it
# is shown by its own events as they come.
#
# UDP runs in three parts, each with a judge of its own: before the crash and after it nothing may be
# lost, doubled or reordered; through it no more may be lost than the recovery tells. The TCP
# connections last through all of it, and none may break.

capacity=6000 # packets/s of an instance, by the policy: little, for two cores carry it all
loop_flows=400
loop_udp=(--flows "$loop_flows" --rate 600 --bidirectional --ipv4 --ipv6 --drain 2)
ramp=(--tcp-flows 10 --tcp-rate 50 --tcp-echo)     # a step: about 17 % of an instance
elephant=(--tcp-flows 1 --tcp-rate 950 --tcp-echo) # about a third
ramp_max=8 # steps: the fourth should be too much
step_ms=1500 # between two of them
looks=5    # whose mean is a utilisation: a sample is 100 ms of traffic
look_s=.2  # between two looks at the events

loop_port=21000 # each run has one of its own, so that its flows' state starts from nothing
loop_tcp=()     # pids
loop_udp_pid=
loop_begin_ms=0
events_seen=0

# ---- what is seen ------------------------------------------------------------------------------

now_ms()
{
	echo $((${EPOCHREALTIME/./} / 1000))
}

# loop_jq FILTER [JQ-ARGUMENT...]
loop_jq()
{
	jq -L "$here" --arg begin "$loop_begin_ms" --arg capacity "$capacity" --arg bold "$bold" \
		--arg red "$red" --arg green "$green" --arg plain "$plain" \
		"include \"demo-loop\"; $1" "${@:2}"
}

# Only a terminal has a line of utilisations that changes in place.
live_clear()
{
	[ ! -t 1 ] || printf '\r\e[K'
}

live_show()
{
	[ ! -t 1 ] || printf '\r\e[K%s' "$("$flowferry" hosts -o json | loop_jq live_row -r)"
}

# look: prints what has happened since the last one
look()
{
	local plans=$dir/loop.plans
	"$flowferry" events --since "$events_seen" -o json >"$dir/loop.news" || fail "no events"
	if [ -s "$dir/loop.news" ]; then
		"$flowferry" plan list -o json >"$plans"
		live_clear
		loop_jq event_lines -rs --slurpfile plans "$plans" "$dir/loop.news"
		events_seen=$(jq -s 'last.seq' "$dir/loop.news")
		cat "$dir/loop.news" >>"$dir/loop.events"
	fi
	live_show
}

look_for_ms() # MS
{
	local until
	until=$(($(now_ms) + $1))
	while [ "$(now_ms)" -lt $until ]; do
		look
		sleep "$look_s"
	done
}

# look_until WHAT COMMAND...: until it succeeds
look_until()
{
	local what=$1 deadline=$((SECONDS + wait_s))
	shift
	until look && "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "after $wait_s s still no $what"
		sleep "$look_s"
	done
	live_clear
}

# The utilisation of each host's instances, in percent: the mean of some looks
utilisation()
{
	local n
	for ((n = 0; n < looks; n++)); do
		"$flowferry" hosts -o json
		sleep "$look_s"
	done | loop_jq utilisations -cs
}

say() # TEXT...
{
	live_clear
	loop_jq 'line($at | tonumber; $text)' -nr --arg at "$(now_ms)" --arg text "$*"
}

say_utilisation() # JSON
{
	say "utilisation: $(loop_jq utilisation_text -r <<<"$1")"
}

# ---- conditions to wait for --------------------------------------------------------------------

# How many instances have flows, or will have
owners()
{
	"$flowferry" instances -o json | jq '[.instances[] | select(.slots > 0)] | length'
}

# Nothing is out of order, but for a host that is dead or is to be emptied, and nothing is under way.
settled()
{
	"$flowferry" conditions -o json | jq -e 'all(.conditions[];
		.about == "host" and (.kind | IN("failure", "maintenance")))' &&
		"$flowferry" operations --state running -o json | jq -e '.operations == []'
}

all_well()
{
	"$flowferry" conditions -o json | jq -e '.conditions == []' && settled
}

# Every owner has a standby with a copy of all.
protected()
{
	"$flowferry" services -o json |
		jq -e '.services[0].protect | .owners > 0 and .protected == .owners'
}

# Scaled out: the flows are spread, and nothing else is left to do.
spread()
{
	[ "$(owners)" -ge 2 ] && settled
}

only_one()
{
	"$flowferry" instances -o json |
		jq -e '[.instances[] | select(.state != "standby")] | length == 1' && settled
}

uneven()
{
	loop_jq 'map(select(.time >= $since)) | is_uneven' -es --argjson since "$phase_ms" \
		"$dir/loop.events"
}

overloaded()
{
	"$flowferry" conditions -o json | jq -e 'any(.conditions[]; .kind == "overload")'
}

recovered()
{
	"$flowferry" operations -o json |
		jq -e 'any(.operations[]; .kind == "recovery" and .ended)'
}

host_is() # HOST JQ-CONDITION
{
	"$flowferry" hosts -o json | jq -e --arg host "$1" ".hosts[] | select(.name == \$host) | $2"
}

# The host of the instance that owns most
busiest_host()
{
	"$flowferry" instances -o json | jq -r '.instances | max_by(.slots).host'
}

# ---- traffic -----------------------------------------------------------------------------------

loop_udp_begin() # NAME
{
	loop_port=$((loop_port + 1))
	"$flowferry" traffic run --quiet -o json --forever "${loop_udp[@]}" --port $loop_port \
		>"$dir/loop.udp.$1" &
	loop_udp_pid=$!
	wait_for "UDP traffic" flows_are $loop_port
}

flows_are() # PORT
{
	"$flowferry" flows list --filter "udp and port $1" --limit 1000 -o json |
		jq -e --argjson flows "$loop_flows" '.flows | length == $flows'
}

loop_udp_end() # NAME
{
	kill -TERM "$loop_udp_pid"
	wait "$loop_udp_pid"
	[ -s "$dir/loop.udp.$1" ] || fail "the traffic could not run"
	counted $loop_port >"$dir/loop.counted.$1" || fail "the firewalls' counters can't be read"
}

loop_tcp_begin() # ARGUMENT...
{
	local port=$((31000 + ${#loop_tcp[@]}))
	"$flowferry" traffic run --quiet -o json --forever --proto tcp "$@" --port $port \
		>"$dir/loop.tcp.$port" &
	loop_tcp+=($!)
}

loop_tcp_end()
{
	kill -TERM "${loop_tcp[@]}"
	wait "${loop_tcp[@]}"
}

# ---- the phases --------------------------------------------------------------------------------

phase() # NAME WHAT...
{
	phase_name=$1
	shift
	phase_owners=$(owners)
	phase_before=$(utilisation)
	look
	live_clear
	phase_ms=$(now_ms)
	step "$*"
	say_utilisation "$phase_before"
}

phase_end()
{
	local after
	after=$(utilisation)
	look
	live_clear
	jq -nc --arg name "$phase_name" --argjson from "$phase_ms" --argjson to "$(now_ms)" \
		--argjson before "$phase_before" --argjson after "$after" \
		--argjson owners "[$phase_owners, $(owners)]" '$ARGS.named' >>"$dir/loop.phases"
	say_utilisation "$after"
}

scale_out()
{
	local steps
	phase "scale out" "Load ramps: 10 TCP connections more every 1.5 s"
	for ((steps = 0; steps < ramp_max; steps++)); do
		! overloaded >/dev/null || break
		loop_tcp_begin "${ramp[@]}"
		look_for_ms "$step_ms"
	done
	look_until "second instance that relieves the first" spread
	phase_end
}

balance()
{
	phase balance "Load gets uneven: one TCP connection of a third of an instance"
	loop_tcp_begin "${elephant[@]}"
	look_until "imbalance" uneven
	look_until "balance" settled
	phase_end
}

# All of the host's processes at once, and its cable.
crash()
{
	local pid
	dead=$(busiest_host)
	pid=$("$flowferry" lab status -o json |
		jq -er --arg host "$dead" '.hosts[] | select(.name == $host).processes[0].pid') ||
		fail "no agent on $dead"
	phase crash "A host dies: all processes of $dead killed, its cable cut"
	kill -KILL "$pid"
	in_host fabric ip link set "$dead" down
	look_until "recovery" recovered
	look_until "new standby" settled
	phase_end
	"$flowferry" operations -o json |
		jq '[.operations[] | select(.kind == "recovery")]' >"$dir/loop.recoveries"

	step "It comes back"
	in_host fabric ip link set "$dead" up
	"$flowferry" lab restart "$dead" >/dev/null || fail "$dead can't be started again"
	look_until "sign of life of $dead" host_is "$dead" '.state == "up"'
	look_until "trust in $dead" all_well
}

drain()
{
	local host
	host=$(busiest_host)
	phase drain "$host goes down for maintenance: flowferry drain $host"
	"$flowferry" drain "$host" --deadline 30s --no-wait >/dev/null || fail "no drain of $host"
	look_until "end of the drain" host_is "$host" .drain.empty
	look_until "standby" protected
	phase_end
	"$flowferry" undrain "$host" >/dev/null
	look_until "end of maintenance" all_well
}

scale_in()
{
	phase "scale in" "Load falls: all TCP connections end"
	loop_tcp_end
	look_until "end of the instance that is not needed" only_one
	phase_end
}

# ---- all of it ---------------------------------------------------------------------------------

policy_set()
{
	cat >"$dir/policy.yaml" <<-END
		utilisation:
		  {up_percent: 80, target_percent: 65, down_percent: 20, imbalance_percent: 10,
		  host_percent: 100, pressure_percent: 100}    # no bounds for hosts: these share one machine
		instances: {min: 1, max: 2}
		capacity: {packets_per_s: $capacity}
		protect: {enabled: true, lag_ms: 50}
		scale_in: {patience_ms: 0}
		stability: {down_ms: 2000, hold_ms: 2000, lifetime_ms: 4000}    # a demo is in a hurry
	END
	"$flowferry" policy set fw "$dir/policy.yaml" >/dev/null || fail "the policy was refused"
}

# One instance has all, as when a service is young.
start_small()
{
	local from
	for from in fw-2 fw-3; do
		"$flowferry" move --service fw --from $from --to fw-1 -o json >"$dir/move" ||
			fail "the move from $from was refused"
		"$flowferry" instance remove $from >/dev/null || fail "$from can't be removed"
	done
}

loop()
{
	start_small
	events_seen=$("$flowferry" events --limit 1 -o json | jq .seq)
	loop_begin_ms=$(now_ms)
	step "Now by itself: fw may have two instances of $(jq -nr -L "$here" --arg n "$capacity" \
		'include "demo"; $n | grouped') packets/s, each with a standby on another host"
	policy_set
	loop_udp_begin before
	look_until "standby" settled
	scale_out
	balance
	loop_udp_end before

	loop_udp_begin through
	look_until "standby with a copy of all" protected
	crash
	loop_udp_end through

	loop_udp_begin after
	drain
	scale_in
	loop_udp_end after
}

loop_verdict() # HAND: whether the moves by hand have passed
{
	local part run udp=() tcp=("$dir"/loop.tcp.*)
	for run in before through after; do
		for part in udp counted; do
			udp+=(--slurpfile "${part}_$run" "$dir/loop.$part.$run")
		done
	done
	"$flowferry" plan list -o json >"$dir/loop.plans"
	loop_jq loop_verdict -nr "${udp[@]}" --argjson hand "$1" \
		--argjson tcp "$(jq -s . "${tcp[@]}")" \
		--argjson recoveries "$(cat "$dir/loop.recoveries")" \
		--slurpfile phases "$dir/loop.phases" --slurpfile events "$dir/loop.events" \
		--slurpfile plans "$dir/loop.plans"
}
