/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* orchestrator.c - puts the modules together, in the order of their layers, and takes them apart. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/version.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/gather.h"
#include "orchestrator/loop.h"
#include "orchestrator/migration.h"
#include "orchestrator/monitor.h"
#include "orchestrator/northbound.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/protection.h"
#include "orchestrator/recovery.h"
#include "orchestrator/samples.h"
#include "orchestrator/settings.h"

#define HTTP_GRACE_MS 2000

static int copy_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

static int host_init(struct orchestrator *orch, const struct orch_config_host *config,
		     struct host *host, struct ff_error *err)
{
	int r;

	snprintf(host->name, sizeof(host->name), "%s", config->name);
	if (copy_text(config->url, &host->url) < 0 || copy_text(config->ipv4, &host->ipv4) < 0 ||
	    copy_text(config->ipv6, &host->ipv6) < 0)
		return error_nomem(err);
	r = store_host_id(orch->store, host->name, &host->id, &host->steering, &host->cpus, err);
	if (r < 0)
		return r;
	return agent_connect(orch, host, err);
}

static int hosts_init(struct orchestrator *orch, struct ff_error *err)
{
	struct model *model = &orch->model;
	int r = 0;

	model->hosts = calloc(orch->config->hosts_count, sizeof(*model->hosts));
	if (!model->hosts)
		return error_nomem(err);
	for (unsigned int i = 0; i < orch->config->hosts_count && r == 0; i++) {
		model->hosts_n++;
		r = host_init(orch, &orch->config->hosts[i], &model->hosts[i], err);
	}
	return r;
}

/* An instance whose host is no longer configured can't be managed, but its slots are still its. */
static void instances_check(const struct model *model)
{
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && !model_host(model, model->instances[i]->host))
			log_warn("instance %s is on a host that the configuration lacks",
				 model->instances[i]->name);
}

int orchestrator_new(const struct orch_config *config, uint32_t epoch_min,
		     struct orchestrator **ret, struct ff_error *err)
{
	_cleanup_(orchestrator_freep) struct orchestrator *orch = calloc(1, sizeof(*orch));
	int r;

	if (!orch)
		return error_nomem(err);
	orch->config = config;
	orch->started_ns = clock_ns();
	r = model_init(&orch->model);
	if (r < 0) {
		free(TAKE_PTR(orch));
		return error_nomem(err);
	}
	r = store_open(config->database, epoch_min, &orch->store, err);
	if (r < 0)
		return r;
	snprintf(orch->epoch_header, sizeof(orch->epoch_header), HTTP_HEADER_EPOCH ": %u",
		 store_epoch(orch->store));
	orch->headers[0] = orch->epoch_header;
	r = hosts_init(orch, err);
	if (r == 0)
		r = store_load(orch->store, &orch->model, err);
	if (r == 0)
		r = settings_load(orch, err);
	if (r == 0)
		r = events_new(orch->store, &orch->events, err);
	if (r == 0)
		r = migrations_new(orch, &orch->migrations, err);
	if (r == 0)
		r = failover_new(orch, &orch->failover, err);
	if (r == 0)
		r = elasticity_new(orch, &orch->elasticity, err);
	if (r == 0)
		r = gather_new(orch, &orch->gather, err);
	if (r < 0)
		return r;
	instances_check(&orch->model);
	*ret = TAKE_PTR(orch);
	return 0;
}

static int serve(struct orchestrator *orch, struct ff_error *err)
{
	const struct orch_config *config = orch->config;
	struct tls_files tls = { 0 };
	int r;

	r = http_server_new(northbound_routes, orch, &orch->server, err);
	if (r < 0)
		return r;
	events_set_server(orch->events, orch->server);
	r = http_server_listen_unix(orch->server, config->socket, err);
	if (r < 0 || !config->listen)
		return r;
	if (config->tls)
		tls = (struct tls_files){ config->tls->ca, config->tls->cert, config->tls->key };
	return http_server_listen_tcp(orch->server, config->listen->address, config->listen->port,
				      config->tls ? &tls : NULL, config->insecure, NULL, err);
}

int orchestrator_start(struct orchestrator *orch, struct ff_error *err)
{
	int r;

	event_emit(orch->events, "orchestrator-started", (struct event_about){ 0 },
		   "orchestrator " FF_VERSION " started, epoch %u", store_epoch(orch->store));
	/* before anybody watches or asks: recovered operations keep their flows for themselves */
	r = recovery_start(orch, err);
	if (r == 0)
		r = samples_start(orch, &orch->samples, err);
	if (r == 0)
		r = monitor_start(orch, &orch->monitor, err);
	if (r == 0)
		r = failover_start(orch, err);
	if (r == 0)
		r = protection_start(orch, &orch->protection, err);
	if (r == 0)
		r = loop_start(orch, &orch->loop, err);
	if (r == 0)
		r = serve(orch, err);
	return r;
}

void orchestrator_free(struct orchestrator *orch)
{
	if (!orch)
		return;
	model_lock(&orch->model);
	orch->model.stopping = true;
	pthread_cond_broadcast(&orch->model.changed);
	model_unlock(&orch->model);
	if (orch->server)
		http_server_stop(orch->server, HTTP_GRACE_MS);
	if (orch->samples)
		samples_tell(orch->samples);
	loop_stop(orch->loop);
	protection_stop(orch->protection);
	failover_stop(orch->failover);
	elasticity_stop(orch->elasticity);
	migrations_stop(orch->migrations);
	monitor_stop(orch->monitor);
	samples_stop(orch->samples);
	gather_free(orch->gather);
	if (orch->events)
		events_set_server(orch->events, NULL);
	http_server_free(orch->server);
	failover_free(orch->failover); /* which the monitors and the API ask */
	events_free(orch->events);
	model_done(&orch->model);
	store_close(orch->store);
	free(orch);
}
