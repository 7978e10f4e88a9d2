/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * standby.h - which standbys a service should have, and where.
 *
 * Each instance of a protected service that owns something has one standby, on another host: an instance
 * that owns nothing and is sent all changes of the owner's state. What is there and well placed stays, for
 * each new one costs a copy of all state. A new one goes where the fewest of the service's owners and
 * standbys are, so that one host's failure doesn't burden one other host alone; among those, to the host
 * with the most CPU left. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct standby_host {
	uint16_t id;
	bool takes;  /* may get a new one: well, known, allowed by placement, room */
	bool stays;  /* may keep one: neither failed nor to be emptied, allowed by placement */
	double used; /* share of its CPUs in use */
};

struct standby_member {
	uint16_t id;
	uint16_t host;
	uint16_t standby_of; /* 0: no standby */
	bool owns;	     /* slots, pins or rules */
	bool failed;	     /* its program or its host: nothing can be copied from it, or to it */
};

enum standby_kind {
	STANDBY_ADD, /* one for `owner` on `host`; `standby`, where not 0, goes at the same time */
	STANDBY_REMOVE, /* `standby` */
};

struct standby_step {
	enum standby_kind kind;
	uint16_t owner;
	uint16_t host;
	uint16_t standby;
	const char *why; /* for a person */
};

struct standby_input {
	bool protect;
	bool first; /* an owner that has none gets one; else what is there is kept */
	const struct standby_host *hosts;
	size_t hosts_n;
	const struct standby_member *members; /* of one service */
	size_t members_n;
};

/*
 * What is to be done, in this order; at most @max steps, which is enough if it is twice as many as there
 * are members. No step: all is as it should be, or can't be bettered. -ENOMEM.
 */
int standby_plan(const struct standby_input *input, struct standby_step *ret_steps, size_t max,
		 size_t *ret_n);
