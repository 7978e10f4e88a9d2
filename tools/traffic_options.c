/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_options.c - the options of `flowferry traffic`, and what they mean. */

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_options.h"
#include "tools/traffic_socket.h"

#define FLOWS_DEFAULT	 1000
#define RATE_DEFAULT	 10000
#define DURATION_DEFAULT 10
#define SIZE_DEFAULT	 128
#define SIZE_MIN_IPV4	 (20 + 8 + sizeof(struct traffic_payload))
#define SIZE_MIN_IPV6	 (40 + 8 + sizeof(struct traffic_payload))
#define DRAIN_DEFAULT	 5 /* longer than any move parks packets */
#define WORST_DEFAULT	 3
#define TCP_FLOWS_DEFAULT 10
#define TCP_RATE_DEFAULT  100
#define TCP_SIZE_DEFAULT  1024
#define CLIENT_PORT	 10000 /* flow 0's; below Linux's ephemeral ports as far as most flows go */
#define SERVER_PORT	 20000

#define OFFSET(field) offsetof(struct traffic_options, field)

static const char *const protos[] = { "udp", "tcp", "both", NULL };
static const char *const orders[] = { "round-robin", "random", NULL };


/* What run, send and receive have in common; a table can't include another. */
#define SHARED_OPTIONS                                                                             \
	{ .name = "from", .kind = OPTION_LIST, .offset = OFFSET(from), .value = "ADDRESS",         \
	  .help = "the client's address, once for IPv4 and once for IPv6; its first one by default" }, \
	{ .name = "to", .kind = OPTION_LIST, .offset = OFFSET(to), .value = "ADDRESS",             \
	  .help = "the server's address, likewise" },                                              \
	{ .name = "proto", .kind = OPTION_CHOICE, .offset = OFFSET(proto), .value = "PROTO",       \
	  .help = "udp (the default), tcp or both", .choices = protos },                           \
	{ .name = "ipv4", .letter = '4', .kind = OPTION_FLAG, .offset = OFFSET(ipv4),              \
	  .help = "over IPv4, the default; with --ipv6: half of the flows" },                      \
	{ .name = "ipv6", .letter = '6', .kind = OPTION_FLAG, .offset = OFFSET(ipv6),              \
	  .help = "over IPv6" },                                                                   \
	{ .name = "flows", .kind = OPTION_NUMBER, .offset = OFFSET(flows), .value = "N",           \
	  .help = "UDP flows; 1000 by default", .min = 1, .max = TRAFFIC_FLOWS_MAX },              \
	{ .name = "rate", .kind = OPTION_NUMBER, .offset = OFFSET(rate), .value = "PPS",           \
	  .help = "UDP packets per second in each direction; 10000 by default", .min = 1,          \
	  .max = 100000000, .group = 1 },                                                          \
	{ .name = "flat-out", .kind = OPTION_FLAG, .offset = OFFSET(flat_out),                     \
	  .help = "as fast as it goes, instead", .group = 1 },                                     \
	{ .name = "duration", .letter = 'd', .kind = OPTION_NUMBER, .offset = OFFSET(duration),    \
	  .value = "SECONDS", .help = "how long to send; 10 by default", .min = 1, .max = 31536000, \
	  .group = 2 },                                                                            \
	{ .name = "forever", .kind = OPTION_FLAG, .offset = OFFSET(forever),                       \
	  .help = "until SIGINT or SIGTERM, instead", .group = 2 },                                \
	{ .name = "count", .kind = OPTION_NUMBER, .offset = OFFSET(count), .value = "N",           \
	  .help = "stop after so many UDP packets in each direction", .min = 1, .max = 1ull << 48 }, \
	{ .name = "size", .kind = OPTION_NUMBER, .offset = OFFSET(size), .value = "BYTES",         \
	  .help = "length of a UDP packet, IP header included; 128 by default", .min = SIZE_MIN_IPV4, \
	  .max = TRAFFIC_SIZE_MAX },                                                               \
	{ .name = "bidirectional", .letter = 'b', .kind = OPTION_FLAG,                             \
	  .offset = OFFSET(bidirectional),                                                         \
	  .help = "the server sends in the same flows, once the client has opened them all" },     \
	{ .name = "order", .kind = OPTION_CHOICE, .offset = OFFSET(order), .value = "ORDER",       \
	  .help = "of the flows: round-robin (the default), or random after the first round",      \
	  .choices = orders },                                                                     \
	{ .name = "sockets", .kind = OPTION_FLAG, .offset = OFFSET(sockets),                       \
	  .help = "UDP through the hosts' own stacks, not BPF: slower, fewer flows" },             \
	{ .name = "tcp-flows", .kind = OPTION_NUMBER, .offset = OFFSET(tcp_flows), .value = "N",   \
	  .help = "long TCP connections; 10 by default", .min = 1, .max = 100000, .group = 3 },    \
	{ .name = "tcp-no-long", .kind = OPTION_FLAG, .offset = OFFSET(tcp_no_long),               \
	  .help = "none of them", .group = 3 },                                                    \
	{ .name = "tcp-rate", .kind = OPTION_NUMBER, .offset = OFFSET(tcp_rate), .value = "N",     \
	  .help = "records per second on each long connection; 100 by default", .min = 1,          \
	  .max = 1000000, .group = 4 },                                                            \
	{ .name = "tcp-flat-out", .kind = OPTION_FLAG, .offset = OFFSET(tcp_flat_out),             \
	  .help = "as many as it takes, instead", .group = 4 },                                    \
	{ .name = "tcp-size", .kind = OPTION_NUMBER, .offset = OFFSET(tcp_size), .value = "BYTES", \
	  .help = "length of a record; 1024 by default", .min = 48, .max = 65536 },                \
	{ .name = "tcp-echo", .kind = OPTION_FLAG, .offset = OFFSET(tcp_echo),                     \
	  .help = "the server sends each record back; latency is then there and back" },           \
	{ .name = "tcp-short", .kind = OPTION_NUMBER, .offset = OFFSET(tcp_short), .value = "N",   \
	  .help = "short connections per second besides: open, one record each way, close",        \
	  .min = 1, .max = 100000 },                                                               \
	{ .name = "tolerate", .kind = OPTION_LIST, .offset = OFFSET(tolerate), .value = "WHAT[=N]", \
	  .help = "let up to N (or any number) be lost, duplicated, reordered, corrupted or broken " \
		  "(connections), or `all`; several times" },                                      \
	{ .name = "drain", .kind = OPTION_NUMBER, .offset = OFFSET(drain), .value = "SECONDS",     \
	  .help = "how long to wait for what is under way at the end, at most; 5 by default",      \
	  .min = 1, .max = 3600 },                                                                 \
	{ .name = "worst", .kind = OPTION_NUMBER, .offset = OFFSET(worst), .value = "N",           \
	  .help = "list that many flows, worst first; 3 by default", .min = 1,                     \
	  .max = TRAFFIC_WORST_MAX },                                                              \
	{ .name = "port", .kind = OPTION_NUMBER, .offset = OFFSET(port), .value = "PORT",          \
	  .help = "the server's first port; 20000 by default", .min = 1, .max = 60000 },           \
	{ .name = "threads", .kind = OPTION_NUMBER, .offset = OFFSET(threads), .value = "1|2",     \
	  .help = "that send UDP: 2 send each direction from a CPU of its own", .min = 1, .max = 2 }, \
	{ .name = "cpu", .kind = OPTION_NUMBER, .offset = OFFSET(cpu), .value = "CPU",             \
	  .help = "from which the first of them sends; 0 by default", .min = 0, .max = 1023 },     \
	{ .name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .offset = OFFSET(quiet),            \
	  .help = "no line of progress" }

const struct option_spec traffic_run_options[] = {
	{ .name = "from-ns", .kind = OPTION_TEXT, .offset = OFFSET(from_ns), .value = "NAME",
	  .help = "namespace of the client end; ff-client by default" },
	{ .name = "to-ns", .kind = OPTION_TEXT, .offset = OFFSET(to_ns), .value = "NAME",
	  .help = "namespace of the server end; ff-server by default" },
	SHARED_OPTIONS,
	{},
};

#define HALF_OPTIONS \
	{ .name = "netns", .kind = OPTION_TEXT, .offset = OFFSET(netns), .value = "NAME", \
	  .help = "network namespace to work in; the caller's by default" }, \
	{ .name = "save", .kind = OPTION_TEXT, .offset = OFFSET(save), .value = "FILE", \
	  .help = "write this end's share of the evidence, for traffic judge", \
	  .complete = COMPLETE_FILE }

const struct option_spec traffic_send_options[] = {
	HALF_OPTIONS,
	SHARED_OPTIONS,
	{},
};

const struct option_spec traffic_receive_options[] = {
	HALF_OPTIONS,
	{ .name = "idle", .kind = OPTION_NUMBER, .offset = OFFSET(idle), .value = "SECONDS",
	  .help = "stop when nothing has come for so long, once something has", .min = 1,
	  .max = 3600 },
	SHARED_OPTIONS,
	{},
};

const struct option_spec traffic_judge_options[] = {
	{ .name = "tolerate", .kind = OPTION_LIST, .offset = OFFSET(tolerate), .value = "WHAT[=N]",
	  .help = "as with traffic run" },
	{ .name = "worst", .kind = OPTION_NUMBER, .offset = OFFSET(worst), .value = "N",
	  .help = "as with traffic run", .min = 1, .max = TRAFFIC_WORST_MAX },
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
			 "broken or all", text);
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
		.size = (uint32_t)(o->size ?: SIZE_DEFAULT),
		.rate = o->flat_out ? 0 : o->rate ?: RATE_DEFAULT,
		.count = o->count,
		.duration_ns = o->forever || (o->count && !o->duration) ?
				       0 : (o->duration ?: DURATION_DEFAULT) * NSEC_PER_SEC,
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
	if (s->sockets && s->flows > TRAFFIC_SOCKET_FLOWS_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "--flows can't be %u with --sockets: at most %d", s->flows,
				 TRAFFIC_SOCKET_FLOWS_MAX);
	for (size_t i = 0; i < o->tolerate.count; i++) {
		int r = tolerate_parse(o->tolerate.items[i], &s->tolerance, err);

		if (r < 0)
			return r;
	}
	return 0;
}
