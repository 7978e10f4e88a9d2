# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Skewed traffic on three instances, evened by what is cheapest: a few elephants that make the slots of one
# instance hot go as pins, and the many mice of these slots stay where they are; where mice alone are
# too many, they go by slot. Then the loop leaves well alone. Nothing is lost, doubled or reordered.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

CAPACITY=7000 # packets/s of an instance, by the policy: a load that a busy machine carries, too
IMBALANCE=12  # points between the busiest and the mean
ELEPHANTS=3
PLANS_MAX=3 # one should do; but slots are sampled each half second, and it may act on older figures

# above: by how many points the busiest instance is above the mean, by the hosts' newest samples
above()
{
	ff hosts -o json | jq -e --argjson capacity $CAPACITY '
		[.hosts[].monitor.instances[]?.packets_per_s // 0] |
		if length == 3 then (max - add / 3) / $capacity * 100 else empty end'
}

above_is() # JQ-CONDITION
{
	above | jq -e "$1" >/dev/null
}

# stays_even: in five looks, one after the other
stays_even()
{
	for _ in 1 2 3 4 5; do
		above_is ". < $IMBALANCE" || return 1
		sleep "$POLL_S"
	done
}

has_imbalance()
{
	ff conditions -o json | jq -e 'any(.conditions[]; .kind == "imbalance")'
}

# plans: those made since plans_forget
plans()
{
	ff plan list -o json | jq -c --argjson known "$known" '.plans | .[:length - $known]'
}

plans_forget()
{
	known=$(ff plan list -o json | jq '.plans | length')
}

# elephants: what is known of each, as a list
elephants()
{
	local port
	for port in $(seq 10000 $((10000 + ELEPHANTS - 1))); do
		ff flows get "udp 198.18.1.2:$port 198.18.2.2:$traffic_port" -o json
	done | jq -s .
}

# evened: the loop may act, and makes the three alike with few plans, then none
evened()
{
	plans_forget
	ff resume
	wait_for stays_even
	wait_for '! has_imbalance'
	assert_json "$(plans)" "length >= 1 and length <= $PLANS_MAX and
		all(.[]; .state == \"completed\") and all(.[].plan.steps[];
		.kind == \"move\" and .why == \"imbalance\" and .state == \"completed\")"
	plans | jq -r '.[].plan.steps[] | "\(.from.instance) -> \(.to.instance): " +
		"\(.slots_count) slots, \(.flows_count) flows, \(.packets_per_s | round) packets/s"'
	assert_one_owner
	assert_no_strays
	plans_forget
	traffic_progress 6000
	above_is ". < $IMBALANCE"
	assert_eq "$(plans)" "[]" "plans when nothing is wrong"
	assert_json "$(ff conditions -o json)" '.conditions == []'
	ff pause
}

cat >/run/policy.yaml <<-END
	mode: act
	utilisation:
	  {up_percent: 80, target_percent: 65, down_percent: 10, imbalance_percent: $IMBALANCE,
	  host_percent: 100, pressure_percent: 100}
	instances: {min: 3, max: 3, per_host: 1}
	capacity: {packets_per_s: $CAPACITY}
	stability: {up_ms: 500, down_ms: 1000, hold_ms: 1000, lifetime_ms: 3000, forecast_ms: 0}
END

lab_up --hosts 3 --slots 8 # so that a slot has many mice
ff pause
ff policy set fw /run/policy.yaml

step "elephants: all of their slots on fw-1, while the loop may not act"
known=0
traffic_start 600 --ipv4 --rate 2000 --elephants $ELEPHANTS --elephants-percent 45
elephants | jq -r '.[] | select(.instance != "fw-1") | [.instance, .slot] | @tsv' | sort -u |
	while read -r from slot; do
		move --from "$from" --to fw-1 --slots "$slot"
	done
wait_for has_imbalance
traffic_progress 6000 # the averages have seen the whole load
assert_eq "$(plans)" "[]" "plans while paused"

step "evened by pins"
evened
assert_json "$(elephants)" 'any(.[]; .how == "pin" and .instance != "fw-1" and .moves > 0)'
traffic_end
assert_conserved

step "mice: all slots on fw-1"
for from in fw-2 fw-3; do
	move --from $from --to fw-1
done
traffic_start 600 --ipv4 --rate 2000
wait_for has_imbalance
traffic_progress 6000 # the averages have seen the whole load

step "evened by slots"
plans_forget
evened
assert_json "$(ff instances -o json)" '.instances | length == 3 and all(.[]; .slots > 0)'
traffic_end
assert_conserved
