/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lease.h - until when a host may own, where a service's policy says `fence`.
 *
 * A lease runs from the moment at which the host took a sample that we have seen, by the host's own clock:
 * however late its renewal gets there, it can't last longer than we reckon. We reckon from when we received
 * that sample, which is later. Beyond that and the lease's length, the host's data path has surely stopped
 * delivering to its instances, whatever has become of its agent or of the way to it.
 *
 * Pure bookkeeping; failover.c sends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

#define LEASE_MARGIN_MS 20  /* our clock and the host's may differ in their pace, .. */
#define LEASE_DRIFT	100 /* .. by a hundredth at most */
#define LEASE_TIMES	4   /* renewed so often in the time that it lasts, if samples allow it */

struct leases {
	uint64_t started_ns; /* an earlier run of ours may have renewed until then */
	uint64_t granted_ns
		[FF_HOSTS_MAX]; /* by our clock: of the newest sample that was vouched for */
	uint64_t sent_ns[FF_HOSTS_MAX];
	/* by our clock, the latest that a renewal of ours may last: policies change, leases stay */
	uint64_t until_ns[FF_HOSTS_MAX][FF_SERVICES_MAX];
	/* the version of the configuration that says so to the host; 0: it has that */
	uint64_t told_by[FF_HOSTS_MAX][FF_SERVICES_MAX];
};

void leases_init(struct leases *leases, uint64_t now_ns);

/* From this version of their configuration on hosts need a lease for the service, and didn't before. */
void leases_begin(struct leases *leases, uint16_t service, uint64_t version);
/* The host has that version: it needs leases for all that began before. */
void lease_told(struct leases *leases, uint16_t host, uint64_t version);

/* Whether a renewal is due, by a sample that we received at @sample_ns (0: none). */
bool lease_is_due(const struct leases *leases, uint16_t host, uint64_t sample_ns, uint32_t lease_ms,
		  uint64_t now_ns);
/* To be noted before it is sent: it may get there though we never hear of it. */
void lease_note(struct leases *leases, uint16_t host, uint64_t sample_ns, uint64_t now_ns);
/* Likewise, for each service that it is for. */
void lease_grant(struct leases *leases, uint16_t host, uint16_t service, uint64_t sample_ns,
		 uint32_t lease_ms);

/*
 * From when on the host surely doesn't own any more. One that we have never vouched for may have begun its
 * lease with a configuration that was on its way when it fell silent, at @silent_ns by our clock. UINT64_MAX: it may
 * not know that it needs one.
 */
uint64_t lease_end_ns(const struct leases *leases, uint16_t host, uint16_t service,
		      uint32_t lease_ms, uint64_t silent_ns);
