/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_begin.c - recoveries: begun, or taken up again from the journal. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/failover_internal.h"

/* The lock is held. */
static int run_start(struct run *run, struct ff_error *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, recovery_main, run);
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
		recovery_journal(run, NULL);
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
