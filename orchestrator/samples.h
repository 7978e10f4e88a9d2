/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * samples.h - follows every agent's samples, and has the newest figures of all hosts at hand.
 *
 * Beside monitor.h, which asks hosts whether they are there and keeps them at the desired state: one
 * thread for each host reads GET /v1/samples for as long as the agent sends. A stream rather than
 * questions: a question ten times a second for each host, of which each waits for an answer, costs more
 * than the answer, and what happens on a host is heard when it happens. Samples that make no sense are
 * refused, counted and told; none is ever taken for zero.
 *
 * Locks: one for each host's figures. Taken after the model's.
 */
#pragma once

#include "lib/slotset.h"
#include "orchestrator/detect.h"
#include "orchestrator/loads.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/sample.h"

#define SAMPLES_RETRY_MS 200  /* before an agent whose stream ended is asked again */
#define SAMPLES_STALL_MS 2500 /* without a line: the stream is given up, and begun anew */

struct samples;

int samples_start(struct orchestrator *orch, struct samples **ret, struct ff_error *err);
/* model.stopping is set. NULL is fine. */
void samples_stop(struct samples *samples);

/* Gives up a stream that has stalled; to be called now and then. Any thread. */
void samples_check(struct samples *samples, const struct host *host);

/* Since the host's newest sample was taken there; UINT64_MAX: none has come. Any thread. */
uint64_t samples_age_ns(const struct samples *samples, const struct host *host);

/*
 * Waits until something has come since *news, or until that time (our clock). *news is then of now;
 * begin with 0.
 */
void samples_await(struct samples *samples, uint64_t *news, uint64_t until_ns);
/* Those who wait go on: the daemon stops, or has something for them. */
void samples_tell(struct samples *samples);

/* What is known of the hosts, as model.hosts, but for their numbers and names. */
void samples_facts(const struct samples *samples, struct detect_host *ret_hosts);

/* The newest sample's time by the host's clock, and when it was taken by ours; 0: none. */
struct samples_clock {
	uint64_t host_ns;
	uint64_t taken_ns; /* an estimate: the quickest sample is taken to have come at once */
	uint64_t came_ns;
};
struct samples_clock samples_clock(const struct samples *samples, const struct host *host);

/* What @host has sent to @peer through the tunnel, and of it what may be lost; when that was told. */
struct samples_sent {
	uint64_t packets, unheard;
	uint64_t told_ns;
};
struct samples_sent samples_sent(const struct samples *samples, const struct host *host,
				 uint16_t peer);

/* What the host's newest sample says of an instance of its. False: it doesn't have it. */
bool samples_member(const struct samples *samples, const struct host *host, uint16_t instance,
		    struct sample_instance *ret);

/* The newest figures, for people and scripts. NULL: out of memory. */
json_t *samples_json(const struct samples *samples, const struct host *host);

/*
 * What the host's samples say, see rates.h; what they don't say stays as it is. Taken after the model's
 * lock, or without it.
 */
void samples_host(const struct samples *samples, const struct host *host, uint64_t now_ns,
		  struct host_load *load);
void samples_instance(const struct samples *samples, const struct host *host, uint64_t now_ns,
		      struct instance_load *load);
struct load_quality samples_slots(const struct samples *samples, const struct host *host,
				  uint64_t now_ns, uint16_t instance, struct slot_load *loads,
				  size_t count);
void samples_strangers(const struct samples *samples, const struct host *host, uint64_t now_ns,
		       uint16_t instance, size_t count, const struct slotset *slots,
		       struct rule_load *load);
void samples_lives(const struct samples *samples, const struct host *host, uint16_t instance,
		   struct life_table *lives);
size_t samples_flows(const struct samples *samples, const struct host *host, uint64_t now_ns,
		     uint16_t instance, const struct life_table *lives, struct flow_load *ret,
		     size_t max);
