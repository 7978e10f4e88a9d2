# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# What nobody should send is refused, with a word on what and how to mend it, and changes nothing: I6.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

# all_there: whatever must not change
all_there()
{
	ff services -o json | jq -c '.services'
	api GET /v1/services/fw/table | jq -c .
	ff instances -o json | jq -c '[.instances[] | [.name, .slots, .pins, .rules]]'
	state_list | jq -c 'select(.flow | startswith("tcp")) | [.flow, .instance, .state]' | sort
	find /sys/fs/bpf | sort
}

# refused STATUS CODE SOCKET METHOD PATH [BODY [HEADER...]]: the error names the thing
refused()
{
	local expected=$1 code=$2 socket=$3 method=$4 path=$5 status
	local body=${6-} headers=(--header 'Content-Type: application/json')
	shift 5
	[ $# -eq 0 ] || shift
	while [ $# -gt 0 ]; do
		headers+=(--header "$1")
		shift
	done
	status=$(printf %s "$body" | curl --silent --output /run/answer.json \
		--write-out '%{http_code}' --max-time 20 --unix-socket "$socket" \
		--request "$method" "${headers[@]}" --data-binary @- "http://localhost$path")
	[ "$status" = "$expected" ] || fail "$method $path $body: $status, expected $expected
$(cat /run/answer.json)"
	assert_json "$(cat /run/answer.json)" '.error.code == $code and (.error.message | length > 5)' \
		--arg code "$code"
}

# move_refused STATUS CODE TEXT BODY: and the message has TEXT in it
move_refused()
{
	refused "$1" "$2" "$FLOWFERRY_SOCKET" POST /v1/moves "$4"
	assert_contains "$(jq -r .error.message /run/answer.json)" "$3"
}

# NF objects of our own beside the real ones, in this scenario's mounts only
mkdir /run/nf
cp "$BUILD"/nf/*.bpf.o "$BUILD"/tests/nf/*.bpf.o /run/nf
echo 'int main(void) { return 0; }' >/run/nf/source.bpf.o
head -c 3000 /run/nf/firewall.bpf.o >/run/nf/torn.bpf.o
(cat /run/nf/firewall.bpf.o && head -c 5000000 /dev/zero) >/run/nf/large.bpf.o
mount --bind /run/nf "$BUILD/nf"

lab_up --hosts 2
nf2=/run/flowferry/nf2/agent.sock
# connections at rest: state that neither changes nor expires by itself
/usr/bin/python3 -c '
import ctypes, os, socket, sys, time
def enter(name):
	with open(f"/run/netns/{name}") as netns:
		assert ctypes.CDLL(None).setns(netns.fileno(), 0x40000000) == 0
enter("ff-server")
listening = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
enter("ff-client")
open_ = [socket.create_connection((to, 7000)) for to in ("198.18.2.2", "2001:db8:2::2") * 3]
taken = [listening.accept() for _ in open_]
for end in open_:
	end.send(b"hello")
for end, _ in taken:
	end.recv(5)
print(len(open_), flush=True)
time.sleep(600)' >/run/connections &
wait_for "[ -s /run/connections ]"
before=$(all_there)

step "requests to the orchestrator"
base='"service":"fw","from":"fw-1","to":"fw-2"'
move_refused 400 bad-request JSON '{'
move_refused 400 bad-request JSON 'slots=1'
move_refused 400 bad-request object '[]'
move_refused 400 bad-request service '{"from":"fw-1","to":"fw-2"}'
move_refused 400 bad-request sluts "{$base,\"sluts\":\"1\"}"
move_refused 400 bad-request slots "{$base,\"slots\":7}"
move_refused 400 bad-request 99-1 "{$base,\"slots\":\"99-1\"}"
move_refused 400 bad-request 4096 "{$base,\"slots\":\"0-4096\"}"
move_refused 400 bad-request one "{$base,\"slots\":\"one\"}"
move_refused 400 bad-request flows "{$base,\"flows\":0}"
move_refused 400 bad-request flows "{$base,\"flows\":-5}"
move_refused 400 bad-request nonsense "{$base,\"flow\":[\"tcp nonsense\"]}"
move_refused 400 bad-request flow "{$base,\"flow\":[]}"
move_refused 400 bad-request 'tcp and and' "{$base,\"filter\":\"tcp and and\"}"
move_refused 400 bad-request twice "{$base,\"slots\":\"1\",\"flows\":3}"
move_refused 400 bad-request guarantee "{$base,\"guarantee\":\"maybe\"}"
move_refused 400 bad-request on_overflow "{$base,\"on_overflow\":\"panic\"}"
move_refused 400 bad-request park_limit "{$base,\"park_limit\":0}"
move_refused 400 bad-request park_limit "{$base,\"park_limit\":100000000}"
move_refused 400 bad-request fw-1 '{"service":"fw","from":"fw-1","to":"fw-1"}'
move_refused 404 not-found nobody '{"service":"nobody","from":"fw-1","to":"fw-2"}'
move_refused 404 not-found nobody '{"service":"fw","from":"nobody","to":"fw-2"}'
move_refused 404 not-found nobody '{"service":"fw","from":"fw-1","to":"nobody"}'
move_refused 409 refused 'slot 4095' "{$base,\"slots\":\"4095\"}"
refused 404 not-found "$FLOWFERRY_SOCKET" GET /v1/operations/nothing
refused 404 not-found "$FLOWFERRY_SOCKET" GET /v1/nothing
refused 400 bad-request "$FLOWFERRY_SOCKET" GET '/v1/flows?limit=many'
refused 400 bad-request "$FLOWFERRY_SOCKET" GET '/v1/flows?filter=tcp%20and%20and'
refused 400 bad-request "$FLOWFERRY_SOCKET" GET '/v1/flows/lookup?flow=tcp'
refused 400 bad-request "$FLOWFERRY_SOCKET" POST /v1/services '{"name":"a b","nf":"firewall"}'
refused 400 bad-request "$FLOWFERRY_SOCKET" POST /v1/services '{"name":"x","nf":"firewall","slots":1000}'
refused 409 exists "$FLOWFERRY_SOCKET" POST /v1/services '{"name":"fw","nf":"firewall"}'
refused 409 exists "$FLOWFERRY_SOCKET" POST /v1/services/fw/instances '{"name":"fw-2","host":"nf1"}'
refused 404 not-found "$FLOWFERRY_SOCKET" POST /v1/services/fw/instances '{"name":"x","host":"nowhere"}'
for arguments in "--from fw-1" "--from fw-1 --to fw-2 --slots 5-1" \
	"--from fw-1 --to fw-2 --guarantee maybe" "--from fw-1 --to fw-2 --sluts 1"; do
	# shellcheck disable=SC2086 # several
	assert_exit 2 ff move --service fw $arguments
	assert_contains "$output" "flowferry move: "
done
assert_json "$(ff operations -o json)" '.operations == []'
assert_eq "$(all_there)" "$before" "what must not change"

step "requests to an agent, with an epoch that has passed, or malformed"
epoch=$(host_api nf1 GET /v1/host | jq .epoch)
mine='udp 198.18.1.2:6000 198.18.2.2:6000' # of intruder.py's streams
prepare='{"roles":["target"],"token":"0000000000001000","service":1,"from":1,"to":2,
	"guarantee":"order-preserving","on_overflow":"abort","park_limit":64,"source_host":2,
	"target_host":3,"subject":{"slots":"","flows":["'$mine'"],"rules":[]},
	"steering":[{"no":0,"host":1,"cpus":1}]}'
for call in "PUT /v1/config" "POST /v1/moves/intruder/prepare" "POST /v1/moves/intruder/switch" \
	"POST /v1/moves/intruder/final" "POST /v1/moves/intruder/finish" \
	"POST /v1/moves/intruder/abort"; do
	read -r method path <<<"$call"
	refused 409 stale-epoch $nf2 "$method" "$path" "$prepare" "X-Flowferry-Epoch: $((epoch - 1))"
	refused 400 bad-request $nf2 "$method" "$path" "$prepare" "X-Flowferry-Epoch: soon"
done
for body in '{' '[]' '{}' "${prepare/0000000000001000/xyz}" "${prepare/\"slots\":\"\"/\"slots\":\"9-0\"}" \
	"${prepare/\"park_limit\":64/\"park_limit\":0}" "${prepare/target/observer}"; do
	refused 400 bad-request $nf2 POST /v1/moves/intruder/prepare "$body" "X-Flowferry-Epoch: $epoch"
done
refused 404 not-found $nf2 POST /v1/moves/intruder/prepare "${prepare/\"to\":2/\"to\":77}" \
	"X-Flowferry-Epoch: $epoch"
refused 404 not-found $nf2 POST /v1/moves/intruder/final '{}' "X-Flowferry-Epoch: $epoch"
for body in '{' '[]' '{"version":1000000}' \
	'{"version":1000000,"host_id":99,"hosts":[],"services":[],"instances":[]}'; do
	refused 400 bad-request $nf2 PUT /v1/config "$body" "X-Flowferry-Epoch: $epoch"
done
assert_eq "$(host_api nf2 GET /v1/host | jq .epoch)" "$epoch" epoch
assert_json "$(host_api nf2 GET /v1/host)" '.moves == []'
assert_eq "$(all_there)" "$before" "what must not change"

step "nobody without a certificate of ours gets in from outside"
url=$(ff hosts -o json | jq -r '.hosts[] | select(.name == "nf1").url')
pki=/run/flowferry/lab/pki
assert_json "$(in_host orch curl --silent --max-time 10 --cacert $pki/ca.pem \
	--cert $pki/orch.pem --key $pki/orch.key "$url/v1/host")" '.host == "nf1"'
output=$(in_host orch curl --silent --insecure --max-time 10 "$url/v1/host") &&
	fail "served without a certificate: $output"
assert_eq "$output" "" "what a stranger is told"

step "state streams: foreign, torn, altered"
assert_eq "$(flows_count 'udp and port 6000')" 0 "flows that nobody has opened"
orchestrator=$(lab_pid orch)
kill -STOP "$orchestrator" # it ends moves that it has not begun
curl --silent --fail-with-body --unix-socket $nf2 --header "X-Flowferry-Epoch: $epoch" \
	--header 'Content-Type: application/json' --data "$prepare" \
	http://localhost/v1/moves/intruder/prepare >/dev/null
/usr/bin/python3 "$E2E/intruder.py" streams $nf2 intruder 1 >/run/streams.json
assert_json "$(jq -s . /run/streams.json)" '[.[] | select(.name != "good" and
	(.status < 400 or .status >= 500))] == []'
# the last one shows that the others were refused for what is wrong with them, and for nothing else
assert_json "$(jq -s . /run/streams.json)" 'map({key: .name, value: .}) | from_entries |
	.good.status == 200 and
	(.["old-epoch"].answer | test("stale-epoch")) and
	(.["schema-foreign"].answer | test("barrels")) and
	(.["flow-not-moved"].answer | test("6001")) and
	(.["other-token"].status == 409) and (.["wrong-count"].answer | test("tells of")) and
	(.["no-such-move"].status == 404)'
assert_json "$(host_api nf2 GET /v1/moves/intruder)" '.phase == "prepared" and .flows == 1'
curl --silent --fail-with-body --unix-socket $nf2 --header "X-Flowferry-Epoch: $epoch" \
	--request POST http://localhost/v1/moves/intruder/abort >/dev/null
kill -CONT "$orchestrator"
assert_eq "$(flows_count 'udp and port 6000')" 0 "flows that nobody has opened"
assert_eq "$(all_there)" "$before" "what must not change"

step "NF objects"
bad_nf() # NF TEXT [STATUS]: the refusal says TEXT
{
	assert_exit "${3:-1}" ff service add bad --nf "$1" --class 'udp and port 7' --instance bad-1@nf1
	assert_contains "$output" "$2"
	assert_eq "$(all_there)" "$before" "what must not change, after NF $1"
}
bad_nf absent "absent.bpf.o"
bad_nf source "no BPF object"
bad_nf torn "torn.bpf.o"
bad_nf large "large.bpf.o is"
bad_nf stateless "no per-flow state"
bad_nf noentry "entry program"
bad_nf sections "section"
bad_nf bitfield "bitfield" 2
assert_exit 2 ff service add bad --nf ../../etc/passwd --instance bad-1@nf1
assert_exit 2 ff service add bad --nf firewall --class 'udp and port 7' --config '{"barrels":1}' \
	--instance bad-1@nf1
assert_contains "$output" barrels
assert_eq "$(all_there)" "$before" "what must not change"
in_host client ping -q -c 2 -i 0.1 -W 5 2001:db8:2::2
before=$(all_there)

step "tunnel packets of strangers, and forged ones of peers"
reason()
{
	host_api nf1 GET /v1/host | jq --arg name "$1" '.reasons[$name] // 0'
}
forged() # REASON HOST ADDRESS CASE
{
	local count packets
	count=$(reason "$1")
	packets=$(instance fw-1 | jq .packets)
	in_host "$2" /usr/bin/python3 "$E2E/intruder.py" tunnel "$3" "$4"
	wait_for "[ \$(reason $1) -eq $((count + 1)) ]"
	assert_eq "$(instance fw-1 | jq .packets)" "$packets" "packets that the NF has seen"
}
forged drop-stranger orch 198.18.8.11 good
forged drop-stranger orch 2001:db8:8::11 good
forged drop-stranger orch 198.18.8.11 fence
forged drop-vni nf2 198.18.8.11 vni
forged drop-vni nf2 198.18.8.11 vni-huge
forged drop-slot nf2 198.18.8.11 slot
forged drop-hops nf2 198.18.8.11 hops
forged drop-tunnel nf2 198.18.8.11 option
forged drop-tunnel nf2 198.18.8.11 kind
forged drop-inner nf2 198.18.8.11 inner-empty
forged drop-inner nf2 198.18.8.11 inner-short
forged drop-fence nf2 198.18.8.11 fence
assert_eq "$(all_there)" "$before" "what must not change"
# the same packet from a peer, in its slot: what is refused above is not refused for its form
flow=$(ff flows get 'udp 198.18.1.2:7777 198.18.2.2:7778' -o json)
name=$(jq -r .instance <<<"$flow")
number=${name#fw-}
packets=$(instance "$name" | jq .packets)
in_host nf$((3 - number)) /usr/bin/python3 "$E2E/intruder.py" tunnel "198.18.8.1$number" good \
	"$(jq .slot <<<"$flow")"
wait_for "[ \$(instance $name | jq .packets) -gt $packets ]"

step "and after all that, a move"
move --from fw-1 --to fw-2
assert_one_owner
in_host client ping -q -c 2 -i 0.1 -W 5 198.18.2.2
