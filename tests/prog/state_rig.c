/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "tests/prog/state_rig.h"

#define NF_DIR_DEFAULT "build/tests/nf"
#define MOUNT_POINT    "/sys/fs/bpf" /* another one in the test's own mount namespace */
#define PIN_DIR	       MOUNT_POINT "/host"
#define MAPS_DIR       PIN_DIR "/maps"
#define CPUS_MAX       256

/* As bpf/pkt.h has it; that header is for BPF programs only. Its fields are found through BTF. */
static struct {
	int fd;
	uint32_t size, key, now, slot, group, instance, flags, lane;
} scratch;

static struct ff_steer steered;

static const char *nf_dir(void)
{
	const char *dir = getenv("FF_TEST_NF_DIR");

	return dir ? dir : NF_DIR_DEFAULT;
}

static uint32_t pkt_offset(const struct btf *btf, const char *field)
{
	int id = btf__find_by_name_kind(btf, "ff_pkt", BTF_KIND_STRUCT);
	const struct btf_type *type = btf__type_by_id(btf, (uint32_t)id);

	cr_assert(id > 0, "no struct ff_pkt");
	for (int i = 0; i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), field))
			return btf_members(type)[i].offset / 8;
	cr_assert(false, "no field %s in struct ff_pkt", field);
	return 0;
}

static void scratch_learn(const struct bpf_object *object)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map = bpf_object__find_map_by_name(object, "scratch");

	scratch.size = bpf_map__value_size(map);
	scratch.fd = bpf_obj_get(MAPS_DIR "/scratch");
	scratch.key = pkt_offset(btf, "key");
	scratch.now = pkt_offset(btf, "now_ns");
	scratch.slot = pkt_offset(btf, "slot");
	scratch.group = pkt_offset(btf, "group");
	scratch.instance = pkt_offset(btf, "instance");
	scratch.flags = pkt_offset(btf, "steer_flags");
	scratch.lane = pkt_offset(btf, "lane");
}

void state_rig_init(void)
{
	static const char *const shared[] = { "scratch", "reasons",   "progs",
					      "lanes",	 "log_rings", "locks" };
	char path[256];
	struct bpf_object *object;

	cr_assert_eq(unshare(CLONE_NEWNS), 0, "these tests need root: %s", strerror(errno));
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("bpf", MOUNT_POINT, "bpf", 0, NULL), 0, "bpffs: %s", strerror(errno));
	cr_assert_eq(mkdir(PIN_DIR, 0700) + mkdir(MAPS_DIR, 0700), 0);

	snprintf(path, sizeof(path), "%s/counter.bpf.o", nf_dir());
	object = bpf_object__open_file(path, NULL);
	cr_assert(object, "%s: %s; make tests", path, strerror(errno));
	cr_assert_eq(bpf_object__load(object), 0);
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, shared[i]);

		cr_assert(map, "no map %s", shared[i]);
		snprintf(path, sizeof(path), "%s/%s", MAPS_DIR, shared[i]);
		cr_assert_eq(bpf_map__pin(map, path), 0, "%s: %s", path, strerror(errno));
	}
	scratch_learn(object);
	bpf_object__close(object);
}

struct instance_spec state_rig_spec(const char *name, const char *nf, uint16_t id)
{
	return (struct instance_spec){
		.name = name,
		.nf = nf,
		.nf_dir = nf_dir(),
		.pin_dir = PIN_DIR,
		.maps_dir = MAPS_DIR,
		.id = id,
		.service = RIG_SERVICE_NO,
		.slots = RIG_SLOT_COUNT,
		.seed = { 0x1234, 0x5678 },
		.capacity = 200000,
	};
}

struct instance *state_rig_load(const char *name, const char *nf, uint16_t id)
{
	struct instance_spec spec = state_rig_spec(name, nf, id);
	struct instance *instance = NULL;
	struct ff_error err = { 0 };

	cr_assert_eq(instance_load(&spec, &instance, &err), 0, "%s (%s)", err.message, err.mend);
	return instance;
}

struct instance *state_rig_adopt(const char *name)
{
	struct instance_spec spec = state_rig_spec(name, "", 0);
	struct instance *instance = NULL;
	struct ff_error err = { 0 };

	cr_assert_eq(instance_adopt(&spec, &instance, &err), 0, "%s (%s)", err.message, err.mend);
	return instance;
}

struct ff_flow_key state_rig_key(uint32_t i)
{
	struct ff_flow_key key = { .proto = 17, .service = RIG_SERVICE_NO };
	uint32_t addr[2] = { htonl(0xc6120000 + (i >> 8)), htonl(0xc6130000) };

	for (int end = 0; end < 2; end++) {
		key.addr[end][10] = key.addr[end][11] = 0xff;
		memcpy(&key.addr[end][12], &addr[end], 4);
	}
	key.port[0] = htons((uint16_t)(1024 + (i & 255)));
	key.port[1] = htons(53);
	flow_canonicalize(&key);
	return key;
}

/* ---- values -------------------------------------------------------------------------------- */

static uint8_t *place(const struct instance *instance, const void *value, const char *name,
		      uint32_t index, uint32_t *ret_size)
{
	const struct schema *schema = instance->state.schema;

	for (uint32_t i = 0; i < schema->fields_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (strcmp(field->name, name) != 0)
			continue;
		cr_assert_lt(index, field->count);
		*ret_size = field->size;
		return (uint8_t *)value + field->offset + index * field->size;
	}
	cr_assert(false, "no field %s in:\n%s", name, schema->text);
	return NULL;
}

uint64_t state_rig_get(const struct instance *instance, const void *value, const char *field,
		       uint32_t index)
{
	uint64_t number = 0;
	uint32_t size = 0;
	const uint8_t *from = place(instance, value, field, index, &size);

	memcpy(&number, from, size); /* little-endian hosts */
	return number;
}

void state_rig_set(const struct instance *instance, void *value, const char *field, uint32_t index,
		   uint64_t number)
{
	uint32_t size = 0;
	uint8_t *to = place(instance, value, field, index, &size);

	memcpy(to, &number, size);
}

void state_rig_fill(struct instance *instance, uint32_t first, uint32_t count, uint64_t expires_ns)
{
	state_rig_fill_lived(instance, first, count, expires_ns, UINT64_MAX);
}

void state_rig_fill_lived(struct instance *instance, uint32_t first, uint32_t count,
			  uint64_t expires_ns, uint64_t lived_ns)
{
	struct state *state = &instance->state;
	size_t value_size = state->schema->value_size;
	_cleanup_free_ struct ff_flow_key *keys = calloc(count, sizeof(*keys));
	_cleanup_free_ struct stream_record *records = calloc(count, sizeof(*records));
	_cleanup_free_ uint8_t *values = calloc(count, value_size);
	struct state_counts counts = { 0 };
	struct state_origin origin;
	struct stream_header header;
	struct ff_error err = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		struct ff_head *head = (struct ff_head *)(values + i * value_size);

		keys[i] = state_rig_key(first + i);
		head->expires_ns = expires_ns;
		head->born = lived_ns == UINT64_MAX ? 0 : ff_born(expires_ns - lived_ns);
		state_rig_set(instance, head, "packets", 0, first + i + 1);
		state_rig_set(instance, head, "hits", 0, 2 * (first + i));
		records[i] = (struct stream_record){ STREAM_UPSERT, &keys[i], head };
	}
	state_header_fill(state, clock_ns(), &header);
	cr_assert_eq(state_origin_new(state, &header, header.clock_ns, &origin, &err), 0, "%s",
		     err.message);
	cr_assert_eq(state_restore(state, &origin, records, count, &counts, &err), 0, "%s",
		     err.message);
	state_origin_done(&origin);
}

uint64_t state_rig_entries(const struct instance *instance)
{
	uint64_t entries = 0;

	for (uint32_t group = 0; group < instance->state.groups; group++) {
		struct ff_flow_key key, next;
		int fd = bpf_map_get_fd_by_id(instance->state.group_ids[group]);
		bool more;

		cr_assert(fd >= 0);
		for (more = bpf_map_get_next_key(fd, NULL, &next) == 0; more;
		     more = bpf_map_get_next_key(fd, &key, &next) == 0) {
			key = next;
			entries++;
		}
		close(fd);
	}
	return entries;
}

/* ---- judging --------------------------------------------------------------------------------- */

uint32_t state_rig_number(const struct ff_flow_key *key)
{
	for (int end = 0; end < 2; end++) /* undo state_rig_key() */
		if (key->addr[end][13] == 0x12)
			return ((uint32_t)key->addr[end][14] << 16 | (uint32_t)key->addr[end][15]
									     << 8) +
			       (((uint32_t)ntohs(key->port[end]) - 1024) & 255);
	return UINT32_MAX;
}

int state_tally_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct state_tally *tally = ctx;
	uint32_t i = state_rig_number(key);
	const struct ff_head *head = value;

	tally->visits++;
	if (i >= STATE_RIG_MANY) {
		tally->wrong++;
		return 0;
	}
	if (!value) {
		tally->absent++;
		return 0;
	}
	tally->seen[i]++;
	if (state_rig_get(tally->instance, value, "packets", 0) != i + 1 ||
	    state_rig_get(tally->instance, value, "hits", 0) != 2 * (uint64_t)i ||
	    head->slot != state_slot(&tally->instance->state, key))
		tally->wrong++;
	return 0;
}

struct state_tally *state_tally_new(const struct instance *instance)
{
	struct state_tally *tally = calloc(1, sizeof(*tally));

	cr_assert(tally);
	tally->instance = instance;
	return tally;
}

uint32_t state_tally_once(const struct state_tally *tally)
{
	uint32_t once = 0;

	for (uint32_t i = 0; i < STATE_RIG_MANY; i++)
		once += tally->seen[i] == 1;
	return once;
}

void state_rig_agree(const struct instance *instance, uint64_t entries)
{
	cr_assert_eq(state_flows(&instance->state), entries, "counted %llu, %llu due",
		     (unsigned long long)state_flows(&instance->state),
		     (unsigned long long)entries);
	cr_assert_eq(state_rig_entries(instance), entries, "%llu in the maps, %llu due",
		     (unsigned long long)state_rig_entries(instance), (unsigned long long)entries);
}

/* ---- packets ------------------------------------------------------------------------------- */

void state_rig_steer(const struct ff_steer *steer)
{
	steered = *steer;
}

void state_rig_packet(const struct instance *instance, const struct ff_flow_key *key,
		      uint64_t now_ns)
{
	static _Thread_local uint8_t values[CPUS_MAX * 256];
	uint32_t size = (scratch.size + 7) / 8 * 8, zero = 0;
	uint16_t slot = (uint16_t)state_slot(&instance->state, key);
	uint16_t group = (uint16_t)(slot >> instance->state.group_shift);
	uint8_t frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));

	/* every CPU's copy is written, so only one thread may send packets */
	cr_assert((size_t)libbpf_num_possible_cpus() * size <= sizeof(values));
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++) {
		uint8_t *pkt = values + (size_t)cpu * size;

		memcpy(pkt + scratch.key, key, sizeof(*key));
		memcpy(pkt + scratch.now, &now_ns, sizeof(now_ns));
		memcpy(pkt + scratch.slot, &slot, sizeof(slot));
		memcpy(pkt + scratch.group, &group, sizeof(group));
		memcpy(pkt + scratch.instance, &instance->id, sizeof(instance->id));
		pkt[scratch.flags] = steered.flags;
		pkt[scratch.lane] = steered.lane;
	}
	cr_assert_eq(bpf_map_update_elem(scratch.fd, &zero, values, BPF_ANY), 0);
	cr_assert_eq(bpf_prog_test_run_opts(instance->prog_fd, &opts), 0);
}

struct ff_instance_stats state_rig_stats(const struct instance *instance)
{
	return meters_stats(&instance->meters);
}
