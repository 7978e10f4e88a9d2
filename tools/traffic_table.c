/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_table.c - the verdict for people. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "tools/output.h"
#include "tools/traffic.h"

static const struct column direction_columns[] = {
	{ "udp", false },      { "sent", true },
	{ "packets/s", true }, { "received", true },
	{ "lost", true },      { "duplicated", true },
	{ "reordered", true }, { "corrupted", true },
	{ "p50", true },       { "p90", true },
	{ "p99", true },       { "p99.9", true },
	{ "max", true },       {},
};

static const struct column worst_columns[] = {
	{ "worst flows", false },
	{ "sent", true },
	{ "received", true },
	{ "lost", true },
	{ "duplicated", true },
	{ "reordered", true },
	{ "by", true },
	{ "corrupted", true },
	{ "slowest", true },
	{ "longest gap", true },
	{},
};

static void count_cell(struct table *table, uint64_t count, bool bad)
{
	char text[UNIT_TEXT_MAX];

	table_cell(table, bad && count ? COLOUR_RED : COLOUR_NONE, "%s", count_format(count, text));
}

static void time_cell(struct table *table, uint64_t ns, bool known)
{
	char text[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_NONE, "%s",
		   known ? duration_format((ns + 500) / NSEC_PER_USEC, text) : "-");
}

static void latency_cells(struct table *table, const struct traffic_tally *tally, bool known)
{
	static const unsigned int per_mille[] = { 500, 900, 990, 999 };

	for (size_t i = 0; i < ARRAY_SIZE(per_mille); i++)
		time_cell(table, traffic_percentile(tally, per_mille[i]), known && tally->packets);
	time_cell(table, tally->latency_max_ns, known && tally->packets);
}

static void direction_row(struct table *table, const char *name,
			  const struct traffic_result *result)
{
	bool known = result->latency_known;

	table_cell(table, COLOUR_NONE, "%s", name);
	count_cell(table, result->sent, false);
	count_cell(table, result->rate, false);
	count_cell(table, result->received, false);
	count_cell(table, result->lost, true);
	count_cell(table, result->duplicated, true);
	count_cell(table, result->reordered, true);
	count_cell(table, result->corrupted, true);
	latency_cells(table, &result->tally, known);
}

/* What a sender knows whose receiver is elsewhere. */
static void sender_row(struct table *table, const char *name, const struct traffic_end *end)
{
	if (!end->sends)
		return;
	table_cell(table, COLOUR_NONE, "%s", name);
	count_cell(table, end->sent_packets, false);
	for (size_t i = 2; i < table->width; i++)
		table_cell(table, COLOUR_NONE, "-");
}

static void worst_rows(struct table *table, const struct traffic_run *run, unsigned int direction)
{
	const struct traffic_result *result = &run->results[direction];
	char text[FLOW_TEXT_MAX];

	for (size_t i = 0; i < result->n_worst; i++) {
		const struct traffic_worst *w = &result->worst[i];

		table_cell(table, COLOUR_NONE, "%s",
			   traffic_flow_format(&run->ends[direction].config, direction, w->flow,
					       text));
		count_cell(table, w->sent, false);
		count_cell(table, w->received, false);
		count_cell(table, w->lost, true);
		count_cell(table, w->duplicated, true);
		count_cell(table, w->reordered, true);
		count_cell(table, w->displacement_max, false);
		count_cell(table, w->corrupted, true);
		time_cell(table, w->latency_max_ns, result->latency_known);
		time_cell(table, w->gap_max_ns, true);
	}
}

/* What the figures don't say by themselves. */
static void notes_print(const struct traffic_run *run, unsigned int direction)
{
	const struct traffic_result *result = &run->results[direction];
	const char *name = direction == TRAFFIC_FORWARD ? "client to server" : "server to client";
	const struct {
		uint64_t count;
		const char *what;
	} notes[] = {
		{ result->behind, "packets weren't sent: the sender couldn't keep the rate" },
		{ result->refused, "of the lost were refused by the sender's own interface, whose "
				   "queue was full: lower --rate" },
		{ result->overload, "packets were dropped by the judge's own full sockets; nobody "
				    "can tell what else they would have shown" },
		{ result->unreadable, "of the corrupted were so badly hurt that nobody can tell "
				      "which they were: those count as lost too" },
		{ result->beyond, "packets came later than the judge remembers: some of them may "
				  "be second copies" },
		{ result->unsent, "packets arrived that the sender never sent" },
		{ result->foreign, "packets of another run, or meant for another station" },
		{ result->out_of_range, "packets of flows that this run doesn't have" },
	};
	char text[UNIT_TEXT_MAX];

	if (result->by_arrival)
		printf("%s: sent is what the arrived packets tell; what was lost at the end of a "
		       "flow goes unseen: see flowferry help traffic judge\n",
		       name);
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++)
		if (notes[i].count)
			printf("%s: %s %s\n", name, count_format(notes[i].count, text),
			       notes[i].what);
}

static const struct column tcp_columns[] = {
	{ "tcp", false },      { "started", true },
	{ "completed", true }, { "refused", true },
	{ "reset", true },     { "timed out", true },
	{ "other", true },     { "corrupted", true },
	{ "records", true },   { "retransmitted", true },
	{ "p50", true },       { "p90", true },
	{ "p99", true },       { "p99.9", true },
	{ "max", true },       {},
};

static void tcp_row(struct table *table, const char *name, const struct traffic_tcp_counts *c,
		    const struct traffic_tally *tally)
{
	if (!c->started)
		return;
	table_cell(table, COLOUR_NONE, "%s", name);
	count_cell(table, c->started, false);
	count_cell(table, c->completed, false);
	count_cell(table, c->refused, true);
	count_cell(table, c->reset, true);
	count_cell(table, c->timed_out, true);
	count_cell(table, c->truncated + c->unfinished + c->failed, true);
	count_cell(table, c->corrupted, true);
	count_cell(table, c->records_received, false);
	count_cell(table, c->retransmits, false);
	latency_cells(table, tally, true);
}

static void tcp_table(const struct traffic_run *run)
{
	static const char *const names[2][2] = {
		{ "client, long connections", "client, short connections" },
		{ "server, long connections", "server, short connections" },
	};
	static const struct traffic_tally none;
	struct table table;

	table_init(&table, tcp_columns);
	for (size_t i = 0; i < ARRAY_SIZE(run->tcp_results); i++) {
		const struct traffic_tcp_result *result = &run->tcp_results[i];

		tcp_row(&table, names[i][0], &result->counts[TRAFFIC_LONG], &result->records);
		tcp_row(&table, names[i][1], &result->counts[TRAFFIC_SHORT],
			i ? &none : &result->connections);
	}
	table_print(&table, stdout);
	putchar('\n');
	table_done(&table);
}

static void udp_table(const struct traffic_run *run)
{
	static const char *const names[] = { "client to server", "server to client" };
	struct table table, worst;

	table_init(&table, direction_columns);
	table_init(&worst, worst_columns);
	for (unsigned int d = 0; d < ARRAY_SIZE(names); d++) {
		if (!run->judged[d]) {
			sender_row(&table, names[d], &run->ends[d]);
			continue;
		}
		direction_row(&table, names[d], &run->results[d]);
		worst_rows(&worst, run, d);
	}
	table_print(&table, stdout);
	putchar('\n');
	if (worst.n_cells) {
		table_print(&worst, stdout);
		putchar('\n');
	}
	for (unsigned int d = 0; d < ARRAY_SIZE(names); d++)
		if (run->judged[d])
			notes_print(run, d);
	table_done(&table);
	table_done(&worst);
}

void traffic_report_table(const struct traffic_run *run)
{
	bool passed = traffic_run_passed(run);

	if (run->settings.udp)
		udp_table(run);
	if (run->settings.tcp)
		tcp_table(run);
	printf("%s%s%s%s\n", colour_code(stdout, passed ? COLOUR_GREEN : COLOUR_RED),
	       traffic_verdict(run), colour_code(stdout, COLOUR_NONE),
	       run->interrupted ? " (interrupted)" : "");
}
