/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* desired.h - the whole state that a host should have, as PUT /v1/config takes it. */
#pragma once

#include <jansson.h>

#include "orchestrator/model.h"

/* For one host; the model's lock is held. NULL: out of memory. */
json_t *desired_config(const struct model *model, const struct host *host);

/* After which a silent host counts as failed: the least that a policy asks for; 0: none does. */
uint32_t desired_failure_ms(const struct model *model);

/*
 * Parts of it that the northbound API shows too, with names for numbers where @model is given:
 * [["0-1365",5],..] or [["0-1365","fw-1"],..].
 */
json_t *owners_slots_json(const struct owners *table, const struct model *model);
json_t *owners_pins_json(const struct owners *table, const struct model *model, size_t max);
json_t *owners_rules_json(const struct owners *table, const struct model *model);
