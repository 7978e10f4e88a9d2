/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_events.c - events that the disk takes late: none waits, their
 * order stays, and there is a bound.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/events.h"
#include "orchestrator/store_internal.h"

#define MANY 40000 /* more than are kept while the disk hangs, and taken by who waits for it */

static struct store *store;
static struct events *events;
static struct ff_error err;

static void setup(void)
{
	log_init("test", LOG_LEVEL_ERROR);
	cr_assert_eq(store_open(":memory:", 0, &store, &err), 0, "%s", err.message);
	cr_assert_eq(events_new(store, &events, &err), 0, "%s", err.message);
}

static void teardown(void)
{
	events_free(events);
	store_close(store);
}

TestSuite(events, .init = setup, .fini = teardown, .timeout = 60);

static void emit(unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		event_emit(events, "test", (struct event_about){ 0 }, "%u", i);
}

static json_t *stored(void)
{
	json_t *list;

	cr_assert_eq(store_event_list(store, 0, 2 * MANY, &list, &err), 0, "%s", err.message);
	return list;
}

static const char *message(const json_t *list, size_t i)
{
	return json_string_value(json_object_get(json_array_get(list, i), "message"));
}

Test(events, settled_in_their_order)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *event;
	size_t i;

	emit(0, 100);
	events_settle(events);
	list = stored();
	cr_assert_eq(json_array_size(list), 100);
	json_array_foreach(list, i, event)
		cr_expect_eq(strtoul(message(list, i), NULL, 10), i);
}

/* Nobody who emits waits; the first ones are kept, and later ones, once there is room. */
Test(events, a_disk_that_hangs)
{
	_cleanup_json_ json_t *list = NULL;
	size_t n;

	{
		STORE_LOCKED(store);

		emit(0, MANY);
	}
	events_settle(events);
	emit(MANY, MANY + 1);
	events_settle(events);
	list = stored();
	n = json_array_size(list);
	cr_expect_gt(n, MANY / 4);
	cr_expect_lt(n, MANY, "there is a bound");
	cr_expect_str_eq(message(list, 0), "0");
	cr_expect_str_eq(message(list, n - 1), "40000");
}
