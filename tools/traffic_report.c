/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_report.c - the verdict for programs: JSON. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "tools/output.h"
#include "tools/traffic.h"

/* The flow's text, sender first. */
const char *traffic_flow_format(const struct traffic_config *config, unsigned int direction,
				uint32_t flow, char buf[FLOW_TEXT_MAX])
{
	unsigned int ipv6 = traffic_is_ipv6(config->families, flow);
	unsigned int port[2] = { config->client_port + flow % config->client_ports,
				 config->server_port + flow / config->client_ports };
	char addr[2][INET6_ADDRSTRLEN];

	for (size_t i = 0; i < 2; i++)
		inet_ntop(ipv6 ? AF_INET6 : AF_INET,
			  ipv6 ? (void *)config->addr6[i] : (void *)config->addr4[i], addr[i],
			  sizeof(addr[i]));
	snprintf(buf, FLOW_TEXT_MAX, ipv6 ? "udp [%s]:%u [%s]:%u" : "udp %s:%u %s:%u",
		 addr[direction], port[direction], addr[!direction], port[!direction]);
	return buf;
}

static double us(uint64_t ns)
{
	return (double)ns / NSEC_PER_USEC;
}

static json_t *worst_json(const struct traffic_run *run, unsigned int direction)
{
	const struct traffic_result *result = &run->results[direction];
	json_t *list = json_array();
	char text[FLOW_TEXT_MAX];

	for (size_t i = 0; i < result->n_worst; i++) {
		const struct traffic_worst *w = &result->worst[i];
		json_t *o = json_object();

		json_put_str(o, "flow",
			     traffic_flow_format(&run->ends[direction].config, direction, w->flow,
						 text));
		json_put_uint(o, "index", w->flow);
		json_put_uint(o, "sent", w->sent);
		json_put_uint(o, "received", w->received);
		json_put_uint(o, "lost", w->lost);
		json_put_uint(o, "duplicated", w->duplicated);
		json_put_uint(o, "reordered", w->reordered);
		json_put_uint(o, "corrupted", w->corrupted);
		json_put_uint(o, "unsent", w->unsent);
		json_put_uint(o, "displacement_max", w->displacement_max);
		json_put_real(o, "latency_max_us", us(w->latency_max_ns));
		json_put_real(o, "gap_max_us", us(w->gap_max_ns));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *latency_json(const struct traffic_tally *tally)
{
	json_t *o = json_object();

	json_put_real(o, "p50", us(traffic_percentile(tally, 500)));
	json_put_real(o, "p90", us(traffic_percentile(tally, 900)));
	json_put_real(o, "p99", us(traffic_percentile(tally, 990)));
	json_put_real(o, "p99_9", us(traffic_percentile(tally, 999)));
	json_put_real(o, "max", us(tally->latency_max_ns));
	return o;
}

/* What a sender knows whose receiver is elsewhere. */
static json_t *sender_json(const struct traffic_run *run, const struct traffic_end *end)
{
	json_t *o;

	if (!end->sends)
		return json_null();
	o = json_object();
	json_put_uint(o, "sent", end->sent_packets);
	json_put_uint(o, "sent_bytes", end->sent_packets * run->settings.size);
	json_put_uint(o, "behind", end->behind);
	json_put_uint(o, "refused_by_sender", end->refused);
	return o;
}

static json_t *direction_json(const struct traffic_run *run, unsigned int direction)
{
	const struct traffic_result *result = &run->results[direction];
	json_t *o;

	if (!run->judged[direction])
		return sender_json(run, &run->ends[direction]);
	o = json_object();
	json_put_uint(o, "sent", result->sent);
	json_put_bool(o, "sent_known", !result->by_arrival);
	json_put_uint(o, "sent_bytes", result->sent_bytes);
	json_put_uint(o, "rate", result->rate);
	json_put_uint(o, "received", result->received);
	json_put_uint(o, "received_bytes", result->received_bytes);
	json_put_uint(o, "lost", result->lost);
	json_put_uint(o, "duplicated", result->duplicated);
	json_put_uint(o, "reordered", result->reordered);
	json_put_uint(o, "corrupted", result->corrupted);
	json_put_uint(o, "unreadable", result->unreadable);
	json_put_uint(o, "foreign", result->foreign);
	json_put_uint(o, "out_of_range", result->out_of_range);
	json_put_uint(o, "unsent", result->unsent);
	json_put_uint(o, "beyond_window", result->beyond);
	json_put_uint(o, "displacement_max", result->displacement_max);
	json_put_uint(o, "refused_by_sender", result->refused);
	json_put_uint(o, "judge_overload", result->overload);
	json_put_uint(o, "behind", result->behind);
	json_put_uint(o, "flows_hit", result->flows_hit);
	json_put(o, "latency_us",
		 result->latency_known ? latency_json(&result->tally) : json_null());
	json_put(o, "worst", worst_json(run, direction));
	return o;
}

static json_t *udp_json(const struct traffic_run *run)
{
	json_t *o = json_object();

	json_put_str(o, "mode", run->settings.sockets ? "sockets" : "bpf");
	json_put_uint(o, "flows", run->settings.flows);
	json_put_uint(o, "size", run->settings.size);
	json_put_uint(o, "rate", run->settings.rate);
	json_put(o, "forward", direction_json(run, TRAFFIC_FORWARD));
	json_put(o, "reverse", direction_json(run, TRAFFIC_REVERSE));
	return o;
}

static json_t *tcp_counts_json(const struct traffic_tcp_counts *c)
{
	json_t *o = json_object();

	json_put_uint(o, "started", c->started);
	json_put_uint(o, "completed", c->completed);
	json_put_uint(o, "broken", traffic_tcp_broken(c));
	json_put_uint(o, "refused", c->refused);
	json_put_uint(o, "reset", c->reset);
	json_put_uint(o, "timed_out", c->timed_out);
	json_put_uint(o, "truncated", c->truncated);
	json_put_uint(o, "unfinished", c->unfinished);
	json_put_uint(o, "failed", c->failed);
	json_put(o, "error", c->error ? json_string(strerror(-c->error)) : json_null());
	json_put_uint(o, "corrupted", c->corrupted);
	json_put_uint(o, "records_sent", c->records_sent);
	json_put_uint(o, "records_received", c->records_received);
	json_put_uint(o, "bytes_sent", c->bytes_sent);
	json_put_uint(o, "bytes_received", c->bytes_received);
	json_put_uint(o, "retransmits", c->retransmits);
	json_put_real(o, "gap_max_us", us(c->gap_max_ns));
	return o;
}

static json_t *tcp_side_json(const struct traffic_tcp_result *result)
{
	json_t *o = json_object();

	json_put(o, "long", tcp_counts_json(&result->counts[TRAFFIC_LONG]));
	json_put(o, "short", tcp_counts_json(&result->counts[TRAFFIC_SHORT]));
	json_put(o, "record_latency_us", latency_json(&result->records));
	json_put(o, "connection_us", latency_json(&result->connections));
	return o;
}

static json_t *tcp_json(const struct traffic_run *run)
{
	const struct traffic_tcp_counts *c;
	uint64_t retransmits = 0, reset = 0, broken = 0, corrupted = 0;
	json_t *o = json_object();

	for (size_t i = 0; i < 4; i++) {
		c = &run->tcp_results[i / 2].counts[i % 2];
		retransmits += c->retransmits;
		reset += c->reset;
		broken += traffic_tcp_broken(c);
		corrupted += c->corrupted;
	}
	json_put_uint(o, "reset", reset);
	json_put_uint(o, "broken", broken);
	json_put_uint(o, "corrupted", corrupted);
	json_put_uint(o, "retransmits", retransmits);
	json_put(o, "client",
		 run->tcp_judged[0] ? tcp_side_json(&run->tcp_results[0]) : json_null());
	json_put(o, "server",
		 run->tcp_judged[1] ? tcp_side_json(&run->tcp_results[1]) : json_null());
	return o;
}

void traffic_report_json(const struct traffic_run *run)
{
	const struct traffic_result *both = run->results;
	_cleanup_json_ json_t *o = json_object();

	json_put_bool(o, "ok", traffic_run_passed(run));
	json_put_str(o, "verdict", traffic_verdict(run));
	json_put_bool(o, "interrupted", run->interrupted);
	json_put_fmt(o, "run", "%08x", run->settings.run);
	json_put_real(o, "duration_s", (double)run->took_ns / NSEC_PER_SEC);
	json_put_uint(o, "sent", both[0].sent + both[1].sent);
	json_put_uint(o, "received", both[0].received + both[1].received);
	json_put_uint(o, "lost", both[0].lost + both[1].lost);
	json_put_uint(o, "duplicated", both[0].duplicated + both[1].duplicated);
	json_put_uint(o, "reordered", both[0].reordered + both[1].reordered);
	json_put_uint(o, "corrupted", both[0].corrupted + both[1].corrupted);
	json_put(o, "udp", run->settings.udp ? udp_json(run) : json_null());
	json_put(o, "tcp", run->settings.tcp ? tcp_json(run) : json_null());
	json_print(o);
}
