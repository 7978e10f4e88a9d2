# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# An island: a gateway and an NF host are cut off from all others on the fabric, but neither from each other nor from
# client and server. Under keep-forwarding it goes on by its last table; the others take over what they can't reach.
# When it heals, it is told what the island has processed meanwhile, and each flow has one owner again.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"
. "$E2E/fault.bash"

ISLAND="gw2 nf1"
REST="gw nf2 orch"

# processed HOST: packets that the instances there have had
processed()
{
	host_api "$1" GET /v1/instances | jq '[.instances[].packets] | add // 0'
}

# more_processed HOST N: so many more than there are now
more_processed()
{
	local before
	before=$(processed "$1")
	wait_for "[ \$(processed $1) -ge $((before + $2)) ]"
}

# addresses HOST: on the fabric
addresses()
{
	in_host "$1" ip -j addr show dev f0 | jq -r '.[].addr_info[] | select(.scope == "global").local'
}

# neighbours HOST OTHERS: how the host finds these on the fabric, in commands for `ip -batch`
neighbours()
{
	local other address mac
	for other in $2; do
		mac=$(in_host "$other" ip -j link show dev f0 | jq -r '.[0].address')
		for address in $(addresses "$other"); do
			echo "neigh replace $address lladdr ${3:-$mac} dev f0 nud permanent"
		done
	done
}

# split, heal: each side sends to where nobody is, or to the others' own MAC addresses again
NOBODY=02:00:00:00:fe:fe
split_or_heal() # [MAC]
{
	local host
	for host in $ISLAND; do neighbours "$host" "$REST" "$@" >"/run/$host.neigh"; done
	for host in $REST; do neighbours "$host" "$ISLAND" "$@" >"/run/$host.neigh"; done
	for host in $ISLAND $REST; do in_host "$host" ip -batch - <"/run/$host.neigh"; done
}

# host_is HOST up|down
host_is()
{
	ff hosts -o json | jq -e --arg host "$1" --arg state "$2" \
		'.hosts[] | select(.name == $host).state == $state'
}

GATEWAYS=2 protect_up 2
standby=$(standby_of fw-1)
assert_eq "$(host_of "$standby")" nf2 "the standby's host"

step "split: the others take over, the island goes on"
split_or_heal $NOBODY
recovery_wait 1
assert_json "$recovery" '.to == $to and .recovery.host == "nf1" and .recovery.fence_ms == 0' --arg to "$standby"
assert_eq "$(owner)" "$standby" "the owner of all"
more_processed nf2 200
more_processed nf1 200
assert_json "$(host_api nf1 GET /v1/instances)" '.instances[0].name == "fw-1"'
assert_json "$(host_api gw2 GET /v1/host)" '.reasons["drop-fenced"] // 0 == 0'

step "healed: what diverged is told, and nf1 is empty"
split_or_heal
wait_for "host_is nf1 up && host_is gw2 up"
wait_for "host_api nf1 GET /v1/instances | jq -e '[.instances[] | select(.name == \"fw-1\")] == []'"
diverged=$(ff events -o json --limit 1000 | jq -sr 'map(select(.kind == "host-diverged"))[0].message')
echo "$diverged"
assert_contains "$diverged" "fw-1 had processed"
more_processed nf2 500
assert_one_owner
traffic_end_lossy
