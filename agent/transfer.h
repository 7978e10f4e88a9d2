/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * transfer.h - one round of a move's state, from here to the target's agent.
 *
 * What fits into one block goes out in one request from memory: the last round, which flows wait
 * for, costs one round trip and no thread. What doesn't is streamed: the caller reads the maps
 * while another thread sends what was read before.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "agent/cpus.h"
#include "agent/state.h"
#include "lib/http_client.h"
#include "lib/stream.h"

struct transfer;

struct transfer_spec {
	struct http_client *target;
	const char *path;	     /* where to; NULL: the state of move header.op */
	unsigned int timeout_ms;     /* of it all; 0: what a million flows take */
	struct stream_header header; /* op, epoch, token, round, final */
	const struct state *state;
	uint64_t frozen_ns;  /* final: for how long the flows have been held already */
	enum cpus_pace pace; /* of the target's work */
	const atomic_bool *cancel;
};

int transfer_begin(const struct transfer_spec *spec, struct transfer **ret, struct ff_error *err);

/* Adds one entry; value NULL: it's gone. The signature of state_visit_fn; ctx is the transfer. */
int transfer_add(void *transfer, const struct ff_flow_key *key, const void *value);

/* Sends what is left, waits for the answer and frees it. *ret_reply (may be NULL) is the caller's. */
int transfer_end(struct transfer *transfer, uint64_t *ret_bytes, json_t **ret_reply,
		 struct ff_error *err);

/* Gives it up: the target gets a stream without an end. */
void transfer_cancel(struct transfer *transfer);
