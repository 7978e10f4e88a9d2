/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_world.h - a world for the planner: hosts, instances, slots, heavy flows. For its tests,
 * and for the bench that times it.
 */
#pragma once

#include "orchestrator/planner.h"
#include "tests/unit/random.h"

#define WORLD_CAPACITY 100000.0 /* packets/s of an instance at utilisation 1 */

struct world {
	struct loads loads;
	struct service_load service;
	struct policy policy;
	struct cost_model cost;
	struct planner_input input;
};

/* @hosts hosts with 8 CPUs each, @instances dealt out to them in turn, @slots without load. */
void world_init(struct world *world, unsigned int hosts, unsigned int instances,
		unsigned int slots);
void world_done(struct world *world);

/* Gives a slot to an instance, by place, with a load in packets/s and as many flows as fit it. */
void world_slot(struct world *world, unsigned int slot, unsigned int instance, double packets);
/* The same for slots [first, last], evenly. */
void world_slots(struct world *world, unsigned int first, unsigned int last, unsigned int instance,
		 double packets);
/* A heavy flow of a slot; its load is part of the slot's unless it is pinned to @pinned. */
void world_flow(struct world *world, unsigned int slot, int pinned, double packets);
/* The instances' own figures, from what they own. To be called last. */
void world_measure(struct world *world);
/* A random world: skewed slots, some heavy flows, pinned or not. */
void world_random(struct world *world, struct random *random, unsigned int hosts,
		  unsigned int instances, unsigned int slots, unsigned int flows, double load);
