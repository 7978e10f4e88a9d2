/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_result.c - the verdict on one direction: what was sent against what arrived. Pure. */

#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic.h"

void traffic_tally_add(struct traffic_tally *sum, const struct traffic_tally *part)
{
	sum->packets += part->packets;
	sum->bytes += part->bytes;
	sum->corrupted += part->corrupted;
	sum->unreadable += part->unreadable;
	sum->foreign += part->foreign;
	sum->out_of_range += part->out_of_range;
	sum->latency_max_ns = MAX(sum->latency_max_ns, part->latency_max_ns);
	sum->last_ns = MAX(sum->last_ns, part->last_ns);
	for (size_t i = 0; i < TRAFFIC_BUCKETS; i++)
		sum->latency[i] += part->latency[i];
}

/* The highest value that falls into a bucket; traffic_bucket() backwards. */
static uint64_t bucket_top(uint32_t bucket)
{
	uint32_t octave = bucket >> TRAFFIC_BUCKET_BITS;
	uint64_t step = bucket & ((1u << TRAFFIC_BUCKET_BITS) - 1);

	if (!octave)
		return bucket;
	return ((((1ull << TRAFFIC_BUCKET_BITS) + step + 1) << (octave - 1))) - 1;
}

uint64_t traffic_percentile(const struct traffic_tally *tally, unsigned int per_mille)
{
	uint64_t total = 0, rank, seen = 0;

	for (size_t i = 0; i < TRAFFIC_BUCKETS; i++)
		total += tally->latency[i];
	if (!total)
		return 0;
	rank = (total * per_mille + 999) / 1000; /* nearest rank: at least this many are below */
	for (uint32_t i = 0; i < TRAFFIC_BUCKETS; i++) {
		seen += tally->latency[i];
		if (seen >= rank)
			return MIN(bucket_top(i), tally->latency_max_ns);
	}
	return tally->latency_max_ns;
}

static uint64_t defects(const struct traffic_worst *w)
{
	return w->lost + w->duplicated + w->reordered + w->corrupted + w->unsent;
}

/* Keeps the flows with the most defects, and among those without any the slowest, best last. */
static void worst_note(struct traffic_result *result, const struct traffic_worst *w, size_t max)
{
	size_t i = result->n_worst;

	for (; i > 0; i--) {
		const struct traffic_worst *other = &result->worst[i - 1];

		if (defects(other) > defects(w) ||
		    (defects(other) == defects(w) && other->latency_max_ns >= w->latency_max_ns))
			break;
	}
	if (i >= max)
		return;
	if (result->n_worst < max)
		result->n_worst++;
	memmove(&result->worst[i + 1], &result->worst[i],
		(result->n_worst - 1 - i) * sizeof(result->worst[0]));
	result->worst[i] = *w;
}

static void flow_judge(uint32_t index, uint64_t sent, const struct traffic_flow *flow,
		       struct traffic_worst *ret)
{
	uint64_t arrived = flow->received - MIN(flow->received, (uint64_t)flow->duplicates);

	*ret = (struct traffic_worst){
		.flow = index,
		.sent = sent,
		.received = flow->received,
		.lost = sent - MIN(sent, arrived),
		.unsent = arrived - MIN(arrived, sent),
		.duplicated = flow->duplicates,
		.reordered = flow->reordered,
		.corrupted = flow->corrupted,
		.displacement_max = flow->displacement_max,
		.latency_max_ns = flow->latency_max_ns,
		.gap_max_ns = flow->gap_max_ns,
	};
}

void traffic_result_make(const struct traffic_evidence *evidence, struct traffic_result *ret)
{
	const struct traffic_tally *tally = evidence->tally;
	struct traffic_worst w;

	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < evidence->flows; i++) {
		flow_judge(i, evidence->sent ? evidence->sent[i] : evidence->judged[i].next,
			   &evidence->judged[i], &w);
		ret->sent += w.sent;
		ret->received += w.received;
		ret->lost += w.lost;
		ret->unsent += w.unsent;
		ret->duplicated += w.duplicated;
		ret->reordered += w.reordered;
		ret->flows_hit += defects(&w) != 0;
		ret->displacement_max = MAX(ret->displacement_max, w.displacement_max);
		ret->beyond += evidence->judged[i].beyond;
		if (w.sent || w.received)
			worst_note(ret, &w, MIN(evidence->worst, (uint32_t)TRAFFIC_WORST_MAX));
	}
	ret->sent_bytes = ret->sent * evidence->size;
	ret->received_bytes = tally->bytes;
	ret->corrupted = tally->corrupted;
	ret->unreadable = tally->unreadable;
	ret->foreign = tally->foreign;
	ret->out_of_range = tally->out_of_range;
	ret->overload = MIN(evidence->overload, ret->lost);
	ret->lost -= ret->overload;
	ret->refused = MIN(evidence->refused, ret->lost);
	ret->behind = evidence->behind;
	if (evidence->sending_ns)
		ret->rate = (uint64_t)((double)ret->sent * (double)NSEC_PER_SEC /
				       (double)evidence->sending_ns);
	ret->latency_known = evidence->one_clock;
	ret->by_arrival = !evidence->sent;
	ret->tally = *tally;
}

static uint64_t total(const struct traffic_run *run, size_t offset)
{
	return *(const uint64_t *)((const char *)&run->results[0] + offset) +
	       *(const uint64_t *)((const char *)&run->results[1] + offset);
}
#define TOTAL(run, field) total(run, offsetof(struct traffic_result, field))

static uint64_t tcp_total(const struct traffic_run *run, bool corrupted)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(run->tcp_results); i++)
		for (size_t k = 0; k < ARRAY_SIZE(run->tcp_results[i].counts); k++) {
			const struct traffic_tcp_counts *c = &run->tcp_results[i].counts[k];

			sum += corrupted ? c->corrupted : traffic_tcp_broken(c);
		}
	return sum;
}

static bool defects_tolerated(const struct traffic_run *run)
{
	const struct traffic_tolerance *t = &run->settings.tolerance;

	return TOTAL(run, lost) <= t->lost && TOTAL(run, duplicated) <= t->duplicated &&
	       TOTAL(run, reordered) <= t->reordered &&
	       TOTAL(run, corrupted) + tcp_total(run, true) <= t->corrupted &&
	       tcp_total(run, false) <= t->broken && !TOTAL(run, unsent);
}

/* Whether each part of the run has had traffic, and the judge could follow: else it proves nothing. */
static bool run_conclusive(const struct traffic_run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->results); i++) {
		const struct traffic_tcp_counts *tcp = run->tcp_results[i].counts;

		if (run->judged[i] && (!run->results[i].sent || run->results[i].overload))
			return false;
		if (run->tcp_judged[i] && !tcp[TRAFFIC_LONG].started && !tcp[TRAFFIC_SHORT].started)
			return false;
	}
	return true;
}

bool traffic_run_passed(const struct traffic_run *run)
{
	return defects_tolerated(run) && run_conclusive(run);
}

const char *traffic_verdict(const struct traffic_run *run)
{
	if (!run->judged[0] && !run->judged[1] && !run->tcp_judged[0] && !run->tcp_judged[1])
		return "unjudged";
	if (!defects_tolerated(run))
		return "failed";
	return run_conclusive(run) ? "passed" : "inconclusive";
}
