/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/events.h"
#include "orchestrator/samples_internal.h"

struct followed *followed_of(const struct samples *samples, const struct host *host)
{
	for (size_t i = 0; samples && i < samples->hosts_n; i++)
		if (samples->hosts[i].host == host)
			return (struct followed *)&samples->hosts[i];
	return NULL;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Counted each time, told when it is news. */
static void sample_refuse(struct followed *followed, const struct ff_error *err)
{
	bool news;

	pthread_mutex_lock(&followed->lock);
	followed->refused++;
	news = strcmp(followed->refused_why, err->message) != 0;
	snprintf(followed->refused_why, sizeof(followed->refused_why), "%s", err->message);
	pthread_mutex_unlock(&followed->lock);
	if (news)
		event_emit(followed->orch->events, "sample-refused",
			   (struct event_about){ .host = followed->host->name },
			   "host %s sends a sample that makes no sense: %s", followed->host->name,
			   err->message);
}

/* The kernel tells of a link whenever anything about it changes: what matters is its carrier. */
static void link_note(struct followed *followed, const char *name, bool gone, bool carrier)
{
	const struct host *host = followed->host;
	struct followed_link *link = NULL;
	bool known;

	for (size_t i = 0; i < followed->links_n && !link; i++)
		if (!strcmp(followed->links[i].name, name))
			link = &followed->links[i];
	known = link != NULL;
	if (!known && followed->links_n == SAMPLES_LINKS)
		return;
	if (!known) {
		link = &followed->links[followed->links_n++];
		snprintf(link->name, sizeof(link->name), "%s", name);
	}
	if (known && link->carrier != carrier)
		event_emit(followed->orch->events, carrier ? "link-up" : "link-down",
			   (struct event_about){ .host = host->name }, "host %s: interface %s %s",
			   host->name, name,
			   carrier ? "has carrier" :
			   gone	   ? "is gone" :
				     "has no carrier");
	link->carrier = carrier;
}

static void sample_line(struct followed *followed, const json_t *json, uint64_t now_ns)
{
	_cleanup_sample_ struct sample *sample = NULL;
	struct ff_error err = { 0 };
	int r = sample_parse(json, &sample, &err);

	if (!r) {
		pthread_mutex_lock(&followed->lock);
		r = rates_take(followed->rates, sample, now_ns, &err);
		followed->samples += !r;
		pthread_mutex_unlock(&followed->lock);
	}
	if (r)
		sample_refuse(followed, &err);
	else
		told_sample(followed, sample, now_ns);
	for (size_t i = 0; !r && i < sample->links_n; i++)
		link_note(followed, sample->links[i].name, !sample->links[i].known,
			  sample->links[i].known && sample->links[i].carrier);
}

static void event_line(struct followed *followed, const json_t *json, uint64_t now_ns)
{
	struct event_about about = { .host = followed->host->name };
	const char *kind = "", *name = "", *address = "";
	bool carrier = false, gone = false;

	if (json_get_str(json, "event", &kind, NULL) ||
	    json_opt_str(json, "interface", &name, NULL) ||
	    json_opt_str(json, "address", &address, NULL) ||
	    json_opt_bool(json, "gone", &gone, NULL) ||
	    json_opt_bool(json, "carrier", &carrier, NULL))
		return;
	if (!strcmp(kind, "peer"))
		told_event(followed, json, now_ns);
	else if (!strcmp(kind, "link"))
		link_note(followed, name, gone, carrier && !gone);
	else if (!strcmp(kind, "address"))
		event_emit(followed->orch->events, gone ? "address-removed" : "address-added",
			   about, "host %s: interface %s: address %s", followed->host->name, name,
			   address);
}

static int on_line(void *ctx, const char *line, size_t len)
{
	struct followed *followed = ctx;
	_cleanup_json_ json_t *json = NULL;
	struct ff_error err = { 0 };
	uint64_t now_ns = clock_ns();
	const char *kind;

	pthread_mutex_lock(&followed->lock);
	followed->heard_ns = now_ns;
	pthread_mutex_unlock(&followed->lock);
	if (json_parse(line, len, &json, &err) || json_get_str(json, "kind", &kind, &err))
		sample_refuse(followed, &err);
	else if (!strcmp(kind, "sample"))
		sample_line(followed, json, now_ns);
	else if (!strcmp(kind, "event"))
		event_line(followed, json, now_ns);
	return 0; /* of a kind that we don't know: a newer agent's */
}

/* ---- threads --------------------------------------------------------------------------------- */

static bool stopping_wait(struct orchestrator *orch, unsigned int ms)
{
	uint64_t until_ns = clock_ns() + ms * NSEC_PER_MSEC;
	MODEL_LOCKED(&orch->model);

	while (!orch->model.stopping && clock_ns() < until_ns)
		model_wait(&orch->model, ms);
	return orch->model.stopping;
}

static void *follow_run(void *arg)
{
	struct followed *followed = arg;
	struct orchestrator *orch = followed->orch;

	do {
		struct ff_error err = { 0 };

		pthread_mutex_lock(&followed->lock);
		followed->heard_ns = clock_ns();
		pthread_mutex_unlock(&followed->lock);
		atomic_store(&followed->cancel, false);
		/* that the host is down, the monitor tells */
		if (http_follow(followed->host->client, "/v1/samples", orch->headers, on_line,
				followed, &followed->cancel, &err))
			log_debug("samples of host %s: %s", followed->host->name, err.message);
		pthread_mutex_lock(&followed->lock);
		followed->open = false;
		pthread_mutex_unlock(&followed->lock);
		samples_tell(followed->all);
	} while (!stopping_wait(orch, SAMPLES_RETRY_MS));
	return NULL;
}

static int followed_start(struct followed *followed, struct ff_error *err)
{
	int r = rates_new(&followed->rates);

	pthread_mutex_init(&followed->lock, NULL);
	if (r)
		return error_nomem(err);
	r = pthread_create(&followed->thread, NULL, follow_run, followed);
	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start a thread: %s", strerror(r));
	followed->running = true;
	return 0;
}

int samples_start(struct orchestrator *orch, struct samples **ret, struct ff_error *err)
{
	size_t n = orch->model.hosts_n;
	pthread_condattr_t attr;
	struct samples *samples = calloc(1, sizeof(*samples) + n * sizeof(samples->hosts[0]));
	int r = 0;

	if (!samples)
		return error_nomem(err);
	*ret = samples;
	pthread_mutex_init(&samples->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&samples->came, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < n && !r; i++) {
		samples->hosts[i].all = samples;
		samples->hosts[i].orch = orch;
		samples->hosts[i].host = &orch->model.hosts[i];
		samples->hosts_n++;
		r = followed_start(&samples->hosts[i], err);
	}
	return r;
}

void samples_stop(struct samples *samples)
{
	if (!samples)
		return;
	for (size_t i = 0; i < samples->hosts_n; i++)
		atomic_store(&samples->hosts[i].cancel, true);
	for (size_t i = 0; i < samples->hosts_n; i++) {
		struct followed *followed = &samples->hosts[i];

		if (followed->running)
			pthread_join(followed->thread, NULL);
		rates_free(followed->rates);
		pthread_mutex_destroy(&followed->lock);
	}
	pthread_cond_destroy(&samples->came);
	pthread_mutex_destroy(&samples->lock);
	free(samples);
}

/* ---- for the others -------------------------------------------------------------------------- */

/* A host that lost its power leaves us a connection on which nothing will ever come. */
void samples_check(struct samples *samples, const struct host *host)
{
	struct followed *followed = followed_of(samples, host);

	if (!followed)
		return;
	pthread_mutex_lock(&followed->lock);
	if (clock_ns() - followed->heard_ns > SAMPLES_STALL_MS * NSEC_PER_MSEC)
		atomic_store(&followed->cancel, true);
	pthread_mutex_unlock(&followed->lock);
}

uint64_t samples_age_ns(const struct samples *samples, const struct host *host)
{
	struct followed *followed = followed_of(samples, host);
	uint64_t age_ns;

	if (!followed)
		return UINT64_MAX;
	pthread_mutex_lock(&followed->lock);
	age_ns = rates_age_ns(followed->rates, clock_ns());
	pthread_mutex_unlock(&followed->lock);
	return age_ns;
}

json_t *samples_json(const struct samples *samples, const struct host *host)
{
	struct followed *followed = followed_of(samples, host);
	json_t *json;

	if (!followed)
		return json_object();
	pthread_mutex_lock(&followed->lock);
	json = rates_json(followed->rates, clock_ns());
	json_put_uint(json, "samples", followed->samples);
	json_put_uint(json, "refused", followed->refused);
	if (followed->refused)
		json_put_str(json, "refused_why", followed->refused_why);
	pthread_mutex_unlock(&followed->lock);
	return json;
}

/* NULL: a host that isn't followed. */
static struct followed *followed_lock(const struct samples *samples, const struct host *host)
{
	struct followed *followed = followed_of(samples, host);

	if (followed)
		pthread_mutex_lock(&followed->lock);
	return followed;
}

static void followed_unlock(struct followed *followed)
{
	pthread_mutex_unlock(&followed->lock);
}

void samples_host(const struct samples *samples, const struct host *host, uint64_t now_ns,
		  struct host_load *load)
{
	struct followed *followed = followed_lock(samples, host);

	if (!followed)
		return;
	rates_host(followed->rates, now_ns, load);
	followed_unlock(followed);
}

void samples_instance(const struct samples *samples, const struct host *host, uint64_t now_ns,
		      struct instance_load *load)
{
	struct followed *followed = followed_lock(samples, host);

	if (!followed)
		return;
	rates_instance(followed->rates, now_ns, load);
	followed_unlock(followed);
}

struct load_quality samples_slots(const struct samples *samples, const struct host *host,
				  uint64_t now_ns, uint16_t instance, struct slot_load *loads,
				  size_t count)
{
	struct load_quality quality = { LOAD_MISSING, UINT64_MAX };
	struct followed *followed = followed_lock(samples, host);

	if (!followed)
		return quality;
	quality = rates_slots(followed->rates, now_ns, instance, loads, count);
	followed_unlock(followed);
	return quality;
}

void samples_strangers(const struct samples *samples, const struct host *host, uint64_t now_ns,
		       uint16_t instance, size_t count, const struct slotset *slots,
		       struct rule_load *load)
{
	struct followed *followed = followed_lock(samples, host);

	if (!followed)
		return;
	rates_strangers(followed->rates, now_ns, instance, count, slots, load);
	followed_unlock(followed);
}

void samples_lives(const struct samples *samples, const struct host *host, uint16_t instance,
		   struct life_table *lives)
{
	struct followed *followed = followed_lock(samples, host);

	if (!followed)
		return;
	rates_lives(followed->rates, instance, lives);
	followed_unlock(followed);
}

size_t samples_flows(const struct samples *samples, const struct host *host, uint64_t now_ns,
		     uint16_t instance, const struct life_table *lives, struct flow_load *ret,
		     size_t max)
{
	struct followed *followed = followed_lock(samples, host);
	size_t n;

	if (!followed)
		return 0;
	n = rates_flows(followed->rates, now_ns, instance, lives, ret, max);
	followed_unlock(followed);
	return n;
}
