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
#include "orchestrator/settings.h"

#define REPORT_MS 1000 /* for the steering hosts' next samples, of which one is due each 100 ms */

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
		/* whichever of the two is back first then has it, not one that is dead */
		if (failover_is_dead(run->orch, run->standby_host->id))
			return error_set(err, ECANCELED, FF_CODE_UNREACHABLE, NULL,
					 "the host of its standby %s is dead, too", run->to);
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

/*
 * Moves from or to it go on, as their target has committed or not, and have the heir in its place: what goes
 * back is the heir's, and so is what it was to have. The lock is held.
 */
static void moves_inherit(struct run *run)
{
	for (struct operation *op = run->orch->model.operations; op; op = op->next) {
		if (!op->migration)
			continue;
		if (op->from == run->op->from)
			op->from = run->op->to;
		if (op->to == run->op->from)
			op->to = run->op->to;
	}
}

/*
 * They end as soon as the heir's host knows that it is one, and not before: by their end packets are sent
 * there. One whose host is well is asked as always.
 */
static void moves_end(struct run *run)
{
	struct model *model = &run->orch->model;
	MODEL_LOCKED(model);

	for (struct operation *op = model->operations; op; op = op->next) {
		if (!op->migration ||
		    (migration_from(op) != run->op->from && migration_to(op) != run->op->from))
			continue;
		migration_cancel(op, NULL);
		if (failover_doubts(run->orch, run->host->id))
			migration_host_lost(op, run->host);
	}
}

/* What the copy is worth, as its source told last. */
static void replica_note(struct run *run)
{
	struct sample_instance told = { 0 };
	const struct sample_standby *standby = &told.standby;
	json_t *doc = figures(run);

	samples_member(run->orch->samples, run->host, run->op->from, &told);
	rejoin_note(run, &told);
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

void recovery_journal(struct run *run, const struct service *service)
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
	moves_inherit(run);
	if (owners_apply(&service->table, subject, standby->id) < 0)
		return error_nomem(err);
	replica_note(run);
	standby->standby_of = 0;
	if (settings_retire(run->orch, owner, false, err) < 0)
		log_error("%s", err->message);
	model_remove_instance(model, owner);
	json_put_str(run->op->doc, "phase", "switch");
	/* nobody is woken yet: who needs it most gets it from here */
	model->version++;
	failover_taken(run->orch, run->host->id);
	recovery_journal(run, service);
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
	moves_end(run);
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
	recovery_journal(run, NULL);
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

void *recovery_main(void *arg)
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
