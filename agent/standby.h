/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * standby.h - this host's standby instances: they are given another's state, and no packets.
 *
 *	POST /v1/replicas/NAME/state	a round: flows that have changed, or all of some slots
 *	POST /v1/replicas/NAME/drop	of some slots what the last round did not bring
 *
 * When a configuration makes a standby an owner, its state is simply there. From that moment on nothing
 * is taken from its former owner, which may live on, cut off, and think that it owns: each block of
 * state is written under `lock`, by which the configuration ends the relation before it names the new
 * owner.
 *
 * Locks: standbys.lock is taken under agent.lock or alone; under it an instance's state is written. An
 * instance stays as long as it's listed here.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "lib/error.h"
#include "lib/http_server.h"

struct agent;
struct desired;

struct standby {
	struct instance *instance; /* NULL: none of that number */
	uint16_t of;
	uint16_t of_host;
	uint64_t life; /* of this relation; never used again */
	uint64_t turn; /* of the stream that is taken; an older one is refused */
};

struct standbys {
	pthread_mutex_t lock;
	uint64_t lives;
	struct standby list[FF_INSTANCES_MAX]; /* by the standby's number */
};

/*
 * As the configuration wants it; the instances are there. Called before its tables name new owners,
 * under agent.lock. What is no standby any more and owns nothing forgets what it was given.
 */
void standby_apply(struct agent *agent, const struct desired *desired);

/* Is the instance a standby? Then it takes part in no move. */
bool standby_is(struct agent *agent, uint16_t instance);

/* Flows to be forgotten; `keys` is the holder's, for free(). */
struct flow_keys {
	struct ff_flow_key *keys;
	size_t count, room;
};

int flow_keys_add(struct flow_keys *keys, const struct ff_flow_key *key); /* -ENOMEM */

extern const struct http_upload_ops standby_state_upload;
int standby_drop(struct http_request *req, struct http_response *resp);
