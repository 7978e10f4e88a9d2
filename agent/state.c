/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading per-flow state: whole maps, or where few flows are, these by their keys (state_hints.h).
 * Writing is in state_write.c, both over the staging area of
 * state_staging.h; making the groups' maps is in state_groups.c.
 */
#include <bpf/bpf.h>
#include <string.h>

#include "agent/state.h"
#include "agent/state_hints.h"
#include "agent/state_staging.h"
#include "lib/cleanup.h"
#include "lib/clock.h"

/* Entries of one batch lookup, to begin with: 150 KiB with 100 bytes of state a flow. */
#define BATCH_FIRST 1024
/* A bucket of more entries than this is no hash table any more; bounds the growing. */
#define BATCH_MAX (1u << 20)

uint32_t state_slot(const struct state *state, const struct ff_flow_key *key)
{
	return ff_slot_hash_keyed(key, &state->slot_keys) & state->slot_mask;
}

uint64_t state_flows(const struct state *state)
{
	return __atomic_load_n(&state->control->flows, __ATOMIC_RELAXED);
}

int state_group_open(const struct state *state, uint32_t group, int *ret_fd, struct ff_error *err)
{
	uint32_t id = __atomic_load_n(&state->group_ids[group], __ATOMIC_RELAXED);
	int fd = bpf_map_get_fd_by_id(id);

	if (fd < 0)
		return error_set(err, -fd, FF_CODE_INTERNAL,
				 "the agent needs CAP_SYS_ADMIN (or CAP_BPF) to open maps",
				 "can't open map %u, group %u of instance %s: %s", id, group,
				 state->instance, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

/* ---- walking ------------------------------------------------------------------------------- */

struct walk {
	struct state *state;
	const struct state_select *select;
	state_visit_fn visit;
	void *ctx;
	uint64_t now_ns;
	uint64_t scanned;
	uint32_t room; /* entries that keys and values hold */
	struct ff_flow_key *keys;
	uint8_t *values;
	uint8_t *records; /* as many as the dump area has */
	struct hints hints;
};

static int walk_grow(struct walk *walk, uint32_t room)
{
	struct ff_flow_key *keys = reallocarray(walk->keys, room, sizeof(*keys));
	uint8_t *values;

	if (!keys)
		return -ENOMEM;
	walk->keys = keys;
	values = reallocarray(walk->values, room, walk->state->schema->value_size);
	if (!values)
		return -ENOMEM;
	walk->values = values;
	walk->room = room;
	return 0;
}

/* In a copy of an entry, what has happened to its whole slot since it came. */
static void head_settle(const struct state *state, struct ff_head *head)
{
	const struct ff_slot_hint *hint = &state->hints[head->slot & state->slot_mask];
	uint16_t since = (uint16_t)(hint->handed - head->handed);

	if ((int16_t)since <= 0)
		return;
	head->moves += since;
	head->moved_by = hint->handed_by;
	head->handed = (uint16_t)hint->handed;
}

static bool walk_wants(const struct walk *walk, const struct ff_flow_key *key,
		       const struct ff_head *head)
{
	const struct state_select *select = walk->select;

	if (head->expires_ns <= walk->now_ns)
		return false;
	if (!select)
		return true;
	if (select->slots && !slotset_test(select->slots, head->slot))
		return false;
	return !select->wants || select->wants(select->ctx, key);
}

static int walk_batch(struct walk *walk, uint32_t count)
{
	uint32_t value_size = walk->state->schema->value_size;

	walk->scanned += count;
	for (uint32_t i = 0; i < count; i++) {
		void *value = walk->values + (size_t)i * value_size;
		int r;

		head_settle(walk->state, value);
		if (!walk_wants(walk, &walk->keys[i], value))
			continue;
		r = walk->visit(walk->ctx, &walk->keys[i], value);
		if (r)
			return r;
	}
	return 0;
}

/*
 * The kernel goes bucket by bucket and never splits one: ENOSPC says that the next doesn't fit. Its
 * place is kept then, so the same call with more room goes on.
 */
static int walk_group(struct walk *walk, int fd, struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t place = 0;
	bool begun = false;

	for (;;) {
		uint32_t count = walk->room;
		int r = bpf_map_lookup_batch(fd, begun ? &place : NULL, &place, walk->keys,
					     walk->values, &count, &opts);
		bool end = r == -ENOENT;

		if (r == -ENOSPC && walk->room < BATCH_MAX) {
			if (walk_grow(walk, walk->room * 2) < 0)
				return error_nomem(err);
			continue;
		}
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0 && !end)
			return error_set(err, -r, FF_CODE_INTERNAL, NULL,
					 "can't read the state of instance %s: %s",
					 walk->state->instance, strerror(-r));
		begun = true;
		r = walk_batch(walk, count);
		if (r || end)
			return r;
	}
}

bool state_group_selected(const struct state *state, const struct slotset *slots, uint32_t group)
{
	uint32_t first = group << state->group_shift;
	uint32_t next = slotset_next(slots, first);

	return next < FF_SLOTS_MAX && next >> state->group_shift == group;
}

static int walk_records(struct walk *walk, uint8_t *at, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; i < count && !r; i++, at += walk->state->record_size) {
		struct ff_record *record = (struct ff_record *)at;
		struct ff_head *head = (struct ff_head *)(record + 1);

		if (!record->found)
			continue;
		head_settle(walk->state, head);
		if (walk_wants(walk, &record->key, head))
			r = walk->visit(walk->ctx, &record->key, record + 1);
	}
	return r;
}

/*
 * Copies the entries of the group by a program, in half the time of batch lookups, which copy each
 * twice. *ret_count: how many; more than FF_DUMP_RECORDS if they don't all fit in, or if entries were
 * freed meanwhile: the kernel gives their memory to others at once, and a walk without the buckets'
 * locks, as a program's is, may follow one into another bucket. Packets free none.
 */
static int dump_run(struct walk *walk, uint32_t group, uint32_t *ret_count, struct ff_error *err)
{
	struct state *state = walk->state;
	struct ff_state_dump dump = { .group = group };
	unsigned int frees = atomic_load(&state->frees);
	int r;

	if (!walk->records)
		walk->records = malloc(FF_DUMP_RECORDS * state->record_size);
	if (!walk->records)
		return error_nomem(err);
	pthread_mutex_lock(&state->dump_lock);
	r = state_program_run(state, state->dump_fd, "dump", &dump, sizeof(dump), err);
	if (r == 0 && !dump.full)
		memcpy(walk->records, state->dumped, dump.count * state->record_size);
	pthread_mutex_unlock(&state->dump_lock);
	*ret_count = dump.count + dump.full;
	if (frees % 2 || atomic_load(&state->frees) != frees)
		*ret_count = FF_DUMP_RECORDS + 1;
	return r;
}

static int walk_search(struct walk *walk, uint32_t group, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	uint32_t count = 0;
	int r = dump_run(walk, group, &count, err);

	if (r < 0)
		return r;
	if (count <= FF_DUMP_RECORDS) {
		walk->scanned += count;
		return walk_records(walk, walk->records, count);
	}
	if (!walk->room && walk_grow(walk, BATCH_FIRST) < 0)
		return error_nomem(err);
	r = state_group_open(walk->state, group, &fd, err);
	return r < 0 ? r : walk_group(walk, fd, err);
}

/* The slots of one group, of which the records have been looked up: whole, or not at all. */
static int walk_hinted(struct walk *walk, uint8_t *records, const struct hinted_slot *slots,
		       uint32_t count, struct ff_error *err)
{
	const struct state *state = walk->state;
	uint8_t *at = records + slots[0].first * state->record_size;
	uint32_t keys = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t found = 0;

		for (uint32_t n = 0; n < slots[i].count; n++, keys++)
			found += ((struct ff_record *)(at + keys * state->record_size))->found;
		if (!hints_slot_whole(state, &slots[i], found))
			return walk_search(walk, slots[0].slot >> state->group_shift, err);
	}
	walk->scanned += keys;
	return walk_records(walk, at, keys);
}

static int get_run(struct state *state, const struct ff_flow_key *keys, uint32_t count, void *copy,
		   struct ff_error *err);

/* Looks up what the hints name, and empties them. */
static int walk_hints(struct walk *walk, struct ff_error *err)
{
	struct hints *hints = &walk->hints;
	_cleanup_free_ uint8_t *records = malloc(hints->count * walk->state->record_size + 1);
	uint32_t shift = walk->state->group_shift, first = 0, end;
	int r = records ? 0 : error_nomem(err);

	if (!r && hints->count)
		r = get_run(walk->state, hints->keys, hints->count, records, err);
	for (; first < hints->slots_count && !r; first = end) {
		uint32_t group = hints->slots[first].slot >> shift;

		for (end = first + 1; end < hints->slots_count; end++)
			if (hints->slots[end].slot >> shift != group)
				break;
		r = walk_hinted(walk, records, &hints->slots[first], end - first, err);
	}
	hints->count = hints->slots_count = 0;
	return r;
}

static int walk_run(struct walk *walk, struct ff_error *err)
{
	const struct slotset *slots = walk->select ? walk->select->slots : NULL;
	struct state *state = walk->state;
	int r = 0;

	for (uint32_t group = 0; group < state->groups && !r; group++) {
		enum hints_answer answer;

		if (slots && !state_group_selected(state, slots, group))
			continue;
		answer = hints_add_group(&walk->hints, state, slots, group);
		if (answer == HINTS_FULL) {
			r = walk_hints(walk, err);
			group--; /* once more, with room */
		} else if (answer == HINTS_SEARCH) {
			r = walk_search(walk, group, err);
		}
	}
	return r ? r : walk_hints(walk, err);
}

int state_dump(struct state *state, const struct state_select *select, state_visit_fn visit,
	       void *ctx, uint64_t *ret_scanned, struct ff_error *err)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int r;

	if (!walk)
		return error_nomem(err);
	walk->state = state;
	walk->select = select;
	walk->visit = visit;
	walk->ctx = ctx;
	walk->now_ns = clock_ns();
	r = walk_run(walk, err);
	if (ret_scanned)
		*ret_scanned = walk->scanned;
	free(walk->keys);
	free(walk->values);
	free(walk->records);
	free(walk);
	return r;
}

/* ---- exact keys ---------------------------------------------------------------------------- */

int state_lookup(const struct state *state, const struct ff_flow_key *key, void *ret_value)
{
	uint32_t group = state_slot(state, key) >> state->group_shift;
	_cleanup_free_ uint8_t *value = malloc(state->schema->value_size);
	_cleanup_close_ int fd = -1;
	struct ff_head head;
	int r;

	if (!value)
		return -ENOMEM;
	if (key->service != state->service)
		return -ENOENT;
	r = state_group_open(state, group, &fd, NULL);
	if (r < 0)
		return r;
	r = bpf_map_lookup_elem(fd, key, value);
	if (r < 0)
		return r;
	head_settle(state, (struct ff_head *)value);
	memcpy(&head, value, sizeof(head));
	if (head.expires_ns <= clock_ns())
		return -ENOENT;
	memcpy(ret_value, value, state->schema->value_size);
	return 0;
}

/* One run of the program over at most FF_STAGING_RECORDS keys; *copy gets the records. */
static int get_run(struct state *state, const struct ff_flow_key *keys, uint32_t count, void *copy,
		   struct ff_error *err)
{
	struct ff_state_io io = { .count = count };
	int r;

	pthread_mutex_lock(&state->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct ff_record *record = state_record(state, i);

		record->key = keys[i];
		record->group = state_slot(state, &keys[i]) >> state->group_shift;
		record->found = 0;
	}
	r = state_program_run(state, state->get_fd, "get", &io, sizeof(io), err);
	if (r == 0)
		memcpy(copy, state->staging, count * state->record_size);
	pthread_mutex_unlock(&state->lock);
	return r;
}

static int get_visit(const struct state *state, uint8_t *copy, uint32_t count, state_visit_fn visit,
		     void *ctx)
{
	uint64_t now_ns = clock_ns();

	for (uint32_t i = 0; i < count; i++) {
		void *at = copy + i * state->record_size;
		struct ff_record *record = at;
		struct ff_head *head = (struct ff_head *)(record + 1);
		bool live = record->found && head->expires_ns > now_ns;
		int r;

		if (live)
			head_settle(state, head);
		r = visit(ctx, &record->key, live ? head : NULL);

		if (r)
			return r;
	}
	return 0;
}

/*
 * The visitor works on a copy, without the lock: it may wait for another host's agent, which may be
 * waiting to write into this very instance.
 */
int state_get(struct state *state, const struct ff_flow_key *keys, size_t count,
	      state_visit_fn visit, void *ctx, struct ff_error *err)
{
	_cleanup_free_ uint8_t *copy =
		malloc(MIN(count, (size_t)FF_STAGING_RECORDS) * state->record_size + 1);
	int r = 0;

	if (!copy)
		return error_nomem(err);
	for (size_t at = 0; at < count && !r; at += FF_STAGING_RECORDS) {
		uint32_t part = (uint32_t)MIN(count - at, (size_t)FF_STAGING_RECORDS);

		r = get_run(state, keys + at, part, copy, err);
		if (r == 0)
			r = get_visit(state, copy, part, visit, ctx);
	}
	return r;
}
