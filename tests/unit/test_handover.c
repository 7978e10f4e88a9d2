/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A move that hands groups of slots over keeps others from its two
 * instances' parts of those groups.
 */
#include <criterion/criterion.h>

#include "agent/handover.h"

#define A 4
#define B 5
#define C 6

static void subject_make(struct subject *subject, unsigned int slot)
{
	*subject = (struct subject){ .service = 1, .slots_count = 4096 };
	slotset_set(&subject->slots, slot);
}

static void handover_make(struct move *move)
{
	*move = (struct move){ .from = A, .to = B, .handover = true };
	subject_make(&move->subject, 8);
	slotset_set_range(&move->held, 8, 15);
}

static bool excludes(const struct move *move, uint16_t from, uint16_t to, unsigned int slot)
{
	static struct move other;

	other = (struct move){ .from = from, .to = to };
	subject_make(&other.subject, slot);
	return handover_excludes(move, &other);
}

Test(handover, others_stay_away_from_its_groups)
{
	static struct move move;

	handover_make(&move);
	cr_expect(excludes(&move, C, B, 9), "flows would come into a map that may go back");
	cr_expect(excludes(&move, C, A, 15), "or that goes away");
	cr_expect(excludes(&move, B, C, 8));
	cr_expect_not(excludes(&move, C, C + 1, 9), "others' maps");
	cr_expect_not(excludes(&move, C, B, 16), "another group");
	move.handover = false;
	cr_expect_not(excludes(&move, C, B, 9), "a copy");
	move.handover = true;
	move.subject.service = 2;
	cr_expect_not(excludes(&move, C, B, 9), "another service");
}
