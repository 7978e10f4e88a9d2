/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* change.c - change sets (struct change): building, comparing, and their JSON form. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/owners.h"

bool change_is_empty(const struct change *subject)
{
	return !subject->flows_n && !subject->rules_n && slotset_is_empty(&subject->slots);
}

int change_add_flow(struct change *subject, const struct ff_flow_key *key)
{
	/* grows at the powers of two, so no capacity needs keeping */
	if (!(subject->flows_n & (subject->flows_n - 1))) {
		size_t room = subject->flows_n ? subject->flows_n * 2 : 1;
		void *grown = reallocarray(subject->flows, room, sizeof(*subject->flows));

		if (!grown)
			return -ENOMEM;
		subject->flows = grown;
	}
	subject->flows[subject->flows_n] = *key;
	subject->flows[subject->flows_n++].service = 0;
	return 0;
}

static int key_cmp(const void *x, const void *y)
{
	return flow_cmp(x, y);
}

void change_sort(struct change *subject)
{
	size_t kept = 0;

	if (!subject->flows_n)
		return;
	qsort(subject->flows, subject->flows_n, sizeof(*subject->flows), key_cmp);
	for (size_t i = 1; i < subject->flows_n; i++)
		if (flow_cmp(&subject->flows[kept], &subject->flows[i]))
			subject->flows[++kept] = subject->flows[i];
	subject->flows_n = kept + 1;
}

int change_add_owned(struct change *subject, const struct owners *table, uint16_t instance)
{
	owners_slots_of(table, instance, &subject->slots);
	for (unsigned int i = 0; i < FF_RULES_MAX; i++)
		if (table->rules[i].used && table->rules[i].instance == instance)
			subject->rules[subject->rules_n++] =
				(struct change_rule){ .index = i,
						      .match = table->rules[i].match,
						      .slots = table->rules[i].slots };
	for (size_t i = 0; i < table->pins_n; i++)
		if (table->pins[i].instance == instance &&
		    change_add_flow(subject, &table->pins[i].key) < 0)
			return -ENOMEM;
	change_sort(subject);
	return 0;
}

void change_free(struct change *subject)
{
	if (!subject)
		return;
	free(subject->flows);
	free(subject);
}

/* ---- overlap -------------------------------------------------------------------------------- */

static bool flows_overlap(const struct change *x, const struct change *y)
{
	size_t i = 0, j = 0;

	while (i < x->flows_n && j < y->flows_n) {
		int order = flow_cmp(&x->flows[i], &y->flows[j]);

		if (!order)
			return true;
		i += order < 0;
		j += order > 0;
	}
	return false;
}

/* Whether a flow of @x is one that @y's slots or rules may be about. */
static bool flows_inside(const struct owners *table, const struct change *x, const struct change *y)
{
	for (size_t i = 0; i < x->flows_n; i++) {
		unsigned int slot = owners_slot(table, &x->flows[i]);

		if (slotset_test(&y->slots, slot))
			return true;
		for (size_t k = 0; k < y->rules_n; k++)
			if (slotset_test(&y->rules[k].slots, slot) &&
			    match_test(&y->rules[k].match, &x->flows[i]))
				return true;
	}
	return false;
}

static bool rules_inside(const struct change *x, const struct change *y)
{
	for (size_t i = 0; i < x->rules_n; i++) {
		if (slotset_intersects(&x->rules[i].slots, &y->slots))
			return true;
		/* whether two matches have a flow in common isn't worked out: their slots decide */
		for (size_t k = 0; k < y->rules_n; k++)
			if (slotset_intersects(&x->rules[i].slots, &y->rules[k].slots))
				return true;
	}
	return false;
}

bool change_overlaps(const struct owners *table, const struct change *x, const struct change *y)
{
	return slotset_intersects(&x->slots, &y->slots) || rules_inside(x, y) ||
	       rules_inside(y, x) || flows_overlap(x, y) || flows_inside(table, x, y) ||
	       flows_inside(table, y, x);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *slots_to_json(const struct slotset *slots)
{
	_cleanup_free_ char *text = NULL;

	if (slotset_format(slots, &text) < 0)
		return NULL;
	return json_string(text);
}

static json_t *flows_to_json(const struct change *subject, size_t flows_max)
{
	json_t *list = json_array();
	char text[FLOW_TEXT_MAX];

	for (size_t i = 0; list && i < subject->flows_n && i < flows_max; i++) {
		if (json_array_append_new(list,
					  json_string(flow_format(&subject->flows[i], text)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *rules_to_json(const struct change *subject)
{
	json_t *list = json_array();

	for (size_t i = 0; i < subject->rules_n; i++) {
		const struct change_rule *rule = &subject->rules[i];
		json_t *one = json_object();
		char text[MATCH_TEXT_MAX];
		int bad;

		bad = match_format(&rule->match, text) < 0;
		bad |= json_put_uint(one, "index", rule->index) < 0;
		bad |= json_put_str(one, "match", text) < 0;
		bad |= json_put(one, "slots", slots_to_json(&rule->slots)) < 0;
		if (json_array_append_new(list, one) || bad) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

json_t *change_to_json(const struct change *subject, size_t flows_max)
{
	_cleanup_json_ json_t *json = json_object();

	if (json_put(json, "slots", slots_to_json(&subject->slots)) < 0 ||
	    json_put(json, "flows", flows_to_json(subject, flows_max)) < 0 ||
	    json_put(json, "rules", rules_to_json(subject)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static int slots_from_json(const json_t *json, uint32_t slots, struct slotset *ret,
			   struct ff_error *err)
{
	const char *text = "";
	int r;

	r = json_opt_str(json, "slots", &text, err);
	if (r < 0)
		return r;
	return slotset_parse(text, slots, ret, err);
}

static int rule_from_json(const json_t *json, uint32_t slots, struct change_rule *ret,
			  struct ff_error *err)
{
	const char *text;
	int64_t index;
	bool exact;
	int r;

	r = json_get_range(json, "index", 0, FF_RULES_MAX - 1, &index, err);
	if (r < 0)
		return r;
	ret->index = index;
	r = json_get_str(json, "match", &text, err);
	if (r < 0)
		return r;
	r = match_from_text(text, &ret->match, &exact, err);
	if (r < 0)
		return r;
	if (!exact)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "rule %u: \"%s\" is more than a match can say", ret->index, text);
	return slots_from_json(json, slots, &ret->slots, err);
}

int change_from_json(const json_t *json, uint32_t slots, struct change **ret_subject,
		     struct ff_error *err)
{
	_cleanup_change_ struct change *subject = calloc(1, sizeof(*subject));
	json_t *flows = NULL, *rules = NULL, *item;
	size_t i;
	int r;

	if (!subject)
		return error_nomem(err);
	r = slots_from_json(json, slots, &subject->slots, err);
	if (r < 0)
		return r;
	r = json_opt_array(json, "flows", &flows, err);
	if (r < 0)
		return r;
	json_array_foreach(flows, i, item) {
		struct ff_flow_key key;

		r = flow_read(json_string_value(item) ?: "", &key, err);
		if (r < 0)
			return r;
		if (change_add_flow(subject, &key) < 0)
			return error_nomem(err);
	}
	change_sort(subject);
	r = json_opt_array(json, "rules", &rules, err);
	if (r < 0)
		return r;
	if (json_array_size(rules) > FF_RULES_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "more than %d rules",
				 FF_RULES_MAX);
	json_array_foreach(rules, i, item) {
		r = rule_from_json(item, slots, &subject->rules[i], err);
		if (r < 0)
			return r;
		subject->rules_n++;
	}
	*ret_subject = TAKE_PTR(subject);
	return 0;
}
