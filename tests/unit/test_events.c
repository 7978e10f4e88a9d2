/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events that are stored later than they are emitted: who asks doesn't notice, and none is lost. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "orchestrator/events.h"
#include "tests/unit/orch_fixture.h"

TestSuite(events, .init = fixture_setup, .fini = fixture_teardown, .timeout = 120);

#define NOTHING ((struct event_about){ 0 })

static void assert_newest(const json_t *event, int n)
{
	char message[16];

	snprintf(message, sizeof(message), "%d", n);
	cr_assert_str_eq(text(event, "message"), message);
}

/* Each is asked for at once, when the writer has only begun to gather. */
Test(events, who_asks_gets_all_before)
{
	for (int n = 0; n < 20; n++) {
		event_emit(orch->events, "test", NOTHING, "%d", n);
		assert_newest(call(200, "GET", "/v1/events?limit=1", NULL), n);
	}
}

Test(events, numbered_in_their_order)
{
	struct ff_error err = { 0 };
	_cleanup_json_ json_t *list = NULL;

	for (int n = 0; n < 100; n++)
		event_emit(orch->events, "test", NOTHING, "%d", n);
	events_settle(orch->events);
	cr_assert_eq(store_event_list(orch->store, -1, 100, &list, &err), 0);
	cr_assert_eq(json_array_size(list), 100);
	for (int n = 0; n < 100; n++)
		assert_newest(json_array_get(list, n), n);
}

/* A daemon that ends stores what has gathered. */
Test(events, the_last_ones_are_kept)
{
	event_emit(orch->events, "last-but-one", NOTHING, "1");
	event_emit(orch->events, "last", NOTHING, "2");
	orchestrator_down();
	orchestrator_up();
	cr_assert(told("last-but-one"));
	cr_assert(told("last"));
}
