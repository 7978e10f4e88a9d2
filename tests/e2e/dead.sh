# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Every daemon dead: packets go on, of old flows and of new ones, and anybody can read the state. Then
# all come back, and moves go on where they left off.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

PINS=/sys/fs/bpf/flowferry

# pinned_packets: what the NFs have seen, read without a daemon
pinned_packets()
{
	local host meter
	for host in nf1 nf2; do
		for meter in "$PINS/$host"/instances/*/meter; do
			bpftool -j map dump pinned "$meter"
		done
	done | jq -s '[.[][].formatted.value.stats.packets] | add'
}

lab_up --hosts 2
in_host server iperf3 -s -D
wait_for "in_host server ss -tln | grep -q :5201"
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 4 --tcp-rate 100 --tcp-echo \
	--tcp-short 10
traffic_progress
move --from fw-1 --to fw-2 --slots 0-500

step "kill them all"
pids=$(ff lab status -o json | jq '.hosts[].processes[].pid')
# shellcheck disable=SC2086 # a list
kill -KILL $pids
for pid in $pids; do
	wait_for "[ ! -e /proc/$pid/exe ]"
done
assert_exit 3 ff status

step "traffic goes on, and new flows begin"
before=$(pinned_packets)
wait_for "[ \$(pinned_packets) -ge $((before + 4000)) ]"
in_host client ping -q -c 3 -i 0.1 -W 5 198.18.2.2
in_host client ping -q -c 3 -i 0.1 -W 5 2001:db8:2::2
in_host client iperf3 -c 198.18.2.2 -n 256K -P 8 >/dev/null
in_host client iperf3 -c 2001:db8:2::2 -n 256K -P 8 >/dev/null

step "the pinned maps say what is in them"
assert_json "$(bpftool -j map dump pinned $PINS/gw/maps/services)" \
	'.[0].formatted.value[".data.services"][0].services[1] | .used == 1 and .slot_mask == 4095 and .epoch >= 1 and
	(.seed | length) == 2 and has("active") and has("version")'
# slot 0 of service 1 in its first bank, see FF_TABLE_INDEX
assert_json "$(bpftool -j map lookup pinned $PINS/gw/maps/table key 0 0x80 0 0)" \
	'.formatted.value.steer | .owner == 2 or .owner == 1'
assert_json "$(bpftool -j map dump pinned $PINS/nf1/maps/peers)" \
	'[.[0].formatted.value[".data.peers"][0].peers[] | select(.ready == 1)] | length >= 2'
# the per-flow state: an array of the groups' maps
groups=$(bpftool -j map dump pinned $PINS/nf2/instances/fw-2/fw_flows |
	jq -r '.[].value | map(ltrimstr("0x")) | reverse | "0x" + join("")')
for group in $groups; do
	state=$(bpftool -j map dump id $((group)))
	[ "$state" = '[]' ] || break
done
assert_json "$state" '.[0].formatted | .key.proto > 0 and .key.service == 1 and
	.value.head.expires_ns > 0 and (.value.state.packets | length == 2 and .[0] + .[1] > 0)'

step "all back: as they were"
for host in gw nf1 nf2 orchestrator; do
	ff lab restart $host
done
wait_for "ff hosts -o json | jq -e '[.hosts[].state] == [\"up\", \"up\", \"up\"]'"
assert_json "$(ff services -o json)" '.services[0].instances == ["fw-1", "fw-2"]'
assert_json "$(ff operations -o json)" '[.operations[].state] == ["completed"]'
assert_json "$(api GET /v1/services/fw/table)" '.owners == [["0-500,2048-4095", "fw-2"], ["501-2047", "fw-1"]]'
assert_one_owner

step "and moves go on"
move --from fw-2 --to fw-1
move --from fw-1 --to fw-2
assert_one_owner

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0 and .tcp.client.short.completed > 10'
assert_conserved
