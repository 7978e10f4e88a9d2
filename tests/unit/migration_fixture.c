/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* migration_fixture.c - see migration_fixture.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/migration_fixture.h"

json_t *move_request(void)
{
	return json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2");
}

void move_begin(json_t *body, char id[32])
{
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	reply = ask("POST", "/v1/moves", body, &status);
	cr_assert_eq(status, 202, "%s (%s)", text(reply, "message"), text(reply, "mend"));
	snprintf(id, 32, "%s", text(reply, "id"));
}

json_t *move_await(const char *id)
{
	char path[96];
	json_t *operation;

	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d", id, WAIT_MS - 1000);
	operation = ask("GET", path, NULL, NULL);
	return operation;
}

json_t *move_run(json_t *body)
{
	char id[32];

	move_begin(body, id);
	return move_await(id);
}

json_t *table_shown(void)
{
	return ask("GET", "/v1/services/fw/table", NULL, NULL);
}

const char *owners_shown(void)
{
	static char buf[256];
	_cleanup_json_ json_t *t = table_shown();
	const json_t *item;
	size_t i, used = 0;

	buf[0] = '\0';
	json_array_foreach(json_object_get(t, "owners"), i, item)
		used += snprintf(buf + used, sizeof(buf) - used, "%s%s=%s", i ? " " : "",
				 json_string_value(json_array_get(item, 0)),
				 json_string_value(json_array_get(item, 1)));
	return buf;
}

void assert_forgotten(const char *id)
{
	char phase[16];

	for (size_t i = 0; i < world.agents_n; i++)
		wait_for(!*fake_phase(&world.agents[i], id, phase));
}

void assert_rolled_back(const json_t *operation)
{
	cr_assert_str_eq(text(operation, "state"), "rolled-back");
	cr_assert_str_eq(owners_shown(), "0-31=fw-1 32-63=fw-2");
	cr_assert(json_is_object(json_object_get(operation, "error")));
	assert_forgotten(text(operation, "id"));
}
