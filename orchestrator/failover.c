/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover.c - see failover.h: the thread that watches. */
#include "orchestrator/failover.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/desired.h"
#include "orchestrator/events.h"
#include "orchestrator/failover_internal.h"
#include "orchestrator/migration.h"
#include "orchestrator/samples.h"

/* ---- what is known --------------------------------------------------------------------------- */

bool failover_is_dead(const struct orchestrator *orch, uint16_t host)
{
	return host < FF_HOSTS_MAX && orch->failover->dead[host];
}

static enum detect_verdict verdict_of(const struct orchestrator *orch, const struct host *host)
{
	enum detect_verdict verdict = orch->failover->detector.verdicts[host->id];

	/* without heartbeats only its agent tells */
	return verdict != DETECT_UNKNOWN ? verdict : host->up ? DETECT_ALIVE : DETECT_UNKNOWN;
}

bool failover_doubts(const struct orchestrator *orch, uint16_t id)
{
	const struct host *host = model_host(&orch->model, id);

	return !host || verdict_of(orch, host) != DETECT_ALIVE;
}

static uint64_t lease_over_ns(const struct orchestrator *orch, const struct instance *instance)
{
	const struct service *service = model_service(&orch->model, instance->service);

	if (!service_is_fenced(service))
		return 0;
	return lease_end_ns(&orch->failover->leases, instance->host, service->id,
			    service->policy.partition.lease_ms,
			    orch->failover->verdict_ns[instance->host]);
}

void failover_taken(struct orchestrator *orch, uint16_t host)
{
	if (host < FF_HOSTS_MAX)
		orch->failover->taken[host] = orch->model.version;
}

const struct host *failover_unheard_by(const struct orchestrator *orch, uint16_t host)
{
	return model_host(&orch->model, orch->failover->unheard_by[host]);
}

bool failover_admits(const struct orchestrator *orch, const struct host *host)
{
	struct failover *f = orch->failover;

	if (f->dead[host->id])
		return false;
	if (f->returning[host->id] && host->pushed >= MAX(f->taken[host->id], (uint64_t)1))
		f->returning[host->id] = false;
	return !f->returning[host->id];
}

void failover_fence(struct orchestrator *orch, uint16_t service)
{
	leases_begin(&orch->failover->leases, service, orch->model.version);
}

/* An agent that is silent can't renew the lease: the data path has fenced itself, and drops. */
static bool is_fenced_off(const struct orchestrator *orch, const struct instance *instance)
{
	const struct failover *f = orch->failover;

	return service_is_fenced(model_service(&orch->model, instance->service)) &&
	       f->detector.verdicts[instance->host] == DETECT_SUSPECT &&
	       clock_ns() > lease_over_ns(orch, instance);
}

static bool has_failed(const struct orchestrator *orch, const struct instance *instance)
{
	const struct host *host = model_host(&orch->model, instance->host);
	struct sample_instance told;

	return host && samples_member(orch->samples, host, instance->id, &told) && told.failed[0];
}

bool failover_is_lost(const struct orchestrator *orch, const struct instance *instance)
{
	return failover_is_dead(orch, instance->host) || is_fenced_off(orch, instance) ||
	       has_failed(orch, instance);
}

int failover_allows(const struct orchestrator *orch, uint16_t id, struct ff_error *err)
{
	const struct instance *instance = model_instance(&orch->model, id);
	const struct host *host = instance ? model_host(&orch->model, instance->host) : NULL;
	uint64_t now_ns = clock_ns(), over_ns;

	/* nobody's; or its agent talks, and is told with the others that it is the owner no more */
	if (!host || verdict_of(orch, host) == DETECT_ALIVE)
		return 0;
	if (!failover_is_lost(orch, instance))
		return error_set(err, EAGAIN, FF_CODE_BUSY, NULL,
				 "%s may still be at work: its host %s is not known to be dead",
				 instance->name, host->name);
	over_ns = lease_over_ns(orch, instance);
	if (now_ns >= over_ns)
		return 0;
	if (over_ns == UINT64_MAX)
		return error_set(
			err, EAGAIN, FF_CODE_BUSY, "set partition.mode: keep-forwarding",
			"%s may still be at work: its host %s hasn't been told that it needs a "
			"lease",
			instance->name, host->name);
	return error_set(err, EAGAIN, FF_CODE_BUSY, NULL,
			 "%s may still be at work: the lease of its host %s lasts %.0f ms more",
			 instance->name, host->name, (double)(over_ns - now_ns) / 1e6);
}

/* An instance that a standby is there for, and that is lost. */
static bool is_recoverable(const struct orchestrator *orch, const struct instance *standby)
{
	const struct model *model = &orch->model;
	const struct instance *owner = model_instance(model, standby->standby_of);
	const struct host *host = model_host(model, standby->host);
	const struct service *service;
	unsigned int slots, rules;
	size_t pins;

	if (!owner || !host || !host->up || host->foreign[standby->id] ||
	    failover_is_dead(orch, host->id) || !failover_is_lost(orch, owner))
		return false;
	service = model_service(model, owner->service);
	owners_count(&service->table, owner->id, &slots, &pins, &rules);
	return service_is_protected(service) && (slots || pins || rules);
}

bool failover_busy(const struct orchestrator *orch, uint16_t service)
{
	const struct model *model = &orch->model;

	for (const struct operation *op = model->operations; op; op = op->next) {
		const char *kind = json_string_value(json_object_get(op->doc, "kind"));

		if (op->service == service && kind && !strcmp(kind, "recovery"))
			return true;
	}
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service &&
		    model->instances[i]->standby_of && is_recoverable(orch, model->instances[i]))
			return true;
	return false;
}

struct failover_count failover_counts(const struct orchestrator *orch)
{
	return orch->failover->count;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* The lock is held. */
static void change_apply(struct watch *watch, const struct detect_change *change)
{
	struct failover *f = watch->f;
	struct host *host = model_host(&f->orch->model, change->host);

	f->verdict_ns[change->host] = clock_ns();
	if (change->now == DETECT_DEAD) {
		f->dead[change->host] = f->returning[change->host] = true;
		f->silent_ms[change->host] = change->silent_ms;
		f->count.hosts_dead++;
		/* its configuration waits until it answers; what it owns is not asked for any more */
		host->up = false;
		snprintf(host->why_down, sizeof(host->why_down), "found dead: %s", change->why);
	} else if (change->now == DETECT_ALIVE) {
		f->dead[change->host] = false;
	}
	pthread_cond_broadcast(&f->orch->model.changed);
}

/* The lock is held. */
static void unheard_note(struct watch *watch, const struct detect_facts *facts)
{
	struct failover *f = watch->f;

	for (size_t i = 0; i < facts->hosts_n; i++) {
		const struct detect_host *by = NULL;

		if (facts->failure_ms)
			by = detect_unheard_by(&f->detector, facts, &facts->hosts[i]);
		f->unheard_by[facts->hosts[i].id] = by ? by->id : 0;
	}
}

/* What a dead host owned and nobody has a copy of. */
static void losses_tell(struct watch *watch, uint16_t host_id)
{
	struct orchestrator *orch = watch->f->orch;
	struct model *model = &orch->model;
	MODEL_LOCKED(model);

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		struct sample_instance told;
		unsigned int slots, rules;
		size_t pins;

		if (!instance || instance->host != host_id || instance->standby_of ||
		    model_standby(model, instance->id))
			continue;
		owners_count(&model_service(model, instance->service)->table, instance->id, &slots,
			     &pins, &rules);
		if (!slots && !pins && !rules)
			continue;
		if (!samples_member(orch->samples, model_host(model, host_id), instance->id, &told))
			told.flows = 0;
		event_emit(orch->events, "state-lost",
			   (struct event_about){
				   .service = model_service(model, instance->service)->name,
				   .instance = instance->name },
			   "%s has no standby: the state of about %llu flows is lost",
			   instance->name, (unsigned long long)told.flows);
	}
}

static void change_tell(struct watch *watch, const struct detect_change *change)
{
	struct orchestrator *orch = watch->f->orch;
	const struct host *host = NULL;

	for (size_t i = 0; i < orch->model.hosts_n; i++)
		if (orch->model.hosts[i].id == change->host)
			host = &orch->model.hosts[i];
	if (change->now == DETECT_DEAD) {
		event_emit(orch->events, "host-dead", (struct event_about){ .host = host->name },
			   "host %s is dead, silent for %llu ms: %s", host->name,
			   (unsigned long long)change->silent_ms, change->why);
		losses_tell(watch, change->host);
	} else if (change->before == DETECT_DEAD) {
		event_emit(orch->events, "host-heard", (struct event_about){ .host = host->name },
			   "host %s is heard again", host->name);
	}
}

/* ---- acting ---------------------------------------------------------------------------------- */

static bool is_being_recovered(const struct model *model, uint16_t instance)
{
	for (const struct operation *op = model->operations; op; op = op->next) {
		const char *kind = json_string_value(json_object_get(op->doc, "kind"));

		if (op->from == instance && kind && !strcmp(kind, "recovery"))
			return true;
	}
	return false;
}

static void why_lost(const struct orchestrator *orch, const struct instance *instance, char *buf,
		     size_t size)
{
	const struct host *host = model_host(&orch->model, instance->host);
	struct sample_instance told = { 0 };

	samples_member(orch->samples, host, instance->id, &told);
	if (failover_is_dead(orch, host->id))
		snprintf(buf, size, "its host %s is dead", host->name);
	else if (told.failed[0])
		snprintf(buf, size, "%s", told.failed);
	else
		snprintf(buf, size, "the lease of its host %s has run out", host->name);
}

/* The lock is held. */
static void recoveries_begin(struct watch *watch)
{
	struct orchestrator *orch = watch->f->orch;
	struct model *model = &orch->model;

	for (unsigned int i = 0; i < FF_INSTANCES_MAX && !model->stopping; i++) {
		struct instance *standby = model->instances[i], *owner;
		char why[200];

		if (!standby || !standby->standby_of || !is_recoverable(orch, standby))
			continue;
		owner = model_instance(model, standby->standby_of);
		if (is_being_recovered(model, owner->id))
			continue;
		why_lost(orch, owner, why, sizeof(why));
		recovery_begin(watch->f, owner, standby, why);
	}
}

/*
 * Whether a move may go on without this dead host: what it has there is recovered, or can't be, and surely
 * nothing is processed there any more. A recovery that is under way says so itself, in its turn.
 */
static bool may_do_without(const struct orchestrator *orch, const struct operation *op,
			   const struct host *host)
{
	const struct model *model = &orch->model;
	const uint16_t ids[] = { migration_from(op), migration_to(op) };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		const struct instance *instance = model_instance(model, ids[i]);
		const struct instance *standby = model_standby(model, ids[i]);

		if (is_being_recovered(model, ids[i]))
			return false;
		if (instance && instance->host == host->id &&
		    ((standby && is_recoverable(orch, standby)) ||
		     failover_allows(orch, instance->id, NULL) < 0))
			return false;
	}
	return true;
}

/* The lock is held. */
static void moves_judge(struct watch *watch)
{
	struct orchestrator *orch = watch->f->orch;
	struct model *model = &orch->model;

	for (struct operation *op = model->operations; op; op = op->next)
		for (size_t i = 0; op->migration && i < model->hosts_n; i++)
			if (failover_is_dead(orch, model->hosts[i].id) &&
			    may_do_without(orch, op, &model->hosts[i]))
				migration_host_lost(op, &model->hosts[i]);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void watch_step(struct watch *watch, struct detect_facts *facts)
{
	struct failover *f = watch->f;
	struct orchestrator *orch = f->orch;
	size_t n;

	samples_facts(orch->samples, watch->hosts);
	{
		MODEL_LOCKED(&orch->model);

		for (size_t i = 0; i < orch->model.hosts_n; i++)
			watch->hosts[i].steers = orch->model.hosts[i].steering;
		*facts = (struct detect_facts){ .now_ns = clock_ns(),
						.failure_ms = desired_failure_ms(&orch->model),
						.hosts = watch->hosts,
						.hosts_n = orch->model.hosts_n };
		n = detect_step(&f->detector, facts, watch->changes);
		unheard_note(watch, facts);
		for (size_t i = 0; i < n; i++)
			change_apply(watch, &watch->changes[i]);
		recoveries_begin(watch);
		moves_judge(watch);
	}
	/* told when those who recover are at work: an event costs a write to the disk */
	for (size_t i = 0; i < n; i++)
		change_tell(watch, &watch->changes[i]);
	leases_renew(watch, facts->now_ns);
}

static bool is_stopping(struct orchestrator *orch)
{
	MODEL_LOCKED(&orch->model);

	return orch->model.stopping;
}

static void *watch_main(void *arg)
{
	struct watch *watch = arg;
	struct orchestrator *orch = watch->f->orch;
	struct detect_facts facts;
	uint64_t news = 0;

	while (!is_stopping(orch)) {
		watch_step(watch, &facts);
		samples_await(orch->samples, &news, detect_due(&watch->f->detector, &facts));
	}
	http_multi_free(watch->multi);
	free(watch->hosts);
	free(watch);
	return NULL;
}

int failover_new(struct orchestrator *orch, struct failover **ret, struct ff_error *err)
{
	struct failover *f = calloc(1, sizeof(*f));

	if (!f)
		return error_nomem(err);
	f->orch = orch;
	leases_init(&f->leases, clock_ns());
	/* what an earlier run of ours took from it, it may not know yet */
	for (size_t i = 0; i < FF_HOSTS_MAX; i++)
		f->taken[i] = 1;
	*ret = f;
	return 0;
}

int failover_start(struct orchestrator *orch, struct ff_error *err)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	size_t hosts_n = orch->model.hosts_n;
	int r;

	if (!watch)
		return error_nomem(err);
	watch->f = orch->failover;
	watch->hosts = calloc(hosts_n + 1, sizeof(*watch->hosts));
	r = watch->hosts ? http_multi_new(&watch->multi, err) : error_nomem(err);
	for (size_t i = 0; r == 0 && i < hosts_n; i++) {
		watch->hosts[i].id = orch->model.hosts[i].id;
		strcpy(watch->hosts[i].name, orch->model.hosts[i].name);
	}
	if (r == 0 && pthread_create(&orch->failover->thread, NULL, watch_main, watch))
		r = error_set(err, EAGAIN, FF_CODE_INTERNAL, "raise the limit of threads",
			      "can't start a thread");
	if (r < 0) {
		http_multi_free(watch->multi);
		free(watch->hosts);
		free(watch);
		return r;
	}
	orch->failover->started = true;
	return 0;
}

void failover_stop(struct failover *f)
{
	uint64_t until_ns = clock_ns() + FAILOVER_STOP_MS * NSEC_PER_MSEC;

	if (!f)
		return;
	if (f->started)
		pthread_join(f->thread, NULL);
	MODEL_LOCKED(&f->orch->model);

	while (f->running && clock_ns() < until_ns)
		model_wait(&f->orch->model, 1000);
}

void failover_free(struct failover *f)
{
	if (!f)
		return;
	{
		MODEL_LOCKED(&f->orch->model);

		if (f->running)
			return; /* they still use it; the process ends, and they are taken up again */
	}
	free(f);
}
