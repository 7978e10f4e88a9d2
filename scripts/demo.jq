# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# demo.jq - the arithmetic and the tables of scripts/demo.

# ---- text --------------------------------------------------------------------------------------

def right($width): tostring | (" " * ($width - length)) + .;
def left($width): tostring | . + (" " * ($width - length));

# 1234567 -> 1,234,567
def grouped: tostring | [match(".{1,3}(?=(.{3})*$)"; "g").string] | join(",");

def decimal($digits):
	. * pow(10; $digits) | round | tostring |
	if $digits == 0 then . else
		("0" * ($digits + 1 - length)) + . | .[:-$digits] + "." + .[-$digits:]
	end;

# Three digits that count, and a unit, as the CLI has them
def scaled($units):
	if . >= 999.5 and ($units | length) > 1 then . / 1000 | scaled($units[1:])
	else decimal(if . == floor or . >= 99.95 then 0 elif . >= 9.995 then 1 else 2 end) +
		" " + $units[0] end;

def bytes: scaled(["B", "kB", "MB", "GB"]);
def duration: scaled(["us", "ms", "s"]);
def bits: scaled(["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);

# ---- moves -------------------------------------------------------------------------------------

def columns: [(.[0] | right(5)), " ", (.[1] | left(30)), (.[2] | left(5)), (.[3] | left(5)),
	(.[4] | right(5)), (.[5] | right(8)), (.[6] | right(7)), (.[7] | right(6)),
	(.[8] | right(8)), (.[9] | right(8))] | join(" ");

def move_titles: ["AT s", "WHAT", "FROM", "TO", "FLOWS", "BYTES", "ROUNDS", "PARKED", "FREEZE",
	"TOTAL"] | columns;

# Named arguments: s, what, red, plain
# Nothing if it is no operation
def move_row: select(.id) |
	([$ARGS.named.s, $ARGS.named.what, .from, .to, (.flows | grouped), (.bytes | bytes), .rounds,
		(.packets_parked | grouped), (.freeze_us | duration), (.total_us | duration)] |
		columns) +
	if .state == "completed" then "" else
		"\n" + $ARGS.named.red + .state + $ARGS.named.plain + ": " +
		(.error | if type == "object" then .message else tostring end)
	end;

# The longest run of slots that the instance named `of` owns: its first half
def half_of_slots: [.owners[] | select(.[1] == $ARGS.named.of) | .[0] | split(",")[] | split("-") |
	map(tonumber) | [.[0], .[-1]]] | max_by(.[1] - .[0]) |
	"\(.[0])-\((.[0] + .[1]) / 2 | floor)";

# ---- counters ----------------------------------------------------------------------------------

# Of `flows list`: packets and bytes of all flows to the port named `port` together, first what the
# client has sent, then the server. An NF's pair of counters is in the order of the flow's text.
def counted:
	if .truncated then error("there are more flows than were asked for") else . end |
	reduce .flows[] as $f ({packets: [0, 0], bytes: [0, 0]};
		(if $f.flow | endswith(":" + $ARGS.named.port) then 0 else 1 end) as $client |
		.packets[0] += $f.state.packets[$client] |
		.packets[1] += $f.state.packets[1 - $client] |
		.bytes[0] += $f.state.bytes[$client] |
		.bytes[1] += $f.state.bytes[1 - $client]);

# ---- the verdict -------------------------------------------------------------------------------

# Connections of an iperf3 that didn't come to a good end; without a report it is one at least
def failed: if .error or (.end.streams | not) then .start.connected // [0] | length else 0 end;

# Of one run: what scripts/demo has noted of it, as named lists of one document each
def figures:
	.operations //= [] | .numbered[0] as $n | [.upload[0], .download[0]] as $long |
	[$n.udp.forward, $n.udp.reverse] as $ways |
	{
		moves: (.operations | length),
		completed: (.operations | map(select(.state == "completed")) | length),
		flows: (.operations | map(.flows) | add),
		parked: (.operations | map(.packets_parked) | add),
		freeze: (.operations | map(.freeze_us) | max),
		sent: ($ways | map(.sent)),
		bytes: ($ways | map(.sent_bytes)),
		received: ($ways | map(.received) | add),
		lost: ($ways | map(.lost + .judge_overload) | add),
		overload: ($ways | map(.judge_overload) | add),
		duplicated: ($ways | map(.duplicated) | add),
		reordered: ($ways | map(.reordered) | add),
		corrupted: ($n.corrupted + $n.tcp.corrupted),
		latency: ($ways | map(.latency_us.p99) | max),
		latency_max: ($ways | map(.latency_us.max) | max),
		counted: [.before[0], .after[0]] | {
			packets: [.[1].packets[0] - .[0].packets[0], .[1].packets[1] - .[0].packets[1]],
			bytes: [.[1].bytes[0] - .[0].bytes[0], .[1].bytes[1] - .[0].bytes[1]]},
		short: $n.tcp.client.short.completed,
		long: ($long | map(.end.streams // [] | length) | add),
		broken: ($n.tcp.broken + ($long | map(failed) | add)),
		errors: ($long | map(.error // empty | "iperf3: " + .)),
		speed: ($long | map(.end.sum_received.bits_per_second // 0) | add),
		retransmitted: (.after_retransmitted[0].segments - .before_retransmitted[0].segments),
		in_vain: (.after_retransmitted[0].in_vain - .before_retransmitted[0].in_vain),
		queues_full: (.after_queues_full[0] - .before_queues_full[0])
	};

def exact: .counted.packets == .sent and .counted.bytes == .bytes;

# What is wrong with a run, in words
def faults: [
	(select(.lost > .overload) | "UDP packets lost: \(.lost - .overload)" +
		if .queues_full > 0 then " (this machine is too busy: \(.queues_full) packets, " +
			"of TCP too, found a device's queue full)" else "" end),
	(select(.overload > 0) | "packets that the judge was too slow to see: \(.overload)"),
	(select(.duplicated > 0) | "packets duplicated: \(.duplicated)"),
	(select(.reordered > 0) | "packets reordered: \(.reordered)"),
	(select(.corrupted > 0) | "packets or TCP records corrupted: \(.corrupted)"),
	(select(.broken > 0) | "connections reset or broken: \(.broken)"),
	(select(exact | not) | "the firewalls' counters are not what was sent"),
	(select(.moves > .completed) | "moves not completed: \(.moves - .completed)"),
	.errors[]];

def both_ways: "\(.[0] | grouped) + \(.[1] | grouped)";

# The rows of a run: what, value, whether it is as it must be
def rows: [
	["moves", .moves, .completed == .moves],
	["  flows moved", .flows, true],
	["  packets parked", .parked, true],
	["  longest freeze", (.freeze | if . then duration else . end), true],
	["UDP packets sent, there + back", (.sent | both_ways), true],
	["  counted by the firewalls", (.counted.packets | both_ways), .counted.packets == .sent],
	["UDP bytes sent", (.bytes | both_ways), true],
	["  counted by the firewalls", (.counted.bytes | both_ways), .counted.bytes == .bytes],
	["UDP packets lost", .lost, .lost == 0],
	["  duplicated", .duplicated, .duplicated == 0],
	["  reordered", .reordered, .reordered == 0],
	["  latency, 99 % and maximum", "\(.latency | duration), \(.latency_max | duration)", true],
	["TCP connections, short + long", ([.short, .long] | both_ways), true],
	["  reset or broken", .broken, .broken == 0],
	["  segments retransmitted", .retransmitted, true],
	["    but had arrived (DSACK)", .in_vain, true],
	["  throughput of the long ones", (.speed | bits), true]];

def cell($row; $width): $row[1] // "-" | (if type == "number" then grouped else . end) |
	right($width) |
	if $row[2] then . else $ARGS.named.red + . + $ARGS.named.plain end;

# Input: the run without moves and the one with. Named arguments: bold, red, green, plain
def verdict: $ARGS.named as $with | map(figures) |
	[(map(faults) | (.[0][] + ", without moves"), .[1][])] as $faults |
	($with.bold + ("" | left(32)) + ("without moves" | right(26)) + ("with moves" | right(26)) +
		$with.plain),
	(map(rows) | transpose[] | (.[0][0] | left(32)) + cell(.[0]; 26) + cell(.[1]; 26)),
	"",
	if $faults == [] and .[1].moves > 0 then
		$with.green + "PASSED" + $with.plain + ": nothing lost, duplicated or reordered, no " +
		"connection broken, every counter exact"
	else
		$with.red + "FAILED" + $with.plain + ": " + ($faults | join("; ")),
		("" | halt_error(1))
	end;
