/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * idle_flows.h - flows of the lab's firewall that are there for good: put into an instance's maps
 * by state_restore(), as if a stream had brought them.
 */
#pragma once

#include "agent/instance.h"
#include "tools/lab.h"

/* An instance of the lab, taken up a second time. */
int idle_instance_take(const struct lab_host *host, const char *name, struct instance **ret,
		       struct ff_error *err);

/* Records of flows first .. first + count - 1, alive for good. */
struct idle_batch {
	struct ff_flow_key *keys;
	uint8_t *values;
	struct stream_record *records;
};
int idle_batch_make(struct idle_batch *batch, uint32_t first, uint32_t count,
		    const struct schema *schema);
void idle_batch_done(struct idle_batch *batch);

/* Puts them in, as one block after the other comes in a stream; *ret_ns without making them. */
int idle_flows_put(struct instance *instance, uint32_t flows, uint64_t *ret_ns,
		   struct ff_error *err);
