/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tables.h - parts of answers that more than one verb prints. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "tools/cmd.h"

struct table;

/* A service's rules, after an empty line; nothing if it has none. */
void rules_print(const json_t *rules);

/* DELETEs what `path` names and says so: "removed service fw". */
int removal_run(struct call *call, const char *path, const char *kind);

/* A table of operations, a row of figures each. */
void operations_begin(struct table *table);
void operations_row(struct table *table, const json_t *operation);

/* What a standby took over: it has figures of its own, and none of a move's. */
bool operation_is_recovery(const json_t *operation);

/* Why it ended as it did, and the mend: of one that was only looked at, no error of this command. */
void operation_reason_print(const json_t *operation);

/* One operation: its row, and what a reader must know about it. */
void operation_print(const json_t *operation);

/* What an operation moves, in a few words: "slots 0-99; 3 flows". malloc'ed, never NULL. */
char *subject_text(const json_t *operation);

/* Has it ended (API.md)? */
bool operation_ended(const json_t *operation);

/* CLI_DONE if it completed, else CLI_FAILED, with the reason on stderr. */
int operation_status(struct call *call, const json_t *operation);
