/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.h - an agent without threads and server: the real data path, tables and instances, on
 * interfaces behind which nobody is. It lives in the suite's own network namespace:
 *
 *	c0  steering  198.18.1.1/24	behind .2 the clients, 198.19.0.0/16
 *	s0  steering  198.18.2.1/24	the server is .2
 *	f0  fabric    198.18.8.1/24	host 2 is .2
 *
 * Service 1 has all flows; its firewalls are HOST_NEAR, here, and HOST_FAR, on host 2. Service 2
 * has only what comes with its number in a tunnel header; its monitor is HOST_MONITOR, here.
 */
#pragma once

#include <limits.h>

#include "agent/agent.h"

#define HOST_NEAR	      1
#define HOST_FAR	      2
#define HOST_MONITOR	      3

#define HOST_SERVICE_FIREWALL 1
#define HOST_SERVICE_MONITOR  2

#define HOST_CLIENT_LINK      "c0"
#define HOST_FABRIC_LINK      "f0"
extern const uint8_t HOST_CLIENT_MAC[6]; /* of this host's end of that link */

struct host {
	struct agent agent;
	struct agent_config config;
	struct agent_fabric fabric;
	char nf_dir[PATH_MAX];
};

/* All slots are HOST_NEAR's and HOST_MONITOR's. *ret is the caller's: host_free(). */
int host_new(struct host **ret, struct ff_error *err);
void host_free(struct host *host); /* NULL is fine */
DEFINE_CLEANUP(struct host *, host_free);

/* Gives all slots of service 1 to one of its instances. */
int host_owner_set(struct host *host, uint16_t instance, struct ff_error *err);

/* The outer header to host 2 as packets get it. */
const struct ff_peer *host_peer(const struct host *host);
