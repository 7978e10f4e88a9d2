# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A host is drained under traffic: within its deadline it owns nothing any more, slots, pins and rules
# alike; nothing is lost, doubled or reordered. Undrain takes it back; a pause holds everything up.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# host HOST: as the orchestrator shows it
host()
{
	api GET "/v1/hosts/$1"
}

# owned HOST: slots, pins and rules that its instances own, by the steering tables themselves
owned()
{
	local instances
	instances=$(ff instances -o json | jq --arg host "$1" '[.instances[] |
		select(.host == $host).name]')
	ff table fw -o json | jq --argjson names "$instances" '[
		(.owners[], .pins[], .rules[] | if type == "array" then .[1] else .instance end) |
		select(IN($names[]))] | length'
}

# drained HOST ARGUMENTS...: within its deadline; prints the host as it was at its end
drained()
{
	local json
	json=$(ff drain "$@" -o json) || fail "drain $*: $json"
	assert_json "$json" '.draining and .drain.empty and (.drain.late | not) and .drain.slots == 0
		and .drain.pins == 0 and .drain.rules == 0'
	assert_eq "$(owned "$1")" 0 "what $1 still owns"
}

lab_up --hosts 3
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 24 --tcp-rate 20 --tcp-echo
traffic_progress

step "a pin and a rule on nf1, beside its slots"
move --from fw-2 --to fw-1 --flows 3
move --from fw-3 --to fw-1 --filter 'tcp'
before=$(ff table fw -o json)
assert_json "$before" '[.pins[], .rules[] | select(.instance == "fw-1")] | length > 0'
# 24 connections, of which none is in slots of fw-3 once in 17,000 runs: 20 records a second each,
# there and back
wait_for "ff service show fw -o json | jq -e 'any(.rules[]; .packets_per_s > 30 and .flows > 0)'"

step "paused: nothing happens"
ff pause
ff drain nf1 --no-wait
assert_exit 1 ff drain nf1 --deadline 500ms
assert_contains "$output" "isn't empty by its deadline"
assert_json "$(host nf1)" '.draining and .drain.late and .drain.slots > 0'
assert_eq "$(ff table fw -o json | jq -c '.owners')" "$(jq -c .owners <<<"$before")" owners

step "resumed: it is emptied"
ff resume
drained nf1 --deadline 30s
assert_eq "$(instance fw-1 | jq .flows)" 0 "flows left on nf1"
assert_one_owner
assert_json "$(ff hosts -o json)" '[.hosts[] | select(.draining).name] == ["nf1"]'
traffic_progress

step "the plan says what was done, and what came of it"
wait_for 'ff plan list -o json | jq -e "all(.plans[]; .state != \"running\")"'
plans=$(ff plan list -o json)
assert_json "$plans" '.plans | length > 0 and all(.[]; .service == "fw" and (.plan.steps | length > 0))'
plan=$(jq '.plans[0]' <<<"$plans")
assert_json "$plan" '.state == "completed" and all(.plan.steps[]; .state == "completed" and
	.kind == "move" and .why == "maintenance" and .from.host == "nf1" and .to.host != "nf1" and
	.outcome.freeze_us > 0 and .predicted.freeze_us > 0 and (.operation | length > 0))'
assert_contains "$(ff plan show "$(jq -r .id <<<"$plan")")" "fw-1 -> "
assert_json "$(ff operations -o json)" '[.operations[] | select(.kind == "move")] | length > 2'

metrics=$(api GET /metrics)
assert_contains "$metrics" 'flowferry_operations{kind="plan",state="completed"} 1'
assert_contains "$metrics" 'flowferry_condition{kind="maintenance",about="host",name="nf1"'
assert_contains "$metrics" 'flowferry_plan_moves_total{nf="firewall"} '
assert_contains "$metrics" 'flowferry_host_drain_slots{host="nf1"} 0'
# what Prometheus gets is what the CLI shows: of the emptied host, whose counts stand still
fw1=$(ff instances -o json | jq '.instances[] | select(.name == "fw-1").packets')
assert_contains "$metrics" "flowferry_instance_packets_total{service=\"fw\",instance=\"fw-1\",host=\"nf1\"} $fw1"
assert_contains "$metrics" 'flowferry_host_packets_total{host="gw",reason="pass-local"} '

step "a second host, and both remain empty while traffic goes on"
drained nf2 --deadline 30s
assert_eq "$(owned nf1)" 0 "what came to nf1"
traffic_progress

step "everywhere to be emptied: it says that it can't, and puts nothing onto the gateway"
ff drain nf3 --no-wait
wait_for "ff events --limit 100 | grep -q plan-impossible"
assert_json "$(host nf3)" '.drain.slots == 4096'
assert_json "$(host gw)" '.instances == 0'

step "undrain: nf1 is used again, and takes what nf3 gives up"
ff undrain nf1
wait_for '[ "$(owned nf3)" = 0 ]'
assert_eq "$(owned nf2)" 0 "what came to nf2"
assert_eq "$(instance fw-3 | jq .flows)" 0 "flows left on nf3"
ff undrain nf2
ff undrain nf3
assert_json "$(ff hosts -o json)" '[.hosts[] | select(.draining)] == []'
assert_one_owner

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
