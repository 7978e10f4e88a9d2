/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* monitor.c - a watching thread for each host. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/desired.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/samples.h"
#include "orchestrator/monitor.h"
#include "orchestrator/settle.h"

struct watch {
	struct orchestrator *orch;
	struct host *host;
	pthread_t thread;
	bool running;
	unsigned int misses;
	int64_t uptime_s; /* of the agent: going back means that it has restarted */
	uint64_t dead_ns; /* when dead pins were last collected */
	uint64_t owed_ns; /* not to be asked to settle moves before */
};

struct monitor {
	size_t watches_n;
	struct watch watches[];
};

/* ---- how is it? ----------------------------------------------------------------------------- */

static void host_set_down(struct watch *watch, const struct ff_error *err)
{
	struct host *host = watch->host;
	bool was_up;

	if (++watch->misses < MONITOR_MISSES && host->report)
		return;
	{
		MODEL_LOCKED(&watch->orch->model);

		was_up = host->up;
		host->up = false;
		if (!failover_is_dead(watch->orch, host->id)) /* that says more */
			snprintf(host->why_down, sizeof(host->why_down), "%s", err->message);
		pthread_cond_broadcast(&watch->orch->model.changed);
	}
	if (was_up)
		event_emit(watch->orch->events, "host-down",
			   (struct event_about){ .host = host->name }, "%s", err->message);
}

/* What of a report matters beyond a restart of the orchestrator. */
static bool host_learn(struct host *host, const json_t *report)
{
	bool steering = json_array_size(json_object_get(report, "steering")) > 0;
	json_int_t cpus = json_integer_value(json_object_get(report, "cpus"));
	bool news = host->steering != steering || host->cpus != (unsigned int)cpus;

	host->steering = steering;
	host->cpus = (unsigned int)cpus;
	return news;
}

static void foreign_tell(struct orchestrator *orch, const struct host *host, uint16_t id)
{
	const struct instance *instance = model_instance(&orch->model, id);
	struct ff_error why = { 0 };

	if (instance && instance->host == host->id &&
	    instance_check_foreign(&orch->model, instance, &why) < 0)
		event_emit(orch->events, "instance-foreign",
			   (struct event_about){ .host = host->name, .instance = instance->name },
			   "%s; mend: %s", why.message, why.mend);
}

void monitor_note_foreign(struct orchestrator *orch, struct host *host, const json_t *numbers)
{
	bool before[FF_INSTANCES_MAX];
	const json_t *item;
	size_t i;

	memcpy(before, host->foreign, sizeof(before));
	memset(host->foreign, 0, sizeof(host->foreign));
	json_array_foreach(numbers, i, item) {
		json_int_t id = json_integer_value(item);

		if (id <= 0 || id >= FF_INSTANCES_MAX)
			continue;
		host->foreign[id] = true;
		if (!before[id])
			foreign_tell(orch, host, (uint16_t)id);
	}
}

/* Not one that was found dead while it answered. */
static void host_set_up(struct watch *watch, json_t *report)
{
	struct orchestrator *orch = watch->orch;
	struct host *host = watch->host;
	int64_t uptime_s = json_integer_value(json_object_get(report, "uptime_s"));
	struct ff_error err = { 0 };
	bool appeared, restarted;

	watch->misses = 0;
	{
		MODEL_LOCKED(&orch->model);

		if (!failover_admits(orch, host))
			return;
		appeared = !host->up;
		restarted = uptime_s < watch->uptime_s;
		watch->uptime_s = uptime_s;
		host->up = true;
		host->last_seen_ms = clock_wall_ms();
		json_decref(host->report);
		host->report = json_incref(report);
		monitor_note_foreign(orch, host, json_object_get(report, "foreign"));
		if (host_learn(host, report) && store_host_seen(orch->store, host, &err) < 0)
			log_error("%s", err.message);
		if (appeared || restarted)
			host->pushed = host->push_tried = 0;
		pthread_cond_broadcast(&orch->model.changed);
	}
	if (appeared)
		failover_rejoin(orch, host, report);
	if (appeared)
		event_emit(orch->events, "host-up", (struct event_about){ .host = host->name },
			   "host %s answers", host->name);
	else if (restarted)
		event_emit(orch->events, "host-restarted",
			   (struct event_about){ .host = host->name },
			   "the agent of host %s has been restarted", host->name);
}

static void host_pay(struct watch *watch, const json_t *report)
{
	int settled;

	if (clock_ns() < watch->owed_ns)
		return;
	settled = host_settle(watch->orch, watch->host, report);
	if (settled < 0)
		watch->owed_ns = clock_ns() + MONITOR_OWED_MS * NSEC_PER_MSEC;
	if (settled > 0) {
		/* what it has settled may be older than the configuration that it had */
		MODEL_LOCKED(&watch->orch->model);

		watch->host->pushed = watch->host->push_tried = 0;
	}
}

/* ---- configurations ------------------------------------------------------------------------- */

static void push_done(struct watch *watch, uint64_t version, const json_t *reply,
		      const struct ff_error *err)
{
	struct orchestrator *orch = watch->orch;
	struct host *host = watch->host;
	bool news;

	{
		MODEL_LOCKED(&orch->model);

		/* a move's end, or a newer one from failover, was there first: there is a newer one to push */
		if (err->err == -ESTALE && version < orch->model.version)
			return;
		news = err->err && strcmp(err->message, host->push_error.message) != 0;
		host->push_error = *err;
		host->push_tried = version;
		if (!err->err)
			host->pushed = version;
		if (json_object_get(reply, "foreign")) /* an older agent doesn't say */
			monitor_note_foreign(orch, host, json_object_get(reply, "foreign"));
		pthread_cond_broadcast(&orch->model.changed);
	}
	if (news)
		event_emit(orch->events, "config-refused",
			   (struct event_about){ .host = host->name }, "%s", err->message);
}

static void host_push(struct watch *watch)
{
	struct orchestrator *orch = watch->orch;
	struct host *host = watch->host;
	_cleanup_json_ json_t *config = NULL, *reply = NULL;
	struct ff_error err = { 0 };
	uint64_t version;

	model_lock(&orch->model);
	version = orch->model.version;
	config = desired_config(&orch->model, host);
	model_unlock(&orch->model);
	if (!config)
		error_nomem(&err);
	else
		agent_call(orch, host, "PUT", "/v1/config", config, AGENT_PUSH_MS, &reply, &err);
	push_done(watch, version, reply, &err);
}

/* ---- asking --------------------------------------------------------------------------------- */

static bool is_admitted(struct watch *watch)
{
	MODEL_LOCKED(&watch->orch->model);

	return failover_admits(watch->orch, watch->host);
}

static bool is_behind(struct watch *watch)
{
	MODEL_LOCKED(&watch->orch->model);

	return watch->host->pushed < watch->orch->model.version;
}

/*
 * One that was dead doesn't count before it has let go of all that others may have by now: its agent may talk though
 * nobody hears its data path.
 */
static bool host_readmit(struct watch *watch, const json_t *report)
{
	if (is_admitted(watch))
		return true;
	failover_rejoin(watch->orch, watch->host, report);
	host_pay(watch, report);
	if (is_behind(watch))
		host_push(watch);
	return is_admitted(watch);
}

static bool host_ask(struct watch *watch)
{
	_cleanup_json_ json_t *report = NULL;
	struct ff_error err = { 0 };

	if (agent_call(watch->orch, watch->host, "GET", "/v1/host", NULL, AGENT_QUICK_MS, &report,
		       &err) < 0) {
		host_set_down(watch, &err);
		return false;
	}
	if (!host_readmit(watch, report))
		return false;
	host_set_up(watch, report);
	host_pay(watch, report);
	return true;
}

/* Sleeps until the next poll, or until there is a configuration that hasn't been tried yet. */
static bool host_wait(struct watch *watch, uint64_t until_ns)
{
	struct model *model = &watch->orch->model;
	MODEL_LOCKED(model);

	while (!model->stopping) {
		uint64_t now_ns = clock_ns();

		if (watch->host->up && watch->host->push_tried < model->version)
			return true;
		if (now_ns >= until_ns)
			return true;
		model_wait(model, (until_ns - now_ns) / NSEC_PER_MSEC + 1);
	}
	return false;
}

static bool host_wants_push(struct watch *watch, bool polled)
{
	struct model *model = &watch->orch->model;
	MODEL_LOCKED(model);

	if (!watch->host->up || watch->host->pushed >= model->version)
		return false;
	/* one that was refused is tried again, but not faster than at each poll */
	return polled || watch->host->push_tried < model->version;
}

static void *watch_run(void *arg)
{
	struct watch *watch = arg;
	uint64_t next_ns = 0;

	while (host_wait(watch, next_ns)) {
		bool polled = false;

		if (clock_ns() >= next_ns) {
			polled = host_ask(watch);
			samples_check(watch->orch->samples, watch->host);
			next_ns = clock_ns() + MONITOR_POLL_MS * NSEC_PER_MSEC;
		}
		if (host_wants_push(watch, polled))
			host_push(watch);
		if (polled && clock_ns() - watch->dead_ns >= MONITOR_DEAD_MS * NSEC_PER_MSEC) {
			pins_collect(watch->orch, watch->host);
			watch->dead_ns = clock_ns();
		}
	}
	return NULL;
}

int monitor_start(struct orchestrator *orch, struct monitor **ret, struct ff_error *err)
{
	size_t n = orch->model.hosts_n;
	struct monitor *monitor = calloc(1, sizeof(*monitor) + n * sizeof(monitor->watches[0]));
	int r;

	if (!monitor)
		return error_nomem(err);
	*ret = monitor;
	monitor->watches_n = n;
	for (size_t i = 0; i < n; i++) {
		struct watch *watch = &monitor->watches[i];

		watch->orch = orch;
		watch->host = &orch->model.hosts[i];
		r = pthread_create(&watch->thread, NULL, watch_run, watch);
		if (r)
			return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
					 "can't start a thread: %s", strerror(r));
		watch->running = true;
	}
	return 0;
}

void monitor_stop(struct monitor *monitor)
{
	if (!monitor)
		return;
	for (size_t i = 0; i < monitor->watches_n; i++)
		if (monitor->watches[i].running)
			pthread_join(monitor->watches[i].thread, NULL);
	free(monitor);
}

/* ---- for the others ------------------------------------------------------------------------- */

static bool all_tried(const struct model *model, uint64_t version)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		if (model->hosts[i].up && model->hosts[i].push_tried < version)
			return false;
	return true;
}

int monitor_settle(struct orchestrator *orch, const struct host *host, struct ff_error *err)
{
	struct model *model = &orch->model;
	uint64_t until_ns = clock_ns() + MONITOR_SETTLE_MS * NSEC_PER_MSEC;
	uint64_t version = model->version;

	/* one that was started together with us is given the time to be seen */
	while (host && !host->up && !model->stopping &&
	       clock_ns() < orch->started_ns + MONITOR_APPEAR_MS * NSEC_PER_MSEC)
		model_wait(model, MONITOR_POLL_MS);
	while (!all_tried(model, version) && !model->stopping && clock_ns() < until_ns)
		model_wait(model, MONITOR_POLL_MS);
	if (!host)
		return 0;
	if (!host->up)
		return error_set(err, EHOSTUNREACH, FF_CODE_UNREACHABLE,
				 "start its agent, or look at its log", "host %s is down: %s",
				 host->name, host->why_down[0] ? host->why_down : "never seen");
	if (host->pushed >= version)
		return 0;
	if (host->push_tried >= version && host->push_error.err) {
		if (err)
			*err = host->push_error;
		return host->push_error.err;
	}
	return error_set(err, ETIMEDOUT, FF_CODE_UNREACHABLE, "look at the log of its agent",
			 "host %s doesn't take its configuration", host->name);
}

int monitor_settle_instance(struct orchestrator *orch, uint16_t id, struct ff_error *err)
{
	struct model *model = &orch->model;
	const struct instance *instance = model_instance(model, id);
	int r = monitor_settle(orch, model_host(model, instance->host), err);

	instance = model_instance(model, id); /* it may have been removed meanwhile */
	return r == 0 && instance ? instance_check_foreign(model, instance, err) : r;
}

static bool all_up(const struct model *model)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		if (!model->hosts[i].up)
			return false;
	return true;
}

void monitor_appear(struct orchestrator *orch)
{
	struct model *model = &orch->model;

	while (!all_up(model) && !model->stopping &&
	       clock_ns() < orch->started_ns + MONITOR_FIRST_MS * NSEC_PER_MSEC)
		model_wait(model, MONITOR_POLL_MS);
}
