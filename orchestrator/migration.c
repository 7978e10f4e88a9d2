/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * migration.c - the threads that drive moves.
 *
 * A driver sleeps in http_multi_wait() until an answer comes, a retry is due or somebody wakes it.
 * Connections are kept for the next move: the multis go back into a pool, so that the calls inside
 * the freeze find warm ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/events.h"
#include "orchestrator/migration_internal.h"

#define WAIT_MAX_MS	 1000 /* looks for a stopping daemon at least so often */
#define IDLE_MS		 50   /* between looks around when no answer is awaited */
#define PROGRESS_MS	 500  /* between questions how far a long copy is */
#define JOURNAL_RETRY_MS 250
#define LEASE_SLACK_MS                                                                             \
	2000 /* beyond its length: it may be renewed once more after a move's call was lost */

struct migrations {
	struct orchestrator *orch;
	unsigned int running;				/* threads; guarded by the model's lock */
	bool hurry;					/* leave what isn't done; likewise */
	struct http_multi *idle[MIGRATION_RUNNING_MAX]; /* likewise */
	size_t idle_n;
};

int migrations_new(struct orchestrator *orch, struct migrations **ret, struct ff_error *err)
{
	struct migrations *migrations = calloc(1, sizeof(*migrations));

	if (!migrations)
		return error_nomem(err);
	migrations->orch = orch;
	*ret = migrations;
	return 0;
}

/* ---- performing ------------------------------------------------------------------------------ */

/* The service as the operation leaves it; the lock is held. */
static void owners_settle(struct migration *migration, struct service *service)
{
	const struct operation *operation = migration->operation;

	/* its target was lost meanwhile, and recovered before a crash of ours: its heir isn't known */
	if (!model_instance(&migration->orch->model, operation->to))
		log_error("operation %s: its target is no more: the flows stay with their owner",
			  operation->id);
	/* it may have been done before a crash: then nothing changes, which is all the same */
	else if (owners_apply(&service->table, operation->subject, operation->to) < 0)
		log_error("operation %s: out of memory for the new owners", operation->id);
	/* no hurry to tell the hosts: `finish` does, and the end of the operation tells the others */
	migration->orch->model.version++;
}

/*
 * Recovery does the same whether it finds one of these phases or the one before: the row that an
 * operation begins with says `prepare`. So they are shown, and not written.
 */
static bool phase_is_implied(enum move_phase phase)
{
	return phase == MOVE_PREPARE || phase == MOVE_PRECOPY || phase == MOVE_FINAL;
}

static int journal_once(struct migration *migration, enum move_phase phase,
			const struct service *service, struct ff_error *err)
{
	struct store *store = migration->orch->store;
	int r;

	if (phase_is_implied(phase))
		return 0;
	if (phase == MOVE_ENDED) /* one that a power cut takes is a `finish` that is done again */
		r = store_operation_note(store, migration->operation, err);
	else
		r = store_operation_put(store, migration->operation, service, err);
	if (r < 0)
		log_error("operation %s: not journalled: %s", migration->operation->id,
			  err->message);
	return r;
}

/*
 * Only two entries can't be done without: before `switch`, or recovery would forget flows that are
 * half-way; and `finish`, with the owners. A move that can't say that it will switch doesn't; one
 * that has committed insists.
 */
static int journal(struct migration *migration, enum move_phase phase)
{
	struct model *model = &migration->orch->model;
	struct service *service = NULL;
	struct ff_error err = { 0 };
	int r;
	MODEL_LOCKED(model);

	result_phase(migration, phase);
	if (phase == MOVE_FINISH) {
		service = model_service(model, migration->operation->service);
		if (service)
			owners_settle(migration, service);
	}
	r = journal_once(migration, phase, service, &err);
	while (r < 0 && phase == MOVE_FINISH && !migration->orch->migrations->hurry) {
		model_wait(model, JOURNAL_RETRY_MS);
		r = journal_once(migration, phase, service, &err);
	}
	if (r < 0 && phase == MOVE_SWITCH) {
		migration->last = err;
		return r;
	}
	return 0;
}

static void tell(struct migration *migration, const char *kind, const char *text)
{
	const struct operation *operation = migration->operation;
	const char *service = json_string_value(json_object_get(operation->doc, "service"));
	const char *from = json_string_value(json_object_get(operation->doc, "from"));
	const char *to = json_string_value(json_object_get(operation->doc, "to"));

	event_emit(migration->orch->events, kind,
		   (struct event_about){ .operation = operation->id, .service = service },
		   "move %s of %s from %s to %s: %s", operation->id, service, from, to, text);
}

static void end(struct migration *migration, enum move_outcome outcome)
{
	struct model *model = &migration->orch->model;
	struct ff_error err = { 0 };
	const char *why;

	migration->ended = true;
	model_lock(model);
	result_end(migration, outcome);
	journal_once(migration, MOVE_ENDED, NULL, &err);
	/* pins and rules that were made for it, or have become superfluous, go everywhere */
	model_touch(model);
	model_unlock(model);

	why = json_string_value(
		json_object_get(json_object_get(migration->operation->doc, "error"), "message"));
	tell(migration, "move-ended", move_outcome_name(outcome));
	if (why)
		log_info("operation %s: %s", migration->operation->id, why);
}

static void feed(struct migration *migration, const struct move_event *event);

static void feed_simple(struct migration *migration, enum move_event_kind kind)
{
	feed(migration, &(struct move_event){ .kind = kind });
}

/* A call that couldn't even be started is one that got no answer. */
static void feed_unsent(struct migration *migration, const struct move_action *action)
{
	feed(migration, &(struct move_event){ .kind = MOVE_EV_LOST,
					      .host = action->host,
					      .call = action->call,
					      .tag = action->tag });
}

static void perform(struct migration *migration, const struct move_action *actions, size_t n)
{
	bool unsent[MOVE_ACTIONS_MAX] = { false };
	enum move_phase entered = MOVE_NEW;

	for (size_t i = 0; i < n; i++) {
		const struct move_action *action = &actions[i];

		switch (action->kind) {
		case MOVE_DO_JOURNAL:
			if (journal(migration, action->phase) < 0) {
				feed_simple(migration, MOVE_EV_CANCEL);
				return;
			}
			entered = action->phase;
			break;
		case MOVE_DO_CALL:
			unsent[i] = migration_call(migration, action, &migration->last) < 0;
			break;
		case MOVE_DO_END:
			end(migration, action->outcome);
			break;
		}
	}
	/* told after the calls are on their way: an event costs a write to the disk */
	if (entered != MOVE_NEW)
		tell(migration, "move-phase", move_phase_name(entered));
	for (size_t i = 0; i < n; i++)
		if (unsent[i])
			feed_unsent(migration, &actions[i]);
}

static void feed(struct migration *migration, const struct move_event *event)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	enum move_phase failed_in = migration->move.failed_in;
	size_t n;

	if (move_step(&migration->move, event, clock_ns(), actions, ARRAY_SIZE(actions), &n) < 0)
		return;
	if (migration->move.failed_in != failed_in && migration->last.err) {
		MODEL_LOCKED(&migration->orch->model);

		result_error(migration, &migration->last);
	}
	perform(migration, actions, n);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void answered(struct migration *migration, struct http_completion *completion)
{
	struct move_event event = migration_event(completion);
	struct model *model = &migration->orch->model;

	if (migration_is_progress(completion)) {
		MODEL_LOCKED(model);

		result_reply(migration, MOVE_CALL_QUERY, completion->reply);
		return;
	}
	if (event.kind == MOVE_EV_OK) {
		MODEL_LOCKED(model);

		result_reply(migration, event.call, completion->reply);
	} else {
		migration->last = completion->error;
		error_prefix(&migration->last, "%s on %s", move_call_name(event.call),
			     migration->hosts[event.host]->name);
		log_debug("operation %s: %s", migration->operation->id, migration->last.message);
	}
	feed(migration, &event);
}

static void progress(struct migration *migration)
{
	uint64_t now_ns = clock_ns();

	if (migration->move.phase != MOVE_PRECOPY) {
		migration->progress_ns = now_ns + PROGRESS_MS * NSEC_PER_MSEC;
		return;
	}
	if (now_ns < migration->progress_ns)
		return;
	migration->progress_ns = now_ns + PROGRESS_MS * NSEC_PER_MSEC;
	migration_progress(migration);
}

static int wait_ms(const struct migration *migration)
{
	uint64_t due_ns = move_due(&migration->move), now_ns = clock_ns();

	if (migration->move.phase == MOVE_PRECOPY)
		due_ns = MIN(due_ns, migration->progress_ns);
	if (due_ns <= now_ns)
		return 0;
	return (int)MIN((due_ns - now_ns) / NSEC_PER_MSEC + 1, (uint64_t)WAIT_MAX_MS);
}

static void feed_lost(struct migration *migration, uint16_t lost)
{
	for (unsigned int place = 0; place < migration->move.hosts; place++) {
		if (!(lost & ~migration->lost_told & 1u << place))
			continue;
		migration->lost_told |= (uint16_t)(1u << place);
		error_set(&migration->last, EHOSTUNREACH, FF_CODE_UNREACHABLE, NULL,
			  "host %s is dead", migration->hosts[place]->name);
		feed(migration, &(struct move_event){ .kind = MOVE_EV_DEAD, .host = place });
	}
}

/* True: the daemon stops and won't wait any longer. */
static bool look_around(struct migration *migration)
{
	struct model *model = &migration->orch->model;
	bool cancel, hurry;
	uint16_t lost;

	model_lock(model);
	lost = migration->lost;
	cancel = migration->operation->cancel && !migration->cancel_told;
	hurry = migration->orch->migrations->hurry;
	model_unlock(model);

	feed_lost(migration, lost);
	if (cancel) {
		migration->cancel_told = true;
		error_set(&migration->last, ECANCELED, FF_CODE_REFUSED, NULL,
			  "cancelled by request");
		feed_simple(migration, MOVE_EV_CANCEL);
	}
	return hurry;
}

static void drive(struct migration *migration)
{
	struct move_event begin = {
		.kind = migration->recovering ? MOVE_EV_RECOVER : MOVE_EV_START,
		.phase = migration->recover,
		.doubt = json_is_true(json_object_get(migration->operation->doc, "doubt")),
	};
	struct http_completion completion;

	if (migration->recovering)
		error_set(&migration->last, EINTR, FF_CODE_INTERNAL, NULL,
			  "the orchestrator was restarted in phase %s",
			  move_phase_name(migration->recover));
	feed(migration, &begin);
	while (!migration->ended && !look_around(migration)) {
		int r = http_multi_wait(migration->multi, wait_ms(migration), &completion);

		if (r > 0) {
			answered(migration, &completion);
			migration_completion_done(&completion);
		} else if (r == -ENOENT) {
			clock_sleep_ns(MIN(wait_ms(migration), IDLE_MS) * NSEC_PER_MSEC);
		}
		progress(migration);
		if (!migration->ended && clock_ns() >= move_due(&migration->move))
			feed_simple(migration, MOVE_EV_TICK);
	}
}

static void *migration_run(void *arg)
{
	struct migration *migration = arg;
	struct orchestrator *orch = migration->orch;
	struct migrations *migrations = orch->migrations;

	drive(migration);

	model_lock(&orch->model);
	migration->operation->migration = NULL;
	if (migration->ended) {
		operation_unlink(&orch->model, migration->operation);
		operation_free(migration->operation);
	}
	if (!http_multi_in_flight(migration->multi) && migrations->idle_n < MIGRATION_RUNNING_MAX)
		migrations->idle[migrations->idle_n++] = TAKE_PTR(migration->multi);
	http_multi_free(migration->multi);
	migrations->running--;
	pthread_cond_broadcast(&orch->model.changed);
	model_unlock(&orch->model);
	free(migration);
	return NULL;
}

/* ---- starting and stopping ------------------------------------------------------------------- */

static int migration_new(struct orchestrator *orch, struct operation *operation, bool recover,
			 struct migration **ret, struct ff_error *err)
{
	const json_t *prepare = json_object_get(operation->request, "prepare");
	const char *guarantee = json_string_value(json_object_get(prepare, "guarantee"));
	const char *phase = json_string_value(json_object_get(operation->doc, "phase"));
	const struct service *service = model_service(&orch->model, operation->service);
	struct migrations *migrations = orch->migrations;
	_cleanup_free_ struct migration *migration = calloc(1, sizeof(*migration));
	int r;

	if (!migration)
		return error_nomem(err);
	migration->orch = orch;
	migration->operation = operation;
	migration->recovering = recover;
	migration->started_ns = migration->phase_ns = clock_ns();
	move_init(&migration->move, guarantee && !strcmp(guarantee, "order-preserving"));
	if (recover && phase && move_phase_parse(phase, &migration->recover) < 0)
		return error_set(err, EINVAL, FF_CODE_INTERNAL, "restore it from a backup",
				 "operation %s is in an unknown phase \"%s\"", operation->id,
				 phase);
	/* without its target's word a move goes back: not before that has surely stopped */
	if (service_is_fenced(service))
		migration->move.patience_back_ns =
			MAX(migration->move.patience_back_ns,
			    (service->policy.partition.lease_ms + LEASE_SLACK_MS) * NSEC_PER_MSEC);
	r = migration_hosts(migration, err);
	if (r < 0)
		return r;
	if (migrations->idle_n)
		migration->multi = migrations->idle[--migrations->idle_n];
	else
		r = http_multi_new(&migration->multi, err);
	if (r == 0)
		*ret = TAKE_PTR(migration);
	return r;
}

int migration_start(struct orchestrator *orch, struct operation *operation, bool recover,
		    struct ff_error *err)
{
	struct migration *migration = NULL;
	int r;

	if (orch->migrations->running >= MIGRATION_RUNNING_MAX && !recover)
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait until one has ended",
				 "%d operations are running, the most there may be",
				 MIGRATION_RUNNING_MAX);
	r = migration_new(orch, operation, recover, &migration, err);
	if (r < 0)
		return r;
	r = pthread_create(&migration->thread, NULL, migration_run, migration);
	if (r) {
		http_multi_free(migration->multi);
		free(migration);
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start a thread: %s", strerror(r));
	}
	pthread_detach(migration->thread);
	operation->migration = migration;
	orch->migrations->running++;
	return 0;
}

int migration_cancel(struct operation *operation, struct ff_error *err)
{
	if (!operation->can_cancel)
		return error_set(err, EPERM, FF_CODE_REFUSED,
				 "wait for its end; then move the flows back",
				 "operation %s is past the point of no return, or on its way back",
				 operation->id);
	operation->cancel = true;
	if (operation->migration)
		http_multi_wakeup(operation->migration->multi);
	return 0;
}

void migration_host_lost(struct operation *operation, const struct host *host)
{
	struct migration *migration = operation->migration;

	if (!migration)
		return;
	for (unsigned int place = 0; place < migration->move.hosts; place++) {
		if (migration->hosts[place] != host || (migration->lost & 1u << place))
			continue;
		migration->lost |= (uint16_t)(1u << place);
		http_multi_wakeup(migration->multi);
	}
}

uint16_t migration_from(const struct operation *operation)
{
	const json_t *prepare = json_object_get(operation->request, "prepare");

	return (uint16_t)json_integer_value(json_object_get(prepare, "from"));
}

uint16_t migration_to(const struct operation *operation)
{
	const json_t *prepare = json_object_get(operation->request, "prepare");

	return (uint16_t)json_integer_value(json_object_get(prepare, "to"));
}

void migrations_stop(struct migrations *migrations)
{
	struct model *model;
	uint64_t until_ns = clock_ns() + MIGRATION_STOP_MS * NSEC_PER_MSEC;

	if (!migrations)
		return;
	model = &migrations->orch->model;
	model_lock(model);
	while (migrations->running && clock_ns() < until_ns)
		model_wait(model, WAIT_MAX_MS);
	migrations->hurry = true;
	while (migrations->running)
		model_wait(model, WAIT_MAX_MS);
	model_unlock(model);
	for (size_t i = 0; i < migrations->idle_n; i++)
		http_multi_free(migrations->idle[i]);
	free(migrations);
}
