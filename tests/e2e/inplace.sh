# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Instances are upgraded where they are, under traffic, to versions whose state is the same: its maps
# go to the new instance. If the code is the same, too, nothing waits; else packets are parked for the moment
# in which no two programs may have a flow.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
SERVICE=monitor

mkdir /run/nf
cp "$BUILD"/nf/*.bpf.o "$BUILD"/tests/nf/monitor2.bpf.o /run/nf
cp "$BUILD"/nf/monitor.bpf.o /run/nf/same.bpf.o
mount --bind /run/nf "$BUILD/nf"

# upgraded NF JQ: all instances, and that holds of each move
upgraded()
{
	local newest
	newest=$(ff operations -o json | jq '[.operations[].created] | max')
	ff service upgrade $SERVICE --nf "$1"
	assert_json "$(ff operations -o json)" "[.operations[] | select(.kind == \"move\" and
		.created > $newest)] | length == 2 and all(.[]; .state == \"completed\" and
		.flows > 0 and .bytes == 0 and .rounds == 0 and $2)"
	assert_json "$(ff instances -o json)" "all(.instances[]; .nf == \"$1\" and .slots > 0)"
	traffic_progress
	assert_one_owner
}

# an odd slot more, so that the two share a group of slots, and neither has all of it
lab_up --hosts 2 --nf monitor
ff move --service $SERVICE --from monitor-1 --to monitor-2 --slots 2047
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 4 --tcp-rate 100 --tcp-echo
traffic_progress

step "the same program"
upgraded same '.freeze_us == 0 and .packets_parked == 0'

step "another one, there and back"
upgraded monitor2 '.freeze_us > 0 and .freeze_us < 100000'
upgraded same '.freeze_us > 0 and .freeze_us < 100000'

step "nothing lost, every packet counted"
traffic_end
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
