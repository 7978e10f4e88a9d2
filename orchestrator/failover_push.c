/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * failover_push.c - configurations that don't wait for their turn.
 *
 * Otherwise a host's monitor thread sends it what it should know, one thing after the other: here flows
 * stand still. A host that gets two at once takes the newer one (their version), whichever comes first. It also
 * refuses one that the end of a move has overtaken: the flows wait on, so it gets a newer one at once.
 */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/desired.h"
#include "orchestrator/failover_internal.h"
#include "orchestrator/monitor.h"

void push_make(struct push *push, struct orchestrator *orch, struct host *host)
{
	*push = (struct push){ .orch = orch,
			       .host = host,
			       .version = orch->model.version,
			       .config = desired_config(&orch->model, host) };
}

static int push_once(struct push *push, json_t **ret_reply)
{
	struct orchestrator *orch = push->orch;

	push->err = (struct ff_error){ 0 };
	if (!push->config)
		return error_nomem(&push->err);
	return http_call_unless(push->host->client, "PUT", "/v1/config", push->config,
				orch->headers, FAILOVER_PUSH_MS,
				&orch->failover->dead[push->host->id], NULL, ret_reply, &push->err);
}

/* False: there is no newer one. */
static bool push_renew(struct push *push)
{
	MODEL_LOCKED(&push->orch->model);

	if (push->version == push->orch->model.version)
		return false;
	json_decref(push->config);
	push->config = desired_config(&push->orch->model, push->host);
	push->version = push->orch->model.version;
	return true;
}

static void *push_run(void *arg)
{
	struct push *push = arg;
	struct orchestrator *orch = push->orch;
	struct host *host = push->host;
	_cleanup_json_ json_t *reply = NULL;
	int r = push_once(push, &reply);

	for (int i = 0; i < FAILOVER_PUSH_NEWER && r == -ESTALE && push_renew(push); i++)
		r = push_once(push, &reply);
	if (r < 0) {
		error_prefix(&push->err, "host %s", host->name);
		return NULL;
	}
	push->done_ns = clock_ns();
	MODEL_LOCKED(&orch->model);
	host->pushed = MAX(host->pushed, push->version);
	host->push_tried = MAX(host->push_tried, push->version);
	if (json_object_get(reply, "foreign"))
		monitor_note_foreign(orch, host, json_object_get(reply, "foreign"));
	return NULL;
}

void push_all(struct push *pushes, size_t n)
{
	/* the last one here: mostly there is no other */
	for (size_t i = 0; i + 1 < n; i++)
		pushes[i].started = !pthread_create(&pushes[i].thread, NULL, push_run, &pushes[i]);
	for (size_t i = 0; i < n; i++)
		if (!pushes[i].started)
			push_run(&pushes[i]);
	for (size_t i = 0; i < n; i++) {
		if (pushes[i].started)
			pthread_join(pushes[i].thread, NULL);
		if (!pushes[i].done_ns)
			log_warn("configuration not taken: %s", pushes[i].err.message);
	}
}

void push_done(struct push *push)
{
	json_decref(push->config);
	push->config = NULL;
}
