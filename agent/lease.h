/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lease.h - for how long this host may own flows of a service without a word from the orchestrator.
 *
 * The deadline is in the data path (services[].lease_ns): after it no packet reaches an instance here,
 * whether or not an agent runs. A renewal counts from a moment of this host's own clock that the
 * orchestrator has been told of, so one that was long under way extends nothing; and the orchestrator,
 * which counts from when it was told, knows a later moment at which this host has surely stopped.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "lib/error.h"

#define LEASE_OVER_NS 1 /* has run out, long ago */

/*
 * A configuration says lease_ms, 0: none. Of a service that runs here a first lease begins now; of a new one it has run
 * out, until it is renewed. A running lease isn't renewed, but cut where it would last longer than a new one.
 * It's an atomic store, and so are renewals.
 */
void lease_configure(struct ff_service *service, uint32_t lease_ms, uint64_t now_ns);

/*
 * POST /v1/lease: {"heard_ns":N,"services":[{"id":1,"lease_ms":1000}]}. Only services that have a lease
 * are renewed, and only forward: *ret_reply lists them. -EINVAL: malformed, or of the future.
 */
int lease_renew(struct ff_service services[FF_SERVICES_MAX], const json_t *body, uint64_t now_ns,
		json_t **ret_reply, struct ff_error *err);
