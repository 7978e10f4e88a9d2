/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* samples_told.c - what streams tell of other hosts and of standbys: for detection and recovery. */
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/samples_internal.h"

#define AGE_MAX_MS ((int64_t)1 << 40)

/* ---- noted ----------------------------------------------------------------------------------- */

static void links_note(struct followed *followed, const struct sample *sample)
{
	for (size_t i = 0; i < sample->links_n; i++) {
		const struct sample_link *link = &sample->links[i];

		if (link->fabric)
			followed->cut = !link->known || !link->up || !link->carrier;
	}
}

void told_sample(struct followed *followed, const struct sample *sample, uint64_t now_ns)
{
	uint64_t age_ns, taken_ns;

	pthread_mutex_lock(&followed->lock);
	/* one that was long on its way says what was true then */
	age_ns = rates_age_ns(followed->rates, now_ns);
	taken_ns = now_ns - MIN(age_ns, now_ns);
	followed->open = true;
	followed->clock = (struct samples_clock){ sample->time_ns, taken_ns, now_ns };
	links_note(followed, sample);
	if (sample->has & 1u << SAMPLE_PEERS)
		memset(followed->peers, 0, sizeof(followed->peers));
	for (size_t i = 0; i < sample->peers_n; i++) {
		const struct sample_peer *peer = &sample->peers[i];

		followed->peers[peer->host] = (struct told_peer){
			.heard = { .told_ns = taken_ns,
				   .silent_ns = peer->heard ? peer->heard_ms * NSEC_PER_MSEC :
							      UINT64_MAX },
			.tx_packets = peer->tx_packets,
			.tx_unheard = peer->tx_unheard,
		};
	}
	pthread_mutex_unlock(&followed->lock);
	samples_tell(followed->all);
}

void told_event(struct followed *followed, const json_t *json, uint64_t now_ns)
{
	int64_t host, age_ms = 0;
	bool silent;

	if (json_get_range(json, "host", 1, FF_HOSTS_MAX - 1, &host, NULL) ||
	    json_get_bool(json, "silent", &silent, NULL) ||
	    json_opt_range(json, "age_ms", 0, AGE_MAX_MS, &age_ms, NULL))
		return;
	pthread_mutex_lock(&followed->lock);
	followed->peers[host].heard = (struct detect_peer){
		.told_ns = now_ns,
		.silent_ns = silent ? (uint64_t)age_ms * NSEC_PER_MSEC : 0,
		.silent = silent,
	};
	pthread_mutex_unlock(&followed->lock);
	samples_tell(followed->all);
}

void samples_tell(struct samples *samples)
{
	pthread_mutex_lock(&samples->lock);
	samples->news++;
	pthread_cond_broadcast(&samples->came);
	pthread_mutex_unlock(&samples->lock);
}

/* ---- asked for ------------------------------------------------------------------------------- */

void samples_await(struct samples *samples, uint64_t *news, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(until_ns % NSEC_PER_SEC) };

	pthread_mutex_lock(&samples->lock);
	while (samples->news == *news &&
	       !pthread_cond_timedwait(&samples->came, &samples->lock, &until))
		;
	*news = samples->news;
	pthread_mutex_unlock(&samples->lock);
}

void samples_facts(const struct samples *samples, struct detect_host *ret_hosts)
{
	for (size_t i = 0; i < samples->hosts_n; i++) {
		struct followed *followed = (struct followed *)&samples->hosts[i];

		pthread_mutex_lock(&followed->lock);
		ret_hosts[i].heard_ns = followed->clock.taken_ns;
		ret_hosts[i].open = followed->open;
		ret_hosts[i].cut = followed->cut;
		for (size_t k = 0; k < FF_HOSTS_MAX; k++)
			ret_hosts[i].peers[k] = followed->peers[k].heard;
		pthread_mutex_unlock(&followed->lock);
	}
}

struct samples_clock samples_clock(const struct samples *samples, const struct host *host)
{
	struct followed *followed = followed_of(samples, host);
	struct samples_clock clock = { 0 };

	if (!followed)
		return clock;
	pthread_mutex_lock(&followed->lock);
	clock = followed->clock;
	pthread_mutex_unlock(&followed->lock);
	return clock;
}

struct samples_sent samples_sent(const struct samples *samples, const struct host *host,
				 uint16_t peer)
{
	struct followed *followed = followed_of(samples, host);
	struct samples_sent sent = { 0 };

	if (!followed || peer >= FF_HOSTS_MAX)
		return sent;
	pthread_mutex_lock(&followed->lock);
	sent = (struct samples_sent){ followed->peers[peer].tx_packets,
				      followed->peers[peer].tx_unheard, followed->clock.taken_ns };
	pthread_mutex_unlock(&followed->lock);
	return sent;
}

bool samples_member(const struct samples *samples, const struct host *host, uint16_t instance,
		    struct sample_instance *ret)
{
	struct followed *followed = followed_of(samples, host);
	bool there;

	if (!followed)
		return false;
	pthread_mutex_lock(&followed->lock);
	there = rates_member(followed->rates, instance, ret);
	pthread_mutex_unlock(&followed->lock);
	return there;
}
