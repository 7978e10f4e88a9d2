/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/handover_state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "agent/instance_pins.h"
#include "agent/state_staging.h"
#include "bpf/handover.skel.h"

struct handing {
	struct instance *from, *to;
	struct slotset slots;
	uint32_t groups[FF_GROUPS_MAX]; /* those with such slots */
	uint32_t count;
	int spare[FF_GROUPS_MAX]; /* [i]: of groups[i], an empty map that `to` had; -1: none */
	struct handover_bpf *skel;
};

static uint32_t group_id(const struct state *state, uint32_t group)
{
	return __atomic_load_n(&state->group_ids[group], __ATOMIC_RELAXED);
}

/* ---- may it be ----------------------------------------------------------------------------- */

static uint64_t flows_in(const struct state *state, const struct slotset *slots)
{
	unsigned int slot;
	uint64_t flows = 0;

	slotset_foreach(slot, slots)
		flows += meters_slot_flows(state->meters, slot);
	return flows;
}

static int group_info(const struct state *state, uint32_t group, struct bpf_map_info *ret)
{
	_cleanup_close_ int fd = -1;
	int r = state_group_open(state, group, &fd, NULL);

	return r < 0 ? r : map_info(fd, ret);
}

static bool maps_alike(const struct state *from, const struct state *to, uint32_t group)
{
	struct bpf_map_info x, y;

	return !group_info(from, group, &x) && !group_info(to, group, &y) && x.id != y.id &&
	       x.max_entries == y.max_entries && x.map_flags == y.map_flags;
}

void handing_slots(const struct instance *instance, const struct slotset *slots,
		   struct slotset *ret)
{
	uint32_t shift = instance->state.group_shift;
	unsigned int slot;

	slotset_clear(ret);
	slotset_foreach(slot, slots)
		slotset_set_range(ret, slot >> shift << shift,
				  (((slot >> shift) + 1) << shift) - 1);
}

bool handing_fits(const struct instance *from, const struct instance *to,
		  const struct slotset *slots)
{
	const struct state *x = &from->state, *y = &to->state;
	struct slotset all, others;
	uint64_t flows;

	if (from == to || slotset_is_empty(slots) || x->schema->hash != y->schema->hash ||
	    x->schema->value_size != y->schema->value_size || x->groups != y->groups ||
	    x->group_shift != y->group_shift)
		return false;
	handing_slots(from, slots, &all);
	others = all;
	slotset_subtract(&others, slots);
	flows = flows_in(x, slots);
	if (flows_in(x, &others) || flows_in(y, &all) ||
	    state_flows(y) + flows > __atomic_load_n(&y->control->capacity, __ATOMIC_RELAXED))
		return false;
	/* all maps of an instance are alike */
	return maps_alike(x, y, slotset_next(slots, 0) >> x->group_shift);
}

#define MAPS_MAX 64 /* that a program uses; the verifier's own limit */

struct program {
	struct bpf_prog_info info;
	uint32_t maps[MAPS_MAX];
};

static bool program_read(const struct instance *instance, struct program *ret)
{
	uint32_t len = sizeof(ret->info);

	*ret = (struct program){ .info = { .nr_map_ids = MAPS_MAX,
					   .map_ids = (uintptr_t)ret->maps } };
	return !bpf_obj_get_info_by_fd(instance->prog_fd, &ret->info, &len);
}

static bool program_uses(const struct program *program, uint32_t map)
{
	for (uint32_t i = 0; i < MIN(program->info.nr_map_ids, (uint32_t)MAPS_MAX); i++)
		if (program->maps[i] == map)
			return true;
	return false;
}

bool handing_seamless(const struct instance *from, const struct instance *to, const char *maps_dir)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info locks;
	struct program x, y;

	return !pin_open(maps_dir, PIN_LOCKS, &fd, NULL) && !map_info(fd, &locks) &&
	       program_read(from, &x) && program_read(to, &y) &&
	       !memcmp(x.info.tag, y.info.tag, sizeof(x.info.tag)) && program_uses(&x, locks.id) &&
	       program_uses(&y, locks.id);
}

/* ---- programs ------------------------------------------------------------------------------ */

/* The instance's own pinned map in the place of the one declared. */
static int map_take(struct bpf_map *map, const struct instance *instance, const char *name,
		    struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	int r = pin_open(instance->pin_dir, name, &fd, err);

	if (!r)
		r = bpf_map__reuse_fd(map, fd);
	return r < 0 ? error_set(err, -r, FF_CODE_INTERNAL, NULL,
				 "can't take map %s of instance %s: %s", name, instance->name,
				 strerror(-r)) :
		       0;
}

static int maps_take(struct handing *handing, struct ff_error *err)
{
	struct handover_bpf *skel = handing->skel;
	const struct {
		struct bpf_map *map;
		const struct instance *instance;
		const char *name;
	} maps[] = {
		{ skel->maps.from_control, handing->from, PIN_CONTROL },
		{ skel->maps.from_loads, handing->from, PIN_SLOT_LOADS },
		{ skel->maps.from_hints, handing->from, PIN_SLOT_HINTS },
		{ skel->maps.to_control, handing->to, PIN_CONTROL },
		{ skel->maps.to_loads, handing->to, PIN_SLOT_LOADS },
		{ skel->maps.to_hints, handing->to, PIN_SLOT_HINTS },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r; i++)
		r = map_take(maps[i].map, maps[i].instance, maps[i].name, err);
	return r;
}

static int programs_load(struct handing *handing, struct ff_error *err)
{
	int r;

	handing->skel = handover_bpf__open();
	if (!handing->skel)
		return error_nomem(err);
	r = maps_take(handing, err);
	if (r)
		return r;
	r = handover_bpf__load(handing->skel);
	for (uint32_t i = 0; i < FF_SLOTS_MAX / 64 && !r; i++)
		r = bpf_map_update_elem(bpf_map__fd(handing->skel->maps.moved_slots), &i,
					&handing->slots.bits[i], BPF_ANY);
	return r < 0 ? error_set(err, -r, FF_CODE_INTERNAL, NULL,
				 "can't load the programs of a handover: %s", strerror(-r)) :
		       0;
}

int handing_new(struct instance *from, struct instance *to, const struct slotset *slots,
		struct handing **ret, struct ff_error *err)
{
	_cleanup_handing_ struct handing *handing = calloc(1, sizeof(*handing));
	int r;

	if (!handing)
		return error_nomem(err);
	handing->from = from;
	handing->to = to;
	handing->slots = *slots;
	for (uint32_t group = 0; group < from->state.groups; group++)
		if (state_group_selected(&from->state, slots, group)) {
			handing->spare[handing->count] = -1;
			handing->groups[handing->count++] = group;
		}
	r = programs_load(handing, err);
	if (r)
		return r;
	*ret = TAKE_PTR(handing);
	return 0;
}

void handing_free(struct handing *handing)
{
	if (!handing)
		return;
	for (uint32_t i = 0; i < handing->count; i++)
		if (handing->spare[i] >= 0)
			close(handing->spare[i]);
	handover_bpf__destroy(handing->skel);
	free(handing);
}

static int program_run(const struct handing *handing, const struct bpf_program *program,
		       void *context, uint32_t size, struct ff_error *err)
{
	return state_program_run(&handing->to->state, bpf_program__fd(program),
				 bpf_program__name(program), context, size, err);
}

/* ---- maps ---------------------------------------------------------------------------------- */

static void shared_set(struct state *state, uint32_t group, bool shared)
{
	uint64_t bit = 1ull << (group % 64);

	if (shared)
		atomic_fetch_or(&state->shared[group / 64], bit);
	else
		atomic_fetch_and(&state->shared[group / 64], ~bit);
}

/* A sweep that is under way sees it from its next groups on. */
static void groups_mark(const struct handing *handing, bool shared)
{
	struct state *const both[] = { &handing->from->state, &handing->to->state };

	for (size_t n = 0; n < ARRAY_SIZE(both); n++) {
		pthread_mutex_lock(&both[n]->lock);
		for (uint32_t i = 0; i < handing->count; i++)
			shared_set(both[n], handing->groups[i], shared);
		pthread_mutex_unlock(&both[n]->lock);
	}
}

void handing_adopt(struct instance *from, struct instance *to)
{
	for (uint32_t group = 0; group < from->state.groups; group++)
		if (group_id(&from->state, group) == group_id(&to->state, group)) {
			shared_set(&from->state, group, true);
			shared_set(&to->state, group, true);
		}
}

/* Closes all and takes them from the list. */
static void fds_close(int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Puts maps into the instance's places for these groups. What is where is known on failure, too. */
static int maps_place(struct instance *instance, const uint32_t *groups, const int *fds,
		      uint32_t count, struct ff_error *err)
{
	struct state *state = &instance->state;
	_cleanup_close_ int outer = -1;
	int placed, r = pin_open(instance->pin_dir, state->schema->name, &outer, err);

	if (r)
		return r;
	placed = state_groups_place(outer, groups, fds, count);
	r = state_groups_read(state, outer, err);
	return placed ? error_set(err, -placed, FF_CODE_INTERNAL, NULL,
				  "can't put maps into the places of instance %s: %s",
				  instance->name, strerror(-placed)) :
			r;
}

/* An empty map, as that one is. */
static int map_create_like(int fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	_cleanup_close_ int btf = -1;
	struct bpf_map_info info;
	int r = map_info(fd, &info);

	if (r < 0)
		return r;
	btf = bpf_btf_get_fd_by_id(info.btf_id);
	if (btf < 0)
		return btf;
	opts.map_flags = info.map_flags;
	opts.btf_fd = (uint32_t)btf;
	opts.btf_key_type_id = info.btf_key_type_id;
	opts.btf_value_type_id = info.btf_value_type_id;
	return bpf_map_create(info.type, info.name, info.key_size, info.value_size,
			      info.max_entries, &opts);
}

/*
 * No entry is touched: that all have moved is told by their slot, which is compared with what they
 * were born with. `to` has none in these slots yet.
 */
static void slots_mark(struct handing *handing, uint64_t token)
{
	const struct ff_slot_hint *from = handing->from->state.hints;
	struct ff_slot_hint *to = handing->to->state.hints;
	unsigned int slot;

	slotset_foreach(slot, &handing->slots) {
		to[slot].handed_by = token;
		to[slot].handed = from[slot].handed + 1;
	}
}

int handing_share(struct handing *handing, uint64_t token, struct ff_error *err)
{
	int fds[FF_GROUPS_MAX], r = 0;
	uint32_t count = 0;

	groups_mark(handing, true);
	slots_mark(handing, token);
	for (; count < handing->count && !r; count++) {
		uint32_t group = handing->groups[count];

		fds[count] = -1;
		if (handing->spare[count] < 0 &&
		    group_id(&handing->from->state, group) != group_id(&handing->to->state, group))
			r = state_group_open(&handing->to->state, group, &handing->spare[count],
					     err);
		if (!r)
			r = state_group_open(&handing->from->state, group, &fds[count], err);
	}
	if (!r)
		r = maps_place(handing->to, handing->groups, fds, count, err);
	fds_close(fds, count);
	return r;
}

/* The map of groups[i] that `from` is to have: the one that `to` had, if it is known still. */
static int map_spare(struct handing *handing, uint32_t i, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (handing->spare[i] >= 0)
		return 0;
	r = state_group_open(&handing->to->state, handing->groups[i], &fd, err);
	if (r)
		return r;
	handing->spare[i] = map_create_like(fd);
	return handing->spare[i] < 0 ?
		       error_set(err, -handing->spare[i], FF_CODE_INTERNAL, NULL,
				 "can't create a map for instance %s: %s", handing->from->name,
				 strerror(-handing->spare[i])) :
		       0;
}

int handing_part(struct handing *handing, struct ff_error *err)
{
	uint32_t groups[FF_GROUPS_MAX], count = 0;
	int fds[FF_GROUPS_MAX], r = 0;

	for (uint32_t i = 0; i < handing->count && !r; i++) {
		uint32_t group = handing->groups[i];

		if (group_id(&handing->from->state, group) != group_id(&handing->to->state, group))
			continue;
		r = map_spare(handing, i, err);
		groups[count] = group;
		fds[count++] = handing->spare[i];
	}
	if (!r && count)
		r = maps_place(handing->from, groups, fds, count, err);
	if (!r)
		groups_mark(handing, false);
	return r;
}

/* ---- counts -------------------------------------------------------------------------------- */

int handing_take(struct handing *handing, uint64_t *ret_flows, struct ff_error *err)
{
	struct ff_state_take take = { .slots = handing->from->state.slot_mask + 1,
				      .cpus = meters_cpus(&handing->from->meters) };
	int r = program_run(handing, handing->skel->progs.take, &take, sizeof(take), err);

	if (!r)
		*ret_flows = (uint64_t)MAX(take.taken, (int64_t)0);
	return r;
}
