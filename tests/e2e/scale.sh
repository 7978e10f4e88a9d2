# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# The loop by itself: load ramps past the target, and there are more instances, each under target; it
# falls, and what was added is emptied and removed; the last one stays. In observe mode the same plan is
# only told. Nothing is lost, doubled or reordered meanwhile.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

CAPACITY=4000 # packets/s of an instance, by the policy: a load that a busy machine carries, too
UP=$((CAPACITY * 80 / 100))
TARGET=$((CAPACITY * 65 / 100))

# policy MODE
policy()
{
	cat >/run/policy.yaml <<-END
		mode: $1
		utilisation:
		  {up_percent: 80, target_percent: 65, down_percent: 40, imbalance_percent: 100,
		  host_percent: 100, pressure_percent: 100}
		instances: {min: 1, max: 3, per_host: 1}
		capacity: {packets_per_s: $CAPACITY}
		scale_in: {patience_ms: 0}
		stability: {down_ms: 1000, hold_ms: 1000, lifetime_ms: 3000}
	END
	ff policy check /run/policy.yaml
	ff policy set fw /run/policy.yaml
	assert_eq "$(ff policy get fw -o json | jq -r .mode)" "$1" mode
}

# rates: packets/s of each instance, by its host's newest sample, as a list
rates()
{
	ff hosts -o json | jq -c '[.hosts[].monitor.instances[]?.packets_per_s // 0]'
}

# busiest_over PPS / all_under PPS
busiest_over()
{
	rates | jq -e --argjson bound "$1" 'max > $bound'
}

all_under()
{
	rates | jq -e --argjson bound "$1" 'max <= $bound'
}

# stays_under PPS: in five looks, one after the other; $since is when the first of them was
stays_under()
{
	since=${EPOCHREALTIME/./}
	for _ in 1 2 3 4 5; do
		all_under "$1" || return 1
		sleep "$POLL_S"
	done
}

names()
{
	ff instances -o json | jq -c '[.instances[].name] | sort'
}

# ramp_start: about as many packets as three quarters of an instance can take
ramp_start()
{
	"$BUILD/flowferry" traffic run --quiet -o json --forever --proto tcp --tcp-flows 30 \
		--tcp-rate 50 --tcp-echo --port 31000 >/run/ramp.json 2>/run/ramp.err &
	ramp_pid=$!
}

ramp_end()
{
	kill -TERM $ramp_pid
	wait $ramp_pid || fail "ramp: exit $?: $(cat /run/ramp.err)"
	assert_json "$(cat /run/ramp.json)" '.ok and .tcp.reset == 0 and .tcp.broken == 0'
}

lab_up --hosts 3
for spare in fw-2 fw-3; do
	move --from $spare --to fw-1
	ff instance remove $spare
done
traffic_start 90 --ipv4 --ipv6 --rate 600
traffic_progress

step "observe: it is told what would be done"
policy observe
ramp_start
wait_for "busiest_over $UP"
wait_for "ff events --limit 100 | grep -q plan-observed"
wait_for "ff conditions | grep -q overload"
assert_contains "$(ff plan fw --dry-run)" "create"
assert_eq "$(names)" '["fw-1"]' "instances while observing"
assert_json "$(ff plan list -o json)" '.plans == []'
ramp_end

step "act: scaled out, all under target"
policy act
ramp_start
wait_for "busiest_over $UP"
crossed=${EPOCHREALTIME/./}
wait_for "[ \$(names | jq length) -ge 2 ] && stays_under $TARGET"
took_ms=$(((since - crossed) / 1000))
echo "under target after $took_ms ms, with $(names), at $(rates) packets/s"
assert_json "$(ff instances -o json)" '.instances | length >= 2 and (map(.host) | unique | length) == length
	and all(.slots > 0)'
assert_one_owner
assert_json "$(ff plan list -o json)" '.plans | any(.[]; [.plan.steps[].kind] | index("create"))'
assert_contains "$(ff events --limit 1000)" "instance-added"

step "scaled in: what was added is emptied and removed"
ramp_end
wait_for '[ "$(names | jq length)" = 1 ]' 60
assert_one_owner
traffic_progress
assert_json "$(ff instances -o json)" '.instances | length == 1 and .[0].slots == 4096'
assert_contains "$(ff events --limit 1000)" "instance-removed"

step "the last one stays"
plans=$(ff plan list -o json | jq '.plans | length')
wait_for '! ff operations --state running -o json | jq -e ".operations | length > 0"'
traffic_progress 3000
assert_eq "$(names | jq length)" 1 instances
assert_eq "$(ff plan list -o json | jq '.plans | length')" "$plans" "plans when nothing is wrong"

step "nothing lost, every packet counted"
traffic_end
assert_conserved
