/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rates.h - from one host's samples to rates: what loads.h asks for.
 *
 * Counters become rates by the host's own clock, so that a sample that was long on its way tells the
 * same; how old it is follows from the quickest that ever came, so that one that was long on its way
 * is old. A counter that goes back began anew: its rate is missing until there are two samples again.
 * So it is when the agent or an instance has been started anew, or when the clocks of host and
 * orchestrator have moved against each other. Pure: time is a parameter.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/slotset.h"
#include "orchestrator/loads.h"
#include "orchestrator/sample.h"

#define RATES_WINDOW_MS	     300  /* of packets: some samples, for one alone is noisy */
#define RATES_CPU_WINDOW_MS  1000 /* CPU time is counted in ticks of 10 ms */
#define RATES_STALE_MS	     1000 /* older figures may not be decided by */
#define RATES_SLOTS_STALE_MS 3000 /* those of slots and flows come every half second */
#define RATES_PACE	     100  /* two clocks differ in their pace by a hundredth at most */
#define RATES_DRIFT_MS	     5000 /* two clocks that part so far: one has jumped */

struct rates;

int rates_new(struct rates **ret);
void rates_free(struct rates *rates); /* NULL is fine */

/*
 * Takes a sample in; it may keep parts of it, and the caller frees it. -EINVAL: one that isn't newer
 * than what is there already; nothing has changed then.
 */
int rates_take(struct rates *rates, struct sample *sample, uint64_t arrived_ns,
	       struct ff_error *err);

/* Since the newest sample was taken; UINT64_MAX: there is none. */
uint64_t rates_age_ns(const struct rates *rates, uint64_t now_ns);
/* What the newest sample says of an instance. False: it isn't there. */
bool rates_member(const struct rates *rates, uint16_t instance, struct sample_instance *ret);
/* How often everything had to begin anew: agents restarted, clocks that jumped, counters. */
uint64_t rates_resets(const struct rates *rates);
/* Bit of each enum sample_part that the agent can't tell. */
uint32_t rates_missing(const struct rates *rates);

/*
 * Fill in what samples tell; the rest (number, name, state, what the model knows) is the caller's and
 * stays. The quality is always set.
 */
void rates_host(const struct rates *rates, uint64_t now_ns, struct host_load *load);
void rates_instance(const struct rates *rates, uint64_t now_ns, struct instance_load *load);

/* The slots that @instance owns by loads[].owner; returns how good they are. */
struct load_quality rates_slots(const struct rates *rates, uint64_t now_ns, uint16_t instance,
				struct slot_load *loads, size_t count);

/*
 * What an instance processes in slots that aren't its own, of @count: the flows of a rule, or of pins. All but
 * owner and index of *load; not valid: can't be told.
 */
void rates_strangers(const struct rates *rates, uint64_t now_ns, uint16_t instance, size_t count,
		     const struct slotset *slots, struct rule_load *load);

/* Adds what is known of how long its flows live. */
void rates_lives(const struct rates *rates, uint16_t instance, struct life_table *lives);

/* Its heaviest flows: at most @max of them into @ret, with key, slot and figures; @lives: of
 * their service. Returns how many.
 */
size_t rates_flows(const struct rates *rates, uint64_t now_ns, uint16_t instance,
		   const struct life_table *lives, struct flow_load *ret, size_t max);

/* For people and scripts: {"age_ms","cpu":{},..,"instances":[]}, without what isn't known. */
json_t *rates_json(const struct rates *rates, uint64_t now_ns);
