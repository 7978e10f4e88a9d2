/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flows.h - looking at flows: lists by filter, one by its key, pins whose flow has gone.
 */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

/* {"flows":[..],"scanned","truncated"}; name NULL: of all instances of this host. brief: the flows'
 * text alone. */
int flows_list(struct agent *agent, const char *name, const char *filter, size_t limit, bool brief,
	       json_t **ret, struct ff_error *err);

/* The flow's entry on this host; -ENOENT: it has no state here. */
int flows_lookup(struct agent *agent, uint16_t service, const char *flow, json_t **ret,
		 struct ff_error *err);

/* {"flows":[..]}: pins to that instance without state, none of them under a move. */
int flows_dead_pins(struct agent *agent, const char *name, json_t **ret, struct ff_error *err);
