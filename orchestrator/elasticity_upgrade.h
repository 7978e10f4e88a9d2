/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elasticity_upgrade.h - what elasticity_upgrade.c (all instances) and elasticity_replace.c (one) share.
 *
 * An upgrade's thread writes its operation's doc, and reads it; others read it. The model's lock guards it,
 * and is held in all functions here but upgrade_replace().
 */
#pragma once

#include "orchestrator/elasticity_internal.h"

#define UPGRADE_AWAIT_MS 200 /* looks so often whether it has been cancelled */

struct upgrade {
	struct upgrade *next; /* guarded by the model's lock */
	struct elasticity *elasticity;
	struct orchestrator *orch;
	const struct driver *driver;
	struct operation *operation;
	char service_name[FF_NAME_MAX];
	char nf[FF_NAME_MAX];
	char nf_before[FF_NAME_MAX];
	uint16_t service;
};

/* The instances that there were when it began, and what has become of them. */
size_t upgrade_parts(const struct upgrade *u);
const char *upgrade_text(const struct upgrade *u, size_t part, const char *key); /* "": none */
int upgrade_journal(struct upgrade *u, struct ff_error *err);

/* Cancelled, or the orchestrator stops; and how to say so: -ECANCELED, -ESHUTDOWN. */
bool upgrade_ends_soon(const struct upgrade *u);
int upgrade_ended_early(const struct upgrade *u, struct ff_error *err);

/*
 * Replaces one instance, or goes on with it. -ESHUTDOWN: it's left as it is. Else, on failure, the instance
 * goes on, and its successor is removed unless it owns something. The lock isn't held.
 */
int upgrade_replace(struct upgrade *u, size_t part, struct ff_error *err);
