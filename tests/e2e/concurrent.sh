# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Several moves at a time: of different flows they all go on, of the same ones the later is refused.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# move_await ID STATE
move_await()
{
	operation=$(api GET "/v1/operations/$1?wait_ms=30000")
	assert_json "$operation" ".state == \"$2\""
}

lab_up
traffic_start 90 --ipv4 --ipv6 --rate 2000 --proto both --tcp-flows 4 --tcp-rate 100 --tcp-echo
traffic_progress

step "six at a time, among three instances"
pids=()
for slots in "0-200 fw-1 fw-2" "201-400 fw-1 fw-3" "1366-1566 fw-2 fw-1" "1567-1767 fw-2 fw-3" \
	"2731-2931 fw-3 fw-1" "2932-3132 fw-3 fw-2"; do
	read -r list from to <<<"$slots"
	ff move --service fw --from "$from" --to "$to" --slots "$list" -o json >"/run/move-$list" &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || fail "a move failed: $(cat /run/move-*)"
done
assert_json "$(cat /run/move-* | jq -s .)" 'length == 6 and
	all(.[]; .state == "completed" and .packets_dropped == 0 and .overflow == null)'
assert_one_owner
assert_json "$(cat /run/move-* | jq -s .)" '. as $all | any(.[]; . as $a |
	any($all[]; .id != $a.id and .created < $a.ended and .ended > $a.created))'

step "the same flows twice: refused, and the answer names the operation in the way"
pid=$(lab_pid nf3)
kill -STOP "$pid" # a target that doesn't answer keeps the operation running
id=$(ff move --service fw --from fw-1 --to fw-3 --slots 500-600 --no-wait -o json | jq -er .id)
for what in "--slots 600-700" "--slots 550" "" "--filter udp"; do
	# shellcheck disable=SC2086 # an option and its value
	assert_exit 1 ff move --service fw --from fw-1 --to fw-2 $what
	assert_contains "$output" "$id"
done
status=$(curl --silent --output /run/refusal.json --write-out '%{http_code}' \
	--unix-socket "$FLOWFERRY_SOCKET" --header 'Content-Type: application/json' \
	--data '{"service":"fw","from":"fw-1","to":"fw-2","slots":"555"}' http://localhost/v1/moves)
assert_eq "$status" 409 "HTTP status"
assert_json "$(cat /run/refusal.json)" '.error.code == "overlap" and (.error.message | test($id))' \
	--arg id "$id"
move --from fw-1 --to fw-2 --slots 700-800 # others go on meanwhile
kill -CONT "$pid"
move_await "$id" completed
move --from fw-3 --to fw-1 --slots 500-600
assert_one_owner

step "nothing lost, every packet counted"
traffic_end
assert_no_strays
assert_json "$traffic" '.tcp.reset == 0 and .tcp.broken == 0'
assert_conserved
