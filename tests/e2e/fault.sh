# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# A host dies, with all that ran on it, under traffic: its standby goes on with its flows and their state,
# no connection breaks, no more is lost than is told, and a third host protects them from then on. Then the
# dead host comes back, and is empty.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/fault.bash"

protect_up 3
standby=$(standby_of fw-1)
heir=$(host_of "$standby")
echo "fw-1 is on nf1, $standby stands by on $heir"
ff instances
ff services
assert_json "$(ff instances -o json)" '[.instances[] | select(.standby_of == "fw-1")] |
	length == 1 and .[0].slots == 0 and .[0].host != "nf1" and .[0].state == "standby"'
assert_json "$(api GET /v1/loop)" '.conditions | all(.[]; .kind != "unprotected")'

step "what a standby is not for"
assert_exit 1 ff move --service fw --from fw-1 --to "$standby" --slots 0-9
assert_contains "$output" "standby of fw-1"

step "each owner has one, wherever flows go"
spare=$(ff hosts -o json | jq -r --arg heir "$heir" \
	'[.hosts[].name | select(. != "gw" and . != "nf1" and . != $heir)][0]')
ff instance add fw-x --service fw --host "$spare"
move --from fw-1 --to fw-x --slots 0-99
wait_for "ff services -o json | jq -e '.services[0].protect == {lag_ms: 50, owners: 2, protected: 2}'"
move --from fw-x --to fw-1
ff instance remove fw-x
wait_for "[ \"\$(ff instances -o json | jq '.instances | length')\" = 2 ]"
protected

step "from a host that is drained, a standby is rebuilt elsewhere"
ff drain "$heir"
wait_for "[ \"\$(host_of \"\$(standby_of fw-1)\")\" = $spare ] && protected"
ff undrain "$heir"
standby=$(standby_of fw-1)

step "nf1 dies"
traffic_progress
state_list | udp_counts >/run/before.json
host_kill nf1
recovery_wait 1
assert_json "$recovery" '.from == "fw-1" and .to == $to and .recovery.host == "nf1"' \
	--arg to "$standby"
assert_json "$recovery" ".recovery.detect_ms <= $DETECT_MS and .recovery.recovered_ms <= $RECOVER_MS"
assert_json "$recovery" ".flows >= $UDP_FLOWS"
assert_eq "$(owner)" "$standby" "the owner of all"
told=$(jq .recovery.packets_lost_at_most <<<"$recovery")

step "its flows go on with their state"
wait_for "state_list | goes_on /run/before.json"
assert_one_owner
assert_contains "$(ff events --limit 50)" "host-dead"

step "protected again, on the third host"
wait_for protected
assert_json "$(ff instances -o json)" '[.instances[].host] | sort == ["nf2", "nf3"]'
assert_json "$(ff hosts -o json)" '.hosts[] | select(.name == "nf1").state == "down"'

step "nf1 comes back, and is empty"
host_back nf1
wait_for "ff hosts -o json | jq -e '.hosts[] | select(.name == \"nf1\").state == \"up\"'"
wait_for "host_api nf1 GET /v1/instances | jq -e '.instances == []'"
assert_contains "$(ff events --limit 50)" "it rejoins empty"
assert_eq "$(owner)" "$standby" "the owner of all"
assert_eq "$(recoveries)" 1 "recoveries"

step "what was lost is what was told"
traffic_end_lossy
[ "$lost" -le "$told" ] || fail "$lost packets lost, at most $told told"
wait_for "ff conditions -o json | jq -e '[.conditions[] | select(.kind == \"unprotected\")] == []'"
assert_contains "$(api GET /metrics)" "flowferry_recoveries_total 1"
