/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/heir.h"

#include <inttypes.h>
#include <stdlib.h>

#include "agent/move.h"
#include "lib/clock.h"
#include "lib/log.h"

/* Moves that were under way at the takeover have ended by then, after a crash of the orchestrator, too. */
#define HEIR_NS (300 * NSEC_PER_SEC)

struct surplus {
	struct agent *agent;
	const struct instance *heir;
	struct flow_keys keys;
};

#define STILL_STANDBY                                                                              \
	UINT64_MAX /* for all that this mark says: the end of it is found by heirs_trim() */

void heir_mark(struct instance *instance)
{
	instance->state.control->heir_until_ns = STILL_STANDBY;
}

static bool service_moves(struct agent *agent, uint16_t service)
{
	bool found = false;

	pthread_mutex_lock(&agent->moves_lock);
	for (size_t i = 0; i < FF_LANES_MAX && !found; i++)
		found = (agent->moves[i] && agent->moves[i]->subject.service == service) ||
			(agent->waiting[i] && agent->waiting[i]->subject.service == service);
	pthread_mutex_unlock(&agent->moves_lock);
	return found;
}

/* Slots, rules and pins: as a packet would find it. */
static bool is_elsewhere(const void *ctx, const struct ff_flow_key *key)
{
	const struct surplus *s = ctx;
	const char *how;
	struct ff_steer steer = table_lookup(s->agent->table, s->heir->service, key, &how);

	return steer.here != s->heir->id && steer.owner != s->heir->id;
}

static int surplus_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct surplus *s = ctx;

	(void)value;
	return flow_keys_add(&s->keys, key);
}

static bool trim(struct agent *agent, struct instance *heir)
{
	struct surplus surplus = { .agent = agent, .heir = heir };
	struct slotset slots = {}, own;
	struct state_select select = { .slots = &slots, .wants = is_elsewhere, .ctx = &surplus };
	struct ff_error err = {};
	uint64_t deleted = 0;
	int r;

	slotset_set_range(&slots, 0, heir->state.slot_mask);
	if (table_slots_of(agent->table, heir->service, heir->id, &own))
		slotset_subtract(&slots, &own); /* nothing makes exceptions in its own */
	r = state_dump(&heir->state, &select, surplus_visit, &surplus, NULL, &err);
	if (!r && surplus.keys.count) {
		cpus_quiesce(agent->cpus); /* packets that found the table as it was */
		r = state_forget_keys(&heir->state, surplus.keys.keys, surplus.keys.count, &deleted,
				      &err);
	}
	free(surplus.keys.keys);
	if (r)
		log_warn("instance %s: %s", heir->name, err.message);
	else if (deleted)
		log_info("instance %s: %" PRIu64 " flows that others own forgotten", heir->name,
			 deleted);
	return !r;
}

void heirs_trim(struct agent *agent)
{
	uint64_t now_ns = clock_ns();

	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		struct instance *heir = agent->instances[id];
		__u64 *until_ns = heir ? &heir->state.control->heir_until_ns : NULL;

		if (!heir || !*until_ns || standby_is(agent, id) ||
		    service_moves(agent, heir->service))
			continue;
		if (*until_ns == STILL_STANDBY)
			*until_ns = now_ns + HEIR_NS;
		if (trim(agent, heir) && now_ns > *until_ns)
			*until_ns = 0;
		watchdog_step(agent);
	}
}
