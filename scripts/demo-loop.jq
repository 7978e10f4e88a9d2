# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# demo-loop.jq - the lines and the tables of scripts/demo-loop.bash. Named arguments, each time: begin
# (ms), capacity, bold, red, green, plain.
include "demo";

# ---- lines -------------------------------------------------------------------------------------

def text_width: 92;

# Words in lines of `text_width`, the second and following ones under the first
def wrapped: reduce split(" ")[] as $word ([""];
	if .[-1] == "" then .[-1] = $word
	elif (.[-1] | length) + ($word | length) < text_width then .[-1] += " " + $word
	else . + [$word] end) | join("\n" + ("" | left(7)));

# A line of the log: `at` is in ms, of the wall clock
def line($at; $text): (([$at - ($ARGS.named.begin | tonumber), 0] | max) / 1000 | decimal(1) | right(5)) +
	"  " + ($text | wrapped);

# What became of a plan's steps
def outcome: .plan.steps as $steps | [$steps[] | select(.outcome)] |
	if length == 0 then empty else
		"done: \(map(.outcome.flows) | add | grouped) flows moved, longest freeze " +
		"\(map(.outcome.freeze_us) | max | duration)" +
		([$steps[] | select(.outcome) | .predicted.freeze_us // empty] |
			if length > 0 then " (predicted: \(max | duration))" else "" end)
	end;

def without_prefix: sub("^(plan|recovery) [0-9a-z]+ of [^ ]+:? "; "") | sub(", by (plan|uid) .*"; "");

# Input: events. Named argument: plans
def event_lines: .[] | . as $event |
	if .kind == "condition-raised" and (.message | startswith("unprotected") | not) then
		.message | sub("^(?<kind>[a-z]+) of (service|instance|host) [^ ]+: "; "\(.kind): ")
	elif .kind == "plan-started" then
		"plan: " + (.message | without_prefix)
	elif .kind == "plan-ended" then
		$ARGS.named.plans[0].plans[] | select(.id == $event.operation) |
		if .state == "completed" then outcome else "the plan \(.state)" end
	elif .kind == "recovery-ended" then
		"recovery " + (.message | without_prefix)
	elif .kind | IN("host-dead", "host-heard", "host-rejoined", "host-diverged", "state-lost",
		"standby-added", "standby-failed", "drain-started", "drain-completed", "drain-late",
		"drain-taken-back", "instance-added", "instance-removed") then
		.message | without_prefix
	else empty end |
	line($event.time; .);

# ---- utilisations ------------------------------------------------------------------------------

# Of `hosts`: {host: percent or null}; null: it is dead, or nothing is there that has flows
def by_host: [.hosts[] | select(.steering | not) | {key: .name, value: (
	[select(.state == "up") | .monitor.instances[]?.packets_per_s // 0] |
	if length == 0 then null else
		add * 100 / ($ARGS.named.capacity | tonumber) end)}] | from_entries;

def percent: if . == null then "-" else "\(round) %" end;

# Input: several times what `hosts` says
def utilisations: map(by_host | to_entries) | add | group_by(.key) |
	map({key: .[0].key, value: (map(.value // empty) | if length == 0 then null else add / length end)}) |
	from_entries;

def utilisation_text: to_entries | map("\(.key) \(.value | percent)") | join(", ");

def live_row: "       " + (by_host | to_entries |
	map((.key + " ") + (.value // 0 | percent | right(6)) + " " +
		("#" * ([(.value // 0) / 5 | round, 20] | min) // "" | left(22))) | add);

# Input: events. Whether the elephant was noticed: on a busy instance it is an overload.
def is_uneven: any(.[]; .kind == "condition-raised" and (.message | test("^(imbalance|overload)")));

# ---- the verdict -------------------------------------------------------------------------------

def wait_ms($first; $last): if $first and $last then $last - $first else null end;

# Of a phase: its events and plans, and how long the loop took from what it noticed to its last deed
def phase_figures: . as $phase |
	[$ARGS.named.events[] | select(.time >= $phase.from and .time <= $phase.to)] as $events |
	[$ARGS.named.plans[0].plans[] | select(.created >= $phase.from and .created <= $phase.to)] as $plans |
	[$ARGS.named.recoveries[] | select(.created >= $phase.from and .created <= $phase.to)] as
		$recoveries |
	{
		name, after, owners,
		worst: ([.before[] | values] + [$plans[].plan.busiest.before * 100] | max),
		took: wait_ms(
			(first($events[] | select(.kind | IN("host-dead", "drain-started"))) //
				first($events[] | select(.kind == "condition-raised")) // {}).time;
			last($events[] | select(.kind | IN("plan-ended", "recovery-ended", "drain-completed")) |
				.time) // null),
		plans: ($plans | length),
		failed: ($plans | map(select(.state != "completed")) | length),
		flows: ([$plans[].plan.steps[].outcome.flows // empty, $recoveries[].flows] | add),
		freeze: ([$plans[].plan.steps[].outcome.freeze_us // empty] | max)
	};

def phase_rows: [
	["", .name],
	["instances", (.owners | "\(.[0]) -> \(.[1])")],
	["busiest, at worst", (.worst | percent)],
	["  afterwards", ([.after[] | values] | max | percent)],
	["from noticing to the last deed", (.took | if . then . * 1000 | duration else "-" end)],
	["plans", .plans],
	["flows moved or taken over", .flows],
	["  longest freeze", (.freeze | if . then duration else . end)]];

# Of a run of UDP; `strict`: nothing may be missing
def udp_figures($udp; $counted; $told): [$udp.udp.forward, $udp.udp.reverse] as $ways | {
	sent: ($ways | map(.sent)),
	counted: $counted.packets,
	lost: ($ways | map(.lost + .judge_overload) | add),
	duplicated: ($ways | map(.duplicated) | add),
	reordered: ($ways | map(.reordered) | add),
	corrupted: $udp.corrupted,
	told: $told};

def strict: .told == null;

def udp_rows($name): [
	["", $name, true],
	["UDP packets sent, there + back", (.sent | both_ways), true],
	["  counted by the firewalls", (.counted | both_ways), (strict | not) or .counted == .sent],
	["UDP packets lost", .lost, .lost <= (.told // 0)],
	["  at most, says the recovery", .told, true],
	["  duplicated", .duplicated, .duplicated == 0],
	["  reordered", .reordered, (strict | not) or .reordered == 0]];

def udp_faults($name): [
	(select(.lost > (.told // 0)) | "UDP packets lost: \(.lost)" +
		if strict then "" else ", of \(.told) told" end),
	(select(.duplicated > 0) | "packets duplicated: \(.duplicated)"),
	(select(strict and .reordered > 0) | "packets reordered: \(.reordered)"),
	(select(.corrupted > 0) | "packets corrupted: \(.corrupted)"),
	(select(strict and .counted != .sent) | "the firewalls' counters are not what was sent")] |
	map(. + ", " + $name);

def table($widths): transpose | .[] | (.[0][0] | left(32)) +
	(to_entries | map(.key as $n | .value | cell([.[0], .[1], .[2] != false]; $widths)) | add);

# Named arguments besides: hand, udp_*, counted_*, tcp, recoveries, phases, events, plans
def loop_verdict: $ARGS.named as $with | $with.recoveries as $recoveries |
	[$with.phases[] | phase_figures] as $phases |
	($recoveries | map(.recovery.packets_lost_at_most // 0) | add) as $told |
	[["before the crash", udp_figures($with.udp_before[0]; $with.counted_before[0]; null)],
	 ["through it", udp_figures($with.udp_through[0]; $with.counted_through[0]; $told // 0)],
	 ["after it", udp_figures($with.udp_after[0]; $with.counted_after[0]; null)]] as $runs |
	($with.tcp | map(.tcp.broken) | add) as $broken |
	[(select($with.hand | not) | "the moves by hand"),
	 ($runs[] | . as [$name, $run] | $run | udp_faults($name)[]),
	 (select($broken > 0) | "TCP connections reset or broken: \($broken)"),
	 (select($with.tcp | any(.corrupted > 0)) | "TCP records corrupted"),
	 (select(($recoveries | length) != 1) | "recoveries: \($recoveries | length)"),
	 ($recoveries[] | select(.state != "completed") | "the recovery \(.state)"),
	 ($phases[] | select(.failed > 0) | "plans not completed, \(.name): \(.failed)")] as $faults |
	($phases | map(phase_rows) | table(13)),
	"",
	($runs | map(. as [$name, $run] | $run | udp_rows($name)) | table(22)),
	"",
	($recoveries[] | "The crash: noticed after \(.recovery.detect_ms) ms, flows went on after " +
		"\(.recovery.recovered_ms) ms; \(.flows | grouped) flows, their copy " +
		"\(.recovery.replica_age_ms) ms old"),
	"TCP, through all of it: \($with.tcp | map(.tcp.client.long.started) | add) connections, \($broken) " +
		"broken; longest silence \($with.tcp | map(.tcp.client.long.gap_max_us) | max | duration)",
	"",
	if $faults == [] then
		$with.green + "PASSED" + $with.plain + ": nothing lost, duplicated or reordered but what " +
		"the crash lost and told; no connection broken"
	else
		$with.red + "FAILED" + $with.plain + ": " + ($faults | join("; ")),
		("" | halt_error(1))
	end;
