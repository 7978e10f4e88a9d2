/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_failover_moves.c - moves that are under way while one of their
 * hosts dies: see failover_fixture.h.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/failover_fixture.h"

static struct fake_agent *const gw = &world.agents[0];
static struct fake_agent *const nf1 = &world.agents[1];

#define AT_ONCE_MS 3000 /* without a death being known it is 15 s and more */

/* fw-1 is protected by fw-2; another instance, fw-x, on the third host, which is returned. */
static struct fake_agent *third_host(void)
{
	const char *name;

	protect_fw();
	name = !strcmp(text(instance_shown("fw-2"), "host"), "nf2") ? "nf3" : "nf2";
	call(201, "POST", "/v1/services/fw/instances",
	     json_pack("{ss ss}", "name", "fw-x", "host", name));
	return agent_named(name);
}

static void move_begin(char id[32])
{
	snprintf(id, 32, "%s",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-x")),
		      "id"));
}

static const json_t *operation_shown(const char *id)
{
	char path[96];

	snprintf(path, sizeof(path), "/v1/operations/%s", id);
	return call(200, "GET", path, NULL);
}

static bool has_called(struct fake_agent *agent, const char *what)
{
	char line[64];

	snprintf(line, sizeof(line), "%s %s", agent->name, what);
	return fake_count(&world, line);
}

/* Waits until the move has ended, without anybody's patience. */
static const json_t *move_end_at_once(const char *id, uint64_t died_ns)
{
	const json_t *op;

	wait_for(!json_is_null(json_object_get(operation_shown(id), "ended")));
	op = operation_shown(id);
	cr_expect_lt(clock_ns() - died_ns, AT_ONCE_MS * NSEC_PER_MSEC, "it took %llu ms",
		     (unsigned long long)((clock_ns() - died_ns) / NSEC_PER_MSEC));
	return op;
}

static void slots_are(const char *name, json_int_t slots)
{
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_eq(number(instance_shown(name), "slots"), slots, "%s has %lld", name,
		     number(instance_shown(name), "slots"));
}

/* Nothing is committed: what the target has parked is the heir's, and so are the flows. */
Test(failover, a_move_whose_source_dies)
{
	struct fake_agent *target = third_host();
	const json_t *op;
	uint64_t died_ns;
	char id[32], line[32];

	snprintf(line, sizeof(line), "return for %lld", number(instance_shown("fw-2"), "id"));
	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	died_ns = clock_ns();
	fake_host_die(nf1);
	op = move_end_at_once(id, died_ns);
	cr_expect_str_eq(text(op, "state"), "rolled-back");
	cr_expect(strstr(text(op, "note"), "fw-1 was lost: its flows are fw-2's"), "%s",
		  text(op, "note"));
	cr_expect_str_eq(text(json_object_get(op, "error"), "message"), "host nf1 is dead");
	cr_expect(has_called(target, line));
	snprintf(line, sizeof(line), "abort for %lld", number(instance_shown("fw-2"), "id"));
	cr_expect(has_called(gw, line));
	cr_expect_not(has_called(gw, "stay"), "nobody holds anything");
	slots_are("fw-2", 64);
}

/* What the source has it takes back; the target isn't asked, not by the source either. */
Test(failover, a_move_whose_target_dies)
{
	struct fake_agent *target = third_host();
	uint64_t died_ns;
	char id[32];

	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	died_ns = clock_ns();
	fake_host_die(target);
	cr_expect_str_eq(text(move_end_at_once(id, died_ns), "state"), "failed",
			 "it may have committed");
	cr_expect(has_called(nf1, "hold unasked"));
	cr_expect(has_called(nf1, "resume"));
	cr_expect_str_eq(recovery_state(), "", "nothing of it is lost");
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
}

/* It has committed: the flows are its own, and so its heir's. */
Test(failover, a_move_whose_target_dies_with_the_flows)
{
	struct fake_agent *target = third_host();
	uint64_t died_ns;
	char id[32], heir[32];

	call(202, "POST", "/v1/moves",
	     json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-x", "slots",
		       "0-9"));
	wait_for(synced_by("fw-x"));
	fake_script(&world, target->name, "finish", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(number(instance_shown("fw-x"), "slots") == 64);
	died_ns = clock_ns();
	fake_host_die(target);
	cr_expect_str_eq(text(move_end_at_once(id, died_ns), "state"), "completed");
	wait_for(!instance_shown("fw-x"));
	snprintf(heir, sizeof(heir), "%s", text(recovery_shown(), "to"));
	slots_are(heir, 64);
}

/*
 * Where a move that was under way ends is decided by who has taken over, which the journal knows.
 */
Test(failover, a_crash_while_a_move_has_an_heir)
{
	struct fake_agent *target = third_host();
	const json_t *op;
	char id[32];

	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	fake_script(&world, target->name, "return", FAKE_BLOCK, 1);
	fake_host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_assert(json_is_null(json_object_get(operation_shown(id), "ended")));
	orchestrator_crash();
	wait_for(!json_is_null(json_object_get(operation_shown(id), "ended")));
	op = operation_shown(id);
	cr_expect_str_eq(text(op, "state"), "rolled-back");
	cr_expect(strstr(text(op, "note"), "fw-1 was lost: its flows are fw-2's"), "%s",
		  text(op, "note"));
	cr_expect_eq(number(instance_shown("fw-2"), "slots"), 64);
}
