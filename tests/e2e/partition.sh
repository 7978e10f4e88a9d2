# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Hosts that are cut off: from the orchestrator alone, from everything, with and without a lease, again and
# again; and an instance that fails on a host that is well. Whoever owns a flow, it is one.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/fault.bash"

UNDER_WAY=5 # packets: what a host that stays well may lose as its instance goes


# orchestrator_cut HOST, orchestrator_back HOST: the way from the host to the orchestrator, and that only
orchestrator_cut()
{
	in_host "$1" ip route add blackhole "$ORCHESTRATOR"
}

orchestrator_back()
{
	in_host "$1" ip route del blackhole "$ORCHESTRATOR"
}

# host_is HOST up|down
host_is()
{
	ff hosts -o json | jq -e --arg host "$1" --arg state "$2" \
		'.hosts[] | select(.name == $host).state == $state'
}

# reason HOST NAME: how often, by the host's own agent
reason()
{
	host_api "$1" GET /v1/host | jq --arg name "$2" '.reasons[$name] // 0'
}

# drops: packets that the hosts say they have dropped
drops()
{
	ff hosts -o json | jq -r '.hosts[].name' | while read -r host; do
		host_api "$host" GET /v1/host |
			jq '[.reasons | to_entries[] | select(.key | startswith("drop-")).value] | add // 0'
	done | jq -s add
}

# processed HOST: packets that the instances there have had
processed()
{
	host_api "$1" GET /v1/instances | jq '[.instances[].packets] | add // 0'
}

# events_count KIND
events_count()
{
	ff events -o json --limit 1000 | jq -s --arg kind "$1" 'map(select(.kind == $kind)) | length'
}

# more_processed HOST N: so many more than there are now
more_processed()
{
	local before
	before=$(processed "$1")
	wait_for "[ \$(processed $1) -ge $((before + $2)) ]"
}

protect_up 3
ORCHESTRATOR=$(in_host orch ip -4 -o addr show dev f0 | awk '{ sub("/.*", "", $4); print $4 }')

step "cut off from the orchestrator: suspect, and nothing is taken"
orchestrator_cut nf1
wait_for "ff conditions -o json | jq -e '.conditions | any(.[]; .name == \"nf1\" and .kind == \"stale\")'"
wait_for "host_is nf1 down"
more_processed nf1 500
assert_eq "$(owner)" fw-1 "the owner of all"
assert_eq "$(recoveries)" 0 recoveries
orchestrator_back nf1
wait_for "host_is nf1 up"
wait_for protected
assert_eq "$(owner)" fw-1 "the owner of all"
traffic_end
assert_conserved

step "cut off from everything, keep-forwarding: taken over at once"
traffic_lossy
wait_for protected
cut nf1
recovery_wait 1
assert_json "$recovery" '.recovery.fence_ms == 0'
assert_json "$recovery" ".recovery.detect_ms <= $DETECT_MS and .recovery.recovered_ms <= $RECOVER_MS"
told=$(jq .recovery.packets_lost_at_most <<<"$recovery")
uncut nf1
wait_for "host_is nf1 up"
wait_for "host_api nf1 GET /v1/instances | jq -e '.instances == []'"
wait_for "ff events --limit 1000 | grep -q 'nf1 is back'"
traffic_progress
traffic_end_lossy
[ "$lost" -le "$told" ] || fail "$lost packets lost, at most $told told"
assert_one_owner

step "cut off from the orchestrator, fence: it stops by itself, before its flows are given away"
policy_set 'protect: {enabled: true, lag_ms: 50}' 'partition: {mode: fence, lease_ms: 500}'
traffic_lossy
wait_for protected
victim=$(host_of "$(owner)")
heir=$(host_of "$(standby_of "$(owner)")")
wait_for "ff services -o json | jq -e '.services[0].lease_ms == 500'"
more_processed "$victim" 500
fenced=$(reason "$victim" drop-fenced)
assert_eq "$fenced" 0 "drops without need"
orchestrator_cut "$victim"
recovery_wait 2
assert_json "$recovery" '.recovery.why | contains("lease")'
fenced=$(reason "$victim" drop-fenced)
[ "$fenced" -gt 0 ] || fail "$victim had not stopped when its flows were given away"
had=$(processed "$victim")
more_processed "$heir" 500
assert_eq "$(processed "$victim")" "$had" "packets that $victim has processed, after it was fenced"
orchestrator_back "$victim"
wait_for "host_is $victim up"
wait_for "host_api $victim GET /v1/instances | jq -e '[.instances[] | select(.packets > 0)] == []'"
traffic_end_lossy
fenced=$(reason "$victim" drop-fenced)
[ "$lost" -le "$fenced" ] || fail "$lost packets lost, $fenced dropped by the fence"
assert_one_owner

step "dead, fence: its lease is awaited"
traffic_lossy
wait_for protected
victim=$(host_of "$(owner)")
cut "$victim"
recovery_wait 3
assert_json "$recovery" '.recovery.fence_ms > 0 and .recovery.fence_ms <= 1000'
told=$(jq .recovery.packets_lost_at_most <<<"$recovery")
uncut "$victim"
wait_for "host_is $victim up"
traffic_end_lossy
[ "$lost" -le "$told" ] || fail "$lost packets lost, at most $told told"

step "an instance fails on a host that is well"
policy_set 'protect: {enabled: true, lag_ms: 50}' 'stability: {down_ms: 500}'
traffic_lossy
wait_for protected
failed=$(owner)
victim=$(host_of "$failed")
state_list | udp_counts >/run/before.json
dropped=$(drops)
rm -r "/sys/fs/bpf/flowferry/$victim/instances/$failed"
recovery_wait 4
assert_json "$recovery" '.from == $from and .recovery.detect_ms == 0' --arg from "$failed"
wait_for "state_list | goes_on /run/before.json"
traffic_end_lossy
dropped=$(($(drops) - dropped))
echo "dropped: $dropped"
[ "$lost" -le $((UNDER_WAY + dropped)) ] || fail "$lost packets lost, $dropped dropped"

step "a host that flaps gets nothing new"
wait_for protected
flapping=$(host_of "$(standby_of "$(owner)")")
dead=$(events_count host-dead)
for n in 1 2 3; do
	cut "$flapping"
	wait_for "[ \$(events_count host-dead) -ge $((dead + n)) ]"
	uncut "$flapping"
	wait_for "host_is $flapping up"
	wait_for "ff conditions -o json | jq -e --arg host $flapping \
		'.conditions | all(.[]; .name != \$host or .kind != \"failure\")'" 20
done
wait_for "ff conditions -o json | jq -e --arg host $flapping \
	'.conditions | any(.[]; .name == \$host and .kind == \"flapping\")'" 20
wait_for protected
assert_json "$(ff instances -o json)" 'all(.instances[]; .host != $host)' --arg host "$flapping"
assert_eq "$(recoveries)" 4 "recoveries"
