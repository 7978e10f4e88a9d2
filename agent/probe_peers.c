/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_peers.c - when each peer's data path was last heard, and what has been sent to it since. */
#include "agent/agent.h"
#include "agent/heartbeat.h"
#include "agent/probe.h"

static int peers_read(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
		      struct ff_error *err)
{
	(void)state;
	return heartbeat_json(agent->heartbeat, now_ns, ret) ? error_nomem(err) : 0;
}

const struct probe probe_peers = { "peers", 0, NULL, peers_read, NULL };
