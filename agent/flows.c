/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/flows.h"

#include <string.h>

#include <bpf/bpf.h>

#include "agent/move.h"
#include "lib/clock.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/json.h"

#define DEAD_PINS_MAX 4096 /* reported at once; the rest comes with the next question */

static json_t *flow_json(struct agent *agent, const struct instance *instance,
			 const struct ff_flow_key *key, const void *value)
{
	json_t *json = instance_flow_json(instance, key, value, clock_ns());
	const char *how;

	if (!json)
		return NULL;
	table_lookup(agent->table, instance->service, key, &how);
	json_put_str(json, "instance", instance->name);
	json_put_str(json, "host", agent->config->host);
	json_put_str(json, "how", how);
	return json;
}

struct listing {
	struct agent *agent;
	struct instance *instance;
	const struct filter *filter;
	json_t *list;
	size_t limit;
	enum flows_form form;
	bool truncated;
};

static bool listing_wants(const void *ctx, const struct ff_flow_key *key)
{
	const struct listing *l = ctx;

	return filter_matches(l->filter, key);
}

static json_t *age_json(const struct ff_flow_key *key, const struct ff_head *head)
{
	char text[FLOW_TEXT_MAX];

	return json_pack("{ss sI}", "flow", flow_format(key, text), "age_ms",
			 (json_int_t)state_age_ms(head, clock_ns()));
}

static int listing_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct listing *l = ctx;
	const struct ff_head *head = value;
	char text[FLOW_TEXT_MAX];
	json_t *json;

	if (l->form == FLOWS_AGES && !head->born)
		return 0;
	if (json_array_size(l->list) >= l->limit) {
		l->truncated = true;
		return 1;
	}
	if (l->form == FLOWS_AGES)
		json = age_json(key, head);
	else if (l->form == FLOWS_TEXT)
		json = json_string(flow_format(key, text));
	else
		json = flow_json(l->agent, l->instance, key, value);
	return json_array_append_new(l->list, json) ? -ENOMEM : 0;
}

int flows_list(struct agent *agent, const char *name, const char *text, size_t limit,
	       enum flows_form form, json_t **ret, struct ff_error *err)
{
	_cleanup_filter_ struct filter *filter = NULL;
	struct listing l = { .agent = agent, .limit = limit, .form = form };
	struct state_select select = { .wants = listing_wants, .ctx = &l };
	uint64_t scanned = 0;
	bool found = false;
	int r = filter_new(text, &filter, err);

	if (r)
		return r;
	l.filter = filter;
	l.list = json_array();
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX && r >= 0 && !l.truncated; id++) {
		uint64_t n = 0;

		l.instance = agent->instances[id];
		if (!l.instance || (name && strcmp(name, l.instance->name)))
			continue;
		found = true;
		r = state_dump(&l.instance->state, &select, listing_visit, &l, &n, err);
		scanned += n;
	}
	pthread_rwlock_unlock(&agent->instances_lock);
	if (r >= 0 && name && !found)
		r = error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no instance %s on host %s",
			      name, agent->config->host);
	if (r < 0) {
		json_decref(l.list);
		return r;
	}
	*ret = json_pack("{so sI sb}", "flows", l.list, "scanned", (json_int_t)scanned, "truncated",
			 l.truncated);
	return 0;
}

int flows_lookup(struct agent *agent, uint16_t service, const char *flow, json_t **ret,
		 struct ff_error *err)
{
	struct ff_flow_key key;
	uint8_t value[STREAM_VALUE_MAX];
	int r = flow_read(flow, &key, err);

	if (r)
		return r;
	key.service = service;
	r = -ENOENT;
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX && r; id++) {
		const struct instance *instance = agent->instances[id];
		const char *how;

		if (!instance || instance->service != service ||
		    state_lookup(&instance->state, &key, value))
			continue;
		/* a move's source and target both have it: the one that packets go to is right */
		if (table_lookup(agent->table, service, &key, &how).here != instance->id)
			continue;
		*ret = flow_json(agent, instance, &key, value);
		r = 0;
	}
	pthread_rwlock_unlock(&agent->instances_lock);
	return r ? error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
			     "flow %s has no state on host %s", flow, agent->config->host) :
		   0;
}

static bool key_moves(struct move *const moves[FF_LANES_MAX], const struct ff_flow_key *key)
{
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		if (moves[i] && subject_has_key(&moves[i]->subject, key))
			return true;
	return false;
}

/* A move that begins meanwhile keeps its entries: PUT /v1/config leaves them alone. */
static void dead_pins_collect(struct agent *agent, const struct instance *instance, json_t *list)
{
	uint8_t value[STREAM_VALUE_MAX];
	struct ff_flow_key key, next, *prev = NULL;
	struct move *moves[FF_LANES_MAX];
	char text[FLOW_TEXT_MAX];

	move_all(agent, moves);
	while (json_array_size(list) < DEAD_PINS_MAX &&
	       !bpf_map_get_next_key(agent->dp->pins_fd, prev, &next)) {
		const char *how;

		key = next;
		prev = &key;
		if (key.service != instance->service || key_moves(moves, &key) ||
		    table_lookup(agent->table, key.service, &key, &how).here != instance->id ||
		    strcmp(how, "pin") || !state_lookup(&instance->state, &key, value))
			continue;
		json_array_append_new(list, json_string(flow_format(&key, text)));
	}
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		move_put(moves[i]);
}

int flows_dead_pins(struct agent *agent, const char *name, json_t **ret, struct ff_error *err)
{
	struct instance *instance;
	json_t *list = json_array();

	pthread_rwlock_rdlock(&agent->instances_lock);
	instance = agent_instance_named(agent, name);
	if (instance)
		dead_pins_collect(agent, instance, list);
	pthread_rwlock_unlock(&agent->instances_lock);
	if (!instance) {
		json_decref(list);
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no instance %s on host %s",
				 name, agent->config->host);
	}
	*ret = json_pack("{so}", "flows", list);
	return 0;
}
