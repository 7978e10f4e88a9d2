/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_move_step.c - what the walks of test_move.c don't show: times, orders, misuse, names. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/move.h"

static size_t step(struct move *move, const struct move_event *event, uint64_t now_ns,
		   struct move_action actions[MOVE_ACTIONS_MAX])
{
	size_t n = 0;

	cr_assert_eq(move_step(move, event, now_ns, actions, MOVE_ACTIONS_MAX, &n), 0);
	return n;
}

Test(move_step, patience_is_time)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move_event lost = { .kind = MOVE_EV_LOST, .call = MOVE_CALL_PREPARE };
	struct move_event tick = { .kind = MOVE_EV_TICK };
	uint64_t now = 1000;
	struct move move;

	move_init(&move, true);
	move_add_host(&move, 0, MOVE_SOURCE | MOVE_TARGET | MOVE_STEERING);
	cr_assert_eq(step(&move, &(struct move_event){ .kind = MOVE_EV_START }, now, actions), 2);
	while (move.phase == MOVE_PREPARE) {
		lost.tag = move.slots[0][MOVE_CALL_PREPARE].tag;
		step(&move, &lost, now, actions);
		if (move.phase != MOVE_PREPARE)
			break;
		cr_assert_eq(move_due(&move), now + MOVE_RETRY_NS);
		now = move_due(&move);
		cr_assert_eq(step(&move, &tick, now - 1, actions), 0);
		cr_assert_eq(step(&move, &tick, now, actions), 1);
	}
	cr_assert_eq(move.phase, MOVE_ABORT);
	cr_assert_geq(now, 1000 + MOVE_PATIENCE_NS);
	cr_assert_leq(now, 1000 + MOVE_PATIENCE_NS + MOVE_RETRY_NS);
}

/* The move's hosts here, by their places. */
enum { TARGET, SOURCE, GATEWAY };
static const uint8_t roles[] = { MOVE_TARGET, MOVE_SOURCE, MOVE_STEERING };

/* All calls of the list that are open are answered so, at no cost of time. */
static void answer_all(struct move *move, struct move_action actions[MOVE_ACTIONS_MAX], size_t *n)
{
	struct move_action asked[MOVE_ACTIONS_MAX], next[MOVE_ACTIONS_MAX];
	size_t count = *n, more;

	memcpy(asked, actions, sizeof(asked));
	*n = 0;
	for (size_t i = 0; i < count; i++) {
		struct move_event ok = { .kind = MOVE_EV_OK,
					 .host = asked[i].host,
					 .call = asked[i].call,
					 .tag = asked[i].tag };

		if (asked[i].kind != MOVE_DO_CALL || asked[i].call == MOVE_CALL_FINAL)
			continue;
		more = step(move, &ok, 0, next);
		if (!more) /* it isn't the last one of its phase, or isn't waited for */
			continue;
		memcpy(actions, next, sizeof(next));
		*n = more;
	}
}

/*
 * A host dies when the steering host has switched, and no time passes:
 * the calls that follow, by name.
 */
static const char *calls_after_death(unsigned int host, enum move_outcome *ret_outcome)
{
	static char text[400];
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move move;
	size_t n, used = 0;

	move_init(&move, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(roles); i++)
		move_add_host(&move, i, roles[i]);
	n = step(&move, &(struct move_event){ .kind = MOVE_EV_START }, 0, actions);
	while (move.phase != MOVE_FINAL)
		answer_all(&move, actions, &n);
	n = step(&move, &(struct move_event){ .kind = MOVE_EV_DEAD, .host = host }, 0, actions);
	text[0] = '\0';
	while (n) {
		for (size_t i = 0; i < n; i++) {
			if (actions[i].kind != MOVE_DO_CALL)
				continue;
			cr_assert_neq(actions[i].host, host, "the dead is asked to %s",
				      move_call_name(actions[i].call));
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? " " : "", move_call_name(actions[i].call));
		}
		answer_all(&move, actions, &n);
	}
	*ret_outcome = move.outcome;
	return text;
}

Test(move_step, the_dead_are_not_waited_for)
{
	enum move_outcome outcome;

	cr_expect_str_eq(calls_after_death(SOURCE, &outcome), "query return revert revert");
	cr_expect_eq(outcome, MOVE_ROLLED_BACK);
	cr_expect_str_eq(calls_after_death(TARGET, &outcome),
			 "query stay hold query unswitch resume revert revert");
	cr_expect_eq(outcome, MOVE_FAILED, "the target may have committed");
	cr_expect_str_eq(calls_after_death(GATEWAY, &outcome),
			 "query query hold query query return resume revert revert");
}

Test(move_step, misuse_changes_nothing)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move_event start = { .kind = MOVE_EV_START };
	struct move move, before;
	size_t n;

	move_init(&move, true);
	cr_assert_eq(move_add_host(&move, MOVE_HOSTS_MAX, MOVE_SOURCE), -E2BIG);
	move_add_host(&move, 0, MOVE_ALL);
	step(&move, &start, 0, actions);
	before = move;
	cr_assert_eq(move_step(&move, &start, 0, actions, MOVE_ACTIONS_MAX, &n), -EINVAL);
	cr_assert_eq(move_step(&move, &(struct move_event){ .kind = MOVE_EV_OK, .host = 1 }, 0,
			       actions, MOVE_ACTIONS_MAX, &n),
		     -EINVAL);
	cr_assert_eq(move_step(&move, &(struct move_event){ .kind = MOVE_EV_TICK }, 0, actions, 1,
			       &n),
		     -E2BIG);
	cr_assert_arr_eq(&move, &before, sizeof(move));
}

Test(move_step, names)
{
	enum move_phase phase;

	for (int i = 0; i < MOVE_PHASES; i++) {
		cr_assert_eq(move_phase_parse(move_phase_name(i), &phase), 0);
		cr_assert_eq((int)phase, i);
	}
	cr_assert_eq(move_phase_parse("released", &phase), -EINVAL);
	cr_assert_str_eq(move_call_name(MOVE_CALL_UNSWITCH), "unswitch");
	cr_assert_str_eq(move_outcome_name(MOVE_ROLLED_BACK), "rolled-back");
}
