/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * protection.c - see protection.h.
 *
 * Who writes what: the loop's thread fills `steps` while the worker is idle (n 0) and wakes it; the
 * worker empties it. Both under the model's lock.
 */
#include "orchestrator/protection.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "orchestrator/driver.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/samples.h"
#include "orchestrator/standby.h"

#define STEPS_MAX (2 * FF_INSTANCES_MAX)

struct protection {
	struct orchestrator *orch;
	const struct driver *driver;
	pthread_t thread;
	struct standby_step steps[STEPS_MAX];
	size_t n;
	bool busy;		/* the worker has taken them, and isn't through */
	uint64_t not_before_ns; /* nothing is decided before */
	char told[400];		/* the last failure: told once */
};

/* ---- what is there --------------------------------------------------------------------------- */

bool protection_told(const struct orchestrator *orch, const struct instance *owner,
		     struct sample_standby *ret)
{
	const struct instance *standby = model_standby(&orch->model, owner->id);
	const struct host *host = model_host(&orch->model, owner->host);
	struct sample_instance member;

	if (!standby || !host || !samples_member(orch->samples, host, owner->id, &member) ||
	    member.standby.instance != standby->id)
		return false;
	*ret = member.standby;
	return true;
}

/* Marks who owns something, in one go over the table. */
static void owners_mark(const struct owners *table, bool ret_owns[FF_INSTANCES_MAX])
{
	memset(ret_owns, 0, FF_INSTANCES_MAX * sizeof(ret_owns[0]));
	for (unsigned int slot = 0; slot < table->slots; slot++)
		ret_owns[table->owners[slot]] = true;
	for (size_t i = 0; i < table->pins_n; i++)
		ret_owns[table->pins[i].instance] = true;
	for (unsigned int i = 0; i < FF_RULES_MAX; i++)
		if (table->rules[i].used)
			ret_owns[table->rules[i].instance] = true;
}

unsigned int protection_missing(const struct orchestrator *orch, const struct service *service,
				unsigned int *ret_owners)
{
	bool owns[FF_INSTANCES_MAX];
	unsigned int missing = 0, owners = 0;

	owners_mark(&service->table, owns);
	for (unsigned int i = 1; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = orch->model.instances[i];
		struct sample_standby told;

		if (!instance || !owns[i])
			continue;
		owners++;
		missing += !protection_told(orch, instance, &told) || told.state != STANDBY_SYNCED;
	}
	*ret_owners = owners;
	return missing;
}

/* ---- deciding -------------------------------------------------------------------------------- */

#define KEEPS_NONE (HOST_FAILED | HOST_MAINTENANCE | HOST_LINK_DOWN)

static void host_judge(const struct orchestrator *orch, const struct service *service,
		       const struct host_load *load, struct standby_host *ret)
{
	const struct policy *policy = &service->policy;
	double used =
		(double)load->cpu.softirq + load->cpu.system + load->cpu.user + load->cpu.other;
	bool allowed = policy_allows_host(policy, load->name) &&
		       (policy->placement.hosts_count || !load->steering);
	uint32_t max = load->instances_max ?: FF_INSTANCES_MAX;

	*ret = (struct standby_host){
		.id = load->id,
		.takes = allowed && !load->conditions && !failover_doubts(orch, load->id) &&
			 load->quality.validity == LOAD_VALID && load->instances < max,
		.stays = allowed && !(load->conditions & KEEPS_NONE),
		.used = load->cpus > 0 ? used / load->cpus : 0,
	};
}

static void member_judge(const struct orchestrator *orch, const struct loads *loads,
			 const struct instance *instance, bool owns, struct standby_member *ret)
{
	const struct host *host = model_host(&orch->model, instance->host);
	struct sample_instance told;

	*ret = (struct standby_member){ .id = instance->id,
					.host = instance->host,
					.standby_of = instance->standby_of,
					.owns = owns };
	/* one that another version of its agent has pinned gets no copies, nor could it be configured */
	ret->failed = !host || host->foreign[instance->id] ||
		      (samples_member(orch->samples, host, instance->id, &told) && told.failed[0]);
	for (size_t i = 0; i < loads->hosts_n; i++)
		if (loads->hosts[i].id == instance->host)
			ret->failed |= loads->hosts[i].conditions & HOST_FAILED;
}

static bool is_concerned(const struct model *model, const struct service *service)
{
	if (service_is_protected(service))
		return true;
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id &&
		    model->instances[i]->standby_of)
			return true;
	return false;
}

/* The lock is held. */
static int service_decide(struct protection *p, const struct loads *loads,
			  const struct service *service)
{
	const struct model *model = &p->orch->model;
	struct standby_host hosts[FF_HOSTS_MAX];
	_cleanup_free_ struct standby_member *members = calloc(FF_INSTANCES_MAX, sizeof(*members));
	struct standby_input input = { .protect = service_is_protected(service),
				       .first = service->policy.mode == POLICY_ACT,
				       .hosts = hosts,
				       .hosts_n = MIN(loads->hosts_n, (size_t)FF_HOSTS_MAX),
				       .members = members };
	bool owns[FF_INSTANCES_MAX];
	size_t n = 0;
	int r;

	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < input.hosts_n; i++)
		host_judge(p->orch, service, &loads->hosts[i], &hosts[i]);
	owners_mark(&service->table, owns);
	for (unsigned int i = 1; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id)
			member_judge(p->orch, loads, model->instances[i], owns[i],
				     &members[input.members_n++]);
	r = standby_plan(&input, p->steps + p->n, STEPS_MAX - p->n, &n);
	p->n += n;
	return r;
}

void protection_step(struct protection *p, const struct loads *loads)
{
	struct model *model = &p->orch->model;
	int r = 0;
	MODEL_LOCKED(model);

	if (p->n || p->busy || loads->now_ns < p->not_before_ns)
		return;
	for (unsigned int i = 0; r == 0 && i < FF_SERVICES_MAX; i++) {
		const struct service *service = model->services[i];

		if (service && is_concerned(model, service) && !failover_busy(p->orch, service->id))
			r = service_decide(p, loads, service);
	}
	if (r < 0)
		log_error("standbys can't be reviewed: %s", strerror(-r));
	if (p->n)
		pthread_cond_broadcast(&model->changed);
}

/* ---- doing ----------------------------------------------------------------------------------- */

static int step_run(struct protection *p, const struct standby_step *step, struct ff_error *err)
{
	struct orchestrator *orch = p->orch;
	struct model *model = &orch->model;
	char owner[FF_NAME_MAX], standby[FF_NAME_MAX], service[FF_NAME_MAX] = "-";
	char host[FF_NAME_MAX] = "-";
	uint16_t id = step->standby;
	int r;

	{
		MODEL_LOCKED(model);
		const struct instance *instance = model_instance(model, step->standby);

		/* it may have taken over meanwhile */
		if (instance && !instance->standby_of)
			return 0;
		if (step->kind == STANDBY_REMOVE && !instance)
			return 0;
		strcpy(owner, model_instance_name(model, step->owner));
		strcpy(standby, model_instance_name(model, step->standby));
	}
	r = step->kind == STANDBY_ADD ?
		    p->driver->protect(orch, step->owner, step->host, &id, err) :
		    p->driver->retire(orch, standby, err);
	if (r < 0)
		return r;
	{
		MODEL_LOCKED(model);
		const struct instance *instance = model_instance(model, step->owner);

		if (instance)
			strcpy(service, model_service(model, instance->service)->name);
		if (step->kind == STANDBY_ADD)
			strcpy(standby, model_instance_name(model, id));
		if (model_host(model, step->host))
			strcpy(host, model_host(model, step->host)->name);
	}
	if (step->kind == STANDBY_ADD)
		event_emit(orch->events, "standby-added",
			   (struct event_about){
				   .service = service, .instance = standby, .host = host },
			   "%s stands by for %s on %s: %s", standby, owner, host, step->why);
	else
		event_emit(orch->events, "standby-removed",
			   (struct event_about){ .service = service, .instance = standby },
			   "%s stands by for %s no more: %s", standby, owner, step->why);
	return 0;
}

static void failure_tell(struct protection *p, const struct standby_step *step,
			 const struct ff_error *err)
{
	char owner[FF_NAME_MAX];
	{
		MODEL_LOCKED(&p->orch->model);

		p->not_before_ns = clock_ns() + PROTECTION_BACKOFF_MS * NSEC_PER_MSEC;
		strcpy(owner, model_instance_name(&p->orch->model, step->owner));
	}
	if (!strcmp(p->told, err->message))
		return;
	snprintf(p->told, sizeof(p->told), "%s", err->message);
	event_emit(p->orch->events, "standby-failed", (struct event_about){ .instance = owner },
		   "the standby of %s can't be %s: %s", owner,
		   step->kind == STANDBY_ADD ? "made" : "removed", err->message);
}

/* False: the daemon stops. */
static bool steps_await(struct protection *p)
{
	struct model *model = &p->orch->model;
	MODEL_LOCKED(model);

	p->n = 0;
	p->busy = false;
	while (!p->n && !model->stopping)
		model_wait(model, 1000);
	p->busy = true;
	return !model->stopping;
}

static void *protection_main(void *arg)
{
	struct protection *p = arg;

	while (steps_await(p)) {
		for (size_t i = 0; i < p->n; i++) {
			struct ff_error err = { 0 };

			if (step_run(p, &p->steps[i], &err) < 0) {
				failure_tell(p, &p->steps[i], &err);
				break; /* what follows is decided anew */
			}
			p->told[0] = '\0';
		}
	}
	return NULL;
}

int protection_start(struct orchestrator *orch, struct protection **ret, struct ff_error *err)
{
	struct protection *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return error_nomem(err);
	p->orch = orch;
	p->driver = &driver_agent;
	p->busy = true; /* until its thread waits */
	r = pthread_create(&p->thread, NULL, protection_main, p);
	if (r) {
		free(p);
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start a thread: %s", strerror(r));
	}
	*ret = p;
	return 0;
}

void protection_stop(struct protection *p)
{
	if (!p)
		return;
	pthread_join(p->thread, NULL);
	free(p);
}
