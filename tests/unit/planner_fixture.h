/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_fixture.h - what holds after every plan. */
#pragma once

#include "lib/cleanup.h"
#include "tests/bench/planner_world.h"

/* Plans and checks what must hold of every plan; fails the test if it doesn't. */
struct plan world_plan(struct world *world);
/* What each instance has after the plan, in packets/s, by place; then those that it creates. */
void world_after(const struct world *world, const struct plan *plan, double *ret_packets, size_t n);
size_t plan_count(const struct plan *plan, enum plan_kind kind);

/* Three hosts; fw-1 has @first packets/s in 128 slots, fw-2 @second in as many. */
void world_two(struct world *world, double first, double second);
/* Packets/s that no instance should have more of. */
double world_target(const struct world *world);
/* The first step of a kind; fails the test if there is none. */
const struct plan_step *plan_step_of(const struct plan *plan, enum plan_kind kind);
void expect_under_target(const struct world *world, const struct plan *plan, size_t instances);
