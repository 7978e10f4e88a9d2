# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# The lab's network alone: who reaches whom, what is refused, and that nothing is ever left behind.
. "$E2E/lib.sh"

assert_nothing_left()
{
	assert_eq "$(lab_remains; ip -o link show | grep -v ' lo:' || true)" "" "left behind"
}

step "one gateway"
assert_exit 1 ff lab status
lab_up --no-daemons --hosts 2
status=$(ff lab status -o json)
assert_json "$status" '.up and .complete and (.daemons | not)'
assert_json "$status" '[.hosts[].name] == ["fabric","client","server","orch","gw","nf1","nf2"]'
assert_json "$status" '.hosts[] | select(.name == "client") |
	.namespace == "ff-client" and .addresses == ["198.18.1.2/24", "2001:db8:1::2/64"]'
in_host client ping -q -c 1 -W 5 198.18.2.2
in_host client ping -q -c 1 -W 5 2001:db8:2::2
in_host nf1 ping -q -c 1 -W 5 198.18.8.12 # across the switch
in_host orch ping -q -c 1 -W 5 2001:db8:8::11
in_host nf2 ping -q -c 1 -W 5 198.18.1.2 # by its default route

step "every link is native XDP and none is generic"
for ns in client server gw nf1 orch fabric; do
	in_host $ns ip -o link show up | grep -v LOOPBACK | while read -r link; do
		assert_contains "$link" " xdp "
	done
done

step "a fabric frame of 1600 bytes fits, whole"
in_host nf1 ping -q -c 1 -W 5 -M 'do' -s 1572 198.18.8.12

step "a second lab is refused"
assert_exit 2 ff lab up
assert_contains "$output" "a lab is up"
assert_exit 2 ff lab exec nowhere -- true
assert_exit 127 ff lab exec client -- no-such-command
assert_exit 3 ff lab exec client -- sh -c 'exit 3'
assert_exit 2 ff lab restart client

lab_down
assert_nothing_left
assert_exit 0 ff lab down # as asked for: none is up

step "two gateways: each direction spreads its flows over both"
lab_up --no-daemons --hosts 1 --gateways 2
in_host client ping -q -c 1 -W 5 198.18.1.3
in_host server ping -q -c 1 -W 5 2001:db8:2::3
in_host client iperf3 --version >/dev/null
in_host server iperf3 -s -1 -D
wait_for "in_host server ss -tln | grep -q :5201"
in_host client iperf3 -c 198.18.2.2 -n 64K -P 16 >/dev/null
for gw in gw gw2; do
	for link in c0 s0; do
		packets=$(in_host $gw cat /proc/net/dev | awk -v link="$link:" '$1 == link { print $3 }')
		[ "$packets" -gt 5 ] || fail "$gw has received $packets packets on $link"
	done
done
lab_down
assert_nothing_left

step "a namespace of that name that is somebody else's is refused, and left alone"
ip netns add ff-nf1
assert_exit 2 ff lab up --no-daemons
assert_contains "$output" "no lab has made it"
assert [ -e /run/netns/ff-nf1 ]
ip netns delete ff-nf1

step "interrupted or killed at any moment"
for signal in INT TERM KILL; do
	for ms in 02 05 10 20 30 40 60; do
		(
			trap - INT TERM EXIT
			exec timeout --foreground --signal=$signal 0.0$ms \
				"$BUILD/flowferry" lab up --no-daemons --hosts 10
		) >/dev/null 2>&1 || true
		# one that came up in time, or was killed, is taken down as any other
		if [ $signal = KILL ] || [ -e /run/flowferry/lab/lab.json ]; then
			ff lab down
		fi
		assert_nothing_left
	done
done

step "somebody's process in a namespace keeps no link alive"
lab_up --no-daemons --hosts 1
in_host client tail -f /dev/null &
holder=$!
lab_down
assert kill -0 $holder
assert_eq "$(nsenter --net=/proc/$holder/ns/net ip -o link show | grep -vc LOOPBACK)" 0 links
kill $holder
