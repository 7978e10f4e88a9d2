/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model.c - hosts, services and instances in memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/error.h"
#include "orchestrator/model.h"
#include "orchestrator/operation.h"

#define NAMES_MAX 9999 /* then from the beginning: more than there can be instances */

int model_init(struct model *model)
{
	pthread_condattr_t attr;
	int r;

	memset(model, 0, sizeof(*model));
	r = pthread_mutex_init(&model->lock, NULL);
	if (r)
		return -r;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&model->changed, &attr);
	pthread_condattr_destroy(&attr);
	model->version = 1;
	return -r;
}

static void host_done(struct host *host)
{
	free(host->url);
	free(host->ipv4);
	free(host->ipv6);
	json_decref(host->report);
	http_client_free(host->client);
}

void service_free(struct service *service)
{
	if (!service)
		return;
	free(service->class);
	json_decref(service->config);
	owners_done(&service->table);
	free(service);
}

void model_done(struct model *model)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		host_done(&model->hosts[i]);
	free(model->hosts);
	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
		service_free(model->services[i]);
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		free(model->instances[i]);
	while (model->operations) {
		struct operation *operation = model->operations;

		model->operations = operation->next;
		operation_free(operation);
	}
	pthread_cond_destroy(&model->changed);
	pthread_mutex_destroy(&model->lock);
}

void model_lock(struct model *model)
{
	pthread_mutex_lock(&model->lock);
}

void model_unlock(struct model *model)
{
	pthread_mutex_unlock(&model->lock);
}

void model_touch(struct model *model)
{
	model->version++;
	pthread_cond_broadcast(&model->changed);
}

bool model_wait(struct model *model, unsigned int timeout_ms)
{
	uint64_t until_ns = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	struct timespec until = {
		.tv_sec = until_ns / NSEC_PER_SEC,
		.tv_nsec = until_ns % NSEC_PER_SEC,
	};

	return pthread_cond_timedwait(&model->changed, &model->lock, &until) == 0;
}

/* ---- look-ups ------------------------------------------------------------------------------- */

struct host *model_host(const struct model *model, uint16_t id)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		if (model->hosts[i].id == id)
			return &model->hosts[i];
	return NULL;
}

struct service *model_service(const struct model *model, uint16_t id)
{
	return id < FF_SERVICES_MAX ? model->services[id] : NULL;
}

struct instance *model_instance(const struct model *model, uint16_t id)
{
	return id < FF_INSTANCES_MAX ? model->instances[id] : NULL;
}

struct host *model_find_host(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		if (!strcmp(model->hosts[i].name, name))
			return &model->hosts[i];
	return NULL;
}

struct service *model_find_service(const struct model *model, const char *name)
{
	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
		if (model->services[i] && !strcmp(model->services[i]->name, name))
			return model->services[i];
	return NULL;
}

struct instance *model_find_instance(const struct model *model, const char *name)
{
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && !strcmp(model->instances[i]->name, name))
			return model->instances[i];
	return NULL;
}

struct instance *model_standby(const struct model *model, uint16_t owner)
{
	for (unsigned int i = 0; owner && i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->standby_of == owner)
			return model->instances[i];
	return NULL;
}

bool service_is_protected(const struct service *service)
{
	return service->governed && service->upheld && service->policy.protect.enabled;
}

bool service_is_fenced(const struct service *service)
{
	return service->governed && service->upheld &&
	       service->policy.partition.mode == POLICY_FENCE;
}

const char *model_instance_name(const struct model *model, uint16_t id)
{
	const struct instance *instance = model_instance(model, id);

	return instance ? instance->name : "-";
}

int instance_check_foreign(const struct model *model, const struct instance *instance,
			   struct ff_error *err)
{
	const struct host *host = model_host(model, instance->host);

	if (!host || !host->foreign[instance->id])
		return 0;
	return error_set(err, EPERM, FF_CODE_REFUSED,
			 "start the agent of before again, empty the instance and upgrade then; or "
			 "give its flows' state up, and remove it from the host",
			 "%s on host %s was pinned by another version of the agent: it goes on as "
			 "it is, but can't be moved, copied or configured",
			 instance->name, host->name);
}

/* "a, b, c" as far as it fits: what the caller may have meant. */
struct names {
	char text[160];
	size_t len;
};

static void names_add(struct names *names, const char *name)
{
	size_t left = sizeof(names->text) - names->len;
	int n = snprintf(names->text + names->len, left, "%s%s", names->len ? ", " : "", name);

	if (n > 0 && (size_t)n < left)
		names->len += n;
	else
		names->text[names->len] = '\0';
}

static int not_found(struct ff_error *err, const char *kind, const char *name,
		     const struct names *names, const char *command)
{
	char mend[200];

	if (names->len)
		snprintf(mend, sizeof(mend), "there are: %s", names->text);
	else
		snprintf(mend, sizeof(mend), "there is none yet; %s", command);
	return error_set(err, ENOENT, FF_CODE_NOT_FOUND, mend, "no %s named \"%s\"", kind, name);
}

int model_get_host(const struct model *model, const char *name, struct host **ret,
		   struct ff_error *err)
{
	struct host *host = model_find_host(model, name);
	struct names names = { 0 };

	if (host) {
		*ret = host;
		return 0;
	}
	for (size_t i = 0; i < model->hosts_n; i++)
		names_add(&names, model->hosts[i].name);
	return not_found(err, "host", name, &names,
			 "add hosts to the orchestrator's configuration");
}

int model_get_service(const struct model *model, const char *name, struct service **ret,
		      struct ff_error *err)
{
	struct service *service = model_find_service(model, name);
	struct names names = { 0 };

	if (service) {
		*ret = service;
		return 0;
	}
	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
		if (model->services[i])
			names_add(&names, model->services[i]->name);
	return not_found(err, "service", name, &names, "create one: `flowferry service add`");
}

int model_get_instance(const struct model *model, const char *name, struct instance **ret,
		       struct ff_error *err)
{
	struct instance *instance = model_find_instance(model, name);
	struct names names = { 0 };

	if (instance) {
		*ret = instance;
		return 0;
	}
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i])
			names_add(&names, model->instances[i]->name);
	return not_found(err, "instance", name, &names, "create a service with instances");
}

int model_get_member(const struct model *model, const struct service *service, const char *name,
		     struct instance **ret, struct ff_error *err)
{
	struct instance *instance = model_find_instance(model, name);
	struct names names = { 0 };

	if (instance && instance->service == service->id) {
		*ret = instance;
		return 0;
	}
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id)
			names_add(&names, model->instances[i]->name);
	not_found(err, "instance", name, &names, "add one to the service");
	error_prefix(err, "service %s", service->name);
	return -ENOENT;
}

/* ---- changes -------------------------------------------------------------------------------- */

void model_name_instance(const struct model *model, struct service *service, char ret[FF_NAME_MAX])
{
	unsigned int n = service->last_name;

	for (unsigned int tried = 0; tried <= FF_INSTANCES_MAX; tried++) {
		n = n % NAMES_MAX + 1;
		snprintf(ret, FF_NAME_MAX, "%.*s-%u", FF_NAME_MAX - 6, service->name, n);
		if (!model_find_instance(model, ret))
			break;
	}
	service->last_name = n;
}

int model_add_service(struct model *model, const char *name, uint32_t slots, struct service **ret,
		      struct ff_error *err)
{
	struct service *service;
	uint16_t id = model->last_service;
	unsigned int tried;

	if (model_find_service(model, name))
		return error_set(err, EEXIST, FF_CODE_EXISTS, "choose another name",
				 "there is a service \"%s\" already", name);
	for (tried = 0; tried < FF_SERVICES_MAX; tried++) {
		id = id % (FF_SERVICES_MAX - 1) + 1;
		if (!model->services[id])
			break;
	}
	if (tried == FF_SERVICES_MAX)
		return error_set(err, ENOSPC, FF_CODE_REFUSED, "remove a service first",
				 "there are %d services, the most that a host can hold",
				 FF_SERVICES_MAX - 1);
	service = calloc(1, sizeof(*service));
	if (!service)
		return error_nomem(err);
	service->id = id;
	snprintf(service->name, sizeof(service->name), "%s", name);
	if (owners_init(&service->table, slots) < 0) {
		free(service);
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "a power of two from 1 to 16384, e.g. 4096",
				 "a service can't have %u slots", slots);
	}
	model_adopt_service(model, service);
	*ret = service;
	return 0;
}

int model_add_instance(struct model *model, const char *name, uint16_t service, uint16_t host,
		       struct instance **ret, struct ff_error *err)
{
	struct instance *instance;
	uint16_t id;
	unsigned int tried;

	if (model_find_instance(model, name))
		return error_set(err, EEXIST, FF_CODE_EXISTS, "choose another name",
				 "there is an instance \"%s\" already", name);
	id = model->last_instance;
	for (tried = 0; tried < FF_INSTANCES_MAX; tried++) {
		id = id % (FF_INSTANCES_MAX - 1) + 1;
		if (!model->instances[id])
			break;
	}
	if (tried == FF_INSTANCES_MAX)
		return error_set(err, ENOSPC, FF_CODE_REFUSED, "remove an instance first",
				 "there are %d instances, the most that a host can know",
				 FF_INSTANCES_MAX - 1);
	instance = calloc(1, sizeof(*instance));
	if (!instance)
		return error_nomem(err);
	*instance = (struct instance){ .id = id, .service = service, .host = host };
	snprintf(instance->name, sizeof(instance->name), "%s", name);
	if (model->services[service])
		strcpy(instance->nf, model->services[service]->nf);
	model_adopt_instance(model, instance);
	*ret = instance;
	return 0;
}

void model_adopt_service(struct model *model, struct service *service)
{
	model->services[service->id] = service;
	model->last_service = service->id;
}

void model_adopt_instance(struct model *model, struct instance *instance)
{
	struct service *service = model_service(model, instance->service);
	size_t len = service ? strlen(service->name) : 0;
	unsigned int n;

	model->instances[instance->id] = instance;
	model->last_instance = instance->id;
	if (service && !strncmp(instance->name, service->name, len) &&
	    sscanf(instance->name + len, "-%4u", &n) == 1)
		service->last_name = MAX(service->last_name, n);
}

void model_remove_service(struct model *model, struct service *service)
{
	model->services[service->id] = NULL;
	service_free(service);
}

void model_remove_instance(struct model *model, struct instance *instance)
{
	model->instances[instance->id] = NULL;
	free(instance);
}
