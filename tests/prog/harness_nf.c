/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * harness_nf.c - loads an NF object much as the agent does, on purpose without the agent's code:
 * the two readings of the SDK's rules check each other.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/flow.h"
#include "tests/prog/btf_field.h"
#include "tests/prog/harness.h"
#include "tests/prog/harness_internal.h"

#define NF_DIRECTORY_VARIABLE "FF_NF_DIR" /* where the objects are, if not in build/nf */
#define VALUE_MAX	      16384

struct nf {
	struct bpf_object *object;
	struct bpf_map *flows; /* the outer map */
	int groups[RIG_GROUPS];
	uint32_t entry_type, entry_size;
};

/* ---- loading ------------------------------------------------------------------------------- */

/* What libbpf forgets when the object is loaded. */
struct inner {
	enum bpf_map_type type;
	uint32_t flags, key_size, value_size, max_entries, key_type, value_type;
};

static void inner_note(struct bpf_map *map, struct inner *ret)
{
	struct bpf_map *inner = bpf_map__inner_map(map);

	cr_assert(inner, "%s: no inner map", bpf_map__name(map));
	*ret = (struct inner){ bpf_map__type(inner),
			       bpf_map__map_flags(inner),
			       bpf_map__key_size(inner),
			       bpf_map__value_size(inner),
			       bpf_map__max_entries(inner),
			       bpf_map__btf_key_type_id(inner),
			       bpf_map__btf_value_type_id(inner) };
}

static void groups_create(struct nf *nf, const struct inner *inner)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = inner->flags,
		    .btf_fd = (uint32_t)bpf_object__btf_fd(nf->object),
		    .btf_key_type_id = inner->key_type, .btf_value_type_id = inner->value_type);

	for (uint32_t group = 0; group < RIG_GROUPS; group++) {
		nf->groups[group] = bpf_map_create(inner->type, "group", inner->key_size,
						   inner->value_size, 65536, &opts);
		cr_assert(nf->groups[group] >= 0, "group: %s", strerror(errno));
		cr_assert_eq(bpf_map_update_elem(bpf_map__fd(nf->flows), &group, &nf->groups[group],
						 BPF_ANY),
			     0, "group: %s", strerror(errno));
	}
}

/* Room for what the monitor counts, on each CPU. */
static void meters_size(struct nf *nf)
{
	uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();

	cr_assert_eq(bpf_map__set_max_entries(nf_map_find(nf, "meter"), cpus), 0);
	cr_assert_eq(bpf_map__set_max_entries(nf_map_find(nf, "slot_loads"), cpus * RIG_SLOTS), 0);
}

static void meters_init(struct nf *nf)
{
	for (uint32_t cpu = 0; cpu < (uint32_t)libbpf_num_possible_cpus(); cpu++) {
		struct ff_meter meter = { .row = cpu * RIG_SLOTS };

		cr_assert_eq(bpf_map_update_elem(bpf_map__fd(nf_map_find(nf, "meter")), &cpu,
						 &meter, BPF_ANY),
			     0, "meter: %s", strerror(errno));
	}
}

struct nf *nf_load(const char *name, struct bpf_object *datapath)
{
	const char *directory = getenv(NF_DIRECTORY_VARIABLE) ?: "build/nf";
	struct nf *nf = calloc(1, sizeof(*nf));
	struct inner inner;
	struct bpf_map *map;
	char path[256];

	cr_assert(nf);
	snprintf(path, sizeof(path), "%s/%s.bpf.o", directory, name);
	nf->object = bpf_object__open_file(path, NULL);
	cr_assert(nf->object, "%s: %s", path, strerror(errno));
	bpf_object__for_each_map(map, nf->object) {
		struct bpf_map *shared = bpf_object__find_map_by_name(datapath, bpf_map__name(map));

		if (shared && !bpf_map__is_internal(map))
			cr_assert_eq(bpf_map__reuse_fd(map, bpf_map__fd(shared)), 0);
		else if (bpf_map__type(map) == BPF_MAP_TYPE_ARRAY_OF_MAPS)
			nf->flows = map;
	}
	cr_assert(nf->flows, "%s declares no per-flow state", path);
	inner_note(nf->flows, &inner);
	meters_size(nf);
	nf->entry_type = inner.value_type;
	nf->entry_size = inner.value_size;
	cr_assert_eq(bpf_object__load(nf->object), 0, "%s: %s", path, strerror(errno));
	groups_create(nf, &inner);
	meters_init(nf);
	return nf;
}

int nf_program(const struct nf *nf)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(nf->object, "nf");

	cr_assert(prog, "no program nf");
	return bpf_program__fd(prog);
}

struct bpf_map *nf_map_find(const struct nf *nf, const char *name)
{
	return bpf_object__find_map_by_name(nf->object, name);
}

/* ---- fields -------------------------------------------------------------------------------- */

static const struct btf *nf_btf(void)
{
	return bpf_object__btf(rig_nf()->object);
}

static struct btf_field field_of(uint32_t type, const char *path, unsigned int index)
{
	struct btf_field field;

	cr_assert_eq(btf_field_find(nf_btf(), type, path, &field), 0, "no field %s", path);
	cr_assert_lt(index, field.count, "%s has %u elements", path, field.count);
	field.offset += index * field.size;
	return field;
}

static uint64_t number_read(const uint8_t *value, const struct btf_field *field)
{
	uint64_t number = 0;

	cr_assert_leq(field->size, sizeof(number));
	memcpy(&number, value + field->offset, field->size); /* little-endian hosts */
	return number;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Reads the flow's entry; its group's map is returned, or -1 if it isn't there. */
static int entry_read(const char *flow, struct ff_flow_key *ret_key, uint8_t *ret_entry)
{
	int group;

	*ret_key = rig_key(flow);
	group = rig_nf()->groups[rig_slot(ret_key) >> RIG_GROUP_SHIFT];
	return bpf_map_lookup_elem(group, ret_key, ret_entry) ? -1 : group;
}

bool rig_flow_known(const char *flow)
{
	uint8_t entry[VALUE_MAX];
	struct ff_flow_key key;

	return entry_read(flow, &key, entry) >= 0 &&
	       ((struct ff_head *)entry)->expires_ns > now_ns();
}

uint64_t rig_flow(const char *flow, const char *field, unsigned int index)
{
	uint8_t entry[VALUE_MAX];
	struct ff_flow_key key;
	struct btf_field at;
	char path[128];

	cr_assert(entry_read(flow, &key, entry) >= 0, "no state of %s", flow);
	snprintf(path, sizeof(path), "state.%s", field);
	at = field_of(rig_nf()->entry_type, path, index);
	return number_read(entry, &at);
}

static void flow_expires_set(const char *flow, uint64_t expires_ns)
{
	uint8_t entry[VALUE_MAX];
	struct ff_flow_key key;
	int group = entry_read(flow, &key, entry);

	cr_assert(group >= 0, "no state of %s", flow);
	((struct ff_head *)entry)->expires_ns = expires_ns;
	cr_assert_eq(bpf_map_update_elem(group, &key, entry, BPF_EXIST), 0);
}

void rig_flow_expire(const char *flow)
{
	flow_expires_set(flow, now_ns() - 20000000); /* packets know the time to the tick */
}

void rig_flow_die(const char *flow)
{
	flow_expires_set(flow, FF_DEAD);
}

int64_t rig_flow_lifetime_s(const char *flow)
{
	uint8_t entry[VALUE_MAX];
	struct ff_flow_key key;

	cr_assert(entry_read(flow, &key, entry) >= 0, "no state of %s", flow);
	return ((int64_t)(((struct ff_head *)entry)->expires_ns - now_ns()) + 500000000) /
	       1000000000;
}

static void config_write(const char *field, unsigned int index, const void *data, size_t len)
{
	struct bpf_map *map = nf_map_find(rig_nf(), "config");
	struct btf_field at = field_of(bpf_map__btf_value_type_id(map), field, index);
	uint8_t value[VALUE_MAX];
	uint32_t zero = 0;

	cr_assert_eq(len, at.size, "%s has %u bytes", field, at.size);
	rig_map_get("config", &zero, value);
	memcpy(value + at.offset, data, len);
	rig_map_set("config", &zero, value);
}

void rig_config_set(const char *field, unsigned int index, uint64_t value)
{
	struct bpf_map *map = nf_map_find(rig_nf(), "config");
	struct btf_field at = field_of(bpf_map__btf_value_type_id(map), field, index);

	config_write(field, index, &value, at.size);
}

void rig_config_put(const char *field, unsigned int index, const void *data, size_t len)
{
	config_write(field, index, data, len);
}

uint64_t rig_value_field(const char *name, const void *key, const char *field, unsigned int index)
{
	struct bpf_map *map = nf_map_find(rig_nf(), name);
	uint8_t value[VALUE_MAX];
	struct btf_field at;

	cr_assert(map, "no map %s", name);
	at = field_of(bpf_map__btf_value_type_id(map), field, index);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(map), key, value), 0, "no entry in %s", name);
	return number_read(value, &at);
}

int rig_enum(const char *name)
{
	const struct btf *btf = nf_btf();

	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		for (uint16_t i = 0; btf_is_enum(t) && i < btf_vlen(t); i++)
			if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
				return btf_enum(t)[i].val;
	}
	cr_assert_fail("no enumerator %s", name);
	return -1;
}

static struct ff_nf_control control_read(void)
{
	struct ff_nf_control control;
	uint32_t zero = 0;

	rig_map_get("control", &zero, &control);
	return control;
}

void rig_capacity_set(uint64_t capacity)
{
	struct ff_nf_control control = control_read();
	uint32_t zero = 0;

	control.capacity = capacity;
	rig_map_set("control", &zero, &control);
}

uint64_t rig_lives_ended(void)
{
	struct ff_nf_control control = control_read();
	uint64_t sum = 0;

	for (size_t bin = 0; bin < FF_LIVES; bin++)
		sum += control.ended[bin];
	return sum;
}

uint64_t rig_flows(void)
{
	return control_read().flows;
}
