# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Load returns while an instance is being retired, with flows that were left there to end: it is taken back,
# and no other one is made, though there is a host for it. What was left stays where it is. Nothing is
# lost, doubled or reordered meanwhile.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

CAPACITY=4000 # packets/s of an instance, by the policy
TARGET=$((CAPACITY * 65 / 100))
LIFE_S=4 # of a short connection: that long the firewall remembers one that is closed
SLOTS=8	 # so few are swept within seconds, which counts the ends
CONFIG="{\"timeouts\": {\"tcp_fin_wait_s\": $LIFE_S, \"tcp_close_wait_s\": $LIFE_S,
	\"tcp_last_ack_s\": $LIFE_S, \"tcp_time_wait_s\": $LIFE_S, \"tcp_close_s\": $LIFE_S}}"

instances()
{
	ff instances -o json | jq -c '[.instances[].name] | sort'
}

# the one that is being retired
retiring()
{
	ff instances -o json | jq -er '.instances[] | select(.retiring_since != null).name'
}

# of_instance NAME FIELD
of_instance()
{
	ff instances -o json | jq -er --arg name "$1" ".instances[] | select(.name == \$name).$2"
}

has_underload()
{
	ff conditions -o json | jq -e 'any(.conditions[]; .kind == "underload" and .about == "service")'
}

# would_leave FLOWS: the plan that would be made leaves that many
would_leave()
{
	ff plan fw --dry-run --goal shrink -o json | jq -e --argjson least "$1" 'any(.left[]; .flows > $least)'
}

# stay_at NAME: the connections that stay, and how often each has moved, as a list
stay_at()
{
	ff flows list --filter 'tcp and port 31000' --instance "$1" --limit "$LIMIT" -o json |
		jq -c '[.flows[] | {flow, moves}]'
}

# all_under PPS: each instance, by its host's newest sample
all_under()
{
	ff hosts -o json | jq -e --argjson bound "$1" \
		'[.hosts[].monitor.instances[]?.packets_per_s // 0] | length > 1 and max <= $bound'
}

# tcp_start NAME PORT ARGUMENTS...: connections that none may break, until tcp_end
tcp_start()
{
	local name=$1 port=$2
	shift 2
	"$BUILD/flowferry" traffic run --quiet -o json --forever --proto tcp --tcp-echo --port "$port" \
		"$@" >"/run/$name.json" 2>"/run/$name.err" &
	tcp_pids[$name]=$!
	wait_for "[ \"\$(flows_count 'tcp and port $port')\" -ge 30 ]"
}

tcp_end()
{
	kill -TERM "${tcp_pids[$1]}"
	wait "${tcp_pids[$1]}" || fail "$1: exit $?: $(cat "/run/$1.err")"
	assert_json "$(cat "/run/$1.json")" '.ok and .tcp.reset == 0 and .tcp.broken == 0'
}

declare -A tcp_pids
lab_up --hosts 3 --slots $SLOTS
ff service remove fw
ff service add fw --nf firewall --instance fw-1@nf1 --instance fw-2@nf2 --slots $SLOTS --config "$CONFIG"
ff pause
cat >/run/policy.yaml <<-END
	utilisation:
	  {up_percent: 80, target_percent: 65, down_percent: 40, imbalance_percent: 100,
	  host_percent: 100, pressure_percent: 100}
	instances: {min: 1, max: 3, per_host: 1}
	capacity: {packets_per_s: $CAPACITY}
	scale_in: {patience_ms: 10000, deadline_ms: 120000}
	stability: {down_ms: 500, hold_ms: 500, lifetime_ms: 1000}
END
ff policy set fw /run/policy.yaml
traffic_start 30 --ipv4 --ipv6 --rate 300 --proto both --tcp-flows 1 --tcp-rate 1 --tcp-echo \
	--tcp-short 40

step "an instance is retired, and flows are left there"
wait_for "would_leave 30" 60
wait_for has_underload 20
tcp_start stay 31000 --tcp-flows 30 --tcp-rate 2 # they look short
ff resume
wait_for retiring 20
retired=$(retiring)
wait_for "[ \"\$(of_instance $retired slots)\" = 0 ]" 20
stayed=$(stay_at "$retired")
assert_json "$stayed" 'length > 0'

step "load returns: it is taken back"
tcp_start ramp 32000 --tcp-flows 30 --tcp-rate 45
wait_for "ff events --limit 1000 | grep -q instance-recalled" 20
wait_for "! retiring && [ \"\$(of_instance $retired slots)\" -gt 0 ] && all_under $TARGET" 20
ff pause # what becomes of it when the load falls again is another story
wait_for '! ff operations --state running -o json | jq -e ".operations | length > 0"'
echo "$retired is back; $(jq length <<<"$stayed") connections stayed there"
assert_eq "$(instances)" '["fw-1","fw-2"]' instances
assert_json "$(ff plan list -o json)" '[.plans[].plan.steps[].kind] | index("recall") and
	(index("create") | not)'
assert_json "$(stay_at "$retired")" '$stayed - . == []' --argjson stayed "$stayed"
assert_one_owner

step "nothing lost, every packet counted"
tcp_end ramp
tcp_end stay
traffic_end
assert_conserved
