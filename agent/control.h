/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * control.h - the agent's HTTP interface (API.md, southbound).
 */
#pragma once

#include "agent/agent.h"

/* Starts serving. */
int control_start(struct agent *agent, struct ff_error *err);
void control_stop(struct agent *agent);
