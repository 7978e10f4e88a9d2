/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fake_samples.c - see fake_impl.h: the stream of samples, and hosts that it says are silent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/unit/fake_impl.h"

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

int fake_samples_get(struct http_request *req, struct http_response *resp)
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
