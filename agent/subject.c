/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/subject.h"

#include <stdlib.h>
#include <string.h>

#include "lib/flow.h"
#include "lib/json.h"
#include "lib/match.h"

static int key_order(const void *x, const void *y)
{
	return flow_cmp(x, y);
}

static int keys_parse(json_t *list, struct subject *s, struct ff_error *err)
{
	size_t n = json_array_size(list);

	s->keys = calloc(n + 1, sizeof(*s->keys));
	if (!s->keys)
		return error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		int r = text ? flow_read(text, &s->keys[i], err) :
			       error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "give flows as text",
					 "subject.flows[%zu] is no string", i);

		if (r)
			return r;
		s->keys[i].service = s->service;
	}
	s->keys_count = n;
	qsort(s->keys, n, sizeof(*s->keys), key_order);
	return 0;
}

static int rules_parse(json_t *list, struct subject *s, struct ff_error *err)
{
	size_t n = json_array_size(list);

	s->rules = calloc(n + 1, sizeof(*s->rules));
	if (!s->rules)
		return error_nomem(err);
	s->rules_count = n;
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(list, i);
		struct subject_rule *rule = &s->rules[i];
		const char *match = "", *slots = "";
		int64_t index;
		bool exact = false;
		int r;

		r = json_get_range(item, "index", 0, FF_RULES_MAX - 1, &index, err);
		if (!r)
			r = json_get_str(item, "match", &match, err);
		if (!r)
			r = json_get_str(item, "slots", &slots, err);
		if (!r)
			r = match_from_text(match, &rule->match, &exact, err);
		if (!r && !exact)
			r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				      "a rule is a conjunction of prefixes, protocol and ports",
				      "rule %d: `%s` is richer than that", (int)index, match);
		if (!r)
			r = slotset_parse(slots, s->slots_count, &rule->slots, err);
		if (r)
			return r;
		rule->index = (uint32_t)index;
	}
	return 0;
}

int subject_parse(const json_t *json, uint16_t number, const struct ff_service *service,
		  struct subject *ret, struct ff_error *err)
{
	struct subject s = {
		.service = number,
		.slots_count = service->slot_mask + 1,
		.seed = { service->seed[0], service->seed[1] },
	};
	json_t *flows = NULL, *rules = NULL;
	const char *slots = "";
	int r;

	ff_slot_keys_make(s.seed, &s.slot_keys);
	r = json_opt_str(json, "slots", &slots, err);
	if (!r)
		r = json_opt_array(json, "flows", &flows, err);
	if (!r)
		r = json_opt_array(json, "rules", &rules, err);
	if (!r)
		r = slotset_parse(slots, s.slots_count, &s.slots, err);
	if (!r)
		r = keys_parse(flows, &s, err);
	if (!r)
		r = rules_parse(rules, &s, err);
	if (r) {
		subject_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void subject_done(struct subject *subject)
{
	free(subject->keys);
	free(subject->rules);
	memset(subject, 0, sizeof(*subject));
}

uint32_t subject_slot(const struct subject *subject, const struct ff_flow_key *key)
{
	return ff_slot_hash_keyed(key, &subject->slot_keys) & (subject->slots_count - 1);
}

bool subject_has_key(const struct subject *s, const struct ff_flow_key *key)
{
	return s->keys_count && bsearch(key, s->keys, s->keys_count, sizeof(*key), key_order);
}

bool subject_wants(const void *subject, const struct ff_flow_key *key)
{
	const struct subject *s = subject;
	uint32_t slot = subject_slot(s, key);

	if (slotset_test(&s->slots, slot) || subject_has_key(s, key))
		return true;
	for (size_t i = 0; i < s->rules_count; i++)
		if (slotset_test(&s->rules[i].slots, slot) && match_test(&s->rules[i].match, key))
			return true;
	return false;
}

/* Slots and rules, which take in flows that nobody has listed. */
static void slots_taken(const struct subject *s, struct slotset *ret)
{
	*ret = s->slots;
	for (size_t i = 0; i < s->rules_count; i++)
		slotset_union(ret, &s->rules[i].slots);
}

static bool keys_overlap(const struct subject *s, const struct slotset *slots,
			 const struct subject *other)
{
	for (size_t i = 0; i < s->keys_count; i++)
		if (slotset_test(slots, subject_slot(s, &s->keys[i])) ||
		    subject_has_key(other, &s->keys[i]))
			return true;
	return false;
}

bool subject_overlaps(const struct subject *x, const struct subject *y)
{
	struct slotset slots_x, slots_y;

	if (x->service != y->service)
		return false;
	slots_taken(x, &slots_x);
	slots_taken(y, &slots_y);
	return slotset_intersects(&slots_x, &slots_y) || keys_overlap(x, &slots_y, y) ||
	       keys_overlap(y, &slots_x, x);
}

void subject_slots(const struct subject *s, struct slotset *ret)
{
	*ret = s->slots;
	for (size_t i = 0; i < s->keys_count; i++)
		slotset_set(ret, subject_slot(s, &s->keys[i]));
	for (size_t i = 0; i < s->rules_count; i++)
		slotset_union(ret, &s->rules[i].slots);
}

void subject_paths(const struct subject *s, uint64_t ret[FF_PATHS / 64])
{
	struct slotset slots;
	unsigned int slot;

	subject_slots(s, &slots);
	memset(ret, 0, FF_PATHS / 8);
	slotset_foreach(slot, &slots)
		ret[slot % FF_PATHS / 64] |= 1ull << (slot % 64);
}

bool subject_is_slots(const struct subject *s)
{
	return !s->keys_count && !s->rules_count;
}
