/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lease.c - see lease.h. */
#include "orchestrator/lease.h"

#include "lib/cleanup.h"
#include "lib/clock.h"

void leases_init(struct leases *leases, uint64_t now_ns)
{
	*leases = (struct leases){ .started_ns = now_ns };
}

void leases_begin(struct leases *leases, uint16_t service, uint64_t version)
{
	for (unsigned int host = 0; host < FF_HOSTS_MAX; host++)
		leases->told_by[host][service] = version;
}

void lease_told(struct leases *leases, uint16_t host, uint64_t version)
{
	for (unsigned int service = 0; service < FF_SERVICES_MAX; service++)
		if (leases->told_by[host][service] <= version)
			leases->told_by[host][service] = 0;
}

bool lease_is_due(const struct leases *leases, uint16_t host, uint64_t sample_ns, uint32_t lease_ms,
		  uint64_t now_ns)
{
	return sample_ns > leases->granted_ns[host] &&
	       now_ns - leases->sent_ns[host] >= lease_ms * NSEC_PER_MSEC / LEASE_TIMES;
}

void lease_note(struct leases *leases, uint16_t host, uint64_t sample_ns, uint64_t now_ns)
{
	leases->granted_ns[host] = sample_ns;
	leases->sent_ns[host] = now_ns;
}

/* By our clock, surely over. */
static uint64_t over_ns(uint64_t begun_ns, uint32_t lease_ms)
{
	uint64_t lease_ns = lease_ms * NSEC_PER_MSEC;

	return begun_ns + lease_ns + lease_ns / LEASE_DRIFT + LEASE_MARGIN_MS * NSEC_PER_MSEC;
}

void lease_grant(struct leases *leases, uint16_t host, uint16_t service, uint64_t sample_ns,
		 uint32_t lease_ms)
{
	uint64_t *until_ns = &leases->until_ns[host][service];

	*until_ns = MAX(*until_ns, over_ns(sample_ns, lease_ms));
}

uint64_t lease_end_ns(const struct leases *leases, uint16_t host, uint16_t service,
		      uint32_t lease_ms, uint64_t silent_ns)
{
	uint64_t begun_ns = leases->granted_ns[host] ?: silent_ns;

	if (leases->told_by[host][service])
		return UINT64_MAX;
	return MAX(leases->until_ns[host][service],
		   over_ns(MAX(begun_ns, leases->started_ns), lease_ms));
}
