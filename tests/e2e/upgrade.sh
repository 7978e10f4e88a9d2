# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A service is upgraded under traffic to a version of its NF whose state has other fields in another
# order, instance by instance; the orchestrator is killed in the middle and goes on. What can't be
# done leaves everything as it was; a cancelled upgrade is taken up by another. Nothing is lost,
# doubled or reordered, connections survive, and every packet is counted in the new state.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# nfs: which NF the service's instances run, and how many of them
nfs()
{
	ff instances -o json | jq -c '[.instances[].nf] | group_by(.) | map({(.[0]): length}) | add'
}

# upgrades: operations of that kind, the newest first
upgrades()
{
	ff operations -o json | jq -c '[.operations[] | select(.kind == "upgrade")]'
}

# events_follow SEQ: those after it, for orch_strike
events_follow()
{
	coproc EVENTS { exec "$BUILD/flowferry" events --follow --since "$1" -o json 2>/dev/null; }
	events_fd=${EVENTS[0]}
	# shellcheck disable=SC2153 # the coprocess EVENTS has it
	events_pid=$EVENTS_PID
}

# orch_strike TEXT: kills the orchestrator as soon as an event says so, and starts another
orch_strike()
{
	local line pid
	pid=$(lab_pid orch)
	while read -r -t 20 -u "$events_fd" line; do
		case $line in *"$1"*) break ;; esac
	done
	kill -KILL "$pid"
	kill "$events_pid" 2>/dev/null || true
	wait "$events_pid" 2>/dev/null || true
	wait_for "! kill -0 $pid"
	assert_contains "$line" "$1"
	ff lab restart orch >/dev/null
	events_follow "$(jq .seq <<<"$line")"
}

upgraded_some()
{
	upgrades | jq -e '.[0].upgrade.instances | any(.state == "completed")'
}

mkdir /run/nf
cp "$BUILD"/nf/*.bpf.o "$BUILD"/tests/nf/firewall2.bpf.o /run/nf
# the same, without what they know of flows: state can't be converted
cp "$BUILD"/tests/nf/counter2.bpf.o /run/nf/foreign.bpf.o
mount --bind /run/nf "$BUILD/nf"

lab_up --hosts 3
traffic_start 90 --ipv4 --ipv6 --rate 1000 --proto both --tcp-flows 6 --tcp-rate 50 --tcp-echo
traffic_progress
step "a pin and a rule, beside slots"
move --from fw-2 --to fw-1 --flows 3
move --from fw-3 --to fw-1 --filter 'tcp'

step "a version that isn't there, and one that can't hold the state: all stays as it was"
before=$(ff table fw -o json)
assert_exit 1 ff service upgrade fw --nf nosuch
assert_contains "$output" "0 of 3 instances upgraded"
assert_contains "$output" "nosuch.bpf.o"
assert_exit 1 ff service upgrade fw --nf foreign
assert_contains "$output" "0 of 3 instances upgraded"
assert_eq "$(nfs)" '{"firewall":3}' "NFs"
assert_eq "$(ff service show fw -o json | jq -r .nf)" firewall "NF of new instances"
assert_eq "$(ff table fw -o json | jq -c '[.owners, .pins, .rules]')" \
	"$(jq -c '[.owners, .pins, .rules]' <<<"$before")" table
assert_one_owner

step "upgraded, while the orchestrator is killed again and again"
events_follow "$(ff events -o json --limit 1 | jq .seq)"
id=$(ff service upgrade fw --nf firewall2 --no-wait)
assert_exit 1 ff service upgrade fw --nf firewall
assert_contains "$output" "is being upgraded"
orch_strike 'from fw-1 to fw-4: switch'
orch_strike 'from fw-3 to fw-6: prepare'
kill "$events_pid"
ff operations "$id" --follow
assert_contains "$(cat /run/flowferry/lab/orch.log)" "operation $id was under way: recovering it"
assert_json "$(upgrades)" '.[0].state == "completed" and (.[0].upgrade.instances | length == 3 and
	all(.state == "completed" and (.moves | length > 0)))'
assert_eq "$(nfs)" '{"firewall2":3}' "NFs"
assert_eq "$(ff service show fw -o json | jq -r .nf)" firewall2 "NF of new instances"
assert_json "$(ff instances -o json)" '[.instances[] | [.name, .host]] | sort ==
	[["fw-4", "nf1"], ["fw-5", "nf2"], ["fw-6", "nf3"]]'
assert_json "$(ff table fw -o json)" '([.pins[].instance, .rules[].instance] | unique) == ["fw-4"]'
traffic_progress
assert_one_owner
assert_no_strays
assert_json "$(state_list | jq -s '[.[] | select(.flow | startswith("udp"))]')" 'length >= 90 and
	all(.[]; .state.last_ns > .state.opened_ns and .state.packets[0] > 0)'

step "cancelled, and taken up by another"
cp /run/nf/firewall2.bpf.o /run/nf/firewall3.bpf.o
id=$(ff service upgrade fw --nf firewall3 --no-wait)
wait_for upgraded_some
api DELETE "/v1/operations/$id" >/dev/null
assert_exit 1 ff operations "$id" --follow
assert_contains "$output" "of 3 instances upgraded: cancelled"
mixed=$(nfs)
assert_json "$mixed" '.firewall2 > 0 and .firewall3 > 0 and .firewall2 + .firewall3 == 3'
assert_json "$(ff instances -o json)" 'all(.instances[]; .slots > 0)'
traffic_progress
ff service upgrade fw --nf firewall3
assert_eq "$(nfs)" '{"firewall3":3}' "NFs"
assert_contains "$(ff events --limit 1000)" "upgrade-ended"

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_one_owner
assert_no_strays
assert_conserved
