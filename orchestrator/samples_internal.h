/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* samples_internal.h - what samples.c (the streams) and samples_told.c (what they told) share. */
#pragma once

#include <pthread.h>

#include "orchestrator/rates.h"
#include "orchestrator/samples.h"

#define SAMPLES_LINKS 64 /* whose state is remembered, to tell news from repetitions */

struct followed {
	struct orchestrator *orch;
	struct host *host;
	struct samples *all;
	pthread_t thread;
	bool running;
	atomic_bool cancel;

	pthread_mutex_t lock; /* of what follows */
	struct rates *rates;
	uint64_t heard_ns; /* when the last line came, or the stream was begun */
	uint64_t samples, refused;
	char refused_why[400];
	bool open; /* a line has come by the stream that is there */
	bool cut;  /* its fabric link is down */
	struct samples_clock clock;
	struct told_peer {
		struct detect_peer heard;
		uint64_t tx_packets, tx_unheard;
	} peers[FF_HOSTS_MAX];

	/* the thread's own */
	struct followed_link {
		char name[16];
		bool carrier;
	} links[SAMPLES_LINKS];
	size_t links_n;
};

struct samples {
	pthread_mutex_t lock; /* of `news`; taken after a host's */
	pthread_cond_t came;
	uint64_t news; /* counts what has come, and streams that ended */
	size_t hosts_n;
	struct followed hosts[]; /* as model.hosts */
};

/* NULL: a host that isn't followed. */
struct followed *followed_of(const struct samples *samples, const struct host *host);

/* Whoever waits for news goes on. */
void samples_tell(struct samples *samples);

/* Notes what a sample, or an event of kind "peer", says of other hosts. No lock is held. */
void told_sample(struct followed *followed, const struct sample *sample, uint64_t now_ns);
void told_event(struct followed *followed, const json_t *json, uint64_t now_ns);
