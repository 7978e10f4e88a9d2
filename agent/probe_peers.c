/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_peers.c - when each peer's data path was last heard, and what has been sent to it since. */
#include "agent/agent.h"
#include "agent/heartbeat.h"
#include "agent/probe.h"

static int peers_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		      struct ff_error *err)
{
	json_t *peers = NULL;

	(void)state;
	if (heartbeat_json(agent->heartbeat, now_ns, &peers))
		return error_nomem(err);
	if (peers)
		json_text_value(out, NULL, peers);
	return 0;
}

const struct probe probe_peers = { "peers", 0, NULL, peers_read, NULL };
