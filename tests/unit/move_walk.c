/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_walk.c - see move_world.h: the walk, and what must hold in each state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/move_world.h"
#include "tests/unit/random.h"

#define STATES_MAX (1u << 23)
#define SEEN_MIN   (1u << 12) /* places for hashes; doubled when half of them are taken */
#define WORDS	   (sizeof(struct world) / sizeof(uint64_t))

/* ---- the queue and the set of states seen ---------------------------------------------------- */

struct explorer {
	struct world *queue;
	uint32_t *parent; /* of each in the queue */
	size_t head, tail, room;
	uint64_t *seen; /* hashes: two states may share one, at odds of 1 in 10^7 */
	size_t places;
	uint64_t keys[WORDS]; /* random ones, of the hash */
};

static struct explorer explorer;
size_t walk_ended[MOVE_FAILED + 1];

/* In pairs, not in a chain: this is most of what a walk does. */
static uint64_t world_hash(const struct world *w)
{
	uint64_t words[WORDS], hash = 0;

	memcpy(words, w, sizeof(*w));
	for (size_t i = 0; i < WORDS; i += 2) {
		unsigned __int128 product = (unsigned __int128)(words[i] ^ explorer.keys[i]) *
					    (words[i + 1] ^ explorer.keys[i + 1]);

		hash += (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	hash = (hash ^ hash >> 32) * 0xff51afd7ed558ccdull;
	hash ^= hash >> 29;
	return hash ? hash : 1;
}

/* The hash's place: its own, or the free one where it would be. */
static uint64_t *seen_place(uint64_t hash)
{
	size_t at = hash & (explorer.places - 1);

	while (explorer.seen[at] && explorer.seen[at] != hash)
		at = (at + 1) & (explorer.places - 1);
	return &explorer.seen[at];
}

static void seen_grow(void)
{
	uint64_t *old = explorer.seen;
	size_t n = explorer.places;

	explorer.places = n ? 2 * n : SEEN_MIN;
	explorer.seen = calloc(explorer.places, sizeof(*explorer.seen));
	cr_assert_not_null(explorer.seen);
	for (size_t i = 0; i < n; i++)
		if (old[i])
			*seen_place(old[i]) = old[i];
	free(old);
}

void walk_add(const struct world *w)
{
	uint64_t hash = world_hash(w), *place;

	if (2 * explorer.tail >= explorer.places)
		seen_grow();
	place = seen_place(hash);
	if (*place)
		return;
	*place = hash;
	if (explorer.tail == explorer.room) {
		explorer.room = explorer.room ? 2 * explorer.room : 4096;
		explorer.queue = reallocarray(explorer.queue, explorer.room, sizeof(*w));
		explorer.parent =
			reallocarray(explorer.parent, explorer.room, sizeof(*explorer.parent));
		cr_assert(explorer.queue && explorer.parent);
	}
	cr_assert_lt(explorer.tail, STATES_MAX, "more states than expected: does it end?");
	explorer.parent[explorer.tail] = explorer.head ? (uint32_t)explorer.head - 1 : 0;
	explorer.queue[explorer.tail++] = *w;
}

void trail_print(void)
{
	uint32_t path[1024], n = 0, at = explorer.head ? (uint32_t)explorer.head - 1 : 0;

	while (n < ARRAY_SIZE(path)) {
		path[n++] = at;
		if (!at)
			break;
		at = explorer.parent[at];
	}
	while (n--) {
		const struct world *w = &explorer.queue[path[n]];

		fprintf(stderr, "%-8s stream %u faults %u", move_phase_name(w->phase), w->stream,
			w->faults);
		for (uint32_t h = 0; h < layout->hosts; h++) {
			fprintf(stderr, " |%s s%u t%u %s", w->host[h].known ? "" : " gone",
				w->host[h].source, w->host[h].target,
				w->host[h].switched ? "sw" : "");
			for (int c = 0; c < MOVE_CALLS; c++) {
				const struct wire *wire = &w->wire[h][c];

				if (wire->request || wire->waiting || wire->reply || wire->ghost)
					fprintf(stderr, " %s%s%s%s%s", move_call_name(c),
						wire->request ? "?" : "",
						wire->waiting ? "..." : "", wire->reply ? "!" : "",
						wire->ghost ? "~" : "");
			}
		}
		fputc('\n', stderr);
	}
}

/* ---- invariants ------------------------------------------------------------------------------ */

static bool has_slot(const struct world *w, enum move_slot_state state)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		for (int call = 0; call < MOVE_CALLS; call++)
			if (w->slot[h][call].state == state)
				return true;
	return false;
}

static bool gave_up(const struct world *w)
{
	return has_slot(w, MOVE_SLOT_GIVEN_UP);
}

static void check_owner(const struct world *w)
{
	const struct host *source = host_with((struct world *)w, MOVE_SOURCE);

	/*
	 * blind decisions happen only when the target's host is gone: then nobody processes there
	 */
	if (w->doubt || host_with((struct world *)w, MOVE_TARGET)->dead)
		return;
	check(!w->committed || !source->known || source->source >= S_HANDOVER,
	      "the source processes what the target has");
	check(!w->committed || source->source != S_RESUMED,
	      "the source has resumed what the target has");
	check(!source->deleted || w->committed, "nobody has the state");
}

static void check_completed(const struct world *w)
{
	check(w->committed, "completed, but the target hasn't committed");
	if (gave_up(w))
		return;
	for (uint32_t h = 0; h < layout->hosts; h++)
		check(!w->host[h].known || w->host[h].orphan, "completed, but a host isn't done");
}

static void check_rolled_back(const struct world *w)
{
	check(w->doubt || !w->committed, "rolled back, but the target has committed");
	check(!host_with((struct world *)w, MOVE_SOURCE)->deleted, "rolled back, but deleted");
	if (gave_up(w))
		return;
	for (uint32_t h = 0; h < layout->hosts; h++)
		check(!w->host[h].switched || !w->host[h].known,
		      "rolled back, but a host steers to the target");
}

static void check_end(const struct world *w)
{
	walk_ended[w->outcome]++;
	check(w->outcome != MOVE_RUNNING, "ended, but running");
	if (w->outcome == MOVE_COMPLETED)
		check_completed(w);
	if (w->outcome == MOVE_ROLLED_BACK)
		check_rolled_back(w);
	if (w->outcome == MOVE_FAILED)
		check(gave_up(w) || w->doubt || has_slot(w, MOVE_SLOT_REFUSED),
		      "failed for no reason");
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void expand(const struct world *w)
{
	check_owner(w);
	if (w->phase == MOVE_ENDED)
		check_end(w);
	for (uint32_t h = 0; h < layout->hosts; h++)
		host_steps(w, h);
	world_steps(w);
}

/* A state in which the move hasn't ended must have something that can still happen by itself. */
static void check_alive(const struct world *w)
{
	bool alive = w->phase == MOVE_ENDED || retry_is_due(w) || w->stream == STREAM_SENT ||
		     w->stream == STREAM_ACKED;

	for (uint32_t h = 0; h < layout->hosts; h++)
		for (int call = 0; call < MOVE_CALLS; call++)
			alive |= w->wire[h][call].request || w->wire[h][call].reply ||
				 w->wire[h][call].waiting;
	check(alive, "stuck: nothing can happen any more");
}

static void explore(const struct layout *of)
{
	struct random random = { 1 };
	struct world w = { 0 };

	layout = of;
	memset(&explorer, 0, sizeof(explorer));
	for (size_t i = 0; i < WORDS; i++)
		explorer.keys[i] = random_u64(&random);
	memset(walk_ended, 0, sizeof(walk_ended));
	w.faults = of->faults;
	w.restarts = of->restarts;
	w.cancels = of->cancels;
	w.deaths = of->deaths;
	machine_feed(&w, &(struct move_event){ .kind = MOVE_EV_START }, 0);
	while (explorer.head < explorer.tail) {
		w = explorer.queue[explorer.head++];
		check_alive(&w);
		expand(&w);
	}
	free(explorer.seen);
	free(explorer.queue);
	free(explorer.parent);
}

void walk(const struct layout *of)
{
	explore(of);
	cr_log_info("%s: %zu states; completed %zu, rolled back %zu, failed %zu", of->name,
		    explorer.tail, walk_ended[MOVE_COMPLETED], walk_ended[MOVE_ROLLED_BACK],
		    walk_ended[MOVE_FAILED]);
	cr_assert_gt(walk_ended[MOVE_COMPLETED], 0);
}
