# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
#
# fault.bash - hosts that die, or are cut off, and what recovery says of it. A scenario sources it after
# traffic.bash.
#
# Times are printed, and asserted with room for the pauses of a busy machine; facts are asserted as they are.

# shellcheck disable=SC2034 # for the scenarios
DETECT_MS=2000	# asserted; 300 wanted
RECOVER_MS=3000 # likewise 500
UDP_FLOWS=50
recovery= # the last operation of that kind

# protect_up HOSTS POLICY-LINE...: a lab with all flows on fw-1, on nf1, and a protected service
protect_up()
{
	local n hosts=$1
	shift
	lab_up --hosts "$hosts" --slots 256 ${GATEWAYS:+--gateways "$GATEWAYS"}
	for ((n = 2; n <= hosts; n++)); do
		move --from fw-$n --to fw-1
		ff instance remove fw-$n
	done
	policy_set 'protect: {enabled: true, lag_ms: 50}' "$@"
	traffic_lossy
	wait_for protected
}

# traffic_lossy: which may lose some, and at its end doesn't wait long for them
traffic_lossy()
{
	traffic_start $UDP_FLOWS --ipv4 --ipv6 --rate 600 --proto both --tcp-flows 10 --tcp-rate 30 \
		--tcp-echo --drain 3
}

# policy_set LINE...: nothing but what these say makes the loop act
policy_set()
{
	{
		echo 'utilisation: {up_percent: 99, target_percent: 98, down_percent: 0,'
		echo '  imbalance_percent: 100, host_percent: 100, pressure_percent: 100}'
		echo 'capacity: {packets_per_s: 1000000}'
		printf '%s\n' "$@"
	} >/run/policy.yaml
	ff policy set fw /run/policy.yaml
}

# Every owner has a standby with a whole copy.
protected()
{
	ff services -o json | jq -e '.services[0].protect | .owners > 0 and .protected == .owners'
}

# host_of INSTANCE, standby_of INSTANCE
host_of()
{
	ff instances -o json | jq -er --arg name "$1" '.instances[] | select(.name == $name).host'
}

standby_of()
{
	ff instances -o json |
		jq -er --arg name "$1" '.instances[] | select(.name == $name).standby.instance'
}

# The instance that owns all.
owner()
{
	ff instances -o json | jq -er '[.instances[] | select(.slots > 0).name] | join(" ")'
}

# cut HOST, uncut HOST: the switch's end of its way to the fabric. All of the host goes on.
cut()
{
	in_host fabric ip link set "$1" down
}

uncut()
{
	in_host fabric ip link set "$1" up
}

# host_kill HOST: all of its processes, then its links at both ends. The kernel forgets the host's routes
# then, which its own start brings back: host_back
host_kill()
{
	in_host "$1" sysctl -q net.ipv6.conf.f0.keep_addr_on_down=1
	in_host "$1" ip -o -4 route show | grep via | tr -d \\\\ >/run/routes4
	in_host "$1" ip -o -6 route show | grep via | tr -d \\\\ >/run/routes6
	kill -KILL "$(lab_pid "$1")"
	in_host "$1" ip link set f0 down
	cut "$1"
}

host_back()
{
	uncut "$1"
	in_host "$1" ip link set f0 up
	sed 's/^/route replace /' /run/routes4 | in_host "$1" ip -4 -batch -
	sed 's/^/route replace /; s/ pref [a-z]*//' /run/routes6 | in_host "$1" ip -6 -batch -
	ff lab restart "$1"
}

# recoveries: how many have ended
recoveries()
{
	ff operations -o json | jq '[.operations[] | select(.kind == "recovery" and .ended)] | length'
}

# recovery_wait N: until there are that many; the last one goes to $recovery
recovery_wait()
{
	wait_for "[ \"\$(recoveries)\" -ge $1 ]"
	recovery=$(ff operations -o json | jq '[.operations[] | select(.kind == "recovery")][0]')
	ff operations "$(jq -r .id <<<"$recovery")"
	assert_json "$recovery" '.state == "completed" and .error == null'
	assert_json "$recovery" '.recovery.replica == "synced"'
}

# Ends the traffic: nothing doubled, no connection lost; the packets lost are in $lost.
traffic_end_lossy()
{
	traffic_stop
	assert_json "$traffic" '.duplicated == 0 and .tcp.reset == 0 and .tcp.broken == 0'
	assert_json "$traffic" '.udp.forward.received > 0 and .udp.reverse.received > 0'
	lost=$(jq .lost <<<"$traffic")
	echo "lost: $lost packets, $(jq .reordered <<<"$traffic") reordered"
}
