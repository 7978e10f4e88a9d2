/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "agent/desired.h"

/* Reads a service's owners, pins and rules into s->table; s->slots is known. */
int desired_table_read(const json_t *item, uint16_t number, struct desired_service *s,
		       struct ff_error *err);
void desired_table_done(struct desired_service *s);
