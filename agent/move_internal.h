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

/* A move's id is also the name of its file. */
bool move_id_ok(const char *id);
int move_path(const struct agent *agent, const char *id, char **ret); /* -ENOMEM */

/* The move's file: is there one, and away with it. */
bool move_is_saved(const struct agent *agent, const char *id);
void move_unsave(const struct agent *agent, const char *id);

/*
 * Puts it on the agent's list; refused where it would touch entries of another move. Under
 * agent.lock: no other comes in between.
 */
int move_enlist(struct move *move, struct ff_error *err);

/* Its entries are written, or (not `well`) never will be: whoever waits for that goes on. */
void move_prepared(struct move *move, bool well);

/* Frees its lanes, those that it has. Takes agent.lock. */
void move_lanes_close(struct move *move);

/* Is it on the agent's list? */
bool move_is_listed(struct agent *agent, const char *id);

/* Takes it off the agent's list, with the list's reference; one that has ended never comes back. */
void move_delist(struct move *move, bool ended);
