/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_request.c - the body of a prepare request, as a struct move. */
#include <string.h>

#include "agent/move_internal.h"
#include "agent/neighbours.h"
#include "lib/clock.h"
#include "lib/json.h"

static int enum_read(const char *what, const char *value, const char *const *names, int count,
		     struct ff_error *err)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(value, names[i]))
			return i;
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md", "%s: `%s` is none", what,
			 value);
}

static int roles_read(struct move *move, const json_t *body, struct ff_error *err)
{
	json_t *roles;
	int r = json_get_array(body, "roles", &roles, err);

	for (size_t i = 0; !r && i < json_array_size(roles); i++) {
		const char *role = json_string_value(json_array_get(roles, i)) ?: "";

		if (!strcmp(role, "source"))
			move->is_source = true;
		else if (!strcmp(role, "target"))
			move->is_target = true;
		else if (!strcmp(role, "steering"))
			move->is_steering = true;
		else
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md",
					 "roles: `%s` is none", role);
	}
	return r;
}

static int steering_read(struct move *move, const json_t *body, struct ff_error *err)
{
	json_t *list, *item;
	size_t i;
	int r = json_get_array(body, "steering", &list, err);

	if (r)
		return r;
	json_array_foreach(list, i, item) {
		int64_t no, host, cpus;

		r = json_get_range(item, "no", 0, FENCE_FROM_TARGET - 1, &no, err);
		if (!r)
			r = json_get_range(item, "host", 1, FF_HOSTS_MAX - 1, &host, err);
		if (!r)
			r = json_get_range(item, "cpus", 1, FF_CPUS_MAX, &cpus, err);
		if (r)
			return r;
		move->steering_cpus[no] = (uint16_t)cpus;
		if (host == move->agent->dp->host->host)
			move->place = (uint16_t)no;
	}
	return 0;
}

static int fields_read(struct move *move, const json_t *body, struct ff_error *err)
{
	static const char *const guarantees[] = { "none", "loss-free", "order-preserving" };
	static const char *const policies[] = { "abort", "drop", "reorder" };
	const char *token, *guarantee = guarantees[GUARANTEE_ORDER], *overflow = policies[0];
	const char *url = NULL;
	bool precopy = true;
	uint16_t service;
	int64_t limit = LANE_PARK_LIMIT;
	json_t *subject;
	char *end;
	int r;

	r = json_get_str(body, "token", &token, err);
	if (!r)
		r = json_get_u16(body, "service", &service, err);
	if (!r)
		r = json_get_u16(body, "from", &move->from, err);
	if (!r)
		r = json_get_u16(body, "to", &move->to, err);
	if (!r)
		r = json_get_u32(body, "source_host", &move->source_host, err);
	if (!r)
		r = json_get_u32(body, "target_host", &move->target_host, err);
	if (!r)
		r = json_opt_str(body, "target_url", &url, err);
	if (!r)
		r = json_opt_str(body, "guarantee", &guarantee, err);
	if (!r)
		r = json_opt_str(body, "on_overflow", &overflow, err);
	if (!r)
		r = json_opt_range(body, "park_limit", 1, LANE_PARK_LIMIT_MAX, &limit, err);
	if (!r)
		r = json_opt_bool(body, "precopy", &precopy, err);
	if (!r)
		r = json_get_object(body, "subject", &subject, err);
	if (!r)
		r = roles_read(move, body, err);
	if (!r)
		r = steering_read(move, body, err);
	if (r)
		return r;
	move->token = strtoull(token, &end, 16) & ~1ull;
	if (*end || !move->token)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "token: `%s`", token);
	if (!service || service >= FF_SERVICES_MAX || !move->agent->dp->services[service].used)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "push the configuration first",
				 "host %s knows no service %u", move->agent->config->host, service);
	r = enum_read("guarantee", guarantee, guarantees, 3, err);
	if (r < 0)
		return r;
	move->guarantee = (enum guarantee)r;
	r = enum_read("on_overflow", overflow, policies, 3, err);
	if (r < 0)
		return r;
	move->overflow = (uint16_t)r;
	move->park_limit = (uint32_t)limit;
	move->no_precopy = !precopy;
	r = subject_parse(subject, service, &move->agent->dp->services[service], &move->subject,
			  err);
	if (!r && move->is_source)
		r = url ? neighbour_get(move->agent, url, &move->target, err) :
			  error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				    "target_url is missing");
	return r;
}

/* The instances that this host needs for its roles. Under agent.lock. */
int move_instances_find(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;

	if (move->is_source)
		move->instance_from = agent_instance(agent, move->from);
	if (move->is_target)
		move->instance_to = agent_instance(agent, move->to);
	if ((move->is_source && !move->instance_from) || (move->is_target && !move->instance_to))
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "push the configuration first",
				 "instance %u isn't on host %s",
				 move->is_source && !move->instance_from ? move->from : move->to,
				 agent->config->host);
	if ((move->is_source && standby_is(agent, move->from)) ||
	    (move->is_target && standby_is(agent, move->to)))
		return error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
				 "instance %u is a standby: it owns nothing",
				 move->is_target && standby_is(agent, move->to) ? move->to :
										  move->from);
	return 0;
}

int move_new(struct agent *agent, const char *id, const json_t *body, struct move **ret,
	     struct ff_error *err)
{
	struct move *move = calloc(1, sizeof(*move));
	int r;

	if (!move)
		return error_nomem(err);
	move->agent = agent;
	atomic_init(&move->refs, 1);
	pthread_mutex_init(&move->ends, NULL);
	pthread_mutex_init(&move->turn, NULL);
	pthread_mutex_init(&move->edit, NULL);
	pthread_mutex_init(&move->lock, NULL);
	clock_cond_init(&move->changed);
	strcpy(move->id, id);
	move->request = json_deep_copy(body);
	r = move->request ? fields_read(move, body, err) : error_nomem(err);
	if (r) {
		move_put(move);
		return r;
	}
	*ret = move;
	return 0;
}
