/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The NF's packets and the agent's sweep and dump, at work on one state at once.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/state_rig.h"

#define FOREVER (UINT64_MAX / 2)

TestSuite(state_sweep, .init = state_rig_init, .timeout = 60);

/* ---- the NF and the sweep ------------------------------------------------------------------ */

Test(state_sweep, sweep_deletes_the_dead_only)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t now = clock_ns(), swept;
	struct slotset skip = { 0 };

	state_rig_fill(a, 0, 3000, now - 2 * NSEC_PER_SEC);
	state_rig_fill(a, 3000, 1000, now - NSEC_PER_SEC / 2); /* within the grace */
	state_rig_fill(a, 4000, 5000, FOREVER);
	slotset_set_range(&skip, 0, RIG_SLOT_COUNT - 1);
	cr_assert_eq(state_sweep(&a->state, now, &skip, &swept, NULL), 0);
	cr_assert_eq(swept, 0, "slots under a move are left alone");
	cr_assert_eq(state_sweep(&a->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 3000);
	state_rig_agree(a, 6000);
	cr_assert_eq(state_sweep(&a->state, now + NSEC_PER_SEC, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 1000);
	state_rig_agree(a, 5000);
	instance_free(a);
}

/*
 * Each life is counted once, where it ends, by its length; of what moves on, or is forgotten, none.
 */
Test(state_sweep, lives_are_counted_when_they_end)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t now = clock_ns(), dead = now - 2 * NSEC_PER_SEC, swept;
	const __u64 *ended = a->state.control->ended;
	struct slotset all = { 0 };

	state_rig_fill_lived(a, 0, 300, dead, 5 * NSEC_PER_SEC);
	state_rig_fill_lived(a, 300, 20, dead, 80 * NSEC_PER_SEC);
	state_rig_fill_lived(a, 320, 7, dead, 0);
	state_rig_fill(a, 327, 100, dead);
	state_rig_fill_lived(a, 500, 50, FOREVER, 5 * NSEC_PER_SEC);
	cr_assert_eq(state_sweep(&a->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 427);
	for (__u32 bin = 0; bin < FF_LIVES; bin++)
		cr_expect_eq(ended[bin],
			     bin == 13 ? 300 :
			     bin == 17 ? 20 :
			     bin == 0  ? 7 :
					 0,
			     "bin %u: %llu", bin, ended[bin]);
	cr_expect_eq(a->state.control->expired, 427, "those whose age isn't known, too");
	slotset_set_range(&all, 0, RIG_SLOT_COUNT - 1);
	cr_assert_eq(state_forget_slots(&a->state, &all, NULL, NULL), 0);
	cr_expect_eq(ended[13], 300);
	instance_free(a);
}

/* As many groups as were looked at, in that many calls: the sweep notes where it goes on. */
static uint32_t groups_swept(struct instance *instance, uint32_t calls, uint64_t *ret_swept)
{
	struct state *state = &instance->state;
	uint32_t groups = 0;

	*ret_swept = 0;
	while (calls--) {
		uint32_t before = state->sweep_next % state->groups;
		uint64_t swept;

		cr_assert_eq(state_sweep_part(state, clock_ns(), NULL, &swept, NULL), 0);
		groups += (state->sweep_next + state->groups - before) % state->groups;
		*ret_swept += swept;
	}
	return groups;
}

#define GROUPS 512 /* of 4096 slots */

Test(state_sweep, sweep_in_parts_comes_round)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t swept, total = 0;

	cr_assert_eq(a->state.groups, GROUPS);
	state_rig_fill(a, 0, 6000, clock_ns() - 2 * NSEC_PER_SEC);
	/* a small part, and as much expires there: larger ones */
	for (int part = 0; part < 1 + 16; part++) {
		cr_assert_eq(state_sweep_part(&a->state, clock_ns(), NULL, &swept, NULL), 0);
		cr_assert(swept > 0 && swept < 1000);
		total += swept;
	}
	cr_assert_eq(total, 6000);
	state_rig_agree(a, 0);
	/* nearly full: everything at once */
	instance_set_capacity(a, 3100);
	state_rig_fill(a, 0, 3000, clock_ns() - 2 * NSEC_PER_SEC);
	cr_assert_eq(state_sweep_part(&a->state, clock_ns(), NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 3000);
	instance_free(a);
}

Test(state_sweep, flows_at_rest_are_looked_at_less_and_less)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t swept;

	cr_expect_eq(groups_swept(a, 64, &swept), 0, "an empty instance");
	state_rig_fill(a, 0, 3000, FOREVER);
	cr_expect_eq(groups_swept(a, 128, &swept), GROUPS, "until something is found");
	/* what expires is found, and then the sweep is as quick as it can be */
	state_rig_fill(a, 3000, 6000, clock_ns() - 2 * NSEC_PER_SEC);
	cr_expect_eq(groups_swept(a, 1 + 16, &swept), GROUPS);
	cr_expect_eq(swept, 6000);
	state_rig_agree(a, 3000);
	/* and halves its pace with each round in vain */
	cr_expect_eq(groups_swept(a, 16, &swept), GROUPS);
	cr_expect_eq(groups_swept(a, 32, &swept), GROUPS);
	cr_expect_eq(groups_swept(a, 64, &swept), GROUPS);
	cr_expect_eq(groups_swept(a, 128, &swept), GROUPS);
	cr_expect_eq(groups_swept(a, 128, &swept), GROUPS, "and no less");
	instance_free(a);
}

/* A group is walked whole, however few of its flows have expired. */
Test(state_sweep, few_that_expire_are_no_reason_for_haste)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t swept;

	state_rig_fill(a, 0, 3000, FOREVER);
	state_rig_fill(a, 3000, 20, clock_ns() - 2 * NSEC_PER_SEC);
	cr_expect_eq(groups_swept(a, 128, &swept), GROUPS);
	cr_expect_eq(swept, 20);
	/* one for each group: their ends tell how long flows live */
	state_rig_fill(a, 3000, 512, clock_ns() - 2 * NSEC_PER_SEC);
	cr_expect_gt(groups_swept(a, 8 + 15, &swept), 8 * 4 + 12 * 32);
	instance_free(a);
}

/* All of a full instance only as long as that finds something: it is 200 ms of 1 M flows. */
Test(state_sweep, a_full_instance_at_rest_is_not_swept_whole)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t swept;

	instance_set_capacity(a, 3100);
	state_rig_fill(a, 0, 3000, FOREVER);
	cr_expect_eq(groups_swept(a, 1, &swept), 0, "all groups, so it goes on where it was");
	cr_expect_eq(groups_swept(a, 5, &swept), 5 * 4, "in vain: in parts");
	instance_free(a);
}

Test(state_sweep, packets_make_entries_up_to_the_capacity)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t now = clock_ns();

	instance_set_capacity(a, 50);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 60; i++) {
			struct ff_flow_key key = state_rig_key(i);

			state_rig_packet(a, &key, now);
		}
	state_rig_agree(a, 50);
	cr_assert_eq(state_rig_stats(a).flows_refused, 20);
	instance_free(a);
}

struct sweeper {
	struct instance *instance;
	atomic_bool stop;
	uint64_t swept, runs;
};

static void *sweeper_run(void *ctx)
{
	struct sweeper *sweeper = ctx;
	uint64_t swept;

	while (!atomic_load(&sweeper->stop)) {
		if (state_sweep(&sweeper->instance->state, clock_ns(), NULL, &swept, NULL) < 0)
			return sweeper;
		sweeper->swept += swept;
		sweeper->runs++;
	}
	return NULL;
}

struct revived {
	const struct instance *instance;
	uint32_t once, other;
};

static int revived_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct revived *revived = ctx;
	uint64_t packets = state_rig_get(revived->instance, value, "packets", 0) +
			   state_rig_get(revived->instance, value, "packets", 1);

	(void)key;
	if (packets == 1)
		revived->once++;
	else
		revived->other++;
	return 0;
}

/* Sweeps once each time that `go` has grown, and then says so in `done`. */
struct trigger {
	struct instance *instance;
	atomic_uint go, done;
	uint64_t swept;
};

static void *trigger_run(void *ctx)
{
	struct trigger *trigger = ctx;
	unsigned int last = 0, spins = 0, go;
	uint64_t swept;

	while ((go = atomic_load(&trigger->go)) != UINT32_MAX) {
		if (go == last) {
			if (++spins % 256 == 0) /* quick to answer, yet kind to a busy machine */
				sched_yield();
			continue;
		}
		last = go;
		if (state_sweep(&trigger->instance->state, clock_ns(), NULL, &swept, NULL) == 0)
			trigger->swept += swept;
		atomic_store(&trigger->done, last);
	}
	return NULL;
}

#define RACE_FLOWS   64 /* swept in some 8 us: as long as two packets take */
#define RACE_ROUNDS  3000
#define RACE_TIME_NS (5 * NSEC_PER_SEC) /* enough of it where the machine is slow, */

/* Dead entries, one packet for each of them, and in the midst of these one sweep. */
static void race_round(struct trigger *trigger, unsigned int round)
{
	struct instance *a = trigger->instance;
	struct revived revived = { .instance = a };
	struct ff_instance_stats before = state_rig_stats(a), after;
	uint64_t dropped;
	struct slotset all = { .bits = { 1 } };

	state_rig_fill(a, 0, RACE_FLOWS, clock_ns() - 2 * NSEC_PER_SEC);
	for (uint32_t i = 0; i < RACE_FLOWS; i++) {
		struct ff_flow_key key = state_rig_key(i);

		if (i == round % RACE_FLOWS)
			atomic_store(&trigger->go, round);
		state_rig_packet(a, &key, clock_ns());
	}
	while (atomic_load(&trigger->done) != round)
		sched_yield();
	after = state_rig_stats(a);
	dropped = after.dropped - before.dropped;
	cr_assert_eq(after.flows_refused, 0, "there was room");
	cr_assert_eq(state_dump(&a->state, NULL, revived_visit, &revived, NULL, NULL), 0);
	cr_assert_eq(revived.other, 0, "%u flows have a dead life's packets", revived.other);
	cr_assert_eq(revived.once + dropped, RACE_FLOWS, "round %u: %u live + %llu dropped of %u",
		     round, revived.once, (unsigned long long)dropped, RACE_FLOWS);
	state_rig_agree(a, revived.once);
	cr_assert_eq(state_forget_slots(&a->state, &all, NULL, NULL), 0);
	state_rig_agree(a, 0);
}

/*
 * Whoever wins, the packet's flow must be there afterwards with exactly this one packet, or have
 * been dropped where it found the sweep in the middle of its entry; and the count must be right.
 * One slot and few flows, so that both meet at one entry in one round of a hundred.
 */
Test(state_sweep, sweep_and_revival_race)
{
	struct instance_spec spec = state_rig_spec("a", "counter", 1);
	uint64_t begin_ns = clock_ns();
	unsigned int rounds = 0;
	static struct trigger trigger; /* outlives a failed assertion, as the thread does */
	pthread_t thread;

	spec.slots = 1;
	spec.capacity = 1000;
	cr_assert_eq(instance_load(&spec, &trigger.instance, NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, trigger_run, &trigger), 0);
	/*
	 * ... unless no sweep ever was in time, or each: which wins is
	 * a matter of luck on a busy one
	 */
	while ((rounds < RACE_ROUNDS && clock_ns() - begin_ns < RACE_TIME_NS) ||
	       trigger.swept == 0 || trigger.swept >= rounds * (RACE_FLOWS - 1))
		race_round(&trigger, ++rounds);
	atomic_store(&trigger.go, UINT32_MAX);
	pthread_join(thread, NULL);
	instance_free(trigger.instance);
}

/* Entries that live throughout are in a dump that runs while others come, go and change. */
Test(state_sweep, dump_under_change_misses_no_lasting_entry)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	const uint32_t lasting = 20000;
	struct sweeper sweeper = { .instance = a };
	pthread_t thread;

	state_rig_fill(a, 0, lasting, FOREVER);
	cr_assert_eq(pthread_create(&thread, NULL, sweeper_run, &sweeper), 0);
	for (uint32_t round = 0; round < 20; round++) {
		struct state_tally *tally = state_tally_new(a);
		uint32_t there = 0;

		state_rig_fill(a, 50000 + round * 2000, 2000, clock_ns() - 2 * NSEC_PER_SEC);
		cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
		for (uint32_t i = 0; i < lasting; i++)
			there += tally->seen[i] >= 1;
		cr_assert_eq(there, lasting);
		cr_assert_eq(tally->wrong, 0);
		free(tally);
	}
	atomic_store(&sweeper.stop, true);
	pthread_join(thread, NULL);
	cr_assert_eq(state_sweep(&a->state, clock_ns(), NULL, NULL, NULL), 0);
	state_rig_agree(a, lasting);
	instance_free(a);
}
