# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# timeout: 300
# What a restarted agent takes up, and what it can't yet; configurations that are refused as a whole, or
# take long; steps of moves that hang; CPUs and addresses that change.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# NF objects and the list of CPUs of this scenario's own
mkdir /run/nf /run/good
cp "$BUILD"/nf/*.bpf.o /run/nf
cp "$BUILD"/nf/*.bpf.o /run/good
mount --bind /run/nf "$BUILD/nf"
online=/run/online.true
cp /sys/devices/system/cpu/online $online
cp $online /run/online
mount --bind /run/online /sys/devices/system/cpu/online

lab_up --hosts 2
nf2=/run/flowferry/nf2/agent.sock
epoch=$(host_api nf2 GET /v1/host | jq .epoch)
state_dir=$(dirname "$(find /run/flowferry -path '*nf2*' -name config.json)")

# nf2_call METHOD PATH BODY [ANSWER]: prints the status; the answer is in that file, or /run/answer.json
nf2_call()
{
	curl --silent --output "${4-/run/answer.json}" --write-out '%{http_code}' --max-time 60 \
		--unix-socket $nf2 --request "$1" --header "X-Flowferry-Epoch: $epoch" \
		--header 'Content-Type: application/json' --data "$3" "http://localhost$2"
}

# answered STATUS CODE TEXT: what nf2_call has printed, the code and a part of the message
answered()
{
	assert_eq "$1" 503 status
	assert_json "$(cat /run/answer.json)" '.error.code == $code and (.error.message | contains($text))' \
		--arg code "$2" --arg text "$3"
}

step "a configuration with something wrong in it changes nothing"
kill -STOP "$(lab_pid orch)"
good=$(jq -c '.version += 1' "$state_dir/config.json")
before=$(host_api nf2 GET /v1/host | jq -c '[.fabric, .instances[].name, .instances[].capacity]')
hash_before=$(sha256sum <"$state_dir/config.json")
changed=$(jq -c '(.hosts[] | .ipv4) |= "198.18.8.99" | .instances[].capacity = 77' <<<"$good")
for wrong in '.services[0].seed = "7"' '.services[0].owners[0][0] = "0-99999"' \
	'.services[0].class = "tcp"' '.services[0].slots = 8' '.instances[0].service = 9' \
	'.services[0].pins = [{"flow": "tcp", "instance": 1}]' '.hosts[0].ipv6 = "nowhere"'; do
	status=$(nf2_call PUT /v1/config "$(jq -c "$wrong" <<<"$changed")")
	case $status in 4??) ;; *) fail "$wrong: $status" ;; esac
	assert_json "$(cat /run/answer.json)" '.error.message | length > 5'
	assert_eq "$(host_api nf2 GET /v1/host |
		jq -c '[.fabric, .instances[].name, .instances[].capacity]')" "$before" "after $wrong"
done
assert_eq "$(sha256sum <"$state_dir/config.json")" "$hash_before" "the saved configuration"
assert_eq "$(nf2_call PUT /v1/config "$good")" 200 "the same without fault"

step "nor does one that is older than the end of a move, also after a restart"
newer=$(jq -c '.version += 1' <<<"$good")
end=$(jq -c '{version}' <<<"$newer")
assert_eq "$(nf2_call POST /v1/moves/none/abort "$end")" 404 "it has no part in it, but takes note"
assert_eq "$(nf2_call PUT /v1/config "$good")" 409 "of before it"
assert_json "$(cat /run/answer.json)" '.error.code == "stale-epoch" and (.error.mend | contains("--epoch"))'
kill -KILL "$(lab_pid nf2)"
ff lab restart nf2 >/dev/null
wait_for "host_api nf2 GET /v1/host"
assert_eq "$(nf2_call PUT /v1/config "$good")" 409 "of before it, after a restart"
assert_eq "$(nf2_call PUT /v1/config "$newer")" 200 "of its end"
good=$newer

prepare='{"roles":["target"],"token":"0000000000001000","service":1,"from":1,"to":2,
	"guarantee":"order-preserving","on_overflow":"abort","park_limit":64,"source_host":2,
	"target_host":3,"subject":{"slots":"","flows":["udp 198.18.1.2:6000 198.18.2.2:6000"],"rules":[]},
	"steering":[{"no":0,"host":1,"cpus":1}]}'
lanes()
{
	bpftool -j map dump pinned /sys/fs/bpf/flowferry/nf2/maps/lanes |
		jq -c '[.[].formatted.value | select(.token != 0) | [.token, .park_size]]'
}
nothing_of_moves()
{
	assert_eq "$(lanes)" "[]" lanes
	assert_json "$(host_api nf2 GET /v1/host)" '.moves == []'
	assert_eq "$(find "$state_dir/moves" ! -type d)" "" "files of moves"
}

step "a preparation that hangs holds nobody up, and the move is rolled back when it goes on"
disk=$state_dir/moves/hanging.json.new # to write a file takes until somebody reads it
mkdir -p "$state_dir/moves"
mkfifo "$disk"
nf2_call POST /v1/moves/hanging/prepare "$prepare" /run/first.json >/run/first &
first=$!
wait_for "host_api nf2 GET /v1/host | jq -e '.moves[0].id == \"hanging\"'"
answered "$(nf2_call POST /v1/moves/hanging/prepare "$prepare")" busy "still being prepared on host nf2"
answered "$(nf2_call POST /v1/moves/hanging/final '{}')" busy "still being prepared on host nf2"
answered "$(nf2_call POST /v1/moves/hanging/abort '{}')" busy "still at the preparation"
timeout 10 cat "$disk" >/dev/null
wait "$first"
assert_eq "$(cat /run/first)" 200 "the first request"
assert_eq "$(nf2_call POST /v1/moves/hanging/abort '{}')" 200 abort
nothing_of_moves

step "a sender that hangs in the middle of its state is hung up on, and the move rolled back"
assert_eq "$(nf2_call POST /v1/moves/stuck/prepare "$prepare")" 200 prepare
/usr/bin/python3 -c '
import socket, sys
source = socket.socket(socket.AF_UNIX)
source.connect(sys.argv[1])
source.sendall(b"POST /v1/moves/stuck/state HTTP/1.1\r\nHost: h\r\n"
	b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
assert source.recv(1) == b"", "answered"
' $nf2 &
sender=$!
wait_for "nf2_call POST /v1/moves/stuck/state x && grep -q 'still writes older state' /run/answer.json"
assert_eq "$(nf2_call POST /v1/moves/stuck/abort '{}')" 200 abort
wait "$sender"
nothing_of_moves

step "a move that can't be taken up yet is not given up"
assert_eq "$(nf2_call POST /v1/moves/waiting/prepare "$prepare")" 200 prepare
lane=$(lanes)
[ "$lane" != "[]" ] || fail "no lane"
kill -KILL "$(lab_pid nf2)"
rm /run/nf/firewall.bpf.o /sys/fs/bpf/flowferry/nf2/instances/fw-2/about
ff lab restart nf2 >/dev/null
wait_for "host_api nf2 GET /v1/host"
assert_json "$(host_api nf2 GET /v1/host)" '.moves == [] and .instances == []'
assert_eq "$(nf2_call GET /v1/moves/waiting '{}')" 503 "a move that waits"
assert_json "$(cat /run/answer.json)" '.error.code == "busy"'
for call in prepare final abort; do
	assert_eq "$(nf2_call POST /v1/moves/waiting/$call "$prepare")" 503 "$call"
done
assert_eq "$(nf2_call POST /v1/moves/waiting/finish '{"to":2}')" 503 finish
assert_eq "$(lanes)" "$lane" "its lane"
for _ in 1 2; do # an edit takes away what the one before it has marked as gone
	[ "$(nf2_call PUT /v1/config "$good")" != 200 ] || fail "its NF isn't there"
done
assert_json "$(bpftool -j map dump pinned /sys/fs/bpf/flowferry/nf2/maps/pins)" \
	'any(.[].formatted.value.steer[]; .flags % 2 == 1)' # FF_STEER_PARK: the entry is the move's

step "and is taken up, and ended, when what was in its way has gone"
cp /run/good/firewall.bpf.o /run/nf
assert_eq "$(nf2_call PUT /v1/config "$good")" 200 "the configuration once more"
wait_for "host_api nf2 GET /v1/host | jq -e '.moves[0].id == \"waiting\"'"
assert_eq "$(nf2_call GET /v1/moves/waiting '{}')" 200 "the move"
kill -CONT "$(lab_pid orch)"
wait_for "[ \"\$(lanes)\" = '[]' ]" 30 # the orchestrator knows nothing of it, and has it ended
nothing_of_moves
move --from fw-1 --to fw-2
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2

step "what another version has pinned forwards, and is left alone until it is removed"
move --from fw-2 --to fw-1
move --from fw-1 --to fw-2 --filter 'udp and dst port 9'
about=/sys/fs/bpf/flowferry/nf1/instances/fw-1/about
packets() { bpftool -j map dump pinned "${about%about}meter" | jq '[.[].formatted.value.stats.packets] | add'; }
value=$(bpftool -j map lookup pinned $about key 0 0 0 0 | jq -r '.value | .[104] = "0x03" | join(" ")')
kill -KILL "$(lab_pid nf1)"
# shellcheck disable=SC2086 # bytes
bpftool map update pinned $about key 0 0 0 0 value $value
ff lab restart nf1 >/dev/null
wait_for "grep -q 'pinned by another version' /run/flowferry/lab/nf1.log"
wait_for "host_api nf1 GET /v1/host"
assert_json "$(host_api nf1 GET /v1/host)" '.instances == [] and .foreign == [1]'
before=$(packets)
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
wait_for "[ \$(packets) -ge $((before + 4)) ]"
wait_for "api GET /v1/instances/fw-1 | jq -e '.state == \"foreign\"'"
assert_exit 1 ff move --service fw --from fw-1 --to fw-2
assert_contains "$output" "another version"
assert_eq "$(bpftool -j map lookup pinned $about key 0 0 0 0 | jq -r '.value[104]')" 0x03 "its version"

step "that is its own affair: its host takes configurations, and what else is there is moved"
wait_for "ff hosts -o json | jq -e 'all(.hosts[]; .state == \"up\" and .why == null)'"
ff instance add fw-3 --service fw --host nf1
move --from fw-2 --to fw-3
assert_json "$(api GET /v1/services/fw)" '[.rules[].instance] == ["fw-3"]'
move --from fw-3 --to fw-2
ff instance remove fw-3
assert_json "$(host_api nf1 GET /v1/host)" '.instances == [] and .foreign == [1]'

step "or until its state is given up"
rm -r "${about%/about}"
ff lab restart nf1 >/dev/null
wait_for "host_api nf1 GET /v1/host | jq -e '[.instances[].name] == [\"fw-1\"]'"
wait_for "ff hosts -o json | jq -e 'all(.hosts[]; .state == \"up\")'" # the orchestrator looks once a second
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
move --from fw-1 --to fw-2

step "a CPU that goes or comes: the agent starts anew, with its instances"
cpus_are() # N: on every host
{
	local host
	for host in gw nf1 nf2; do
		host_api $host GET /v1/host | jq -e --argjson n "$1" '.cpus == $n' || return 1
	done
}
pid=$(lab_pid nf2)
echo 0 >/run/online
wait_for "cpus_are 1" 20
assert_eq "$(host_api nf2 GET /v1/host | jq .pid)" "$pid" "the process"
assert_json "$(host_api nf2 GET /v1/host)" '[.instances[].name] == ["fw-2"]'
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
cat "$online" >/run/online
wait_for "cpus_are $(nproc)" 20

step "CPUs that it can't work with: no move is begun"
echo 0,2 >/run/online
wait_for "grep -q 'no move is begun' /run/flowferry/lab/nf1.log" 20
wait_for "grep -q 'no move is begun' /run/flowferry/lab/nf2.log" 20
assert_exit 1 ff move --service fw --from fw-2 --to fw-1
assert_contains "$output" CPUs
kill -0 "$pid" || fail "the agent has ended"
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
cat "$online" >/run/online
wait_for "ff move --service fw --from fw-2 --to fw-1" 20

step "a configuration that takes long: systemd is told that it gets on"
kill -STOP "$(lab_pid orch)"
/usr/bin/python3 -c '
import socket
systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
systemd.bind("/run/notify")
while True:
	print(systemd.recv(1000).decode(), flush=True)
' >/run/notified &
systemd=$!
wait_for "[ -S /run/notify ]"
NOTIFY_SOCKET=/run/notify ff lab restart nf2 >/dev/null
wait_for "grep -q READY=1 /run/notified"
few=$(jq -c . "$state_dir/config.json")
many=$(jq -c '.host_id as $host | .services[0].id as $service | .instances +=
	[range(16) | {id: (. + 100), name: "many-\(.)", nf: "firewall", service: $service, host: $host}]' \
	<<<"$few")
fed() { grep -c WATCHDOG=1 /run/notified || true; }
before=$(fed)
assert_eq "$(nf2_call PUT /v1/config "$many")" 200 "16 more instances"
[ "$(fed)" -ge $((before + 3)) ] || fail "told $(($(fed) - before)) times"
assert_json "$(host_api nf2 GET /v1/host)" '.instances | length == 17'
kill "$systemd"

step "an agent that dies when it was to remove instances: the next one does"
kill -KILL "$(lab_pid nf2)"
printf '%s' "$few" >"$state_dir/config.json" # that far it has come
ff lab restart nf2 >/dev/null
wait_for "host_api nf2 GET /v1/host"
assert_eq "$(nf2_call PUT /v1/config "$few")" 200 "without them"
assert_eq "$(ls /sys/fs/bpf/flowferry/nf2/instances)" fw-2 "what is pinned"
assert_json "$(bpftool -j map dump pinned /sys/fs/bpf/flowferry/nf2/maps/nfs)" \
	'[.[].formatted.key] == [2]'
kill -CONT "$(lab_pid orch)"
