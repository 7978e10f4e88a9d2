/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* operation.c - operations in memory; migration.c drives them, store.c keeps them. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/model.h"
#include "orchestrator/operation.h"

#define ID_LEN	    20
#define ID_TIME_LEN 10

void operation_make_id(char ret_id[OPERATION_ID_MAX])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t now_ms = clock_wall_ms(), chance = 0;

	_Static_assert(ID_LEN < OPERATION_ID_MAX, "an id must fit");
	/* on failure ids still differ by time; the store refuses one that exists */
	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		chance = clock_ns();
	for (int i = ID_TIME_LEN - 1; i >= 0; i--, now_ms >>= 5)
		ret_id[i] = digits[now_ms & 31];
	for (int i = ID_TIME_LEN; i < ID_LEN; i++, chance >>= 5)
		ret_id[i] = digits[chance & 31];
	ret_id[ID_LEN] = '\0';
}

static json_t *doc_new(const char *id, const char *kind)
{
	static const char *const phases[] = { "prepare", "precopy", "switch", "fence",
					      "final",	 "release", "clean" };
	json_t *phases_us = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		json_put_int(phases_us, phases[i], 0);
	return json_pack("{ss ss ss ss sn sn sn sn sn sn sn si si si si si sn si si so sn sI sn}",
			 "id", id, "kind", kind, "state", "queued", "phase", "queued", "service",
			 "from", "to", "guarantee", "on_overflow", "subject", "note", "flows", 0,
			 "bytes", 0, "rounds", 0, "packets_parked", 0, "packets_dropped", 0,
			 "overflow", "freeze_us", 0, "total_us", 0, "phases_us", phases_us, "error",
			 "created", (json_int_t)clock_wall_ms(), "ended");
}

struct operation *operation_new(const char *kind)
{
	_cleanup_operation_ struct operation *operation = calloc(1, sizeof(*operation));

	if (!operation)
		return NULL;
	operation_make_id(operation->id);
	while (!operation->token) { /* 0 marks a free lane */
		if (getrandom(&operation->token, sizeof(operation->token), 0) < 0)
			operation->token = clock_ns();
		operation->token &= ~1ull; /* the target's lane has the odd one */
	}
	operation->can_cancel = true;
	operation->doc = doc_new(operation->id, kind);
	operation->request = json_object();
	if (!operation->doc || !operation->request)
		return NULL;
	return TAKE_PTR(operation);
}

void operation_free(struct operation *operation)
{
	if (!operation)
		return;
	change_free(operation->subject);
	json_decref(operation->doc);
	json_decref(operation->request);
	free(operation);
}

struct operation *operation_find(const struct model *model, const char *id)
{
	for (struct operation *operation = model->operations; operation;
	     operation = operation->next)
		if (!strcmp(operation->id, id))
			return operation;
	return NULL;
}

void operation_link(struct model *model, struct operation *operation)
{
	operation->next = model->operations;
	model->operations = operation;
}

void operation_unlink(struct model *model, struct operation *operation)
{
	struct operation **link = &model->operations;

	while (*link && *link != operation)
		link = &(*link)->next;
	if (*link)
		*link = operation->next;
	operation->next = NULL;
	pthread_cond_broadcast(&model->changed);
}

const char *operation_state(const struct operation *operation)
{
	return json_string_value(json_object_get(operation->doc, "state"));
}
