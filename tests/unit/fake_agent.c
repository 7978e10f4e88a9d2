/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fake_agent.c - see fake_agent.h. Phases follow API.md and agent/phase.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/unit/fake_agent.h"

static void must(int r, const struct ff_error *err, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "fake agent: %s: %s\n", what, err ? err->message : strerror(-r));
	abort();
}

static void log_call(struct fake_agent *agent, const char *call)
{
	struct fake_world *world = agent->world;

	if (world->log_n < FAKE_LOG_MAX)
		snprintf(world->log[world->log_n++], sizeof(world->log[0]), "%s %s", agent->name,
			 call);
}

/* Which fault the script has for this call; -1: none. */
static int script_take(struct fake_agent *agent, const char *call)
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

/* The lock is held. */
static void hang(struct fake_agent *agent)
{
	while (agent->hung && agent->world->blocking)
		pthread_cond_wait(&agent->world->unblocked, &agent->world->lock);
}

static int epoch_check(struct fake_agent *agent, const struct http_request *req,
		       struct ff_error *err)
{
	uint64_t epoch;
	int r;

	r = req_header_u64(req, HTTP_HEADER_EPOCH, 0, &epoch, err);
	if (r < 0)
		return r;
	if (epoch < agent->epoch)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH, NULL, "epoch %llu is stale",
				 (unsigned long long)epoch);
	agent->epoch = epoch;
	return 0;
}

static struct fake_move *move_find(struct fake_agent *agent, const char *id)
{
	for (size_t i = 0; i < FAKE_MOVES_MAX; i++)
		if (!strcmp(agent->moves[i].id, id))
			return &agent->moves[i];
	return NULL;
}

static void phase_set(struct fake_move *move, const char *phase)
{
	snprintf(move->phase, sizeof(move->phase), "%s", phase);
}

static bool phase_is(const struct fake_move *move, const char *phase)
{
	return !strcmp(move->phase, phase);
}

/* ---- the calls of a move --------------------------------------------------------------------- */

static bool role_named(const json_t *body, const char *role)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(body, "roles"), i, item)
		if (!strcmp(json_string_value(item), role))
			return true;
	return false;
}

static struct fake_agent *agent_of_url(struct fake_world *world, const char *url)
{
	for (size_t i = 0; i < world->agents_n; i++)
		if (url && strstr(url, world->agents[i].socket))
			return &world->agents[i];
	return NULL;
}

static int do_prepare(struct fake_agent *agent, const char *id, const json_t *body)
{
	struct fake_move *move = move_find(agent, id) ?: move_find(agent, "");

	if (!move)
		abort(); /* a test with more moves than FAKE_MOVES_MAX */
	snprintf(move->id, sizeof(move->id), "%s", id);
	phase_set(move, "prepared");
	move->source = role_named(body, "source");
	move->target = role_named(body, "target");
	move->steering = role_named(body, "steering");
	move->switched = false;
	move->peer =
		agent_of_url(agent->world, json_string_value(json_object_get(body, "target_url")));
	return 0;
}

/* The fences: every steering host of the move must have switched. Waits for a second. */
static void fences_wait(struct fake_world *world, const char *id)
{
	for (int tries = 0; tries < 100; tries++) {
		bool all = true;

		for (size_t i = 0; i < world->agents_n; i++) {
			const struct fake_move *move = move_find(&world->agents[i], id);

			all &= !move || !move->steering || move->switched;
		}
		if (all)
			return;
		pthread_mutex_unlock(&world->lock);
		usleep(10000);
		pthread_mutex_lock(&world->lock);
	}
}

static int do_final(struct fake_move *move, bool fence)
{
	struct fake_world *world = move->peer->world;
	char id[sizeof(move->id)];
	struct fake_move *target;

	memcpy(id, move->id, sizeof(id));
	if (fence)
		fences_wait(world, id);
	if (strcmp(id, move->id)) /* aborted meanwhile */
		return -EPERM;
	target = move_find(move->peer, move->id);

	if (phase_is(move, "done") || (target == move && phase_is(move, "released")))
		return 0;
	if (!phase_is(move, "converged") || !target ||
	    (target != move && !phase_is(target, "prepared"))) /* else it's within one host */
		return -EPERM;
	phase_set(move, "done");
	phase_set(target, "released");
	return 0;
}

/* 0, or -EPERM: not in this phase. */
static int do_call(struct fake_move *move, const char *call, const json_t *body)
{
	bool committed = phase_is(move, "done") || phase_is(move, "released");

	if (!strcmp(call, "switch") || !strcmp(call, "unswitch")) {
		move->switched = call[0] == 's';
	} else if (!strcmp(call, "precopy")) {
		phase_set(move, "converged");
	} else if (!strcmp(call, "final")) {
		return do_final(move, json_is_true(json_object_get(body, "fence")));
	} else if (!strcmp(call, "hold")) {
		if (committed)
			return -EPERM;
		phase_set(move, "holding");
	} else if (!strcmp(call, "return")) {
		if (committed)
			return -EPERM;
		phase_set(move, "returned");
	} else if (!strcmp(call, "resume")) {
		if (!phase_is(move, "holding") && !phase_is(move, "resumed"))
			return -EPERM;
		phase_set(move, "resumed");
	} else if (!strcmp(call, "abort")) {
		if (committed && (move->source || move->target))
			return -EPERM;
		move->id[0] = '\0';
	} else if (!strcmp(call, "finish")) {
		if (!committed && (move->source || move->target))
			return -EPERM;
		move->id[0] = '\0';
	}
	return 0;
}

static json_t *reply_of(struct fake_agent *agent, const char *id, const char *call)
{
	struct fake_move *move = move_find(agent, id);

	if (!strcmp(call, "stay"))
		return json_pack("{sb}", "switched", move && move->switched);
	if (!strcmp(call, "prepare"))
		return json_pack("{si si}", "cpus", 2, "flows", 0);
	if (!strcmp(call, "precopy"))
		return json_pack("{si si si si}", "rounds", 2, "flows", 10, "bytes", 960, "dirty",
				 0);
	if (!strcmp(call, "final"))
		return json_pack("{si si si si si si si s{si si si}}", "flows", 10, "bytes", 960,
				 "rounds", 3, "parked", 7, "dropped", 0, "overflowed", 0,
				 "freeze_us", 1234, "phases_us", "fence", 1, "final", 2, "release",
				 3);
	if (!strcmp(call, "return"))
		return json_pack("{si si}", "returned", 5, "dropped", 0);
	if (!strcmp(call, "resume"))
		return json_pack("{si si}", "parked", 2, "dropped", 0);
	return json_object();
}

static int perform(struct fake_agent *agent, const char *id, const char *call, const json_t *body,
		   struct ff_error *err)
{
	struct fake_move *move = move_find(agent, id);
	int r;

	if (!strcmp(call, "prepare"))
		return do_prepare(agent, id, body);
	if (!move)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s", id);
	if (json_object_get(body, "heir")) {
		char text[48];

		snprintf(text, sizeof(text), "%s for %lld", call,
			 json_integer_value(json_object_get(body, "heir")));
		log_call(agent, text);
	}
	if (json_is_false(json_object_get(body, "ask")))
		log_call(agent, "hold unasked");
	if (!strcmp(call, "hold")) {
		char text[32];

		snprintf(text, sizeof(text), "hold behind %zu",
			 json_array_size(json_object_get(body, "steering")));
		log_call(agent, text);
	}
	r = do_call(move, call, body);
	if (r < 0)
		return error_set(err, EPERM, FF_CODE_REFUSED, NULL, "%s: not in phase %s", call,
				 move->phase);
	return 0;
}

static int move_call(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	struct fake_world *world = agent->world;
	const char *call = req_param(req, "call"), *id = req_param(req, "id");
	struct ff_error *err = resp_err(resp);
	json_t *reply = NULL;
	int fault, r;

	pthread_mutex_lock(&world->lock);
	log_call(agent, call);
	fault = script_take(agent, call);
	while (fault == FAKE_BLOCK && world->blocking)
		pthread_cond_wait(&world->unblocked, &world->lock);
	hang(agent);
	r = epoch_check(agent, req, err);
	if (r == 0 && fault == FAKE_REFUSE)
		r = error_set(err, EPERM, FF_CODE_REFUSED, NULL, "scripted refusal");
	if (r == 0 && fault != FAKE_LOSE_REQUEST)
		r = perform(agent, id, call, req_json(req), err);
	if (r == 0 && fault != FAKE_LOSE_REQUEST && fault != FAKE_LOSE_REPLY)
		reply = reply_of(agent, id, call);
	pthread_mutex_unlock(&world->lock);
	/* 503 is how a stopping daemon says it: whether it was done is not known */
	if (fault == FAKE_LOSE_REQUEST || fault == FAKE_LOSE_REPLY)
		return resp_json(resp, 503, json_object());
	return r < 0 ? r : resp_json(resp, 200, reply);
}

static int move_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	const char *id = req_param(req, "id");
	json_t *reply = NULL;
	struct fake_move *move;
	int fault;

	pthread_mutex_lock(&agent->world->lock);
	log_call(agent, "query");
	hang(agent);
	fault = script_take(agent, "query");
	move = move_find(agent, id);
	if (move)
		reply = json_pack("{ss ss si}", "id", id, "phase", move->phase, "flows", 10);
	pthread_mutex_unlock(&agent->world->lock);
	if (fault >= 0) {
		json_decref(reply);
		return resp_json(resp, 503, json_object());
	}
	if (!reply)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s", id);
	return resp_json(resp, 200, reply);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int host_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	json_t *moves = json_array(), *instances = json_array(), *item;
	json_t *reply;
	size_t i;

	pthread_mutex_lock(&agent->world->lock);
	hang(agent);
	for (i = 0; i < FAKE_MOVES_MAX; i++)
		if (agent->moves[i].id[0])
			json_array_append_new(moves, json_pack("{ss ss}", "id", agent->moves[i].id,
							       "phase", agent->moves[i].phase));
	json_array_foreach(json_object_get(agent->config, "instances"), i, item)
		if (json_equal(json_object_get(item, "host"),
			       json_object_get(agent->config, "host_id")))
			json_array_append_new(instances,
					      json_pack("{sO sO si si}", "id",
							json_object_get(item, "id"), "name",
							json_object_get(item, "name"), "flows", 10,
							"packets", 20));
	reply = json_pack("{ss si si so so so s{si}}", "host", agent->name, "cpus", 2, "uptime_s",
			  agent->uptime_s, "steering",
			  agent->steers ? json_pack("[s]", "c0") : json_array(), "instances",
			  instances, "moves", moves, "reasons", "pass-local", 12);
	pthread_mutex_unlock(&agent->world->lock);
	return resp_json(resp, 200, reply);
}

static int config_put(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	int fault, r;

	pthread_mutex_lock(&agent->world->lock);
	log_call(agent, "config");
	hang(agent);
	fault = script_take(agent, "config");
	while (fault == FAKE_BLOCK && agent->world->blocking)
		pthread_cond_wait(&agent->world->unblocked, &agent->world->lock);
	r = epoch_check(agent, req, err);
	if (r == 0 && fault == FAKE_REFUSE)
		r = error_set(err, EINVAL, FF_CODE_REFUSED, "install it", "no NF object");
	if (r == 0) {
		json_decref(agent->config);
		agent->config = json_deep_copy(req_json(req));
		agent->configs++;
	}
	pthread_mutex_unlock(&agent->world->lock);
	return r < 0 ? r : resp_json(resp, 200, json_pack("{sb}", "applied", 1));
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

/* ---- samples --------------------------------------------------------------------------------- */

#define SAMPLE_MS 100

/* One that follows an agent's samples. */
struct follower {
	struct fake_agent *agent;
	uint64_t next_ns, seq;
};

static json_t *peers_json(const struct fake_agent *agent)
{
	struct fake_world *world = agent->world;
	json_t *list = json_array();

	for (size_t i = 0; i < world->agents_n; i++) {
		const struct fake_agent *peer = &world->agents[i];
		uint64_t silent_ns = peer->path_dead_ns ? clock_ns() - peer->path_dead_ns : 0;

		if (peer != agent) /* hosts are numbered in the order of the configuration */
			json_array_append_new(list,
					      json_pack("{si sI si si}", "host", (int)i + 1,
							"heard_ms",
							(json_int_t)(silent_ns / NSEC_PER_MSEC),
							"tx_packets", 1000, "tx_unheard",
							(int)peer->unheard));
	}
	return list;
}

/* The instance that stands by for this one, by the configuration; NULL: none. */
static json_t *standby_json(const struct fake_agent *agent, const json_t *instance)
{
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(agent->config, "instances"), i, other)
		if (json_equal(json_object_get(other, "standby_of"),
			       json_object_get(instance, "id")))
			return json_pack("{sO ss si si si si si}", "instance",
					 json_object_get(other, "id"), "state", "synced", "lag_ms",
					 12, "rounds", 3, "bytes", 960, "flows", 10, "resends", 0);
	return NULL;
}

static json_t *members_json(const struct fake_agent *agent)
{
	static const char *const counts[] = { "flows",	   "capacity",	    "state_bytes",
					      "packets",   "bytes",	    "dropped",
					      "flows_new", "flows_refused", "flows_expired",
					      "timed",	   "nf_ns",	    "path_ns" };
	json_t *list = json_array(), *item;
	size_t i;

	json_array_foreach(json_object_get(agent->config, "instances"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));
		json_t *one;

		if (!json_equal(json_object_get(item, "host"),
				json_object_get(agent->config, "host_id")))
			continue;
		one = json_pack("{sO sO si s{}}", "id", json_object_get(item, "id"), "service",
				json_object_get(item, "service"), "prog_id", 1, "drops");
		for (size_t k = 0; k < ARRAY_SIZE(counts); k++)
			json_put_uint(one, counts[k], 0);
		if (agent->failed && !strcmp(agent->failed, name))
			json_put_str(one, "failed", "its maps are gone");
		json_object_set_new(one, "standby", standby_json(agent, item) ?: json_null());
		json_array_append_new(list, one);
	}
	return list;
}

static ssize_t sample_next(void *ctx, char *buf, size_t len)
{
	struct follower *follower = ctx;
	struct fake_agent *agent = follower->agent;
	_cleanup_json_ json_t *sample = NULL;
	_cleanup_free_ char *text = NULL;
	uint64_t now_ns = clock_ns();

	if (now_ns < follower->next_ns || agent->hung)
		return 0;
	follower->next_ns = now_ns + SAMPLE_MS * NSEC_PER_MSEC;
	pthread_mutex_lock(&agent->world->lock);
	sample = json_pack("{ss sI si sI si so so}", "kind", "sample", "seq",
			   (json_int_t)++follower->seq, "agent_ns", 1, "time_ns",
			   (json_int_t)now_ns, "period_ms", SAMPLE_MS, "peers", peers_json(agent),
			   "instances", members_json(agent));
	pthread_mutex_unlock(&agent->world->lock);
	text = json_dumps(sample, JSON_COMPACT);
	if (!text || strlen(text) + 1 > len)
		abort();
	return snprintf(buf, len, "%s\n", text);
}

static int samples_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	struct follower *follower = calloc(1, sizeof(*follower));

	if (!agent->world->ticking) {
		free(follower);
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, NULL, "no samples");
	}
	follower->agent = agent;
	return resp_stream(resp, 200, "application/x-ndjson", sample_next, free, follower);
}

static void *ticker_run(void *arg)
{
	struct fake_world *world = arg;
	bool ticking = true;

	while (ticking) {
		clock_sleep_ns(10 * NSEC_PER_MSEC);
		pthread_mutex_lock(&world->lock);
		for (size_t i = 0; i < world->agents_n; i++)
			if (world->agents[i].server)
				http_server_wake_streams(world->agents[i].server);
		ticking = world->ticking;
		pthread_mutex_unlock(&world->lock);
	}
	return NULL;
}

void fake_samples_begin(struct fake_world *world)
{
	world->ticking = true;
	if (pthread_create(&world->ticker, NULL, ticker_run, world))
		abort();
}

void fake_host_die(struct fake_agent *agent)
{
	pthread_mutex_lock(&agent->world->lock);
	agent->hung = true;
	agent->path_dead_ns = clock_ns();
	pthread_mutex_unlock(&agent->world->lock);
}

void fake_path(struct fake_agent *agent, bool dead)
{
	pthread_mutex_lock(&agent->world->lock);
	agent->path_dead_ns = dead ? clock_ns() : 0;
	pthread_mutex_unlock(&agent->world->lock);
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
	{ "GET", "/v1/samples", samples_get, NULL, 0 },
	{ "POST", "/v1/lease", lease_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/host", host_get, NULL, 0 },
	{ "PUT", "/v1/config", config_put, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/flows", list_get, NULL, 0 },
	{ "GET", "/v1/flows/lookup", lookup_get, NULL, 0 },
	{ "GET", "/v1/pins/dead", list_get, NULL, 0 },
	{ "GET", "/v1/moves/:id", move_get, NULL, 0 },
	{ "POST", "/v1/moves/:id/:call", move_call, NULL, 0 },
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
	move = move_find(agent, id);
	snprintf(buf, 16, "%s", move ? move->phase : "");
	pthread_mutex_unlock(&agent->world->lock);
	return buf;
}
