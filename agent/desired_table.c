/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* desired_table.c - a service's owners, pins and rules, from the configuration. */
#include "agent/desired_table.h"

#include <stdlib.h>

#include "lib/flow.h"
#include "lib/json.h"
#include "lib/match.h"

void desired_table_done(struct desired_service *s)
{
	free(s->owners);
	free(s->pins);
	free(s->pin_owners);
	free(s->rules);
	free(s->rule_owners);
}

/* ["0-99,200", 5] becomes ranges. */
static int owners_read(struct desired_service *s, const json_t *list, struct ff_error *err)
{
	struct slotset seen = {};
	size_t n = 0;

	s->owners = calloc(s->slots + 1, sizeof(*s->owners));
	if (!s->owners)
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
		r = slotset_parse(text, s->slots, &set, err);
		if (r)
			return r;
		slotset_foreach(slot, &set) {
			if (slotset_test(&seen, slot))
				return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
						 "owners name slot %u twice", slot);
			slotset_set(&seen, slot);
			s->owners[n++] = (struct table_owner){ slot, slot, (uint16_t)owner };
		}
	}
	s->table.owners_count = n;
	s->table.owners = s->owners;
	return 0;
}

static int pins_read(struct desired_service *s, const json_t *list, struct ff_error *err)
{
	size_t n = json_array_size(list);

	s->pins = calloc(n + 1, sizeof(*s->pins));
	s->pin_owners = calloc(n + 1, sizeof(*s->pin_owners));
	if (!s->pins || !s->pin_owners)
		return error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(list, i);
		const char *flow;
		int r = json_get_str(item, "flow", &flow, err);

		if (!r)
			r = json_get_u16(item, "instance", &s->pin_owners[i], err);
		if (!r)
			r = flow_read(flow, &s->pins[i], err);
		if (r)
			return r;
		s->pins[i].service = s->table.service;
	}
	s->table.pins = s->pins;
	s->table.pin_owners = s->pin_owners;
	s->table.pins_count = n;
	return 0;
}

static int rules_read(struct desired_service *s, const json_t *list, struct ff_error *err)
{
	size_t n = json_array_size(list);

	s->rules = calloc(n + 1, sizeof(*s->rules));
	s->rule_owners = calloc(n + 1, sizeof(*s->rule_owners));
	if (!s->rules || !s->rule_owners)
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
			r = json_get_u16(item, "instance", &s->rule_owners[i], err);
		if (!r)
			r = match_from_text(match, &s->rules[i].match, &exact, err);
		if (!r && !exact)
			r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				      "rule %d: `%s` is no conjunction", (int)index, match);
		if (!r)
			r = slotset_parse(text, s->slots, &s->rules[i].slots, err);
		if (r)
			return r;
		s->rules[i].index = (uint32_t)index;
	}
	s->table.rules = s->rules;
	s->table.rule_owners = s->rule_owners;
	s->table.rules_count = n;
	return 0;
}

int desired_table_read(const json_t *item, uint16_t number, struct desired_service *s,
		       struct ff_error *err)
{
	json_t *owners = NULL, *pins = NULL, *rules = NULL;
	int r = json_opt_array(item, "owners", &owners, err);

	s->table.service = number;
	if (!r)
		r = json_opt_array(item, "pins", &pins, err);
	if (!r)
		r = json_opt_array(item, "rules", &rules, err);
	if (!r)
		r = owners_read(s, owners, err);
	if (!r)
		r = pins_read(s, pins, err);
	return r ? r : rules_read(s, rules, err);
}
