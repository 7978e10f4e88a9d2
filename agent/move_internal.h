/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * move_internal.h - what the files move*.c have among themselves.
 */
#pragma once

#include "agent/move.h"

/* A move from the body of its prepare request; one reference. Nothing is changed yet. */
int move_new(struct agent *agent, const char *id, const json_t *body, struct move **ret,
	     struct ff_error *err);

/* The instances that this host needs for its roles. Under agent.lock. */
int move_instances_find(struct move *move, struct ff_error *err);

/* Removes the move's file. */
void move_unsave(const struct move *move);

/* Takes it off the agent's list, with the list's reference. */
void move_delist(struct move *move);
