/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model.h - what the orchestrator knows: hosts, services, instances, running operations.
 *
 * One mutex guards all of it. Threads that take it: the handlers of requests, one monitor thread
 * for each host, one driver thread for each running operation. Nobody holds it over I/O to an
 * agent; the store may be written under it, so that memory and disk change in one order. Functions
 * here want it held unless they say otherwise.
 *
 * Nothing is removed from `hosts` while the daemon runs, so a struct host may be used without the
 * lock for what never changes: name, id, url, client.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "bpf/abi.h"
#include "lib/error.h"
#include "lib/http_client.h"
#include "lib/name.h"
#include "lib/policy.h"
#include "orchestrator/owners.h"

#define MODEL_CAPACITY_DEFAULT 1048576
#define MODEL_CAPACITY_MAX     (64u << 20) /* entries: 10 GB of flow state on one host */
#define MODEL_SLOTS_DEFAULT    4096

struct host {
	char name[FF_NAME_MAX];
	uint16_t id;
	char *url;
	char *ipv4;
	char *ipv6;
	struct http_client *client;

	bool up;
	bool steering;		    /* as last seen, also by an earlier run */
	bool draining;		    /* an operator wants it empty */
	uint64_t drain_since_ms;    /* wall clock */
	uint64_t drain_deadline_ms; /* likewise; 0: none */
	bool drain_told_empty;
	bool drain_told_late;
	unsigned int cpus;
	uint64_t last_seen_ms;
	json_t *report;			/* the last GET /v1/host; NULL: none yet */
	bool foreign[FF_INSTANCES_MAX]; /* told by it: pinned by another version of its agent */
	char why_down[400];
	uint64_t pushed;	    /* the model's version that it has */
	uint64_t push_tried;	    /* the version of push_error */
	struct ff_error push_error; /* err 0: accepted */
};

struct service {
	char name[FF_NAME_MAX];
	uint16_t id;
	char nf[FF_NAME_MAX]; /* of new instances */
	char *class;	      /* filter text, "": everything */
	json_t *config;
	uint64_t capacity; /* flows of each instance */
	bool governed;	   /* has a policy: the loop acts for it */
	bool upheld;	   /* it acts; or observes, and has what it had when it acted */
	struct policy policy;
	unsigned int last_name; /* the number in the name that was given last */
	struct owners table;
};

struct instance {
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX]; /* its service's when it was made */
	uint16_t id;
	uint16_t service;
	uint16_t host;
	/* The instance whose state it keeps a copy of, to take over when that fails; 0: none. It owns
	 * nothing as long as it is one, and isn't counted among those that do. */
	uint16_t standby_of;
	/* Wall clock: since then a plan retires it, and flows have been left there to end; 0: not. */
	uint64_t retiring_ms;
};

struct operation; /* operation.h */

struct model {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* version, an operation's end, a host's state */
	uint64_t version;	/* of the state that the hosts should have */
	struct host *hosts;
	size_t hosts_n;
	struct service *services[FF_SERVICES_MAX]; /* by number */
	struct instance *instances[FF_INSTANCES_MAX];
	struct operation *operations; /* queued and running ones */
	uint16_t last_service;	/* numbers are reused as late as possible: a host that was away */
	uint16_t last_instance; /* must not take one thing for another */
	bool stopping;
};

int model_init(struct model *model);
void model_done(struct model *model);

void model_lock(struct model *model);
void model_unlock(struct model *model);
#define MODEL_LOCKED(m)                                                                            \
	__attribute__((unused))                                                                    \
	_cleanup_(model_unlockp) struct model *_locked = (model_lock(m), (m))
static inline void model_unlockp(struct model **held)
{
	model_unlock(*held);
}

/* Says that the desired state has changed, and wakes whoever pushes it. */
void model_touch(struct model *model);

/* Waits for `changed` at most @timeout_ms; false: the time is over. */
bool model_wait(struct model *model, unsigned int timeout_ms);

/* Look-ups; the find functions return NULL, the get functions fill *err with names that exist. */
struct host *model_host(const struct model *model, uint16_t id);
struct service *model_service(const struct model *model, uint16_t id);
struct instance *model_instance(const struct model *model, uint16_t id);
struct host *model_find_host(const struct model *model, const char *name);
struct service *model_find_service(const struct model *model, const char *name);
struct instance *model_find_instance(const struct model *model, const char *name);
int model_get_host(const struct model *model, const char *name, struct host **ret,
		   struct ff_error *err);
int model_get_service(const struct model *model, const char *name, struct service **ret,
		      struct ff_error *err);
int model_get_instance(const struct model *model, const char *name, struct instance **ret,
		       struct ff_error *err);
/* An instance of that service; the error lists the service's own. */
int model_get_member(const struct model *model, const struct service *service, const char *name,
		     struct instance **ret, struct ff_error *err);

/* The standby of an instance; NULL: it has none. */
struct instance *model_standby(const struct model *model, uint16_t owner);
/* What a service's policy asks for, and is acted upon. */
bool service_is_protected(const struct service *service);
bool service_is_fenced(const struct service *service);

const char *model_instance_name(const struct model *model, uint16_t id); /* "-": none */

/*
 * -EPERM: another version of its host's agent has pinned it. It forwards as it did, and has its state, but
 * this one can do nothing with it. That is its own condition: its host, and what else is there, is well.
 */
int instance_check_foreign(const struct model *model, const struct instance *instance,
			   struct ff_error *err);

/*
 * SERVICE-N. Like numbers, names are used again as late as possible: a host that was away may still have an
 * instance of that name.
 */
void model_name_instance(const struct model *model, struct service *service, char ret[FF_NAME_MAX]);
/* Makes one, with the lowest free number; the model owns it. -ENOSPC, -ENOMEM. */
int model_add_service(struct model *model, const char *name, uint32_t slots, struct service **ret,
		      struct ff_error *err);
int model_add_instance(struct model *model, const char *name, uint16_t service, uint16_t host,
		       struct instance **ret, struct ff_error *err);
/* As read from the store, with its number. The model owns it. */
void model_adopt_service(struct model *model, struct service *service);
void model_adopt_instance(struct model *model, struct instance *instance);
void model_remove_service(struct model *model, struct service *service);
void model_remove_instance(struct model *model, struct instance *instance);
void service_free(struct service *service);
