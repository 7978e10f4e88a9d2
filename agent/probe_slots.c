/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_slots.c - packets, bytes and flows of each slot, instance by instance: the slots that the
 * table gives it, and others of which it holds flows. What the data path counts modulo 2^32 is counted
 * on here, from our own start.
 */
#include <string.h>

#include "agent/agent.h"
#include "agent/probe.h"
#include "agent/slot_text.h"
#include "lib/clock.h"

#define SLOTS_PERIOD_MS 500 /* some thousand numbers: what decides by them looks at seconds */
#define SLOTS_TEXT_MAX	(256 << 10) /* in one sample, then one instance's more: see HTTP_LINE_MAX */

struct slots_instance {
	uint32_t prog_id;
	uint32_t last[FF_SLOTS_MAX];	/* packets, as the data path counts them */
	uint64_t packets[FF_SLOTS_MAX]; /* ever since */
};

struct slots {
	uint64_t begun_ns; /* the round */
	size_t next; /* instance, where the last sample had no more room; 0: the round is over */
	struct slots_instance *instances[FF_INSTANCES_MAX];
};

static int slots_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	(void)agent;
	*ret_state = calloc(1, sizeof(struct slots));
	return *ret_state ? 0 : error_nomem(err);
}

static void slots_close(void *state)
{
	struct slots *slots = state;

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		free(slots->instances[i]);
	free(slots);
}

static struct slots_instance *instance_own(struct slots *slots, const struct instance *instance)
{
	struct slots_instance *own = slots->instances[instance->id];

	if (own && own->prog_id == instance->prog_id)
		return own;
	free(own);
	own = slots->instances[instance->id] = calloc(1, sizeof(*own));
	if (own)
		own->prog_id = instance->prog_id;
	return own;
}

static void slot_tell(struct slots_instance *own, uint32_t slot, const struct ff_slot_load *load,
		      struct slot_text *out)
{
	own->packets[slot] += (uint32_t)(load->packets - own->last[slot]);
	own->last[slot] = load->packets;
	slot_text_put(out, slot, own->packets[slot], load->bytes, load->flows);
}

/* All flows are in slots that the table gives to the instance: nearly always so. */
static bool flows_at_home(const struct instance *instance, const struct ff_slot *table)
{
	uint64_t flows = __atomic_load_n(&instance->state.control->flows, __ATOMIC_RELAXED);

	for (uint32_t slot = 0; slot < instance->meters.slots; slot++)
		if (table[slot].steer.here == instance->id)
			flows -= meters_slot(&instance->meters, slot).flows;
	return !flows;
}

static void loads_put(struct agent *agent, struct slots_instance *own,
		      const struct instance *instance, struct slot_text *out)
{
	const struct ff_service *service = &agent->dp->services[instance->service];
	uint32_t bank = __atomic_load_n(&service->active, __ATOMIC_RELAXED) & 1;
	const struct ff_slot *table = &agent->dp->table[FF_TABLE_INDEX(instance->service, bank, 0)];
	bool home = flows_at_home(instance, table);

	for (uint32_t slot = 0; slot < instance->meters.slots; slot++) {
		bool owned = table[slot].steer.here == instance->id;
		struct ff_slot_load load;

		if (!owned && home)
			continue;
		load = meters_slot(&instance->meters, slot);
		if (owned || load.flows)
			slot_tell(own, slot, &load, out);
	}
}

/* {"instance":5,"slots":4096,"loads":"..."} */
static int instance_tell(struct agent *agent, struct slots *slots, const struct instance *instance,
			 struct json_text *out)
{
	struct slots_instance *own = instance_own(slots, instance);
	struct slot_text loads = { 0 };
	char *at;

	json_text_open(out, NULL, '{');
	json_text_uint(out, "instance", instance->id);
	json_text_uint(out, "slots", instance->meters.slots);
	json_text_name(out, "loads");
	at = json_text_room(out, instance->meters.slots * SLOT_TEXT_EACH + strlen("\"\""));
	if (!own || !at)
		return -ENOMEM;
	*at = '"';
	loads.text = at + 1;
	loads_put(agent, own, instance, &loads);
	loads.text[loads.len] = '"';
	out->len += loads.len + strlen("\"\"");
	json_text_close(out, '}');
	return 0;
}

/* Under instances_lock. Goes on with slots->next; 0 when all have been told. */
static int instances_tell(struct agent *agent, struct slots *slots, struct json_text *out)
{
	size_t begin = out->len;
	int r = 0;

	json_text_open(out, NULL, '[');
	for (; slots->next < FF_INSTANCES_MAX && out->len - begin < SLOTS_TEXT_MAX && !r;
	     slots->next++)
		if (agent->instances[slots->next])
			r = instance_tell(agent, slots, agent->instances[slots->next], out);
	json_text_close(out, ']');
	slots->next %= FF_INSTANCES_MAX;
	return r;
}

static int slots_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		      struct ff_error *err)
{
	struct slots *slots = state;
	int r;

	if (!slots->next) {
		if (now_ns - slots->begun_ns < SLOTS_PERIOD_MS * NSEC_PER_MSEC)
			return 0;
		slots->begun_ns = now_ns;
		slots->next = 1;
	}
	pthread_rwlock_rdlock(&agent->instances_lock);
	r = instances_tell(agent, slots, out);
	pthread_rwlock_unlock(&agent->instances_lock);
	return r ? error_nomem(err) : 0;
}

const struct probe probe_slots = { "slots", 0, slots_open, slots_read, slots_close };
