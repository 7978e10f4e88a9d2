/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_options.h - the options of `flowferry traffic`, and what they mean. */
#pragma once

#include "tools/cmd.h"
#include "tools/traffic.h"

struct traffic_options {
	const char *from_ns, *to_ns; /* run */
	const char *netns, *save;    /* send, receive */
	struct text_list from, to;
	const char *proto, *order;
	struct text_list tolerate;
	uint64_t flows, rate, debt, duration, count, size, drain, worst, threads, cpu, port, idle;
	uint64_t tcp_flows, tcp_short, tcp_rate, tcp_size;
	uint64_t elephants, elephants_percent;
	bool ipv4, ipv6, bidirectional, sockets, flat_out, forever, quiet;
	bool tcp_flat_out, tcp_echo, tcp_no_long;
};

extern const struct option_spec traffic_run_options[], traffic_half_options[],
	traffic_judge_options[];

/* Options to settings. -EINVAL: they make no sense together; *err says why. */
int traffic_settings_fill(const struct traffic_options *o, struct traffic_settings *ret,
			  struct ff_error *err);

/* Prepares run->ends for both ends on this machine: namespaces, addresses, routes. */
int traffic_setup_both(struct traffic_run *run, const struct traffic_options *o,
		       struct ff_error *err);
/* Prepares only one of them: @index 0 the client's, 1 the server's. */
int traffic_setup_half(struct traffic_run *run, const struct traffic_options *o, unsigned int index,
		       struct ff_error *err);
void traffic_setup_done(struct traffic_run *run);
