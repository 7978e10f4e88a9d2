/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/routes.h"

#include "lib/clock.h"
#include "lib/netlink.h"

#define ROUTES_MOST    4096 /* 10 ms of looking; a host with more has better things to do */
#define ROUTES_VOUCH_S 3    /* for the housekeeping may be late by a second or two */
#define ROUTES_REST_S  60

void routes_vouch(struct agent *agent)
{
	uint64_t now_ns = clock_ns(), until_ns = 0;
	bool plain = false;
	int r;

	if (now_ns < agent->routes_rest_ns)
		return;
	r = netlink_routes_plain(ROUTES_MOST, &plain);
	if (r == -E2BIG)
		agent->routes_rest_ns = now_ns + ROUTES_REST_S * NSEC_PER_SEC;
	if (!r && plain)
		until_ns = now_ns + ROUTES_VOUCH_S * NSEC_PER_SEC;
	__atomic_store_n(&agent->dp->host->routes_plain_ns, until_ns, __ATOMIC_RELAXED);
}
