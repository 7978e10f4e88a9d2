# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash source=lib.sh
# Anybody's own programs between client and server go on undisturbed while their flows move.
. "$E2E/lib.sh"
. "$E2E/traffic.bash"

V4=198.18.2.2
V6=2001:db8:2::2

# behind HOST COMMAND...: in the background, in a host's namespace; its pid is $!
behind()
{
	local host=$1
	shift
	"$BUILD/flowferry" lab exec "$host" -- "$@" &
}

# listening PORT: on the server
listening()
{
	wait_for "in_host server ss -tln | grep -q ':$1 '"
}

lab_up
move --from fw-2 --to fw-1
move --from fw-3 --to fw-1

step "iperf3, both ways, IPv4 and IPv6"
behind server iperf3 -s -p 5201 >/dev/null
behind server iperf3 -s -p 5202 >/dev/null
listening 5201
listening 5202
behind client iperf3 -c $V4 -p 5201 -P 4 -b 5M -n 16M -J >/run/iperf4.json
iperf4=$!
behind client iperf3 -c $V6 -p 5202 -P 4 -b 5M -n 16M -R -J >/run/iperf6.json
iperf6=$!
wait_for "[ \$(flows_count 'tcp and portrange 5201-5202') -ge 10 ]"
moves_while $iperf4 $iperf6
wait $iperf4 || fail "iperf3 over IPv4: $(cat /run/iperf4.json)"
wait $iperf6 || fail "iperf3 over IPv6: $(cat /run/iperf6.json)"
for report in /run/iperf4.json /run/iperf6.json; do
	assert_json "$(cat $report)" 'has("error") | not'
	assert_json "$(cat $report)" '.end.sum_received.bytes >= 16000000 and
		(.end.streams | length) == 4'
done

step "a large download over IPv6"
mkdir /run/www
head -c 40000000 /dev/urandom >/run/www/large
behind server /usr/bin/python3 -m http.server --bind :: --directory /run/www 8080 2>/run/www.log
listening 8080
behind client curl --silent --show-error --limit-rate 8M --output /run/download "http://[$V6]:8080/large"
curl=$!
wait_for "[ -s /run/download ]"
moves_while $curl
wait $curl || fail "curl: exit $?"
assert cmp /run/www/large /run/download

step "ping, IPv4 and IPv6, and in fragments"
pings=()
for target in "$V4" "$V6" "-s 4000 $V4" "-s 4000 $V6"; do
	# shellcheck disable=SC2086 # an option and its value
	behind client ping -q -i 0.02 $target >"/run/ping-${#pings[@]}"
	pings+=($!)
done
wait_for "[ \$(flows_count 'icmp or icmp6') -ge 4 ]"
for _ in 1 2; do
	move --from fw-1 --to fw-2
	move --from fw-2 --to fw-1
done
kill -INT "${pings[@]}"
for i in "${!pings[@]}"; do
	wait "${pings[$i]}" || fail "ping: $(cat "/run/ping-$i")"
	assert_contains "$(cat "/run/ping-$i")" " 0% packet loss"
done
grep -h transmitted /run/ping-*

step "where a packet's life ends, its sender is told"
for _ in 1 2; do
	for target in $V4 $V6; do
		for ttl in 1 2; do
			assert_exit 1 in_host client ping -c 1 -W 5 -t "$ttl" "$target"
			case $target in
			*:*) assert_contains "$output" "Hop limit" ;;
			*) assert_contains "$output" "Time to live exceeded" ;;
			esac
		done
		in_host client ping -q -c 1 -W 5 -t 3 "$target" >/dev/null
		# UDP to a closed port: the error comes back through the flow's NF
		output=$(in_host client /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], 9))
s.send(b"?")
try:
	s.recv(1)
except ConnectionRefusedError:
	print("refused")' "$target")
		assert_eq "$output" refused "UDP to a closed port of $target"
	done
	move --from fw-1 --to fw-2
	move --from fw-2 --to fw-1
done

step "ssh"
mkdir -m 700 /run/root /run/root/.ssh
dropbearkey -t ed25519 -f /run/root/key >/run/root/key.txt 2>&1
grep '^ssh-' /run/root/key.txt >/run/root/.ssh/authorized_keys
dropbearkey -t ed25519 -f /run/root/host >/dev/null 2>&1
# a home of its own, in this scenario's mounts only
sed 's|^\(root:[^:]*:[^:]*:[^:]*:[^:]*\):[^:]*:.*|\1:/run/root:/bin/sh|' /etc/passwd >/run/passwd
mount --bind /run/passwd /etc/passwd
behind server dropbear -F -E -s -p 2222 -r /run/root/host -P /run/root/pid 2>/run/root/dropbear.log
listening 2222
mkfifo /run/to-ssh /run/from-ssh
HOME=/run/root "$BUILD/flowferry" lab exec client -- dbclient -y -T -i /run/root/key -p 2222 \
	"root@$V4" cat </run/to-ssh >/run/from-ssh 2>/run/root/dbclient.log & # waits for both ends
ssh=$!
exec 3>/run/to-ssh 4</run/from-ssh
say()
{
	local line=
	echo "$1" >&3
	read -r -t 20 line <&4 || fail "ssh doesn't answer: $(cat /run/root/*.log)"
	assert_eq "$line" "$1" "over ssh"
}
say hello
for from in 1 2 3; do
	move --from fw-$from --to fw-$((from % 3 + 1))
	say "moved $from"
done
exec 3>&-
wait $ssh || fail "ssh: exit $?: $(cat /run/root/*.log)"
