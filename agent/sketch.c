/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/sketch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

/* Tells flows apart quickly; who guesses collisions only makes two comparisons slower. */
static uint32_t key_hash(const struct ff_flow_key *key)
{
	const uint64_t *words = (const uint64_t *)key;
	uint64_t hash = 0;

	for (size_t i = 0; i < sizeof(*key) / sizeof(*words); i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(hash >> 32);
}

void sketch_fade(struct sketch *sketch, double elapsed_s)
{
	double left = 1 / (1 + elapsed_s / SKETCH_FADE_S);

	sketch->span_s = sketch->span_s * left + elapsed_s;
	sketch->packets *= left;
	for (size_t i = 0; i < sketch->count; i++) {
		sketch->flows[i].packets *= left;
		sketch->flows[i].bytes *= left;
		sketch->flows[i].error *= left;
		sketch->flows[i].squares *= left * left;
	}
}

static struct sketch_flow *flow_find(struct sketch *sketch, const struct ff_flow_key *key,
				     uint32_t hash)
{
	for (size_t i = 0; i < sketch->count; i++)
		if (sketch->hash[i] == hash && !memcmp(&sketch->flows[i].key, key, sizeof(*key)))
			return &sketch->flows[i];
	return NULL;
}

/* A free place, or the lightest flow's, whose count becomes the newcomer's error. */
static struct sketch_flow *flow_replace(struct sketch *sketch, const struct ff_sample *sample,
					uint32_t hash)
{
	size_t lightest = 0;
	struct sketch_flow *flow;

	if (sketch->count < SKETCH_FLOWS) {
		lightest = sketch->count++;
		sketch->flows[lightest] = (struct sketch_flow){ 0 };
	}
	for (size_t i = 0; i < sketch->count; i++)
		if (sketch->flows[i].packets < sketch->flows[lightest].packets)
			lightest = i;
	flow = &sketch->flows[lightest];
	flow->key = sample->key;
	flow->slot = sample->slot;
	flow->error = flow->packets;
	flow->squares = 0;
	sketch->hash[lightest] = hash;
	return flow;
}

void sketch_add(struct sketch *sketch, const struct ff_sample *sample, double weight)
{
	uint32_t hash = key_hash(&sample->key);
	struct sketch_flow *flow = flow_find(sketch, &sample->key, hash);

	if (!flow)
		flow = flow_replace(sketch, sample, hash);
	flow->packets += weight;
	flow->bytes += weight * sample->len;
	flow->squares += weight * weight;
	sketch->packets += weight;
}

static int rate_compare(const void *a, const void *b)
{
	const struct sketch_rate *x = a, *y = b;

	if (x->packets_per_s != y->packets_per_s)
		return x->packets_per_s < y->packets_per_s ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key)); /* the same input gives the same list */
}

size_t sketch_top(const struct sketch *sketch, double share, size_t max, struct sketch_rate *ret)
{
	struct sketch_rate rates[SKETCH_FLOWS];
	size_t count = 0;

	for (size_t i = 0; i < sketch->count && sketch->span_s > 0; i++) {
		const struct sketch_flow *flow = &sketch->flows[i];

		double above = flow->packets - flow->error - share * sketch->packets;

		if (above < 0 || above * above < SKETCH_SIGMAS * SKETCH_SIGMAS * flow->squares ||
		    flow->packets <= 0)
			continue;
		rates[count++] = (struct sketch_rate){
			.key = flow->key,
			.slot = flow->slot,
			.packets_per_s = flow->packets / sketch->span_s,
			.bytes_per_s = flow->bytes / sketch->span_s,
			.error_per_s = flow->error / sketch->span_s,
		};
	}
	qsort(rates, count, sizeof(rates[0]), rate_compare);
	count = MIN(count, max);
	memcpy(ret, rates, count * sizeof(rates[0]));
	return count;
}
