/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fake_agent.c - see fake_agent.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/fake_impl.h"

static void must(int r, const struct ff_error *err, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "fake agent: %s: %s\n", what, err ? err->message : strerror(-r));
	abort();
}

void fake_log(struct fake_agent *agent, const char *call)
{
	struct fake_world *world = agent->world;

	if (world->log_n < FAKE_LOG_MAX)
		snprintf(world->log[world->log_n++], sizeof(world->log[0]), "%s %s", agent->name,
			 call);
}

int fake_fault_take(struct fake_agent *agent, const char *call)
{
	struct fake_world *world = agent->world;

	for (size_t i = 0; i < world->script_n; i++) {
		struct fake_rule *rule = &world->script[i];

		if (rule->times > 0 && !strcmp(rule->agent, agent->name) &&
		    !strcmp(rule->call, call)) {
			rule->times--;
			return rule->fault;
		}
	}
	return -1;
}

void fake_hang(struct fake_agent *agent)
{
	while (agent->hung && agent->world->blocking)
		pthread_cond_wait(&agent->world->unblocked, &agent->world->lock);
}

int fake_epoch_check(struct fake_agent *agent, const struct http_request *req, struct ff_error *err)
{
	uint64_t epoch;
	int r;

	r = req_header_u64(req, HTTP_HEADER_EPOCH, 0, &epoch, err);
	if (r < 0)
		return r;
	if (epoch < agent->epoch)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH, NULL, "epoch %llu is stale",
				 (unsigned long long)epoch);
	if (epoch > agent->epoch)
		agent->known = 0;
	agent->epoch = epoch;
	return 0;
}

void fake_known(struct fake_agent *agent, const json_t *body)
{
	agent->known =
		MAX(agent->known, (uint64_t)json_integer_value(json_object_get(body, "version")));
}

static int version_check(struct fake_agent *agent, const json_t *config, struct ff_error *err)
{
	if ((uint64_t)json_integer_value(json_object_get(config, "version")) >= agent->known)
		return 0;
	fake_log(agent, "config late");
	return error_set(err, ESTALE, FF_CODE_STALE_EPOCH, NULL, "it is old");
}

/* ---- requests --------------------------------------------------------------------------------- */

/* Its instances by its configuration; and the numbers of those that aren't its own. The lock is held. */
static json_t *instances_json(const struct fake_agent *agent, json_t *ret_foreign)
{
	json_t *instances = json_array(), *item;
	size_t i;

	json_array_foreach(json_object_get(agent->config, "instances"), i, item) {
		json_t *id = json_object_get(item, "id"), *name = json_object_get(item, "name");

		if (!json_equal(json_object_get(item, "host"),
				json_object_get(agent->config, "host_id")))
			continue;
		if (agent->foreign && !strcmp(json_string_value(name), agent->foreign))
			json_array_append(ret_foreign, id);
		else
			json_array_append_new(instances,
					      json_pack("{sO sO si si}", "id", id, "name", name,
							"flows", 10, "packets", 20));
	}
	return instances;
}

static int host_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	json_t *moves = json_array(), *foreign = json_array();
	json_t *reply;
	size_t i;

	pthread_mutex_lock(&agent->world->lock);
	fake_hang(agent);
	for (i = 0; i < FAKE_MOVES_MAX; i++)
		if (agent->moves[i].id[0])
			json_array_append_new(moves, json_pack("{ss ss}", "id", agent->moves[i].id,
							       "phase", agent->moves[i].phase));
	reply = json_pack("{ss si si so so so so s{si}}", "host", agent->name, "cpus", 2,
			  "uptime_s", agent->uptime_s, "steering",
			  agent->steers ? json_pack("[s]", "c0") : json_array(), "instances",
			  instances_json(agent, foreign), "foreign", foreign, "moves", moves,
			  "reasons", "pass-local", 12);
	pthread_mutex_unlock(&agent->world->lock);
	return resp_json(resp, 200, reply);
}

static int config_put(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	json_t *foreign = json_array();
	int fault, r;

	pthread_mutex_lock(&agent->world->lock);
	fake_log(agent, "config");
	fake_hang(agent);
	fault = fake_fault_take(agent, "config");
	while (fault == FAKE_BLOCK && agent->world->blocking)
		pthread_cond_wait(&agent->world->unblocked, &agent->world->lock);
	r = fake_epoch_check(agent, req, err);
	if (r == 0 && fault == FAKE_REFUSE)
		r = error_set(err, EINVAL, FF_CODE_REFUSED, "install it", "no NF object");
	if (r == 0)
		r = version_check(agent, req_json(req), err);
	if (r == 0) {
		fake_known(agent, req_json(req));
		json_decref(agent->config);
		agent->config = json_deep_copy(req_json(req));
		agent->configs++;
		json_decref(instances_json(agent, foreign));
	}
	pthread_mutex_unlock(&agent->world->lock);
	if (r == 0)
		r = resp_json(resp, 200, json_pack("{sb sO}", "applied", 1, "foreign", foreign));
	json_decref(foreign);
	return r;
}

static int list_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	bool dead = strstr(req_path(req), "dead");
	json_t *list;

	pthread_mutex_lock(&agent->world->lock);
	list = json_deep_copy(dead ? agent->dead : agent->flows) ?: json_array();
	pthread_mutex_unlock(&agent->world->lock);
	return resp_json(resp, 200,
			 json_pack("{so sI sb}", "flows", list, "scanned", (json_int_t)10,
				   "truncated", 0));
}

static int lookup_get(struct http_request *req, struct http_response *resp)
{
	const char *flow = req_query(req, "flow", "");

	return resp_json(resp, 200,
			 json_pack("{ss si ss s{ss}}", "flow", flow, "moves", 1, "moved_by",
				   "00000000000000ff", "state", "tcp", "established"));
}

static int lease_post(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);

	pthread_mutex_lock(&agent->world->lock);
	agent->leases++;
	pthread_mutex_unlock(&agent->world->lock);
	return resp_json(resp, 200, json_pack("{s[]}", "services"));
}

static const struct http_route routes[] = {
	{ "GET", "/v1/samples", fake_samples_get, NULL, 0 },
	{ "POST", "/v1/lease", lease_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/host", host_get, NULL, 0 },
	{ "PUT", "/v1/config", config_put, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/flows", list_get, NULL, 0 },
	{ "GET", "/v1/flows/lookup", lookup_get, NULL, 0 },
	{ "GET", "/v1/pins/dead", list_get, NULL, 0 },
	{ "GET", "/v1/moves/:id", fake_move_get, NULL, 0 },
	{ "POST", "/v1/moves/:id/:call", fake_move_call, NULL, 0 },
	{ 0 },
};

/* ---- for tests ------------------------------------------------------------------------------- */

void fake_world_init(struct fake_world *world)
{
	memset(world, 0, sizeof(*world));
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->unblocked, NULL);
	world->blocking = true;
	snprintf(world->dir, sizeof(world->dir), "/tmp/ff-test-XXXXXX");
	if (!mkdtemp(world->dir))
		abort();
}

struct fake_agent *fake_agent_add(struct fake_world *world, const char *name, bool steers)
{
	struct fake_agent *agent = &world->agents[world->agents_n++];

	agent->world = world;
	agent->name = name;
	agent->steers = steers;
	snprintf(agent->socket, sizeof(agent->socket), "%s/%s.sock", world->dir, name);
	fake_agent_start(agent);
	return agent;
}

void fake_agent_start(struct fake_agent *agent)
{
	struct ff_error err = { 0 };

	agent->uptime_s = 0;
	must(http_server_new(routes, agent, &agent->server, &err), &err, "new");
	must(http_server_listen_unix(agent->server, agent->socket, &err), &err, "listen");
}

void fake_agent_stop(struct fake_agent *agent)
{
	struct http_server *server;

	pthread_mutex_lock(&agent->world->lock);
	server = TAKE_PTR(agent->server);
	pthread_mutex_unlock(&agent->world->lock);
	http_server_free(server);
}

void fake_world_done(struct fake_world *world)
{
	char command[128];
	bool ticking;

	fake_unblock(world);
	pthread_mutex_lock(&world->lock);
	ticking = world->ticking;
	world->ticking = false;
	pthread_mutex_unlock(&world->lock);
	if (ticking)
		pthread_join(world->ticker, NULL);
	for (size_t i = 0; i < world->agents_n; i++) {
		fake_agent_stop(&world->agents[i]);
		json_decref(world->agents[i].config);
		json_decref(world->agents[i].flows);
		json_decref(world->agents[i].dead);
	}
	snprintf(command, sizeof(command), "rm -rf %s", world->dir);
	if (system(command))
		fprintf(stderr, "%s failed\n", command);
}

void fake_script(struct fake_world *world, const char *agent, const char *call,
		 enum fake_fault fault, int times)
{
	pthread_mutex_lock(&world->lock);
	world->script[world->script_n++] = (struct fake_rule){ agent, call, fault, times };
	pthread_mutex_unlock(&world->lock);
}

void fake_unblock(struct fake_world *world)
{
	pthread_mutex_lock(&world->lock);
	world->blocking = false;
	pthread_cond_broadcast(&world->unblocked);
	pthread_mutex_unlock(&world->lock);
}

int fake_count(struct fake_world *world, const char *line)
{
	int count = 0;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->log_n; i++)
		count += !strcmp(world->log[i], line);
	pthread_mutex_unlock(&world->lock);
	return count;
}

int fake_index(struct fake_world *world, const char *line)
{
	int found = -1;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->log_n && found < 0; i++)
		if (!strcmp(world->log[i], line))
			found = (int)i;
	pthread_mutex_unlock(&world->lock);
	return found;
}

const char *fake_phase(struct fake_agent *agent, const char *id, char buf[16])
{
	const struct fake_move *move;

	pthread_mutex_lock(&agent->world->lock);
	move = fake_move_find(agent, id);
	snprintf(buf, 16, "%s", move ? move->phase : "");
	pthread_mutex_unlock(&agent->world->lock);
	return buf;
}
