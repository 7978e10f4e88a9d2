/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flows.h - looking at flows: lists by filter, one by its key, pins whose flow has gone.
 */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

enum flows_form {
	FLOWS_WHOLE,
	FLOWS_TEXT, /* each as its text alone */
	FLOWS_AGES, /* {"flow","age_ms"} of those whose age is known */
};

/* {"flows":[..],"scanned","truncated"}; name NULL: of all instances of this host. */
int flows_list(struct agent *agent, const char *name, const char *filter, size_t limit,
	       enum flows_form form, json_t **ret, struct ff_error *err);

/* The flow's entry on this host; -ENOENT: it has no state here. */
int flows_lookup(struct agent *agent, uint16_t service, const char *flow, json_t **ret,
		 struct ff_error *err);

/* {"flows":[..]}: pins to that instance without state, none of them under a move. */
int flows_dead_pins(struct agent *agent, const char *name, json_t **ret, struct ff_error *err);
