/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meddler.h - a wire between two namespaces that does what networks do at worst, and counts it.
 *
 *	c (c0 198.18.1.1, 2001:db8:1::1) --- m0 [meddler] m1 --- (s0 198.18.1.2, 2001:db8:1::2) s
 *
 * It copies frames in user space, in order, one by one, so that its own counts are beyond doubt. It
 * meddles with UDP from c to s only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What happens to each n-th packet; 0: nothing. */
struct meddler_plan {
	uint32_t drop, duplicate, corrupt;
	uint32_t delay;	   /* held back until */
	uint32_t delay_by; /* so many others have passed */
};

struct meddler_counts {
	uint64_t seen, dropped, duplicated, corrupted, delayed;
};

/* Makes namespaces and wire, of the test's own; ends the test if it can't. */
void meddler_init(void);
void meddler_start(const struct meddler_plan *plan);
/*
 * Waits until it has passed on @seen packets of those that it meddles with; fails the test if they
 * don't come. For who sends as fast as it can: the meddler is slower.
 */
void meddler_await(uint64_t seen);
/* Ends it; fails the test if the meddler itself lost a frame. */
struct meddler_counts meddler_stop(void);

/* Id of the XDP program of s0, 0: none. */
uint32_t meddler_server_program(void);
/* Descriptor of the server's namespace. */
int meddler_server_netns(void);
