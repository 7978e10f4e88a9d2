/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* migration_internal.h - for migration*.c only. */
#pragma once

#include <pthread.h>

#include "lib/http_client.h"
#include "orchestrator/migration.h"
#include "orchestrator/move.h"

/* One driver. Only its thread touches it, but for `multi`, which others may wake. */
struct migration {
	struct orchestrator *orch;
	struct operation *operation;
	struct http_multi *multi;
	pthread_t thread;
	struct move move;
	struct host *hosts[MOVE_HOSTS_MAX];
	enum move_phase recover; /* MOVE_NEW and !recovering: a fresh one */
	bool recovering;
	bool cancel_told;
	uint16_t lost;	    /* places of hosts that are dead; guarded by the model's lock */
	uint16_t lost_told; /* of those, the ones that the machine knows of */
	bool ended;
	uint64_t started_ns;
	uint64_t phase_ns;    /* when the current phase began */
	struct ff_error last; /* of the last answer that was an error */
	uint64_t switch_ns;   /* when the steering hosts were told to switch; 0: not yet */
	uint64_t progress_ns; /* when the source is to be asked how far its copying is */
};

/* migration_call.c */
int migration_hosts(struct migration *migration, struct ff_error *err);
int migration_call(struct migration *migration, const struct move_action *action,
		   struct ff_error *err);
/* Asks the source how far it is, for those who watch: nothing depends on the answer. */
void migration_progress(struct migration *migration);
bool migration_is_progress(const struct http_completion *completion);
/* Which event an answer is. */
struct move_event migration_event(const struct http_completion *completion);
void migration_completion_done(struct http_completion *completion);

/* migration_result.c: what becomes of the operation's doc. The model's lock is held. */
void result_phase(struct migration *migration, enum move_phase phase);
void result_reply(struct migration *migration, enum move_call call, const json_t *reply);
void result_error(struct migration *migration, const struct ff_error *err);
void result_end(struct migration *migration, enum move_outcome outcome);
