/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_phase.c - the hosts' side of a move, in every situation that can arise.
 *
 * The world is a source and a target (two hosts, or one), a steering host, and the final stream
 * between them, which may be on its way for any time. Callers keep to what orchestrator/move.c
 * promises, and nothing more: hold may come at any time after the switch, also when the target
 * can't be asked; steps may be repeated. Every state that can be reached is visited, and the
 * invariants are checked in each.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

#include "agent/phase.h"

#define FROM	    5
#define TO	    6
#define SOURCE_LANE 1
#define TARGET_LANE 2

#define PHASES	    (PHASE_RETURNED + 1)

struct world {
	uint8_t source, target; /* enum phase */
	bool switched;
	bool sent; /* the final state; it may arrive at any time from now on */
	bool held; /* the orchestrator has been told that the source holds */
	bool back; /* it has had the steering hosts switch back */
};

/* What can happen next. */
enum step {
	DO_PRECOPY,
	DO_CONVERGE,
	DO_SWITCH,
	DO_FINAL,
	DO_COMMIT,
	DO_RELEASE,
	DO_ACKNOWLEDGE,
	DO_HOLD,
	DO_HOLD_UNHEARD, /* the source couldn't ask the target whether it has committed */
	DO_UNSWITCH,
	DO_RETURN,
	DO_RESUME,
	STEPS,
};

static bool committed(const struct world *w)
{
	return w->target == PHASE_COMMITTED || w->target == PHASE_RELEASED;
}

static enum answer ask(const struct world *w, bool local, enum request request, bool of_target)
{
	if (local)
		return phase_request(w->source, w->target, request);
	return of_target ? phase_request(PHASE_NONE, w->target, request) :
			   phase_request(w->source, PHASE_NONE, request);
}

static void hold(struct world *w, bool local, bool heard)
{
	if (w->source == PHASE_HANDOVER && heard && committed(w))
		w->source = PHASE_DONE;
	if (ask(w, local, REQUEST_HOLD, false) != ANSWER_GO)
		return;
	w->source = PHASE_HOLDING;
	w->held = true;
}

/* False: it can't happen now. */
static bool step(struct world *w, bool local, enum step what)
{
	const struct world before = *w;

	switch (what) {
	case DO_PRECOPY:
		if (ask(w, local, REQUEST_PRECOPY, false) == ANSWER_GO)
			w->source = PHASE_PRECOPY;
		break;
	case DO_CONVERGE:
		if (w->source == PHASE_PRECOPY)
			w->source = PHASE_CONVERGED;
		break;
	case DO_SWITCH:
		w->switched |= w->source >= PHASE_CONVERGED && !w->held;
		break;
	case DO_FINAL:
		if (w->switched && ask(w, local, REQUEST_FINAL, false) == ANSWER_GO) {
			w->source = PHASE_HANDOVER;
			w->sent = true;
		}
		break;
	case DO_COMMIT:
		if (w->sent && ask(w, local, REQUEST_COMMIT, true) == ANSWER_GO)
			w->target = PHASE_COMMITTED;
		break;
	case DO_RELEASE:
		if (w->target == PHASE_COMMITTED)
			w->target = PHASE_RELEASED;
		break;
	case DO_ACKNOWLEDGE:
		if (w->source == PHASE_HANDOVER && committed(w))
			w->source = PHASE_DONE;
		break;
	case DO_HOLD:
	case DO_HOLD_UNHEARD:
		if (w->switched)
			hold(w, local, local || what == DO_HOLD);
		break;
	case DO_UNSWITCH:
		/* the target has been asked once more, and had not committed then */
		if (w->held && w->source == PHASE_HOLDING) {
			w->switched = false;
			w->back = true;
		}
		break;
	case DO_RETURN:
		if (w->back && ask(w, local, REQUEST_RETURN, true) == ANSWER_GO)
			w->target = PHASE_RETURNED;
		break;
	case DO_RESUME:
		if (w->target == PHASE_RETURNED &&
		    ask(w, local, REQUEST_RESUME, false) == ANSWER_GO)
			w->source = PHASE_RESUMED;
		break;
	case STEPS:
		break;
	}
	return memcmp(&before, w, sizeof(before)) != 0;
}

/* ---- invariants ------------------------------------------------------------------------------ */

static struct ff_steer steer(const struct world *w, bool local, bool at_target)
{
	struct phase_view view = {
		.source = local || !at_target ? w->source : PHASE_NONE,
		.target = local || at_target ? w->target : PHASE_NONE,
		.switched = local && w->switched,
		.parks = true,
		.from = FROM,
		.to = TO,
		.source_lane = SOURCE_LANE,
		.target_lane = TARGET_LANE,
	};

	return phase_steer(&view);
}

static bool delivers(struct ff_steer steer)
{
	return steer.here && !(steer.flags & FF_STEER_PARK);
}

/* I1: an arriving packet of the flow reaches at most one NF. */
static void check_one_owner(const struct world *w)
{
	struct ff_steer source = steer(w, false, false), target = steer(w, false, true);

	cr_assert(!(delivers(source) && delivers(target)), "both deliver: source %s, target %s",
		  phase_name(w->source), phase_name(w->target));
	if (delivers(source))
		cr_assert(source.here == FROM && !committed(w));
	/* I3: not before those that were parked */
	if (delivers(target))
		cr_assert(target.here == TO && w->target == PHASE_RELEASED);
	if (w->target == PHASE_RETURNED)
		cr_assert_eq(target.here, 0, "it has given everything back");
	/* who may still change the state that is being copied notes the change */
	if (delivers(source) && w->source != PHASE_RESUMED)
		cr_assert(source.flags & FF_STEER_LOG && source.lane == SOURCE_LANE);
	if (source.flags & FF_STEER_PARK)
		cr_assert_eq(source.lane, SOURCE_LANE);
	if (target.flags & FF_STEER_PARK)
		cr_assert_eq(target.lane, TARGET_LANE);
}

/* I5: wherever a packet arrives, it is delivered or parked after at most one more host. */
static void check_reachable(const struct world *w)
{
	for (int at_target = 0; at_target < 2; at_target++) {
		struct ff_steer first = steer(w, false, at_target), second;

		if (first.here)
			continue;
		cr_assert_eq(first.owner, at_target ? FROM : TO, "source %s, target %s: a loop",
			     phase_name(w->source), phase_name(w->target));
		second = steer(w, false, !at_target);
		cr_assert(second.here, "source %s, target %s: nobody takes it",
			  phase_name(w->source), phase_name(w->target));
	}
}

static void check_local(const struct world *w)
{
	struct ff_steer here = steer(w, true, false);

	cr_assert(here.here == FROM || here.here == TO);
	if (delivers(here))
		cr_assert_eq(here.here, committed(w) ? TO : FROM, "source %s, target %s",
			     phase_name(w->source), phase_name(w->target));
}

static void check_answers(const struct world *w, bool local)
{
	if (committed(w)) {
		cr_assert_eq(ask(w, local, REQUEST_ABORT, true), ANSWER_REFUSE,
			     "abort after commit");
		cr_assert_eq(ask(w, local, REQUEST_RETURN, true), ANSWER_REFUSE);
		cr_assert_neq(ask(w, local, REQUEST_COMMIT, true), ANSWER_REFUSE, "repeated");
	} else {
		cr_assert_eq(ask(w, local, REQUEST_FINISH, true), ANSWER_REFUSE,
			     "finish before commit, target %s", phase_name(w->target));
	}
	if (w->source == PHASE_DONE) {
		cr_assert_eq(ask(w, local, REQUEST_ABORT, false), ANSWER_REFUSE);
		cr_assert_eq(ask(w, local, REQUEST_HOLD, false), ANSWER_REFUSE);
		cr_assert_eq(ask(w, local, REQUEST_FINAL, false), ANSWER_ALREADY);
	}
	if (w->source == PHASE_RESUMED || w->target == PHASE_RETURNED)
		cr_assert_eq(ask(w, local, REQUEST_COMMIT, true), ANSWER_REFUSE,
			     "committed after it was given back");
	/* whichever way it went, both hosts can be rid of it */
	if (w->target == PHASE_RELEASED && !local)
		cr_assert_eq(ask(w, local, REQUEST_FINISH, false), ANSWER_GO, "source %s",
			     phase_name(w->source));
	if (w->source == PHASE_RESUMED)
		cr_assert_eq(ask(w, local, REQUEST_ABORT, true), ANSWER_GO);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static unsigned int number_of(const struct world *w)
{
	return ((w->source * PHASES + w->target) << 4) | (unsigned int)w->switched << 3 |
	       (unsigned int)w->sent << 2 | (unsigned int)w->held << 1 | w->back;
}

static void explore(bool local, bool seen_pairs[PHASES][PHASES])
{
	static struct world queue[PHASES * PHASES << 4];
	static bool seen[PHASES * PHASES << 4];
	size_t head = 0, tail = 0;

	memset(seen, 0, sizeof(seen));
	queue[tail++] = (struct world){ .source = PHASE_PREPARED, .target = PHASE_PREPARED };
	seen[number_of(&queue[0])] = true;
	while (head < tail) {
		const struct world w = queue[head++];

		seen_pairs[w.source][w.target] = true;
		check_answers(&w, local);
		if (local) {
			check_local(&w);
		} else {
			check_one_owner(&w);
			check_reachable(&w);
		}
		for (unsigned int what = 0; what < STEPS; what++) {
			struct world next = w;

			if (!step(&next, local, what) || seen[number_of(&next)])
				continue;
			seen[number_of(&next)] = true;
			queue[tail++] = next;
		}
	}
}

Test(phase, every_reachable_pair_on_two_hosts)
{
	bool pairs[PHASES][PHASES] = {};

	explore(false, pairs);
	/* the walk went where it should: both ends, and the late commit */
	cr_expect(pairs[PHASE_DONE][PHASE_RELEASED]);
	cr_expect(pairs[PHASE_RESUMED][PHASE_RETURNED]);
	cr_expect(pairs[PHASE_HOLDING][PHASE_RELEASED]);
	cr_expect_not(pairs[PHASE_RESUMED][PHASE_RELEASED]);
	cr_expect_not(pairs[PHASE_RESUMED][PHASE_COMMITTED]);
}

Test(phase, every_reachable_pair_on_one_host)
{
	bool pairs[PHASES][PHASES] = {};

	explore(true, pairs);
	cr_expect(pairs[PHASE_DONE][PHASE_RELEASED]);
	cr_expect(pairs[PHASE_RESUMED][PHASE_RETURNED]);
}

Test(phase, a_host_without_the_role_refuses)
{
	for (enum request request = REQUEST_PRECOPY; request <= REQUEST_RETURN; request++)
		cr_expect_eq(phase_request(PHASE_NONE, PHASE_NONE, request), ANSWER_REFUSE);
	/* a steering host has no phase, and ends either way */
	cr_expect_eq(phase_request(PHASE_NONE, PHASE_NONE, REQUEST_ABORT), ANSWER_GO);
	cr_expect_eq(phase_request(PHASE_NONE, PHASE_NONE, REQUEST_FINISH), ANSWER_GO);
}

Test(phase, a_steering_host_alone_follows_its_switch)
{
	struct phase_view view = { .parks = true, .from = FROM, .to = TO };
	struct ff_steer steer = phase_steer(&view);

	cr_expect(steer.owner == FROM && !steer.here && !steer.flags);
	view.switched = true;
	steer = phase_steer(&view);
	cr_expect(steer.owner == TO && !steer.here && !steer.flags);
}

Test(phase, nothing_is_logged_where_maps_change_hands)
{
	for (enum phase source = PHASE_PREPARED; source <= PHASE_CONVERGED; source++) {
		struct phase_view view = { .source = source,
					   .target = PHASE_PREPARED,
					   .from = FROM,
					   .to = TO,
					   .source_lane = SOURCE_LANE };

		cr_expect(phase_steer(&view).flags & FF_STEER_LOG);
		view.handover = true;
		cr_expect_not(phase_steer(&view).flags);
		cr_expect_not(phase_steer(&view).lane);
		cr_expect_eq(phase_steer(&view).here, FROM);
	}
}

/* An agent that dies while it aborts may leave the target without state: none may come there. */
Test(phase, what_was_given_back_is_with_the_source)
{
	static const enum phase sources[] = { PHASE_HANDOVER, PHASE_DONE, PHASE_RESUMED };

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct phase_view view = { .source = sources[i],
					   .target = PHASE_RETURNED,
					   .handover = true,
					   .switched = sources[i] != PHASE_RESUMED,
					   .from = FROM,
					   .to = TO };
		struct ff_steer steer = phase_steer(&view);

		cr_expect(steer.owner == FROM && steer.here == FROM && !steer.flags, "source %s",
			  phase_name(sources[i]));
		view.parks = true;
		cr_expect_not(delivers(phase_steer(&view)) && phase_steer(&view).here == TO);
	}
}

Test(phase, nothing_is_parked_without_a_guarantee)
{
	for (enum phase target = PHASE_PREPARED; target < PHASES; target++) {
		struct phase_view view = { .target = target, .from = FROM, .to = TO };

		cr_expect_not(phase_steer(&view).flags & FF_STEER_PARK);
	}
}

Test(phase, every_phase_has_a_name)
{
	for (enum phase phase = PHASE_NONE; phase < PHASES; phase++)
		cr_expect(phase_name(phase) && *phase_name(phase));
}
