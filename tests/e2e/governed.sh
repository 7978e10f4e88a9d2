# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A governed service when something is in the way: quiet hours, an operator who moves flows by hand while
# plans are carried out, an agent that is killed, a drain for which every other host is too busy. Nothing is
# lost, doubled or reordered.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

CAPACITY=4000 # packets/s of an instance, by the policy

# policy UP HOST-PERCENT QUIET-HOURS
policy()
{
	cat >/run/policy.yaml <<-END
		utilisation:
		  {up_percent: $1, target_percent: $(($1 - 5)), down_percent: 5, imbalance_percent: 12,
		  host_percent: $2, pressure_percent: 100}
		instances: {min: 3, max: 3, per_host: 1}
		capacity: {packets_per_s: $CAPACITY}
		stability: {up_ms: 300, down_ms: 500, forecast_ms: 0}
		quiet_hours: $3
	END
	ff policy set fw /run/policy.yaml
}

# quiet: from an hour ago to an hour from now, in the policy's words
quiet()
{
	echo "[{from: \"$(date -d '-1 hour' +%H:%M)\", to: \"$(date -d '+1 hour' +%H:%M)\"}]"
}

has_condition() # KIND [NAME]
{
	ff conditions -o json | jq -e --arg kind "$1" --arg name "${2:-}" 'any(.conditions[];
		.kind == $kind and ($name == "" or .name == $name))'
}

plans()
{
	ff plan list -o json | jq '.plans | length'
}

lab_up --hosts 3
assert_json "$(ff events --limit 1000 -o json | jq -s .)" \
	'all(.[]; .message | contains("no host is heard") | not)'

step "quiet hours: uneven, but left alone"
ff pause
policy 80 100 "$(quiet)"
move --from fw-2 --to fw-1
move --from fw-3 --to fw-1
traffic_start 90 --ipv4 --ipv6 --rate 1200 --proto both --tcp-flows 4 --tcp-rate 50 --tcp-echo
wait_for 'has_condition imbalance fw'
ff resume
traffic_progress 4000
assert has_condition imbalance fw >/dev/null
assert_eq "$(plans)" 0 "plans in quiet hours"

step "overload doesn't wait until they are over"
policy 50 100 "$(quiet)"
wait_for '[ "$(plans)" -ge 1 ] && ! has_condition overload'
assert_json "$(ff plan list -o json)" '[.plans[].plan.steps[]] | length > 0 and all(.[]; .why == "overload")'
assert_one_owner

step "an operator moves flows by hand while plans are carried out"
ff pause
policy 80 100 "[]"
for from in fw-2 fw-3; do
	ff move --service fw --from $from --to fw-1 >/dev/null || [ "$(instance $from | jq .flows)" = 0 ]
done
wait_for 'has_condition imbalance fw'
before=$(plans)
ff resume
refused=0
for slot in $(seq 0 256 3840); do # some are the plan's at that moment, or gone
	ff move --service fw --from fw-1 --to fw-2 --slots "$slot-$((slot + 63))" >/run/hand.out 2>&1 ||
		{ refused=$((refused + 1)) && assert_contains "$(cat /run/hand.out)" "mend"; }
done
wait_for "[ \$(plans) -gt $before ] && ! has_condition imbalance"
echo "$((16 - refused)) moves by hand, $refused refused, $(($(plans) - before)) plans"
assert_one_owner
assert_no_strays

step "an agent is killed: its host is stale, nothing is planned, packets go on"
wait_for '! ff operations --state running -o json | jq -e ".operations | length > 0"'
before=$(plans)
table=$(ff table fw -o json | jq -c '[.owners, .pins, .rules]')
pid=$(lab_pid nf2)
kill -KILL "$pid"
wait_for 'has_condition stale nf2'
traffic_progress 3000
assert_eq "$(plans)" "$before" "plans while nf2's agent is dead"
assert_eq "$(ff table fw -o json | jq -c '[.owners, .pins, .rules]')" "$table" table
ff lab restart nf2 >/dev/null
wait_for '! has_condition stale'
assert_one_owner

step "a drain for which every other host is too busy: it waits, but not beyond its deadline"
policy 80 1 "[]" # of its CPUs: each is
ff drain nf1 --deadline 6s --no-wait
wait_for "ff events --limit 100 | grep -q plan-impossible"
assert_json "$(api GET /v1/hosts/nf1)" '.drain.empty == false and .drain.late == false'
wait_for "api GET /v1/hosts/nf1 | jq -e .drain.empty"
assert_json "$(ff plan list -o json)" '.plans[0].state == "completed" and
	(.plans[0].note | contains("nf1 should be empty by now"))'
assert_contains "$(ff events --limit 100)" "drain-late"
assert_one_owner

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
