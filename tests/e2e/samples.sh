# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# The agents' monitor: what it says of real traffic is what was sent; what it can't say, it says so; links
# are heard of as they change.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

SAMPLES=/run/samples.ndjson

# samples HOST N: N lines of its stream, the first of which is the newest sample
samples()
{
	curl --max-time "$API_TIMEOUT_S" --no-buffer --silent --show-error --fail \
		--unix-socket "/run/flowferry/$1/agent.sock" "http://localhost/v1/samples?limit=$2"
}

# sampled PART: of nf1 and nf2 each the newest sample with that part, as a list of what is in it
sampled()
{
	local host
	for host in nf1 nf2; do
		samples $host 12 | jq -c --arg part "$1" 'select(.[$part])[$part]' | tail -n 1
	done | jq -s 'add'
}

# rate: packets a second of all instances, as the orchestrator has it; 0 while it doesn't know
rate()
{
	ff hosts -o json | jq '[.hosts[].monitor.instances[].packets_per_s // 0] | add'
}

# slot_sums: {"slots","packets","bytes","flows"} of all slots of both hosts, and of their instances in the
# same samples
slot_sums()
{
	local host
	for host in nf1 nf2; do
		samples $host 12 | jq -c 'select(.slots)' | tail -n 1
	done | jq -s '[.[].slots[].loads | split(";")[] | select(. != "") | split(" ")[1:][] |
		split("/") | map(tonumber)] as $loads |
		{slots: ($loads | length), packets: ($loads | map(.[0]) | add),
		bytes: ($loads | map(.[1]) | add), flows: ($loads | map(.[2]) | add),
		instances: {flows: ([.[].instances[].flows] | add),
			packets: ([.[].instances[].packets] | add)}}'
}

lab_up --hosts 2

step "a stream, every 100 ms, that leaves nothing out without saying why"
samples nf1 21 >$SAMPLES
assert_json "$(jq -s . $SAMPLES)" 'length == 21 and (last.seq - first.seq) == 20'
assert_json "$(jq -s '[.[] | select(.kind == "sample")]' $SAMPLES)" '
	all(.[]; .cpu and .softnet and .instances) and any(.[]; .reasons) and
	any(.[]; .pressure or .missing.pressure) and any(.[]; .memory) and any(.[]; .maps) and any(.[]; .links) and any(.[]; .slots) and
	any(.[]; .flows) and ([.[].missing | keys[]] - ["pressure"]) == []'
assert_json "$(jq -s '[.[] | select(.kind == "sample").time_ns] | (last - first) / (length - 1)' \
	$SAMPLES)" '. > 90e6 and . < 150e6'

step "counters and slots: what was sent, packet by packet"
before=$(sampled instances | jq '[.[].packets] | add')
assert_json "$(slot_sums)" '.slots == 4096'
traffic_start 60 --ipv4 --ipv6 --rate 3000
traffic_progress 9000
measured=$(rate)
traffic_end
after=$(sampled instances | jq '[.[].packets] | add')
slots_after=$(slot_sums)
sent=$(jq '.udp.forward.sent + .udp.reverse.sent' <<<"$traffic")
# a few are not the traffic's own: its hosts look for each other first
assert_json "$((after - before - sent))" '. >= 0 and . < 50'
assert_json "$slots_after" '.packets == .instances.packets and .flows == .instances.flows'
assert_json "$slots_after" '.flows >= 60 and .bytes > $bytes' \
	--argjson bytes "$(jq '.udp.forward.sent_bytes + .udp.reverse.sent_bytes' <<<"$traffic")"

# a sender on a busy machine is late, and then in haste: neither slower than it was on the whole, nor faster
# than it is allowed to be
step "rates: those at which it was sent"
assert_json "$traffic" '(.udp.forward.rate + .udp.reverse.rate) as $mean |
	$measured > 0.4 * $mean and $measured < 2.5 * .udp.rate' --argjson measured "$measured"
wait_for "[ \$(rate | cut -d. -f1) -lt 100 ]"

step "slots move with their flows"
move --from fw-1 --to fw-2
assert_json "$(sampled slots)" '(.[] | select(.instance == 1).loads) == ""'
assert_json "$(slot_sums)" '.flows > 0 and .flows == .instances.flows'
move --from fw-2 --to fw-1 --slots 0-2047

step "an elephant"
traffic_start 1 --ipv4 --rate 2000
flow=$(ff flows list --filter "udp and port $traffic_port" -o json | jq -r '.flows[0].flow')
wait_for "sampled flows | jq -e --arg flow '$flow' 'any(.[].flows[]; .flow == \$flow and
	.packets_per_s > 1000 and .packets_per_s < 8000)'"
traffic_end
wait_for "sampled flows | jq -e 'all(.[]; .flows == [] or .flows[0].packets_per_s < 100)'"

step "a link that goes is heard of at once, and one that comes back"
in_host gw ip link set c0 down
wait_for "ff events -o json | grep link-down | grep -q 'interface c0'"
in_host gw ip link set c0 up
wait_for "ff events -o json | grep link-up | grep -q 'interface c0'"
# the fabric's takes the orchestrator away, but not who asks on the host
: >$SAMPLES
samples nf2 1000 >$SAMPLES &
follower=$!
wait_for "[ -s $SAMPLES ]"
in_host nf2 ip link set f0 down
# by words: the last line may not be whole yet
wait_for "grep '\"event\":\"link\",\"interface\":\"f0\"' $SAMPLES | grep -q '\"carrier\":false'"
in_host nf2 ip link set f0 up
kill $follower
wait_for "ff hosts -o json | jq -e '.hosts[] | select(.name == \"nf2\").monitor |
	.figures == \"valid\" and .fabric.carrier'"

step "an agent that stops: its figures get old, and stop being figures"
kill -STOP "$(lab_pid nf1)"
wait_for "ff hosts -o json | jq -e '.hosts[] | select(.name == \"nf1\").monitor |
	.figures == \"stale\" and .instances[0].figures == \"stale\" and
	(.instances[0] | has(\"packets_per_s\") | not)'"
kill -CONT "$(lab_pid nf1)"
wait_for "ff hosts -o json | jq -e '.hosts[] | select(.name == \"nf1\").monitor.figures == \"valid\"'"
assert_json "$(ff hosts -o json)" 'all(.hosts[].monitor; .refused == 0)'
