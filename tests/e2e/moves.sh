# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Every kind of move, under numbered traffic both ways: I1, I2, I3, I4, I7.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

lab_up
step "traffic: UDP and TCP, IPv4 and IPv6, long connections and short ones"
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 6 --tcp-rate 100 --tcp-echo \
	--tcp-short 10
traffic_progress

step "a whole instance"
flows=$(flows_count "" fw-1)
move --from fw-1 --to fw-2
assert_json "$operation" ".flows >= $flows and .bytes > 0 and .rounds >= 1 and .freeze_us > 0"
assert_json "$(ff instances -o json)" '.instances[] | select(.name == "fw-1") |
	.slots == 0 and .pins == 0 and .rules == 0'
assert_eq "$(instance fw-1 | jq .flows)" 0 "flows left behind"
assert_one_owner
packets=$(instance fw-1 | jq .packets)
traffic_progress
assert_eq "$(instance fw-1 | jq .packets)" "$packets" "packets of an instance that owns nothing"

step "slots"
move --from fw-2 --to fw-1 --slots 0-700,900-1200
assert_one_owner
assert_json "$(state_list | jq -s .)" 'all(.[]; (.instance == "fw-1") ==
	(.slot <= 700 or (.slot >= 900 and .slot <= 1200)))'

step "some flows"
move --from fw-2 --to fw-3 --flows 10
assert_json "$operation" '.flows == 10 and (.subject.flows | length) == 10'
# a pin goes when its flow has ended, as those of TCP and ICMP soon may; the UDP ones go on
assert_json "$(ff table fw -o json)" '(.pins | map(.flow)) as $pins | $pins - $taken == [] and
	all(.pins[]; .instance == "fw-3") and ($taken | any(startswith("udp"))) and
	($taken - $pins | all(startswith("udp") | not))' --argjson taken "$(jq .subject.flows <<<"$operation")"
assert_one_owner

step "one flow"
flow=$(state_list | jq -rs '[.[] | select(.instance == "fw-2" and (.flow | startswith("udp")))][0].flow')
move --from fw-2 --to fw-1 --flow "$flow"
assert_json "$operation" '.flows == 1'
assert_eq "$(owner_of "$flow")" fw-1 "owner of $flow"
assert_json "$(ff flows get "$flow" -o json)" '.how == "pin" and .host == "nf1" and
	.last_move.operation == $id' --arg id "$(jq -r .id <<<"$operation")"
assert_one_owner

step "an exact filter takes the flows that begin later, too"
tcp='tcp and net 198.18.1.0/24'
traffic_progress
move --from fw-2 --to fw-3 --filter "$tcp"
assert_eq "$(jq -r .note <<<"$operation")" null note
assert_eq "$(flows_count "$tcp" fw-2)" 0 "flows left behind"
newborn='[.flows[] | select(.how == "rule" and .moves == 0)]'
wait_for "ff flows list --limit $LIMIT --instance fw-3 --filter '$tcp' -o json |
	jq -e '$newborn | length >= 3'"
assert_eq "$(flows_count "$tcp" fw-2)" 0 "flows that began at the former owner"
flow=$(ff flows list --limit "$LIMIT" --instance fw-3 --filter "$tcp" -o json | jq -r "${newborn}[0].flow")
assert_json "$(ff flows get "$flow" -o json)" '.instance == "fw-3" and .how == "rule"'
assert_one_owner

step "a richer filter takes those there are, and says so"
rich='udp and (src port 10003 or src port 10004 or port 10060 or port 10061 or portrange 10070-10079)'
rich_there=$(flows_count "$rich" fw-2)
move --from fw-2 --to fw-3 --filter "$rich"
assert_json "$operation" ".flows == $rich_there and (.note | test(\"flows that begin later are not\"))"
assert_eq "$(flows_count "$rich" fw-2)" 0 "flows left behind"
assert_one_owner

step "slots of which a filter has taken some flows, and another filter the rest"
move --from fw-1 --to fw-2 --filter tcp
move --from fw-1 --to fw-3 --filter ip
move --from fw-1 --to fw-2 --slots 0-700,900-1200
assert_one_owner
move --from fw-2 --to fw-1 --slots 0-700,900-1200
assert_one_owner

step "to and fro"
for _ in 1 2 3; do
	move --from fw-3 --to fw-1
	move --from fw-1 --to fw-3
	assert_one_owner
done
assert_eq "$(instance fw-1 | jq .flows)" 0 "flows left behind"

step "nothing lost, doubled, reordered, reset; every packet counted once"
traffic_end
assert_no_strays
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_json "$traffic" '.tcp.client.short.completed > 10 and .tcp.client.long.completed == 6'
assert_conserved
