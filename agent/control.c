/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/control.h"

#include <string.h>

#include "agent/flows.h"
#include "agent/inventory.h"
#include "agent/lease.h"
#include "agent/monitor.h"
#include "agent/move.h"
#include "agent/source.h"
#include "agent/standby.h"
#include "agent/steering.h"
#include "agent/target.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/version.h"

#define STATE_ENTRIES_MAX 10000 /* of multi-flow state in one answer */

/* Every request that changes something carries the orchestrator's epoch. */
static int epoch_accept(struct http_request *req, struct agent *agent, uint64_t *ret_epoch,
			struct ff_error *err)
{
	int r = req_header_u64(req, HTTP_HEADER_EPOCH, 0, ret_epoch, err);

	return r ? r : inventory_epoch(agent, *ret_epoch, err);
}

static int epoch_check(struct http_request *req, struct agent *agent, struct ff_error *err)
{
	uint64_t epoch;

	return epoch_accept(req, agent, &epoch, err);
}

/* ---- host and instances ------------------------------------------------------------------------ */

static json_t *reasons_json(const struct agent *agent)
{
	uint64_t counts[FF_REASON_MAX];
	json_t *json = json_object();

	if (datapath_reasons(agent->dp, counts))
		return json;
	for (uint32_t i = 1; i < FF_REASON_MAX; i++)
		if (counts[i])
			json_put_uint(json, reason_name(i), counts[i]);
	return json;
}

static json_t *instance_json(const struct instance *instance)
{
	struct ff_instance_stats stats = meters_stats(&instance->meters);
	char hash[17];

	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)instance->state.schema->hash);
	return json_pack("{ss si si ss sI sI sI sI sI sI sI si ss}", "name", instance->name, "id",
			 instance->id, "service", instance->service, "nf", instance->nf, "flows",
			 (json_int_t)state_flows(&instance->state), "capacity",
			 (json_int_t)instance->state.control->capacity, "packets",
			 (json_int_t)stats.packets, "bytes", (json_int_t)stats.bytes, "dropped",
			 (json_int_t)stats.dropped, "flows_new", (json_int_t)stats.flows_new,
			 "flows_refused", (json_int_t)stats.flows_refused, "prog_id",
			 (int)instance->prog_id, "schema", hash);
}

/* Under agent.instances_lock. */
static json_t *instances_json(struct agent *agent)
{
	json_t *list = json_array();

	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->instances[id])
			json_array_append_new(list, instance_json(agent->instances[id]));
	return list;
}

/* Under agent.instances_lock. */
static json_t *foreign_json(struct agent *agent)
{
	json_t *list = json_array();

	for (int id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->foreign[id])
			json_array_append_new(list, json_integer(id));
	return list;
}

static json_t *moves_json(struct agent *agent)
{
	struct move *moves[FF_LANES_MAX];
	json_t *list = json_array();

	move_all(agent, moves);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		if (moves[i])
			json_array_append_new(list, move_json(moves[i]));
		move_put(moves[i]);
	}
	return list;
}

static json_t *tables_json(struct agent *agent)
{
	json_t *list = json_array();

	for (int i = 1; i < FF_SERVICES_MAX; i++)
		if (agent->dp->services[i].used)
			json_array_append_new(list, json_pack("{sisI}", "service", i, "version",
							      (json_int_t)agent->dp->services[i]
								      .version));
	return list;
}

/* Under agent.instances_lock. */
static json_t *fabric_json(struct agent *agent)
{
	const struct desired_host *self = &agent->hosts[agent->dp->host->host];
	char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

	return json_pack("{ss ss* ss*}", "interface", agent->config->fabric->interface, "ipv4",
			 self->known && !addr_is_zero(&self->ipv4) ? addr_format(&self->ipv4, v4) :
								     NULL,
			 "ipv6",
			 self->known && !addr_is_zero(&self->ipv6) ? addr_format(&self->ipv6, v6) :
								     NULL);
}

static int get_host(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	json_t *steering = json_array(), *json;

	for (unsigned int i = 0; i < agent->config->steering_count; i++)
		json_array_append_new(steering, json_string(agent->config->steering[i]));
	pthread_rwlock_rdlock(&agent->instances_lock);
	json = json_pack("{ss si ss si si si sI so so so so so so}", "host", agent->config->host,
			 "id", agent->dp->host->host, "version", FF_VERSION, "epoch",
			 (int)agent->dp->host->epoch, "pid", (int)getpid(), "cpus", agent->dp->cpus,
			 "uptime_s", (json_int_t)((clock_ns() - agent->started_ns) / NSEC_PER_SEC),
			 "fabric", fabric_json(agent), "steering", steering, "reasons",
			 reasons_json(agent), "instances", instances_json(agent), "foreign",
			 foreign_json(agent), "tables", tables_json(agent));
	pthread_rwlock_unlock(&agent->instances_lock);
	json_put(json, "moves", moves_json(agent));
	return resp_json(resp, 200, json);
}

static int get_samples(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);

	return monitor_answer(agent->monitor, req, resp);
}

static int put_config(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	json_t *foreign;
	uint64_t epoch;
	int r = epoch_accept(req, agent, &epoch, resp_err(resp));

	if (!r)
		r = inventory_apply(agent, req_json(req), epoch, resp_err(resp));
	if (r)
		return r;
	pthread_rwlock_rdlock(&agent->instances_lock);
	foreign = foreign_json(agent);
	pthread_rwlock_unlock(&agent->instances_lock);
	return resp_json(resp, 200, json_pack("{sb so}", "applied", 1, "foreign", foreign));
}

static int post_lease(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	json_t *reply = NULL;
	int r = epoch_check(req, agent, resp_err(resp));

	if (!r)
		r = lease_renew(agent->dp->services, req_json(req), clock_ns(), &reply,
				resp_err(resp));
	return r ? r : resp_json(resp, 200, reply);
}

static int get_instances(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	json_t *list;

	pthread_rwlock_rdlock(&agent->instances_lock);
	list = instances_json(agent);
	pthread_rwlock_unlock(&agent->instances_lock);
	return resp_json(resp, 200, json_pack("{so}", "instances", list));
}

static int get_instance_state(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	struct instance *instance;
	json_t *json = NULL;
	int r;

	pthread_rwlock_rdlock(&agent->instances_lock);
	instance = agent_instance_named(agent, req_param(req, "name"));
	r = instance ? instance_state_json(instance, STATE_ENTRIES_MAX, &json, resp_err(resp)) :
		       error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "no instance %s on host %s", req_param(req, "name"),
				 agent->config->host);
	pthread_rwlock_unlock(&agent->instances_lock);
	return r ? r : resp_json(resp, 200, json);
}

/* ---- flows ------------------------------------------------------------------------------------- */

static int get_flows(struct http_request *req, struct http_response *resp)
{
	json_t *json = NULL;
	int64_t limit;
	bool brief, ages;
	int r = req_query_int(req, "limit", 1, 1 << 20, 100, &limit, resp_err(resp));

	if (!r)
		r = req_query_bool(req, "brief", false, &brief, resp_err(resp));
	if (!r)
		r = req_query_bool(req, "ages", false, &ages, resp_err(resp));
	if (!r)
		r = flows_list(req_userdata(req), req_query(req, "instance", NULL),
			       req_query(req, "filter", ""), (size_t)limit,
			       ages  ? FLOWS_AGES :
			       brief ? FLOWS_TEXT :
				       FLOWS_WHOLE,
			       &json, resp_err(resp));
	return r ? r : resp_json(resp, 200, json);
}

static int get_flow(struct http_request *req, struct http_response *resp)
{
	json_t *json = NULL;
	int64_t service;
	int r = req_query_int(req, "service", 1, FF_SERVICES_MAX - 1, 0, &service, resp_err(resp));

	if (!r)
		r = flows_lookup(req_userdata(req), (uint16_t)service, req_query(req, "flow", ""),
				 &json, resp_err(resp));
	return r ? r : resp_json(resp, 200, json);
}

static int get_dead_pins(struct http_request *req, struct http_response *resp)
{
	json_t *json = NULL;
	int r = flows_dead_pins(req_userdata(req), req_query(req, "instance", ""), &json,
				resp_err(resp));

	return r ? r : resp_json(resp, 200, json);
}

/* -EAGAIN: not now; whoever asks comes again, as of a server that is being restarted. */
static int refuse_for_now(struct http_response *resp, int r)
{
	return r == -EAGAIN ? resp_error(resp, 503, resp_err(resp)) : r;
}

/* ---- moves ------------------------------------------------------------------------------------- */

static int get_move(struct http_request *req, struct http_response *resp)
{
	_cleanup_move_ struct move *move =
		move_get(req_userdata(req), req_param(req, "id"), resp_err(resp));

	return move ? resp_json(resp, 200, move_json(move)) :
		      refuse_for_now(resp, resp_err(resp)->err);
}

static int post_prepare(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	json_t *reply = NULL;
	int r = epoch_check(req, agent, resp_err(resp));

	if (!r)
		r = move_prepare(agent, req_param(req, "id"), req_json(req), &reply,
				 resp_err(resp));
	/* by this connection comes the request to switch, which is to be read at once */
	cpus_pace(r ? PACE_NORMAL : PACE_URGENT);
	return r ? refuse_for_now(resp, r) : resp_json(resp, 200, reply);
}

/* The steps of a move: one handler, a function for each. */
typedef int (*step_fn)(struct move *move, const json_t *body, json_t **ret_reply,
		       struct ff_error *err);

static int step_work(struct move *move, const json_t *body, json_t **ret_reply,
		     struct ff_error *err, step_fn fn)
{
	int r = move_step_begin(move, err);

	if (r)
		return r;
	r = fn(move, body, ret_reply, err);
	move_step_end(move);
	return r;
}

/* The end of a move says of which configuration it is. False: the host knows of a newer one. */
static int end_note(struct agent *agent, const json_t *body, uint64_t epoch, bool *ret_news,
		    struct ff_error *err)
{
	uint64_t version = 0;
	int r = json_opt_uint(body, "version", &version, err);

	*ret_news = true;
	if (r || !version)
		return r;
	pthread_mutex_lock(&agent->lock);
	*ret_news = inventory_outdate(agent, version, epoch);
	pthread_mutex_unlock(&agent->lock);
	return 0;
}

/* Packets wait for some of them; `ends`: abort. */
static int step(struct http_request *req, struct http_response *resp, step_fn fn, bool ends,
		enum cpus_pace pace)
{
	struct agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	_cleanup_move_ struct move *move = NULL;
	_cleanup_json_ json_t *empty = json_object();
	json_t *reply = NULL;
	uint64_t epoch;
	bool news;
	int r = epoch_accept(req, agent, &epoch, err);

	if (!r && ends)
		r = end_note(agent, req_json(req) ?: empty, epoch, &news, err);
	if (!r) {
		move = move_get(agent, req_param(req, "id"), err);
		r = move ? 0 : err->err;
	}
	/* what is refused isn't followed by anything that is urgent */
	cpus_pace(r ? PACE_NORMAL : pace);
	if (r)
		return refuse_for_now(resp, r);
	r = ends ? fn(move, req_json(req) ?: empty, &reply, err) :
		   step_work(move, req_json(req) ?: empty, &reply, err, fn);
	log_debug("move %s: %s: %s", move->id, req_path(req), r ? err->message : "done");
	return r ? refuse_for_now(resp, r) : resp_json(resp, 200, reply ?: json_object());
}

static int fence_wanted(const json_t *body, bool *ret, struct ff_error *err)
{
	*ret = true;
	return json_opt_bool(body, "fence", ret, err);
}

static int is_source(const struct move *move, struct ff_error *err)
{
	return move->is_source ? 0 :
				 error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
					   "host %s isn't the source of move %s",
					   move->agent->config->host, move->id);
}

static int step_precopy(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	(void)body;
	return is_source(m, err) ?: source_precopy(m, reply, err);
}

static int step_switch(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	(void)body;
	return steering_switch(m, false, reply, err);
}

static int step_stay(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	(void)body;
	return steering_stay(m, reply, err);
}

static int step_unswitch(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	(void)body;
	return steering_switch(m, true, reply, err);
}

static int step_final(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	bool fence;

	return is_source(m, err)		       ?:
		       fence_wanted(body, &fence, err) ?:
							 source_final(m, fence, reply, err);
}

static int step_hold(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	(void)reply;
	return is_source(m, err) ?: source_hold(m, body, err);
}

static int step_resume(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	bool fence;

	return is_source(m, err)		       ?:
		       fence_wanted(body, &fence, err) ?:
							 source_resume(m, fence, reply, err);
}

static int step_return(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	if (!m->is_target)
		return error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
				 "host %s isn't the target of move %s", m->agent->config->host,
				 m->id);
	return target_return(m, body, reply, err);
}

static int step_abort(struct move *m, const json_t *body, json_t **reply, struct ff_error *err)
{
	bool force = false;

	(void)reply;
	return json_opt_bool(body, "force", &force, err) ?:
		       move_heir(m, body, err)		 ?:
							   move_abort(m, force, err);
}

#define STEP(name, ends, pace)                                                                     \
	static int post_##name(struct http_request *req, struct http_response *resp)               \
	{                                                                                          \
		return step(req, resp, step_##name, ends, pace);                                   \
	}
STEP(precopy, false, PACE_NORMAL)
STEP(switch, false, PACE_URGENT)
STEP(stay, false, PACE_URGENT)
STEP(unswitch, false, PACE_URGENT)
STEP(final, false, PACE_URGENT)
STEP(hold, false, PACE_NORMAL)
STEP(resume, false, PACE_NORMAL)
STEP(return, false, PACE_NORMAL)
STEP(abort, true, PACE_NORMAL)

/* Also for hosts that had no part in the move, and for those that have forgotten it already. */
static int post_finish(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	struct ff_error none = {};
	_cleanup_move_ struct move *move = move_get(agent, req_param(req, "id"), &none);
	uint64_t epoch;
	bool news = true;
	int r = epoch_accept(req, agent, &epoch, resp_err(resp));

	if (!r)
		r = end_note(agent, req_json(req), epoch, &news, resp_err(resp));
	if (!r && none.err == -EAGAIN) {
		*resp_err(resp) = none;
		r = none.err;
	}
	cpus_pace(PACE_NORMAL);
	if (!r && (move || news)) /* else the configuration has said it, or will: not this one */
		r = move_finish(agent, move, req_json(req), resp_err(resp));
	return r ? refuse_for_now(resp, r) : resp_json(resp, 200, json_object());
}

/* ---- serving ----------------------------------------------------------------------------------- */

/*
 * What isn't a step of a move is ordinary work, though its connection may have been left urgent by one:
 * the orchestrator uses each for whatever comes next.
 */
#define ORDINARY(name)                                                                             \
	static int ordinary_##name(struct http_request *req, struct http_response *resp)           \
	{                                                                                          \
		cpus_pace(PACE_NORMAL);                                                            \
		return name(req, resp);                                                            \
	}
ORDINARY(get_host)
ORDINARY(get_samples)
ORDINARY(put_config)
ORDINARY(post_lease)
ORDINARY(get_instances)
ORDINARY(get_instance_state)
ORDINARY(get_flows)
ORDINARY(get_flow)
ORDINARY(get_dead_pins)
ORDINARY(standby_drop)

static const struct http_route routes[] = {
	{ "GET", "/v1/host", ordinary_get_host, NULL, 0 },
	{ "GET", "/v1/samples", ordinary_get_samples, NULL, 0 },
	{ "PUT", "/v1/config", ordinary_put_config, NULL, HTTP_BODY_REQUIRED },
	{ "POST", "/v1/lease", ordinary_post_lease, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/instances", ordinary_get_instances, NULL, 0 },
	{ "GET", "/v1/instances/:name/state", ordinary_get_instance_state, NULL, 0 },
	{ "GET", "/v1/flows", ordinary_get_flows, NULL, 0 },
	{ "GET", "/v1/flows/lookup", ordinary_get_flow, NULL, 0 },
	{ "GET", "/v1/pins/dead", ordinary_get_dead_pins, NULL, 0 },
	{ "GET", "/v1/moves/:id", get_move, NULL, 0 },
	{ "POST", "/v1/moves/:id/prepare", post_prepare, NULL, HTTP_BODY_REQUIRED },
	{ "POST", "/v1/moves/:id/precopy", post_precopy, NULL, 0 },
	{ "POST", "/v1/moves/:id/switch", post_switch, NULL, 0 },
	{ "POST", "/v1/moves/:id/stay", post_stay, NULL, 0 },
	{ "POST", "/v1/moves/:id/unswitch", post_unswitch, NULL, 0 },
	{ "POST", "/v1/moves/:id/final", post_final, NULL, 0 },
	{ "POST", "/v1/moves/:id/hold", post_hold, NULL, 0 },
	{ "POST", "/v1/moves/:id/return", post_return, NULL, 0 },
	{ "POST", "/v1/moves/:id/resume", post_resume, NULL, 0 },
	{ "POST", "/v1/moves/:id/abort", post_abort, NULL, 0 },
	{ "POST", "/v1/moves/:id/finish", post_finish, NULL, HTTP_BODY_REQUIRED },
	{ "POST", "/v1/moves/:id/state", NULL, &target_state_upload, 0 },
	{ "POST", "/v1/replicas/:name/state", NULL, &standby_state_upload, 0 },
	{ "POST", "/v1/replicas/:name/drop", ordinary_standby_drop, NULL, HTTP_BODY_REQUIRED },
	{ NULL, NULL, NULL, NULL, 0 },
};

int control_start(struct agent *agent, struct ff_error *err)
{
	const struct agent_config *config = agent->config;
	struct tls_files tls = {};
	int r;

	r = http_server_new(routes, agent, &agent->server, err);
	if (!r)
		r = http_server_listen_unix(agent->server, config->socket, err);
	if (r || !config->listen)
		return r;
	if (config->tls)
		tls = (struct tls_files){ config->tls->ca, config->tls->cert, config->tls->key };
	return http_server_listen_tcp(agent->server, config->listen->address, config->listen->port,
				      config->tls ? &tls : NULL, config->insecure, NULL, err);
}

void control_stop(struct agent *agent)
{
	http_server_free(agent->server);
	agent->server = NULL;
}
