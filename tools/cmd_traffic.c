/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_traffic.c - flowferry traffic: numbered flows, and what became of each packet. */

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/cmd.h"
#include "tools/traffic_options.h"

static void run_init(struct traffic_run *run, const struct call *call)
{
	const struct traffic_options *o = call->options;

	memset(run, 0, sizeof(*run));
	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++)
		run->ends[i].netns_fd = -1;
	run->quiet = o->quiet;
	run->save = o->save;
}

/* Reports, if there is something to report. */
static int run_finish(struct call *call, const struct traffic_run *run, int r,
		      const struct ff_error *err)
{
	if (r < 0) {
		call_error(call, err);
		return CLI_FAILED;
	}
	if (call_json(call))
		traffic_report_json(run);
	else
		traffic_report_table(run);
	return traffic_run_passed(run) ? CLI_DONE : CLI_FAILED;
}

static int run_run(struct call *call)
{
	struct traffic_run run;
	struct ff_error err = {};
	int r;

	run_init(&run, call);
	if (traffic_settings_fill(call->options, &run.settings, &err) < 0)
		return call_usage(call, &err);
	r = traffic_setup_both(&run, call->options, &err);
	if (r == 0)
		r = traffic_run(&run, &err);
	traffic_setup_done(&run);
	r = run_finish(call, &run, r, &err);
	traffic_run_done(&run);
	return r;
}

static int half_run(struct call *call, unsigned int index)
{
	const struct traffic_options *o = call->options;
	struct traffic_run run;
	struct ff_error err = {};
	int r;

	run_init(&run, call);
	r = traffic_settings_fill(o, &run.settings, &err);
	if (r == 0 && !(index ? &o->from : &o->to)->count)
		r = error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			      "--%s ADDRESS is missing: %s", index ? "from" : "to",
			      "where the other end is");
	if (r < 0)
		return call_usage(call, &err);
	if (index == TRAFFIC_REVERSE && !o->duration)
		run.settings.duration_ns = 0; /* as long as something may come */
	r = traffic_setup_half(&run, o, index, &err);
	if (r == 0)
		r = traffic_run(&run, &err);
	traffic_setup_done(&run);
	r = run_finish(call, &run, r, &err);
	traffic_run_done(&run);
	return r;
}

static int send_run(struct call *call)
{
	return half_run(call, TRAFFIC_FORWARD);
}

static int receive_run(struct call *call)
{
	return half_run(call, TRAFFIC_REVERSE);
}

static int judge_run(struct call *call)
{
	struct traffic_run run;
	struct ff_error err = {};
	int r;

	run_init(&run, call);
	if (traffic_settings_fill(call->options, &run.settings, &err) < 0)
		return call_usage(call, &err);
	run.settings.udp = run.settings.tcp = false; /* as the files say */
	r = traffic_file_load(&run, call->args[0], &err);
	if (r == 0)
		r = traffic_file_load(&run, call->args[1], &err);
	for (unsigned int d = 0; d < ARRAY_SIZE(run.judged) && r == 0; d++)
		r = traffic_direction_judge(&run, d);
	r = run_finish(call, &run, r, &err);
	traffic_run_done(&run);
	return r;
}

/* ---- commands ------------------------------------------------------------------------------- */

static const struct example run_examples[] = {
	{ "traffic run --flows 100000 --rate 200000 --duration 30 --bidirectional",
	  "From ff-client to ff-server of the lab and back:" },
	{ "traffic run --proto both --tcp-flows 20 --tcp-short 50 -4 -6",
	  "UDP and TCP, half of the flows over IPv6:" },
	{ "traffic run --forever -o json > report.json", "Until Ctrl-C; the report comes then:" },
	{},
};

static const struct command traffic_run_command = {
	.name = "run",
	.summary = "both ends at once, between two namespaces of this machine",
	.description =
		"Sends numbered, timed packets from one namespace to another and reports what was "
		"lost, duplicated, reordered or corrupted on the way, and how long it took. It "
		"succeeds only if nothing was; see --tolerate.\n\n"
		"UDP packets are made and judged in BPF on the end hosts' own interfaces, so "
		"nothing but the network between them can lose one. While it runs, the judge takes "
		"the place of the interfaces' XDP programs, which come back afterwards. TCP "
		"connections are those of the hosts' own stacks.",
	.run = run_run,
	.options = traffic_run_options,
	.options_size = sizeof(struct traffic_options),
	.examples = run_examples,
};

static const struct example half_examples[] = {
	{ "traffic receive --from 198.18.1.2 --save received --idle 3", "On the server, first:" },
	{ "traffic send --to 198.18.2.2 --save sent", "Then on the client:" },
	{ "traffic judge sent received", "Where both files are, in either order:" },
	{},
};

static const struct command traffic_send_command = {
	.name = "send",
	.summary = "the client's end alone",
	.description =
		"Sends to `traffic receive` on another machine or in another namespace. Both "
		"ends need the same --flows, --size, --port and kinds of traffic.",
	.run = send_run,
	.options = traffic_half_options,
	.options_size = sizeof(struct traffic_options),
	.examples = half_examples,
};

static const struct command traffic_receive_command = {
	.name = "receive",
	.summary = "the server's end alone",
	.description =
		"Judges what `traffic send` sends, until a signal, or --duration or --idle. By "
		"itself it can't know of packets lost after the last one that came: save "
		"both ends' evidence and join it with `traffic judge`.",
	.run = receive_run,
	.options = traffic_half_options,
	.options_size = sizeof(struct traffic_options),
	.examples = half_examples,
};

static const struct argument judge_arguments[] = {
	{ .name = "FILE", .complete = COMPLETE_FILE },
	{ .name = "FILE", .complete = COMPLETE_FILE },
	{},
};

static const struct command traffic_judge_command = {
	.name = "judge",
	.summary = "the verdict, from the files of both ends",
	.description = "Joins what `traffic send --save` and `traffic receive --save` have noted.",
	.run = judge_run,
	.options = traffic_judge_options,
	.options_size = sizeof(struct traffic_options),
	.arguments = judge_arguments,
	.examples = half_examples,
};

static const struct command *const traffic_subs[] = {
	&traffic_run_command,
	&traffic_send_command,
	&traffic_receive_command,
	&traffic_judge_command,
	NULL,
};

const struct command command_traffic = {
	.name = "traffic",
	.summary = "numbered flows, and what became of each packet",
	.description =
		"Traffic whose every packet is accounted for: sent, received, lost, duplicated, "
		"reordered, corrupted, and how long it was under way.",
	.subs = traffic_subs,
};
