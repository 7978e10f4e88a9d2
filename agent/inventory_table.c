/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* inventory_table.c - a service's owners, pins and rules, from the configuration into the table. */
#include "agent/inventory_table.h"

#include <stdlib.h>

#include "agent/move.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/match.h"

struct desired {
	struct table_desired table;
	struct slotset	    *sets;
	struct table_owner  *owners;
	struct ff_flow_key  *pins;
	uint16_t	    *pin_owners;
	struct subject_rule *rules;
	uint16_t	    *rule_owners;
	struct agent	    *agent;
};

static void desired_done(struct desired *d)
{
	free(d->owners);
	free(d->pins);
	free(d->pin_owners);
	free(d->rules);
	free(d->rule_owners);
}

/* Entries under a move are its business. */
static bool entry_busy(const void *ctx, const struct ff_flow_key *key, uint32_t slot, int rule)
{
	const struct desired *d = ctx;

	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		const struct move *m = d->agent->moves[i];

		if (!m || m->subject.service != d->table.service)
			continue;
		if (key ? subject_has_key(&m->subject, key)
			: rule < 0 && slotset_test(&m->subject.slots, slot))
			return true;
		for (size_t k = 0; rule >= 0 && k < m->subject.rules_count; k++)
			if (m->subject.rules[k].index == (uint32_t)rule)
				return true;
	}
	return false;
}

/* ["0-99,200", 5] becomes ranges. */
static int owners_read(struct desired *d, const json_t *list, uint32_t slots, struct ff_error *err)
{
	size_t n = 0;

	d->owners = calloc(slots + 1, sizeof(*d->owners));
	if (!d->owners)
		return error_nomem(err);
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *pair = json_array_get(list, i);
		const char *text = json_string_value(json_array_get(pair, 0));
		json_int_t owner = json_integer_value(json_array_get(pair, 1));
		struct slotset set;
		unsigned int slot;
		int r;

		if (!text || owner < 0 || owner >= FF_INSTANCES_MAX)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "owners[%zu] is no pair of slots and instance", i);
		r = slotset_parse(text, slots, &set, err);
		if (r)
			return r;
		slotset_foreach(slot, &set) {
			if (n == slots)
				return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
						 "owners name a slot twice");
			d->owners[n++] = (struct table_owner){slot, slot, (uint16_t)owner};
		}
	}
	d->table.owners_count = n;
	d->table.owners = d->owners;
	return 0;
}

static int pins_read(struct desired *d, const json_t *list, struct ff_error *err)
{
	size_t n = json_array_size(list);

	d->pins = calloc(n + 1, sizeof(*d->pins));
	d->pin_owners = calloc(n + 1, sizeof(*d->pin_owners));
	if (!d->pins || !d->pin_owners)
		return error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(list, i);
		const char *flow;
		int r = json_get_str(item, "flow", &flow, err);

		if (!r)
			r = json_get_u16(item, "instance", &d->pin_owners[i], err);
		if (!r)
			r = flow_read(flow, &d->pins[i], err);
		if (r)
			return r;
		d->pins[i].service = d->table.service;
	}
	d->table.pins = d->pins;
	d->table.pin_owners = d->pin_owners;
	d->table.pins_count = n;
	return 0;
}

static int rules_read(struct desired *d, const json_t *list, uint32_t slots, struct ff_error *err)
{
	size_t n = json_array_size(list);

	d->rules = calloc(n + 1, sizeof(*d->rules));
	d->rule_owners = calloc(n + 1, sizeof(*d->rule_owners));
	if (!d->rules || !d->rule_owners)
		return error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(list, i);
		const char *match, *text;
		int64_t index;
		bool exact = false;
		int r;

		r = json_get_range(item, "index", 0, FF_RULES_MAX - 1, &index, err);
		if (!r)
			r = json_get_str(item, "match", &match, err);
		if (!r)
			r = json_get_str(item, "slots", &text, err);
		if (!r)
			r = json_get_u16(item, "instance", &d->rule_owners[i], err);
		if (!r)
			r = match_from_text(match, &d->rules[i].match, &exact, err);
		if (!r && !exact)
			r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				      "rule %d: `%s` is no conjunction", (int)index, match);
		if (!r)
			r = slotset_parse(text, slots, &d->rules[i].slots, err);
		if (r)
			return r;
		d->rules[i].index = (uint32_t)index;
	}
	d->table.rules = d->rules;
	d->table.rule_owners = d->rule_owners;
	d->table.rules_count = n;
	return 0;
}

int inventory_table_apply(struct agent *agent, const json_t *item, uint16_t number,
			  struct ff_error *err)
{
	struct desired d = {.agent = agent};
	uint32_t slots = agent->dp->services[number].slot_mask + 1;
	int r;

	d.table.service = number;
	d.table.busy = entry_busy;
	d.table.ctx = &d;
	r = owners_read(&d, json_object_get(item, "owners"), slots, err);
	if (!r)
		r = pins_read(&d, json_object_get(item, "pins"), err);
	if (!r)
		r = rules_read(&d, json_object_get(item, "rules"), slots, err);
	if (!r)
		r = table_sync(agent->table, &d.table, err);
	desired_done(&d);
	return r;
}
