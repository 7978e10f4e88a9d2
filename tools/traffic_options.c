/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_options.c - the options of `flowferry traffic`, and what they mean. */

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_options.h"
#include "tools/traffic_socket.h"

#define FLOWS_DEFAULT		  1000
#define ELEPHANTS_PERCENT_DEFAULT 50
#define RATE_DEFAULT		  10000
#define DEBT_DEFAULT_MS		  50
#define DURATION_DEFAULT	  10
#define SIZE_DEFAULT		  128
#define SIZE_MIN_IPV4		  (20 + 8 + sizeof(struct traffic_payload))
#define SIZE_MIN_IPV6		  (40 + 8 + sizeof(struct traffic_payload))
#define DRAIN_DEFAULT		  5 /* longer than any move parks packets */
#define WORST_DEFAULT		  3
#define TCP_FLOWS_DEFAULT	  10
#define TCP_RATE_DEFAULT	  100
#define TCP_SIZE_DEFAULT	  1024
#define CLIENT_PORT		  10000 /* flow 0's */
#define SERVER_PORT		  20000

#define OFFSET(field)		  offsetof(struct traffic_options, field)

static const char *const protos[] = { "udp", "tcp", "both", NULL };
static const char *const orders[] = { "round-robin", "random", NULL };

const struct option_spec traffic_run_options[] = {
	{ .name = "from-ns",
	  .kind = OPTION_TEXT,
	  .offset = OFFSET(from_ns),
	  .value = "NAME",
	  .help = "namespace of the client end; ff-client by default" },
	{ .name = "to-ns",
	  .kind = OPTION_TEXT,
	  .offset = OFFSET(to_ns),
	  .value = "NAME",
	  .help = "namespace of the server end; ff-server by default" },
#include "tools/traffic_options.inc"
	{},
};

const struct option_spec traffic_half_options[] = {
	{ .name = "netns",
	  .kind = OPTION_TEXT,
	  .offset = OFFSET(netns),
	  .value = "NAME",
	  .help = "network namespace to work in; the caller's by default" },
	{ .name = "save",
	  .kind = OPTION_TEXT,
	  .offset = OFFSET(save),
	  .value = "FILE",
	  .help = "write this end's share of the evidence, for traffic judge",
	  .complete = COMPLETE_FILE },
	{ .name = "idle",
	  .kind = OPTION_NUMBER,
	  .offset = OFFSET(idle),
	  .value = "SECONDS",
	  .help = "stop when nothing has come for so long, once something has",
	  .min = 1,
	  .max = 3600 },
#include "tools/traffic_options.inc"
	{},
};

const struct option_spec traffic_judge_options[] = {
	{ .name = "tolerate",
	  .kind = OPTION_LIST,
	  .offset = OFFSET(tolerate),
	  .value = "WHAT[=N]",
	  .help = "as with traffic run" },
	{ .name = "worst",
	  .kind = OPTION_NUMBER,
	  .offset = OFFSET(worst),
	  .value = "N",
	  .help = "as with traffic run",
	  .min = 1,
	  .max = TRAFFIC_WORST_MAX },
	{},
};

static int tolerate_parse(const char *text, struct traffic_tolerance *t, struct ff_error *err)
{
	const struct {
		const char *name;
		uint64_t *field;
	} kinds[] = {
		{ "lost", &t->lost },		{ "duplicated", &t->duplicated },
		{ "reordered", &t->reordered }, { "corrupted", &t->corrupted },
		{ "broken", &t->broken },
	};
	const char *equals = strchrnul(text, '=');
	size_t len = (size_t)(equals - text);
	uint64_t n = UINT64_MAX;
	bool found = false;

	if (*equals && number_parse(equals + 1, 0, UINT64_MAX, &n) < 0)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "write --tolerate lost=10",
				 "--tolerate '%s': what follows '=' is no number", text);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].name) != len || strncmp(kinds[i].name, text, len))
			if (len != 3 || strncmp(text, "all", 3))
				continue;
		*kinds[i].field = n;
		found = true;
	}
	if (found)
		return 0;
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			 "--tolerate can't be '%s': it is lost, duplicated, reordered, corrupted, "
			 "broken or all",
			 text);
}

int traffic_settings_fill(const struct traffic_options *o, struct traffic_settings *s,
			  struct ff_error *err)
{
	*s = (struct traffic_settings){
		.udp = !o->proto || strcmp(o->proto, "tcp"),
		.tcp = o->proto && strcmp(o->proto, "udp"),
		.bidirectional = o->bidirectional,
		.sockets = o->sockets,
		.families = (uint8_t)((o->ipv4 || !o->ipv6 ? TRAFFIC_IPV4 : 0) |
				      (o->ipv6 ? TRAFFIC_IPV6 : 0)),
		.order = o->order && strcmp(o->order, "random") == 0 ? TRAFFIC_RANDOM :
								       TRAFFIC_ROUND_ROBIN,
		.flows = (uint32_t)(o->flows ?: FLOWS_DEFAULT),
		.elephants = (uint32_t)o->elephants,
		.elephants_percent = (uint32_t)(o->elephants_percent ?: ELEPHANTS_PERCENT_DEFAULT),
		.size = (uint32_t)(o->size ?: SIZE_DEFAULT),
		.rate = o->flat_out ? 0 :
			o->rate	    ?:
				      RATE_DEFAULT,
		.debt_ns = (o->debt ?: DEBT_DEFAULT_MS) * NSEC_PER_MSEC,
		.count = o->count,
		.duration_ns = o->forever || (o->count && !o->duration) ?
				       0 :
				       (o->duration ?: DURATION_DEFAULT) * NSEC_PER_SEC,
		.idle_ns = o->idle * NSEC_PER_SEC,
		.drain_ns = (o->drain ?: DRAIN_DEFAULT) * NSEC_PER_SEC,
		.client_port = CLIENT_PORT,
		.server_port = (uint16_t)(o->port ?: SERVER_PORT),
		.threads = (uint32_t)(o->threads ?: 1),
		.cpu = (uint32_t)o->cpu,
		.worst = (uint32_t)(o->worst ?: WORST_DEFAULT),
		.tcp_flows = o->tcp_no_long ? 0 : (uint32_t)(o->tcp_flows ?: TCP_FLOWS_DEFAULT),
		.tcp_short = (uint32_t)o->tcp_short,
		.tcp_rate = o->tcp_flat_out ? 0 : (uint32_t)(o->tcp_rate ?: TCP_RATE_DEFAULT),
		.tcp_size = (uint32_t)(o->tcp_size ?: TCP_SIZE_DEFAULT),
		.tcp_echo = o->tcp_echo,
	};
	while (!s->run)
		if (getrandom(&s->run, sizeof(s->run), 0) < 0)
			s->run = (uint32_t)clock_ns();
	if (s->families & TRAFFIC_IPV6 && s->size < SIZE_MIN_IPV6)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "--size can't be %u with --ipv6: at least %zu", s->size,
				 SIZE_MIN_IPV6);
	if (s->cpu >= (unsigned long)sysconf(_SC_NPROCESSORS_CONF))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see /proc/cpuinfo",
				 "--cpu can't be %u: there is no such CPU", s->cpu);
	if (s->sockets && s->flows > TRAFFIC_SOCKET_FLOWS_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "--flows can't be %u with --sockets: at most %d", s->flows,
				 TRAFFIC_SOCKET_FLOWS_MAX);
	if (s->elephants >= s->flows)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "--elephants can't be %u: they are some of the %u flows",
				 s->elephants, s->flows);
	if (o->elephants_percent && !s->elephants)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "write --elephants N, too",
				 "--elephants-percent says nothing without --elephants");
	for (size_t i = 0; i < o->tolerate.count; i++) {
		int r = tolerate_parse(o->tolerate.items[i], &s->tolerance, err);

		if (r < 0)
			return r;
	}
	return 0;
}
