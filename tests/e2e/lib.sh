# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# lib.sh - what scenarios have in common. A scenario is a bash script that starts with
#
#	. "$E2E/lib.sh"
#
# runs alone in namespaces of its own (see run), and passes if it exits 0: `set -e` is on. It waits
# for conditions (wait_for), never for a time. When it ends, the lab is taken down; when it failed, the
# logs, the counters and the state of the lab are printed first.

set -eu -o pipefail

POLL_S=0.1
WAIT_S=30 # for what comes at once, on a machine that does other things, too
API_TIMEOUT_S=60 # a daemon that a scenario has stopped never answers
output= # of assert_exit's command
export FLOWFERRY_SOCKET=/run/flowferry/orchestrator.sock
export NO_COLOR=1

# ---- the programs ------------------------------------------------------------------------------

ff()
{
	"$BUILD/flowferry" "$@"
}

# in_host HOST COMMAND...: in a host's network namespace
in_host()
{
	local host=$1
	shift
	"$BUILD/flowferry" lab exec "$host" -- "$@"
}

# api METHOD PATH [JSON]: a call to the orchestrator; prints the answer
api()
{
	curl --max-time "$API_TIMEOUT_S" --silent --show-error --fail-with-body \
		--unix-socket "$FLOWFERRY_SOCKET" --request "$1" \
		${3:+--header 'Content-Type: application/json' --data "$3"} \
		"http://localhost$2"
}

# host_api HOST METHOD PATH [JSON]: a call to a host's agent
host_api()
{
	FLOWFERRY_SOCKET=/run/flowferry/$1/agent.sock api "${@:2}"
}

lab_up()
{
	ff lab up "$@"
}

lab_down()
{
	ff lab down
}

# What there is of a lab: pins, namespaces, files. Nothing, once it is down.
lab_remains()
{
	find /sys/fs/bpf -mindepth 1 ! -name '*.debug'
	find /run/netns -mindepth 1 2>/dev/null || true
	find /run/flowferry 2>/dev/null || true
}

# lab_pid HOST: of its daemon
lab_pid()
{
	ff lab status -o json | jq -e --arg host "$1" \
		'.hosts[] | select(.name == $host) | .processes[0].pid'
}

# ---- assertions --------------------------------------------------------------------------------

# Says where: the line of the scenario, not of this file.
fail()
{
	local i=0
	while [ "${BASH_SOURCE[$i]}" = "${BASH_SOURCE[0]}" ]; do i=$((i + 1)); done
	echo "${BASH_SOURCE[$i]}:${BASH_LINENO[$((i - 1))]}: $*" >&2
	exit 1
}

step()
{
	echo "--- $*"
}

assert() # COMMAND...
{
	"$@" || fail "failed ($?): $*"
}

assert_eq() # ACTUAL EXPECTED [WHAT]
{
	[ "$1" = "$2" ] || fail "${3:-value}: '$1', expected '$2'"
}

assert_contains() # TEXT PART
{
	case $1 in
	*"$2"*) ;;
	*) fail "'$2' is not in: $1" ;;
	esac
}

# assert_json JSON FILTER [JQ-ARGS...]: the jq filter is true of it
assert_json()
{
	local json=$1 filter=$2
	shift 2
	jq --exit-status "$@" "$filter" >/dev/null <<<"$json" || fail "not true: $filter
of: $json"
}

# assert_exit STATUS COMMAND...: its output goes to $output
assert_exit()
{
	local expected=$1 status=0
	shift
	output=$("$@" 2>&1) || status=$?
	[ $status -eq "$expected" ] || fail "exit $status, expected $expected: $*
$output"
}

# wait_for CONDITION [TIMEOUT_S]: until the shell command is true
wait_for()
{
	local condition=$1 timeout_s=${2:-$WAIT_S}
	local deadline=$((SECONDS + timeout_s + 1))
	until eval "$condition" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "after $timeout_s s still not: $condition"
		sleep "$POLL_S"
	done
}

# ---- the end -----------------------------------------------------------------------------------

dump_state()
{
	local log map API_TIMEOUT_S=5
	echo "=== lab"
	ff lab status || true
	for log in /run/flowferry/lab/*.log; do
		[ -f "$log" ] || continue
		echo "=== $log"
		tail -n 60 "$log"
	done
	if [ -S "$FLOWFERRY_SOCKET" ]; then
		echo "=== operations"
		ff operations -o json --socket "$FLOWFERRY_SOCKET" 2>&1 | head -n 120 || true
		echo "=== instances"
		ff instances 2>&1 || true
	fi
	for log in /run/flowferry/*/agent.sock; do
		[ -S "$log" ] || continue
		echo "=== $log"
		host_api "$(basename "$(dirname "$log")")" GET /v1/host | jq -c . || true
	done
	for map in /sys/fs/bpf/flowferry/*/maps/services; do
		[ -e "$map" ] || continue
		echo "=== $map"
		bpftool -j map dump pinned "$map" 2>&1 |
			jq -c '.[0].formatted.value[".data.services"][0].services[] | select(.used != 0)' || true
	done
}

at_exit()
{
	local status=$?
	trap '' INT TERM
	trap - EXIT
	set +e
	[ $status -eq 0 ] || dump_state
	[ ! -e /run/flowferry/lab/lab.json ] || ff lab down
	exit $status
}

trap at_exit EXIT
trap 'echo "timed out"; exit 124' TERM
trap 'exit 130' INT
