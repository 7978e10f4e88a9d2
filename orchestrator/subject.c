/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* subject.c - see subject.h: one function for each way to name what is moved. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/filter.h"
#include "lib/json.h"
#include "orchestrator/operation.h"
#include "orchestrator/subject.h"

/* What the builders share. */
struct build {
	const struct move_request *request;
	const struct model *model;
	const struct service *service;
	const struct owners *table;
	const struct request_flows *flows;
	struct change *change;
	uint16_t from;
	uint32_t rules_taken;
	char *note;
	struct ff_error *err;
};

static int refuse(const struct build *build, const char *mend, const char *message)
{
	return error_set(build->err, EPERM, FF_CODE_REFUSED, mend, "%s", message);
}

/* ---- the whole instance ---------------------------------------------------------------------- */

static int pins_of_from(struct build *build, const struct ff_match *match)
{
	for (size_t i = 0; i < build->table->pins_n; i++) {
		const struct pin *pin = &build->table->pins[i];

		if (pin->instance != build->from || (match && !match_test(match, &pin->key)))
			continue;
		if (change_add_flow(build->change, &pin->key) < 0)
			return error_nomem(build->err);
	}
	return 0;
}

static void rule_add(struct build *build, unsigned int index, const struct ff_match *match,
		     const struct slotset *slots)
{
	build->change->rules[build->change->rules_n++] = (struct change_rule){
		.index = index,
		.match = *match,
		.slots = *slots,
	};
}

static int resolve_instance(struct build *build)
{
	return change_add_owned(build->change, build->table, build->from);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/*
 * A rule that leads to the owner of its slots is there only because another one lies behind it. It has
 * one instance for all of its slots, so it goes along with all of them or not at all.
 */
static int rules_of_slots(struct build *build, const struct slotset *slots)
{
	for (unsigned int i = 0; i < FF_RULES_MAX; i++) {
		const struct rule *rule = &build->table->rules[i];
		_cleanup_free_ char *text = NULL;

		if (!rule->used || rule->instance != build->from ||
		    !slotset_intersects(&rule->slots, slots))
			continue;
		if (slotset_contains(slots, &rule->slots)) {
			rule_add(build, i, &rule->match, &rule->slots);
			continue;
		}
		if (slotset_format(&rule->slots, &text) < 0)
			return error_nomem(build->err);
		return error_set(
			build->err, EPERM, FF_CODE_REFUSED,
			"move all of these slots, the whole instance, or its filter",
			"rule %u leads flows of slots %s of %s to %s, and only some of them "
			"would move",
			i, text, build->service->name, build->request->from);
	}
	return 0;
}

static int resolve_slots(struct build *build)
{
	struct slotset *slots = &build->change->slots;
	unsigned int slot;
	int r;

	r = slotset_parse(build->request->slots, build->table->slots, slots, build->err);
	if (r < 0)
		return r;
	if (slotset_is_empty(slots))
		return error_set(build->err, EINVAL, FF_CODE_BAD_REQUEST,
				 "name slots, e.g. 0-99,200; leave them out for all of them",
				 "\"slots\" is empty");
	slotset_foreach(slot, slots) {
		uint16_t owner = build->table->owners[slot];

		if (owner != build->from)
			return error_set(build->err, EPERM, FF_CODE_REFUSED,
					 "move it from there, or leave it out",
					 "slot %u of %s is owned by %s, not by %s", slot,
					 build->service->name,
					 model_instance_name(build->model, owner),
					 build->request->from);
	}
	/* exceptions that lead the slots' flows to `from` go along: the agents move whole slots */
	for (size_t i = 0; i < build->table->pins_n; i++) {
		const struct pin *pin = &build->table->pins[i];

		if (pin->instance == build->from &&
		    slotset_test(slots, owners_slot(build->table, &pin->key)) &&
		    change_add_flow(build->change, &pin->key) < 0)
			return error_nomem(build->err);
	}
	return rules_of_slots(build, slots);
}

/* ---- flows ----------------------------------------------------------------------------------- */

static int resolve_flows(struct build *build)
{
	const json_t *item;
	size_t i;

	json_array_foreach(build->request->flows, i, item) {
		struct ff_flow_key key;
		uint16_t owner;
		int r;

		if (!json_is_string(item))
			return error_set(build->err, EINVAL, FF_CODE_BAD_REQUEST,
					 "e.g. \"tcp 198.18.1.2:1234 198.18.2.2:80\"",
					 "\"flow\" is a list of texts; item %zu isn't one", i);
		r = flow_read(json_string_value(item), &key, build->err);
		if (r < 0)
			return r;
		owner = owners_find(build->table, &key, NULL, NULL);
		if (owner != build->from)
			return error_set(build->err, EPERM, FF_CODE_REFUSED,
					 "move it from there, or leave it out",
					 "flow %s is owned by %s, not by %s",
					 json_string_value(item),
					 model_instance_name(build->model, owner),
					 build->request->from);
		if (change_add_flow(build->change, &key) < 0)
			return error_nomem(build->err);
	}
	return 0;
}

/* Those fetched that the table really gives to `from`, by a rule if @only_by_rule. */
static int take_fetched(struct build *build, bool only_by_rule, size_t *ret_taken)
{
	const json_t *item;
	size_t i, taken = 0;

	if (!build->flows)
		return error_set(build->err, EINVAL, FF_CODE_INTERNAL, NULL,
				 "the source's flows weren't asked for");
	json_array_foreach(build->flows->list, i, item) {
		const char *text = json_is_string(item) ?
					   json_string_value(item) :
					   json_string_value(json_object_get(item, "flow"));
		enum owners_how how;
		struct ff_flow_key key;

		if (!text || flow_parse(text, &key) < 0 ||
		    owners_find(build->table, &key, &how, NULL) != build->from)
			continue;
		if (only_by_rule && how != OWNERS_RULE)
			continue;
		if (change_add_flow(build->change, &key) < 0)
			return error_nomem(build->err);
		taken++;
	}
	*ret_taken = taken;
	return 0;
}

static int resolve_count(struct build *build)
{
	size_t taken;
	int r;

	r = take_fetched(build, false, &taken);
	if (r < 0)
		return r;
	if (!taken)
		return refuse(build, "wait until it has some, or move slots",
			      "the instance has no flows now");
	if (taken < build->request->count)
		snprintf(build->note, REQUEST_NOTE_MAX, "asked for %u flows, but %s has only %zu",
			 build->request->count, build->request->from, taken);
	return 0;
}

/* ---- filters --------------------------------------------------------------------------------- */

static int resolve_rich_filter(struct build *build)
{
	size_t taken;
	int r;

	if (build->flows && build->flows->truncated)
		return error_set(build->err, E2BIG, FF_CODE_REFUSED,
				 "use a conjunction (tcp and src net ...), which becomes one rule, "
				 "or move slots",
				 "more than %d flows match \"%s\": too many to pin one by one",
				 OWNERS_PINS_MAX, build->request->filter);
	r = take_fetched(build, false, &taken);
	if (r < 0)
		return r;
	if (!taken)
		return refuse(build, "a filter that is no conjunction takes existing flows only",
			      "no flow of the instance matches now");
	snprintf(build->note, REQUEST_NOTE_MAX,
		 "the filter is more than a conjunction of protocol, prefixes and ports: the %zu "
		 "flows that match now are moved, flows that begin later are not",
		 taken);
	return 0;
}

/* Behind every rule that applies to one of the slots: those were there first, and stay so. */
static int free_index(const struct build *build, const struct slotset *slots)
{
	unsigned int index = 0;

	for (unsigned int i = 0; i < FF_RULES_MAX; i++)
		if (build->table->rules[i].used &&
		    slotset_intersects(&build->table->rules[i].slots, slots))
			index = i + 1;
	while (index < FF_RULES_MAX &&
	       (build->table->rules[index].used || (build->rules_taken & (1u << index))))
		index++;
	if (index < FF_RULES_MAX)
		return (int)index;
	return error_set(build->err, ENOSPC, FF_CODE_REFUSED,
			 "move whole slots or instances: that makes rules superfluous",
			 "service %s has no rule left (of %d) for another filter",
			 build->service->name, FF_RULES_MAX);
}

/* Rules of `from` with another match: what they and the filter have in common isn't one rule. */
static bool has_other_rules(const struct move_request *request, const struct owners *table,
			    uint16_t from)
{
	for (unsigned int i = 0; i < FF_RULES_MAX; i++)
		if (table->rules[i].used && table->rules[i].instance == from &&
		    memcmp(&table->rules[i].match, &request->match, sizeof(request->match)))
			return true;
	return false;
}

static int resolve_exact_filter(struct build *build)
{
	const struct move_request *request = build->request;
	struct slotset slots;
	size_t taken = 0;
	int r;

	owners_slots_of(build->table, build->from, &slots);
	if (!slotset_is_empty(&slots)) {
		r = free_index(build, &slots);
		if (r < 0)
			return r;
		rule_add(build, r, &request->match, &slots);
	}
	for (unsigned int i = 0; i < FF_RULES_MAX; i++) {
		const struct rule *rule = &build->table->rules[i];

		if (rule->used && rule->instance == build->from &&
		    !memcmp(&rule->match, &request->match, sizeof(request->match)))
			rule_add(build, i, &rule->match, &rule->slots);
	}
	r = pins_of_from(build, &request->match);
	if (r < 0)
		return r;
	if (has_other_rules(request, build->table, build->from)) {
		r = take_fetched(build, true, &taken);
		if (r < 0)
			return r;
	}
	if (taken)
		snprintf(build->note, REQUEST_NOTE_MAX,
			 "%zu flows are owned by %s through rules of other filters: of those the "
			 "existing ones are moved, flows that begin later are not",
			 taken, request->from);
	if (change_is_empty(build->change))
		return refuse(build, "choose another instance",
			      "the instance owns nothing that the filter could take");
	return 0;
}

/* ---- resolving ------------------------------------------------------------------------------- */

bool request_wants_flows(const struct move_request *request, const struct owners *table,
			 uint16_t from, const char **ret_filter, unsigned int *ret_limit)
{
	*ret_filter = request->what == REQUEST_FILTER ? request->filter : NULL;
	*ret_limit = request->what == REQUEST_COUNT ? request->count : OWNERS_PINS_MAX;
	switch (request->what) {
	case REQUEST_COUNT:
		return true;
	case REQUEST_FILTER:
		return !request->exact || has_other_rules(request, table, from);
	default:
		return false;
	}
}

static int build_change(struct build *build)
{
	switch (build->request->what) {
	case REQUEST_INSTANCE:
		return resolve_instance(build);
	case REQUEST_SLOTS:
		return resolve_slots(build);
	case REQUEST_COUNT:
		return resolve_count(build);
	case REQUEST_FLOWS:
		return resolve_flows(build);
	default:
		return build->request->exact ? resolve_exact_filter(build) :
					       resolve_rich_filter(build);
	}
}

int request_resolve(const struct move_request *request, const struct model *model,
		    const struct service *service, uint16_t from, const struct request_flows *flows,
		    uint32_t rules_taken, struct change **ret_change,
		    char ret_note[REQUEST_NOTE_MAX], struct ff_error *err)
{
	_cleanup_change_ struct change *change = calloc(1, sizeof(*change));
	struct build build = {
		.request = request,
		.model = model,
		.service = service,
		.table = &service->table,
		.flows = flows,
		.change = change,
		.from = from,
		.rules_taken = rules_taken,
		.note = ret_note,
		.err = err,
	};
	int r;

	if (!change)
		return error_nomem(err);
	ret_note[0] = '\0';
	r = build_change(&build);
	if (r < 0)
		return r;
	change_sort(change);
	if (change_is_empty(change))
		return error_set(err, EPERM, FF_CODE_REFUSED, "nothing to move; choose another one",
				 "instance %s owns no slots, pins or rules", request->from);
	if (service->table.pins_n + change->flows_n > OWNERS_PINS_MAX)
		return error_set(err, ENOSPC, FF_CODE_REFUSED, "move slots, or use a filter",
				 "service %s would have more than %d pins", service->name,
				 OWNERS_PINS_MAX);
	*ret_change = TAKE_PTR(change);
	return 0;
}

/* ---- overlap --------------------------------------------------------------------------------- */

uint32_t request_rules_taken(const struct model *model, const struct service *service)
{
	uint32_t taken = 0;

	for (const struct operation *operation = model->operations; operation;
	     operation = operation->next)
		for (size_t i = 0; operation->service == service->id && operation->subject &&
				   i < operation->subject->rules_n;
		     i++)
			taken |= 1u << operation->subject->rules[i].index;
	return taken;
}

int request_check_overlap(const struct model *model, const struct service *service,
			  const struct change *change, struct ff_error *err)
{
	for (const struct operation *operation = model->operations; operation;
	     operation = operation->next) {
		if (operation->service != service->id || !operation->subject ||
		    !change_overlaps(&service->table, change, operation->subject))
			continue;
		return error_set(err, EBUSY, FF_CODE_OVERLAP, "wait for it, or cancel it",
				 "some of these flows of %s are being moved from %s to %s by %s",
				 service->name, model_instance_name(model, operation->from),
				 model_instance_name(model, operation->to), operation->id);
	}
	return 0;
}
