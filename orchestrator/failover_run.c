/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_run.c - one recovery: from an instance that is lost to its standby. See failover.h. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/events.h"
#include "orchestrator/failover_internal.h"
#include "orchestrator/migration.h"
#include "orchestrator/monitor.h"
#include "orchestrator/samples.h"

#define REPORT_MS 1000 /* for the steering hosts' next samples, of which one is due each 100 ms */

/* One recovery: its thread's alone, but for the operation, which is the model's. */
struct run {
	struct failover *f;
	struct orchestrator *orch;
	struct operation *op;
	struct host *host, *standby_host; /* the lost owner's, and its heir's */
	uint64_t found_ns, silent_ms;	  /* when it was found lost; how long it had been silent */
	bool host_dead;
	bool resumed; /* after a restart: the owners have changed already */
	uint64_t
		switched_ns; /* when the last steering host had taken its configuration; 0: none has */
	char from[FF_NAME_MAX], to[FF_NAME_MAX], service[FF_NAME_MAX];
};

static void tell(struct run *run, const char *kind, const char *text)
{
	event_emit(run->orch->events, kind,
		   (struct event_about){ .operation = run->op->id,
					 .service = run->service,
					 .host = run->host ? run->host->name : NULL,
					 .instance = run->from },
		   "recovery %s of %s from %s to %s: %s", run->op->id, run->service, run->from,
		   run->to, text);
}

static json_t *figures(const struct run *run)
{
	return json_object_get(run->op->doc, "recovery");
}

/* ---- fence ----------------------------------------------------------------------------------- */

/* Until the lease has run out. -ECANCELED: it is lost no more, or we stop. The lock is held. */
static int fence_await(struct run *run, struct ff_error *err)
{
	struct model *model = &run->orch->model;
	uint64_t begun_ns = clock_ns();
	struct ff_error why = { 0 };

	while (!model->stopping) {
		const struct instance *owner = model_instance(model, run->op->from);

		if (!owner || !failover_is_lost(run->orch, owner))
			return error_set(err, ECANCELED, FF_CODE_REFUSED, NULL,
					 "%s came back in time: nothing was taken from it",
					 run->from);
		if (failover_allows(run->orch, owner->id, &why) == 0) {
			json_put_uint(figures(run), "fence_ms",
				      (clock_ns() - begun_ns) / NSEC_PER_MSEC);
			return 0;
		}
		model_wait(model, 5);
	}
	return error_set(err, ECANCELED, FF_CODE_REFUSED, NULL, "the orchestrator is stopping");
}

/* ---- switch ---------------------------------------------------------------------------------- */

/* Moves from or to it end the sooner, the sooner they begin to; what is committed stays so. */
static void moves_cancel(struct run *run)
{
	for (struct operation *op = run->orch->model.operations; op; op = op->next)
		if (op->migration && (op->from == run->op->from || op->to == run->op->from))
			migration_cancel(op, NULL);
}

static void lost_note(struct run *run, const struct sample_instance *told)
{
	struct failover *f = run->f;
	struct failover_lost *lost = &f->lost[f->lost_next++ % FAILOVER_LOST_MAX];

	*lost = (struct failover_lost){ .instance = run->op->from,
					.host = run->host->id,
					.packets = told->packets };
	strcpy(lost->name, run->from);
	strcpy(lost->service, run->service);
}

/* What the copy is worth, as its source told last. */
static void replica_note(struct run *run)
{
	struct sample_instance told = { 0 };
	const struct sample_standby *standby = &told.standby;
	json_t *doc = figures(run);

	samples_member(run->orch->samples, run->host, run->op->from, &told);
	lost_note(run, &told);
	if (standby->instance != run->op->to) {
		json_put_str(doc, "replica", "unknown");
		return;
	}
	json_put_str(doc, "replica", sample_standby_name(standby->state));
	json_put_uint(doc, "replica_age_ms", standby->lag_ms);
	json_put_uint(run->op->doc, "flows", standby->flows);
	json_put_uint(run->op->doc, "bytes", standby->bytes);
	json_put_uint(run->op->doc, "rounds", standby->rounds);
}

static void journal(struct run *run, const struct service *service)
{
	struct ff_error err = { 0 };
	int r = service ? store_operation_put_all(run->orch->store, run->op, &run->orch->model,
						  service, &err) :
			  store_operation_put(run->orch->store, run->op, NULL, &err);

	/* flows wait, and what isn't journalled is found anew after a crash: it goes on */
	if (r < 0)
		log_error("recovery %s: not journalled: %s", run->op->id, err.message);
}

/* All that X owned becomes its standby's, which is none any more; X is gone. The lock is held. */
static int owners_switch(struct run *run, struct ff_error *err)
{
	struct model *model = &run->orch->model;
	struct instance *owner = model_instance(model, run->op->from);
	struct instance *standby = model_instance(model, run->op->to);
	struct service *service = model_service(model, run->op->service);
	_cleanup_change_ struct change *subject = calloc(1, sizeof(*subject));

	if (!owner || !standby || !service || standby->standby_of != owner->id)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "%s or its standby was removed meanwhile", run->from);
	/* what it owns now: a move may have ended since it was found lost */
	if (!subject || change_add_owned(subject, &service->table, owner->id) < 0)
		return error_nomem(err);
	moves_cancel(run);
	if (owners_apply(&service->table, subject, standby->id) < 0)
		return error_nomem(err);
	replica_note(run);
	standby->standby_of = 0;
	model_remove_instance(model, owner);
	json_put_str(run->op->doc, "phase", "switch");
	/* nobody is woken yet: who needs it most gets it from here */
	model->version++;
	journal(run, service);
	return 0;
}

static size_t steering_make(struct run *run, struct push *ret, size_t max)
{
	struct model *model = &run->orch->model;
	size_t n = 0;

	for (size_t i = 0; i < model->hosts_n && n < max; i++) {
		struct host *host = &model->hosts[i];

		if (host->steering && host->up && host != run->standby_host)
			push_make(&ret[n++], run->orch, host);
	}
	return n;
}

static void hosts_switch(struct run *run, struct push *first, struct push *steering, size_t n)
{
	push_all(first, 1);
	push_all(steering, n);
	if (run->standby_host->steering)
		run->switched_ns = first->done_ns;
	for (size_t i = 0; i < n; i++)
		run->switched_ns = MAX(run->switched_ns, steering[i].done_ns);
}

/* ---- report ---------------------------------------------------------------------------------- */

/* What the live hosts have sent in vain; -EAGAIN: not all have told since they switched. */
static int losses_sum(struct run *run, uint64_t *ret_packets)
{
	struct orchestrator *orch = run->orch;
	int r = 0;

	*ret_packets = 0;
	for (size_t i = 0; i < orch->model.hosts_n; i++) {
		const struct host *host = &orch->model.hosts[i];
		struct samples_sent sent;

		if (!host->up || host == run->host)
			continue;
		sent = samples_sent(orch->samples, host, run->host->id);
		*ret_packets += sent.unheard;
		if (sent.told_ns <= run->switched_ns)
			r = -EAGAIN;
	}
	return r;
}

static void report(struct run *run)
{
	struct model *model = &run->orch->model;
	uint64_t until_ns = clock_ns() + REPORT_MS * NSEC_PER_MSEC, packets = 0;
	int r = -EAGAIN;
	MODEL_LOCKED(model);

	json_put_str(run->op->doc, "phase", "report");
	if (run->switched_ns)
		json_put_uint(figures(run), "recovered_ms",
			      (run->switched_ns - run->found_ns) / NSEC_PER_MSEC + run->silent_ms);
	else
		json_put_str(run->op->doc, "note",
			     "no steering host has taken its configuration yet");
	if (!run->host_dead) /* nothing was on its way in vain: what came to it is in its drops */
		return;
	while (r == -EAGAIN && !model->stopping && clock_ns() < until_ns) {
		r = losses_sum(run, &packets);
		if (r < 0)
			model_wait(model, 20);
	}
	if (r < 0)
		json_put_str(run->op->doc, "note",
			     "not all hosts have told what they sent in vain");
	json_put_uint(figures(run), "packets_lost_at_most", packets);
	json_put_uint(run->op->doc, "packets_dropped", packets);
	run->f->count.packets_lost += packets;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void end_text(const struct run *run, char *buf, size_t size)
{
	const json_t *doc = figures(run);
	const json_t *lost = json_object_get(doc, "packets_lost_at_most");

	snprintf(
		buf, size,
		"found after %lld ms, recovered after %lld ms; %lld flows, their copy %s and %lld ms "
		"old; %s%lld packets lost at most",
		json_integer_value(json_object_get(doc, "detect_ms")),
		json_integer_value(json_object_get(doc, "recovered_ms")),
		json_integer_value(json_object_get(run->op->doc, "flows")),
		json_string_value(json_object_get(doc, "replica")) ?: "unknown",
		json_integer_value(json_object_get(doc, "replica_age_ms")),
		lost ? "" : "not known: ", json_integer_value(lost));
}

/* The state's last entry; the operation is gone afterwards. The lock isn't held. */
static void end(struct run *run, int r, const struct ff_error *why)
{
	struct model *model = &run->orch->model;
	json_t *doc = run->op->doc;
	char text[300];

	end_text(run, text, sizeof(text));
	tell(run, "recovery-ended", r < 0 ? why->message : run->resumed ? "done" : text);
	MODEL_LOCKED(model);
	json_put_str(doc, "state", r < 0 ? "rolled-back" : "completed");
	json_put_str(doc, "phase", "ended");
	json_put_uint(doc, "ended", clock_wall_ms());
	json_put_uint(doc, "total_us", (clock_ns() - run->found_ns) / NSEC_PER_USEC);
	if (r < 0) {
		_cleanup_json_ json_t *body = json_from_error(why);

		json_object_set(doc, "error", json_object_get(body, "error"));
	} else {
		run->f->count.recovered++;
		run->f->count.flows += (uint64_t)json_integer_value(json_object_get(doc, "flows"));
	}
	journal(run, NULL);
	operation_unlink(model, run->op);
	operation_free(run->op);
	run->f->running--;
	pthread_cond_broadcast(&model->changed);
}

/* 0, or nothing has changed. */
static int take_over(struct run *run, struct ff_error *err)
{
	struct model *model = &run->orch->model;
	struct push first, steering[FF_HOSTS_MAX];
	size_t n = 0;
	int r;

	{
		MODEL_LOCKED(model);

		r = fence_await(run, err);
		if (r == 0)
			r = owners_switch(run, err);
		if (r < 0)
			return r;
		push_make(&first, run->orch, run->standby_host);
		n = steering_make(run, steering, ARRAY_SIZE(steering));
	}
	hosts_switch(run, &first, steering, n);
	push_done(&first);
	for (size_t i = 0; i < n; i++)
		push_done(&steering[i]);
	{
		MODEL_LOCKED(model);

		pthread_cond_broadcast(&model->changed); /* and now all the others */
	}
	report(run);
	return 0;
}

/* After a restart the monitors tell every host anyhow. */
static void follow_up(struct run *run)
{
	struct model *model = &run->orch->model;
	struct ff_error away = { 0 };
	MODEL_LOCKED(model);

	monitor_appear(run->orch);
	monitor_settle(run->orch, NULL, &away);
	json_put_str(run->op->doc, "note",
		     "the orchestrator was restarted meanwhile: what was lost isn't known");
}

static void *run_main(void *arg)
{
	struct run *run = arg;
	struct ff_error err = { 0 };
	int r = 0;

	if (run->resumed) {
		follow_up(run);
	} else {
		r = take_over(run, &err);
	}
	end(run, r, &err);
	free(run);
	return NULL;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* The lock is held. */
static int run_start(struct run *run, struct ff_error *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, run_main, run);
	pthread_attr_destroy(&attr);
	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start a thread: %s", strerror(r));
	run->f->running++;
	return 0;
}

static void names_note(struct run *run)
{
	const json_t *doc = run->op->doc;

	snprintf(run->service, sizeof(run->service), "%s",
		 json_string_value(json_object_get(doc, "service")) ?: "-");
	snprintf(run->from, sizeof(run->from), "%s",
		 json_string_value(json_object_get(doc, "from")) ?: "-");
	snprintf(run->to, sizeof(run->to), "%s",
		 json_string_value(json_object_get(doc, "to")) ?: "-");
}

static void doc_fill(struct run *run, const struct model *model, const char *why)
{
	struct operation *op = run->op;
	json_t *subject = change_to_json(op->subject, OPERATION_FLOWS_SHOWN);

	if (op->subject->flows_n > OPERATION_FLOWS_SHOWN)
		json_put_uint(subject, "flows_total", op->subject->flows_n);
	json_put_str(op->doc, "service", model_service(model, op->service)->name);
	json_put_str(op->doc, "from", model_instance_name(model, op->from));
	json_put_str(op->doc, "to", model_instance_name(model, op->to));
	json_put_str(op->doc, "state", "running");
	json_put_str(op->doc, "phase", "fence");
	json_put(op->doc, "subject", subject);
	json_put(op->doc, "recovery",
		 json_pack("{ss ss sI}", "host", run->host->name, "why", why, "detect_ms",
			   (json_int_t)run->silent_ms));
}

static struct run *run_new(struct failover *f, const struct instance *owner,
			   const struct instance *standby, const char *why)
{
	struct model *model = &f->orch->model;
	struct run *run = calloc(1, sizeof(*run));
	struct operation *op = operation_new("recovery");

	if (op)
		op->subject = calloc(1, sizeof(*op->subject));
	if (!run || !op || !op->subject ||
	    change_add_owned(op->subject, &model_service(model, owner->service)->table, owner->id) <
		    0) {
		operation_free(op);
		free(run);
		return NULL;
	}
	op->service = owner->service;
	op->from = owner->id;
	op->to = standby->id;
	op->can_cancel = false;
	*run = (struct run){ .f = f,
			     .orch = f->orch,
			     .op = op,
			     .host = model_host(model, owner->host),
			     .standby_host = model_host(model, standby->host),
			     .host_dead = f->dead[owner->host],
			     .found_ns = clock_ns() };
	if (run->host_dead) {
		run->found_ns = f->verdict_ns[owner->host];
		run->silent_ms = f->silent_ms[owner->host];
	}
	doc_fill(run, model, why);
	names_note(run);
	return run;
}

void recovery_begin(struct failover *f, const struct instance *owner,
		    const struct instance *standby, const char *why)
{
	struct run *run = run_new(f, owner, standby, why);
	struct ff_error err = { 0 };

	if (!run) {
		log_error("%s can't be recovered: out of memory", owner->name);
		return;
	}
	/* where there is nothing to wait for, its first entry is the switch */
	if (failover_allows(f->orch, owner->id, NULL) < 0)
		journal(run, NULL);
	operation_link(&f->orch->model, run->op);
	if (run_start(run, &err) == 0)
		return;
	log_error("%s can't be recovered: %s", owner->name, err.message);
	operation_unlink(&f->orch->model, run->op);
	operation_free(run->op);
	free(run);
}

int failover_resume(struct orchestrator *orch, struct operation *operation, struct ff_error *err)
{
	const char *phase = json_string_value(json_object_get(operation->doc, "phase")) ?: "";
	struct run *run;
	int r;

	if (!strcmp(phase, "fence"))
		return error_set(err, ECANCELED, FF_CODE_INTERNAL,
				 "nothing to do: it begins anew if it is still needed",
				 "the orchestrator was restarted before anything was taken over");
	run = calloc(1, sizeof(*run));
	if (!run)
		return error_nomem(err);
	*run = (struct run){ .f = orch->failover,
			     .orch = orch,
			     .op = operation,
			     .resumed = true,
			     .found_ns = clock_ns() };
	operation->can_cancel = false;
	names_note(run);
	r = run_start(run, err);
	if (r < 0) {
		free(run);
		return r;
	}
	operation_link(&orch->model, operation);
	return 0;
}

/* ---- a host comes back ----------------------------------------------------------------------- */

/* What an instance that was given up has processed since its last sample; -1: it is gone. */
static int64_t diverged(const struct failover_lost *lost, const json_t *report)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(report, "instances"), i, item)
		if (json_integer_value(json_object_get(item, "id")) == lost->instance)
			return json_integer_value(json_object_get(item, "packets")) -
			       (int64_t)lost->packets;
	return -1;
}

void failover_rejoin(struct orchestrator *orch, const struct host *host, const json_t *report)
{
	struct failover *f = orch->failover;

	for (size_t i = 0; i < FAILOVER_LOST_MAX; i++) {
		struct failover_lost lost;
		int64_t packets;
		{
			MODEL_LOCKED(&orch->model);

			lost = f->lost[i];
			if (lost.host == host->id)
				f->lost[i] = (struct failover_lost){ 0 };
		}
		if (!lost.instance || lost.host != host->id)
			continue;
		packets = diverged(&lost, report);
		event_emit(
			orch->events, packets > 0 ? "host-diverged" : "host-rejoined",
			(struct event_about){ .host = host->name,
					      .service = lost.service,
					      .instance = lost.name },
			packets < 0 ?
				"host %s is back, without %s: it rejoins empty" :
			packets == 0 ?
				"host %s is back; %s has processed nothing since it was last heard: "
				"it rejoins empty" :
				"host %s is back; %s had processed %lld packets more than it last told, "
				"which its heir knows nothing of; it rejoins empty",
			host->name, lost.name, (long long)packets);
	}
}
