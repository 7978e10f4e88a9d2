/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Few flows are found by the hints that the data path leaves, without a look at the groups' maps;
 * and where the hints don't name all of them, the maps are read all the same.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/state_rig.h"

#define FOREVER	 (UINT64_MAX / 2)
#define FEW	 500
#define ONE_SLOT 12 /* flows of a slot: three times what its hints hold */
#define OLD	 3  /* those of them that stay: none of the last four */

TestSuite(state_few, .init = state_rig_init, .timeout = 60);

/* From here on, whoever reads a group's map fails. */
static void maps_hide(struct instance *instance)
{
	memset(instance->state.group_ids, 0, sizeof(instance->state.group_ids));
	close(instance->state.forget_fd);
	close(instance->state.dump_fd);
	instance->state.forget_fd = instance->state.dump_fd = -1;
}

Test(state_few, dump_reads_no_map)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	struct ff_error err = { 0 };
	struct slotset slots = { 0 };
	struct state_select select = { .slots = &slots };
	uint32_t due = 0;

	state_rig_fill(a, 0, FEW, FOREVER);
	maps_hide(a);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, &err), 0, "%s",
		     err.message);
	cr_assert_eq(state_tally_once(tally), FEW);
	cr_assert_eq(tally->wrong, 0);

	slotset_set_range(&slots, 1, 1001); /* neither end is a group's */
	for (uint32_t i = 0; i < FEW; i++) {
		struct ff_flow_key key = state_rig_key(i);

		due += slotset_test(&slots, state_slot(&a->state, &key));
	}
	memset(tally->seen, 0, sizeof(tally->seen));
	cr_assert_eq(state_dump(&a->state, &select, state_tally_visit, tally, NULL, &err), 0);
	cr_assert_eq(state_tally_once(tally), due);
	free(tally);
	instance_free(a);
}

/* Those that packets have brought, too. */
Test(state_few, dump_finds_what_packets_bring)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	uint64_t now = clock_ns();

	for (uint32_t i = 0; i < FEW; i++) {
		struct ff_flow_key key = state_rig_key(i);

		state_rig_packet(a, &key, now);
	}
	maps_hide(a);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->visits, FEW);
	free(tally);
	instance_free(a);
}

Test(state_few, forget_reads_no_map)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct slotset slots = { 0 };
	struct ff_error err = { 0 };
	uint64_t deleted, now = clock_ns();

	state_rig_fill(a, 0, FEW, now - 1); /* expired ones, too */
	state_rig_fill(a, FEW, FEW, FOREVER);
	maps_hide(a);
	slotset_set_range(&slots, 0, RIG_SLOT_COUNT - 1);
	cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, &err), 0, "%s", err.message);
	cr_assert_eq(deleted, 2 * FEW);
	cr_assert_eq(state_flows(&a->state), 0);
	instance_free(a);
}

/* Numbers of flows of one slot. */
static void one_slot(const struct instance *instance, uint32_t ret[ONE_SLOT])
{
	struct ff_flow_key first = state_rig_key(0);
	uint32_t slot = state_slot(&instance->state, &first), count = 0;

	for (uint32_t i = 0; count < ONE_SLOT; i++) {
		struct ff_flow_key key = state_rig_key(i);

		cr_assert_lt(i, STATE_RIG_MANY);
		if (state_slot(&instance->state, &key) == slot)
			ret[count++] = i;
	}
}

/* The slot has few flows, but others have come after them, of which `late` are still there. */
static struct instance *displaced(uint32_t flows[ONE_SLOT], uint32_t late)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key keys[ONE_SLOT];

	one_slot(a, flows);
	for (uint32_t i = 0; i < ONE_SLOT; i++) {
		state_rig_fill(a, flows[i], 1, FOREVER);
		keys[i] = state_rig_key(flows[i]);
	}
	cr_assert_eq(state_forget_keys(&a->state, keys + OLD, ONE_SLOT - OLD - late, NULL, NULL),
		     0);
	state_rig_agree(a, OLD + late);
	return a;
}

Test(state_few, dump_searches_where_hints_are_old)
{
	for (uint32_t late = 0; late < 2; late++) {
		uint32_t flows[ONE_SLOT];
		struct instance *a = displaced(flows, late);
		struct state_tally *tally = state_tally_new(a);

		cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
		cr_assert_eq(tally->visits, OLD + late);
		for (uint32_t i = 0; i < OLD; i++)
			cr_assert_eq(tally->seen[flows[i]], 1);
		free(tally);
		cr_assert_eq(instance_remove(a, NULL), 0);
		instance_free(a);
	}
}

Test(state_few, forget_searches_where_hints_are_old)
{
	for (uint32_t late = 0; late < 2; late++) {
		uint32_t flows[ONE_SLOT];
		struct instance *a = displaced(flows, late);
		struct slotset slots = { 0 };
		uint64_t deleted;

		slotset_set_range(&slots, 0, RIG_SLOT_COUNT - 1);
		cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, NULL), 0);
		cr_assert_eq(deleted, OLD + late);
		state_rig_agree(a, 0);
		cr_assert_eq(instance_remove(a, NULL), 0);
		instance_free(a);
	}
}

/* ---- with packets and forgetting on another CPU ---------------------------------------------- */

struct churn {
	struct instance *instance;
	const uint32_t *flows;
	atomic_bool stop;
	atomic_uint rounds;
};

/* The late flows of the slot come by packets, and go, over and over. */
static void *churn_main(void *arg)
{
	struct churn *churn = arg;

	for (; !atomic_load(&churn->stop); atomic_fetch_add(&churn->rounds, 1)) {
		for (uint32_t i = OLD; i < ONE_SLOT; i++) {
			struct ff_flow_key key = state_rig_key(churn->flows[i]);

			state_rig_packet(churn->instance, &key, clock_ns());
			state_forget_keys(&churn->instance->state, &key, 1, NULL, NULL);
		}
	}
	return NULL;
}

Test(state_few, dump_misses_none_that_stays)
{
	uint32_t flows[ONE_SLOT], dumps = 0;
	struct instance *a = displaced(flows, 0);
	struct state_tally *tally = state_tally_new(a);
	struct churn churn = { .instance = a, .flows = flows };
	uint64_t until = clock_ns() + NSEC_PER_SEC;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, churn_main, &churn), 0);
	for (; clock_ns() < until || dumps < 100 || atomic_load(&churn.rounds) < 10; dumps++) {
		memset(tally->seen, 0, sizeof(tally->seen));
		cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
		for (uint32_t i = 0; i < OLD; i++)
			cr_assert_neq(tally->seen[flows[i]], 0, "dump %u misses flow %u", dumps,
				      flows[i]);
	}
	atomic_store(&churn.stop, true);
	pthread_join(thread, NULL);
	state_rig_agree(a, OLD);
	free(tally);
	instance_free(a);
}
