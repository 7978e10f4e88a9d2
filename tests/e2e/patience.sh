# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Scale-in with patience: of the instance that is retired, flows that are likely to end soon are left to end,
# long-lived ones are moved, new ones begin elsewhere. It goes when what was left has ended; what looked
# short and stays is moved at the deadline. Nothing is lost, doubled or reordered meanwhile.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

LIFE_S=6 # of a short connection: that long the firewall remembers one that is closed
SLOTS=32 # so few are swept within seconds, which counts the ends
PATIENCE_MS=10000
CONFIG="{\"timeouts\": {\"tcp_fin_wait_s\": $LIFE_S, \"tcp_close_wait_s\": $LIFE_S,
	\"tcp_last_ack_s\": $LIFE_S, \"tcp_time_wait_s\": $LIFE_S, \"tcp_close_s\": $LIFE_S}}"

# policy DEADLINE-MS
policy()
{
	cat >/run/policy.yaml <<-END
		utilisation:
		  {up_percent: 80, target_percent: 65, down_percent: 40, imbalance_percent: 100,
		  host_percent: 100, pressure_percent: 100}
		instances: {min: 1, max: 2, per_host: 1}
		capacity: {packets_per_s: 10000}
		scale_in: {patience_ms: $PATIENCE_MS, deadline_ms: $1}
		stability: {down_ms: 500, hold_ms: 500, lifetime_ms: 1000}
	END
	ff policy set fw /run/policy.yaml
}

instances()
{
	ff instances -o json | jq '.instances | length'
}

retiring()
{
	ff instances -o json | jq -er '.instances[] | select(.retiring_since != null).name'
}

has_underload()
{
	ff conditions -o json | jq -e 'any(.conditions[]; .kind == "underload" and .about == "service")'
}

# The plan that would be made: whether it leaves flows.
would_leave()
{
	ff plan fw --dry-run --goal shrink -o json | jq -e 'any(.left[]; .flows > 0)'
}

# the newest plan that has left flows
leaving_plan()
{
	ff plan list -o json | jq -er '[.plans[] | select(any(.plan.steps[]; (.left // 0) > 0))][0].id'
}

lab_up --hosts 2 --slots $SLOTS
ff service remove fw
ff service add fw --nf firewall --instance fw-1@nf1 --instance fw-2@nf2 --slots $SLOTS --config "$CONFIG"
ff pause
policy 40000
traffic_start 60 --ipv4 --ipv6 --rate 300 --proto both --tcp-flows 6 --tcp-rate 20 --tcp-echo \
	--tcp-short 20

step "how long flows live is learned"
wait_for would_leave 120
assert_contains "$(ff plan fw --dry-run --goal shrink)" "likely to end within"

step "what ends soon is left, the rest is moved"
wait_for has_underload
ff resume
wait_for 'ff events --limit 1000 | grep -q flows-left'
began=${EPOCHREALTIME/./}
retired=$(retiring)
wait_for "[ \"\$(flows_count udp $retired)\" = 0 ]"
assert_json "$(ff instances -o json)" '.instances[] | select(.name == $name) | .slots == 0 and .pins > 0' \
	--arg name "$retired"
plan=$(leaving_plan)
ff plan show "$plan"
assert_contains "$(ff plan show "$plan")" "flows were left on $retired"

step "and goes when they have ended, long before the deadline"
wait_for '[ "$(instances)" = 1 ]' 35
took_ms=$(((${EPOCHREALTIME/./} - began) / 1000))
echo "$retired was empty after $took_ms ms"
[ $took_ms -lt 35000 ] || fail "$retired waited for its deadline"
assert_eq "$(ff plan list -o json | jq '[.plans[].plan.steps[] | select(.why == "underload" and
	.kind == "move" and .flows_count > 0)] | length')" 0 "moves of what was left"
assert_one_owner
traffic_progress

step "what looks short, and stays, is moved at the deadline"
ff pause
policy 12000
remaining=$(ff instances -o json | jq -r '.instances[0].name')
host=$(ff instances -o json | jq -r '.instances[0].host')
ff instance add fw-9 --service fw --host "$([ "$host" = nf1 ] && echo nf2 || echo nf1)"
move --from "$remaining" --to fw-9 --slots 0-$((SLOTS / 2 - 1))
# ends are counted when they are swept, up to half a minute late: until then they look endless
wait_for would_leave 100
wait_for has_underload
"$BUILD/flowferry" traffic run --quiet -o json --forever --proto tcp --tcp-flows 30 --tcp-rate 10 \
	--tcp-echo --port 31000 >/run/stay.json 2>/run/stay.err &
stay_pid=$!
wait_for "[ \"\$(flows_count 'tcp and port 31000')\" -ge 30 ]"
ff resume
wait_for retiring
began=${EPOCHREALTIME/./}
retired=$(retiring)
wait_for "[ \"\$(flows_count udp $retired)\" = 0 ]"
stayed=$(flows_count 'tcp and port 31000' "$retired")
[ "$stayed" -gt 0 ] || fail "none of the young connections was left on $retired"
wait_for '[ "$(instances)" = 1 ]' 40
took_ms=$(((${EPOCHREALTIME/./} - began) / 1000))
echo "$stayed connections stayed on $retired; it was empty after $took_ms ms"
[ $took_ms -ge 11000 ] || fail "$retired didn't wait for its deadline"
assert_json "$(ff plan list -o json)" 'any(.plans[].plan.steps[]; .why == "underload" and
	.kind == "move" and .flows_count > 0 and .state == "completed")'
assert_json "$(ff instances -o json)" '.instances[0].pins == 0 and .instances[0].slots == $slots' --argjson slots $SLOTS
assert_one_owner
kill -TERM $stay_pid
wait $stay_pid || fail "stay: exit $?: $(cat /run/stay.err)"
assert_json "$(cat /run/stay.json)" '.ok and .tcp.reset == 0 and .tcp.broken == 0'

step "nothing lost, every packet counted"
traffic_end
