/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/converge.h"

#define ROUNDS_MIN 4 /* the first round is of another pace, and nearly all changes meanwhile */
#define GROWN_MAX  2

bool converge_more(struct converge *c, size_t changed)
{
	bool grew = c->rounds && changed >= c->changed;

	c->grown = grew ? c->grown + 1 : 0;
	c->changed = changed;
	if (changed <= CONVERGE_FLOWS || c->rounds == CONVERGE_ROUNDS_MAX)
		return false;
	if (c->rounds >= ROUNDS_MIN && c->grown >= GROWN_MAX) {
		if (c->hurry || changed > CONVERGE_URGENT_FLOWS)
			return false;
		c->hurry = true;
		c->grown = 0;
	}
	c->rounds++;
	return true;
}
