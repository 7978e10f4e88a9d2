/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_events_api.c - events that are stored later than they are emitted: who asks
 * doesn't notice, and none is lost.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "orchestrator/events.h"
#include "tests/unit/orch_fixture.h"

TestSuite(events_api, .init = fixture_setup, .fini = fixture_teardown, .timeout = 120);

#define NOTHING ((struct event_about){ 0 })

static void assert_newest(const json_t *event, int n)
{
	char message[16];

	snprintf(message, sizeof(message), "%d", n);
	cr_assert_str_eq(text(event, "message"), message);
}

/* Each is asked for at once, when the writer has only begun to gather. */
Test(events_api, who_asks_gets_all_before)
{
	for (int n = 0; n < 20; n++) {
		event_emit(orch->events, "test", NOTHING, "%d", n);
		assert_newest(call(200, "GET", "/v1/events?limit=1", NULL), n);
	}
}

/* A daemon that ends stores what has gathered. */
Test(events_api, the_last_ones_are_kept)
{
	event_emit(orch->events, "last-but-one", NOTHING, "1");
	event_emit(orch->events, "last", NOTHING, "2");
	orchestrator_down();
	orchestrator_up();
	cr_assert(told("last-but-one"));
	cr_assert(told("last"));
}
