/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An instance from its pins: adopted, configured, removed. Making the pins is in instance_load.c,
 * which ends by adopting what it made, so that there is one way to come by a struct instance.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/abi.h"
#include "agent/btf_json.h"
#include "agent/instance.h"
#include "agent/instance_pins.h"
#include "agent/state_staging.h"
#include "bpf/state.skel.h"
#include "lib/cleanup.h"

#define MEND_HALF "remove the instance and add it again"
#define MEND_OTHER                                                                                      \
	"start the agent of before again and empty the instance with `flowferry drain`, then upgrade; " \
	"or give its flows' state up: rm -r its directory"
#define MAPS_MAX 64 /* that a program uses; the verifier's own limit */

static int half(const struct instance *instance, struct ff_error *err, const char *what)
{
	return error_set(err, EINVAL, FF_CODE_REFUSED, MEND_HALF, "instance %s in %s: %s",
			 instance->name, instance->pin_dir, what);
}

/* Nobody knows what is where in it. */
static int other_version(const struct instance *instance, struct ff_error *err)
{
	return error_set(err, EPROTO, FF_CODE_REFUSED, MEND_OTHER,
			 "%s was pinned by another version of the agent: it goes on as it is, but "
			 "can't be moved, copied or configured",
			 instance->pin_dir);
}

/* A pin that must be there. */
static int pin_need(const struct instance *instance, const char *name, int *ret_fd,
		    struct ff_error *err)
{
	int r = pin_open(instance->pin_dir, name, ret_fd, err);

	if (r == -ENOENT)
		return error_set(err, EINVAL, FF_CODE_REFUSED, MEND_HALF,
				 "instance %s is pinned in part only: %s/%s is missing",
				 instance->name, instance->pin_dir, name);
	return r;
}

/* ---- adoption ------------------------------------------------------------------------------ */

/* The map `about` came with the programs for its state, and has the types of all that these use. */
static int types_check(const struct instance *instance, int about_fd, struct ff_error *err)
{
	struct state_bpf *ours = state_bpf__open();
	struct btf *theirs = NULL;
	int r = ours ? abi_map_btf(about_fd, &theirs) : -errno;

	if (r < 0)
		error_set(err, r, FF_CODE_INTERNAL, NULL, "can't read the types of %s: %s",
			  instance->pin_dir, strerror(-r));
	else if (!theirs || abi_difference(bpf_object__btf(ours->obj), theirs))
		r = other_version(instance, err);
	btf__free(theirs);
	state_bpf__destroy(ours);
	return r;
}

static int about_read(struct instance *instance, struct ff_about *ret_about, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	uint32_t zero = 0;
	int r = pin_open(instance->pin_dir, PIN_ABOUT, &fd, err);

	if (r == -ENOENT)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "add the instance",
				 "instance %s isn't pinned in %s", instance->name,
				 instance->pin_dir);
	if (r < 0)
		return r;
	if (map_info(fd, &info) < 0 || info.value_size != sizeof(*ret_about) ||
	    bpf_map_lookup_elem(fd, &zero, ret_about) < 0 || ret_about->version != FF_ABI_VERSION)
		return other_version(instance, err);
	r = types_check(instance, fd, err);
	if (r < 0)
		return r;
	ret_about->nf[FF_NAME_MAX - 1] = 0;
	ret_about->state[FF_NAME_MAX - 1] = 0;
	if (!ret_about->groups || ret_about->groups > FF_GROUPS_MAX)
		return half(instance, err, "its pins make no sense");
	return 0;
}

/* Maps the whole of a pinned array map. */
static int pin_map(const struct instance *instance, const char *name, size_t need, void **ret_mem,
		   size_t *ret_size, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	size_t size;
	void *mem;
	int r = pin_need(instance, name, &fd, err);

	if (r < 0)
		return r;
	if (map_info(fd, &info) < 0)
		return half(instance, err, "its pins make no sense");
	size = (size_t)(info.value_size + 7) / 8 * 8 * info.max_entries;
	if (size < need)
		return other_version(instance, err);
	size = (size + (size_t)getpagesize() - 1) & ~((size_t)getpagesize() - 1);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't map %s/%s: %s",
				 instance->pin_dir, name, strerror(errno));
	*ret_mem = mem;
	*ret_size = size;
	return 0;
}

/* The BTF of the whole object came into the kernel with its maps. */
static int btf_read(struct instance *instance, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	int r = pin_need(instance, PIN_CONTROL, &fd, err);

	if (r < 0)
		return r;
	if (map_info(fd, &info) < 0 || !info.btf_id)
		return half(instance, err, "its maps have no BTF");
	instance->btf = btf__load_from_kernel_by_id(info.btf_id);
	if (!instance->btf)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL,
				 "can't read the BTF of instance %s: %s", instance->name,
				 strerror(errno));
	return schema_set_read(instance->btf, instance->nf, &instance->schemas, err);
}

/*
 * Its packets come through the map `scratch`: a program that knows another one than the data path's
 * of today would read nothing but nonsense.
 */
static int sharing_check(struct instance *instance, const char *maps_dir, struct ff_error *err)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids };
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = -1;
	struct bpf_map_info scratch;
	int r = pin_open(maps_dir, "scratch", &fd, err);

	if (r < 0 && r != -ENOENT)
		return r;
	if (bpf_obj_get_info_by_fd(instance->prog_fd, &info, &len) < 0)
		return half(instance, err, "its program makes no sense");
	instance->prog_id = info.id;
	for (uint32_t i = 0; r == 0 && map_info(fd, &scratch) == 0 && i < info.nr_map_ids; i++)
		if (i < MAPS_MAX && ids[i] == scratch.id)
			return 0;
	return half(instance, err, "it was loaded for a data path that is gone");
}

struct program_pin {
	const char *name;
	int fd;
};

#define PROGRAM_PINS 5
static void program_pins(const struct instance *instance, struct program_pin ret[PROGRAM_PINS])
{
	const struct state *state = &instance->state;

	ret[0] = (struct program_pin){ PIN_NF, instance->prog_fd };
	ret[1] = (struct program_pin){ PIN_GET, state->get_fd };
	ret[2] = (struct program_pin){ PIN_PUT, state->put_fd };
	ret[3] = (struct program_pin){ PIN_SWEEP, state->sweep_fd };
	ret[4] = (struct program_pin){ PIN_FORGET, state->forget_fd };
}

const char *instance_pins_fault(const struct instance *instance)
{
	const char *const maps[] = { PIN_ABOUT, PIN_CONTROL, instance->state.schema->name };
	_cleanup_close_ int dir = open(instance->pin_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct program_pin programs[PROGRAM_PINS];

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		if (dir < 0 || faccessat(dir, maps[i], F_OK, 0))
			return "its maps are not pinned any more";
	program_pins(instance, programs);
	for (size_t i = 0; i < PROGRAM_PINS; i++)
		if (faccessat(dir, programs[i].name, F_OK, 0))
			return "its programs are not pinned any more";
	return NULL;
}

int instance_programs_pin(const struct instance *instance, struct ff_error *err)
{
	struct program_pin programs[PROGRAM_PINS];

	program_pins(instance, programs);
	for (size_t i = 0; i < PROGRAM_PINS; i++) {
		_cleanup_free_ char *path = pin_path(instance->pin_dir, programs[i].name);

		if (!path)
			return error_nomem(err);
		if (bpf_obj_pin(programs[i].fd, path) && errno != EEXIST)
			return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't pin %s: %s",
					 path, strerror(errno));
	}
	return 0;
}

static int programs_open(struct instance *instance, const char *maps_dir, struct ff_error *err)
{
	struct state *state = &instance->state;
	const struct {
		const char *name;
		int *fd;
	} programs[] = {
		{ PIN_NF, &instance->prog_fd },	   { PIN_GET, &state->get_fd },
		{ PIN_PUT, &state->put_fd },	   { PIN_SWEEP, &state->sweep_fd },
		{ PIN_FORGET, &state->forget_fd }, { PIN_DUMP, &state->dump_fd },
	};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		int r = pin_need(instance, programs[i].name, programs[i].fd, err);

		if (r < 0)
			return r;
	}
	return sharing_check(instance, maps_dir, err);
}

static int meters_open(struct instance *instance, const struct instance_spec *spec,
		       struct ff_error *err)
{
	struct meters *meters = &instance->meters;
	int r = pin_map(instance, PIN_METER, sizeof(*meters->cpus), (void **)&meters->cpus,
			&meters->cpus_size, err);

	if (r == 0)
		r = pin_map(instance, PIN_SLOT_LOADS, sizeof(*meters->loads) * spec->slots,
			    (void **)&meters->loads, &meters->loads_size, err);
	meters->slots = spec->slots;
	return r;
}

static int groups_open(struct instance *instance, const char *name, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	int r = pin_need(instance, name, &fd, err);

	return r < 0 ? r : state_groups_read(&instance->state, fd, err);
}

static int state_open(struct instance *instance, const struct instance_spec *spec,
		      const struct ff_about *about, struct ff_error *err)
{
	struct state *state = &instance->state;
	size_t size;
	int r;

	state->schema = schema_set_per_flow(&instance->schemas);
	if (!state->schema || strcmp(state->schema->name, (const char *)about->state) != 0)
		return half(instance, err, "its BTF isn't that of its pins");
	state->btf = instance->btf;
	memcpy(state->instance, instance->name, sizeof(state->instance));
	ff_slot_keys_make(spec->seed, &state->slot_keys);
	state->slot_mask = spec->slots - 1;
	state->groups = about->groups;
	state->group_shift = about->group_shift;
	if (state->slot_mask >> state->group_shift != state->groups - 1)
		return half(instance, err, "made for another number of slots");
	state->record_size = state_record_size(state->schema->value_size);

	r = pin_map(instance, PIN_CONTROL, sizeof(*state->control), (void **)&state->control, &size,
		    err);
	if (r == 0)
		r = pin_map(instance, PIN_STAGING, state->record_size * FF_STAGING_RECORDS,
			    &state->staging, &state->staging_size, err);
	if (r == 0)
		r = pin_map(instance, PIN_DUMPED, state->record_size * FF_DUMP_RECORDS,
			    &state->dumped, &state->dumped_size, err);
	if (r == 0)
		r = pin_map(instance, PIN_FORGET_SLOTS, sizeof(struct slotset),
			    (void **)&state->forget_slots, &size, err);
	if (r == 0)
		r = pin_map(instance, PIN_SLOT_HINTS, sizeof(*state->hints) * spec->slots,
			    (void **)&state->hints, &state->hints_size, err);
	if (r == 0)
		r = groups_open(instance, state->schema->name, err);
	if (r < 0)
		return r;
	state->meters = &instance->meters;
	instance->id = (uint16_t)state->control->instance;
	instance->service = (uint16_t)state->control->service;
	state->service = state->control->service;
	return 0;
}

static struct instance *instance_new(const struct instance_spec *spec)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	struct state *state;

	if (!instance)
		return NULL;
	state = &instance->state;
	instance->prog_fd = state->get_fd = state->put_fd = -1;
	state->sweep_fd = state->forget_fd = state->dump_fd = -1;
	pthread_mutex_init(&state->lock, NULL);
	pthread_mutex_init(&state->dump_lock, NULL);
	snprintf(instance->name, sizeof(instance->name), "%s", spec->name);
	if (asprintf(&instance->pin_dir, "%s/instances/%s", spec->pin_dir, spec->name) < 0)
		instance->pin_dir = NULL;
	return instance;
}

int instance_adopt(const struct instance_spec *spec, struct instance **ret, struct ff_error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	struct ff_about about;
	int r;

	if (!instance_name_ok(spec->name))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "bad instance name %.40s",
				 spec->name);
	instance = instance_new(spec);
	if (!instance || !instance->pin_dir)
		return error_nomem(err);
	r = about_read(instance, &about, err);
	if (r < 0)
		return r;
	memcpy(instance->nf, about.nf, sizeof(instance->nf));
	r = btf_read(instance, err);
	if (r == 0)
		r = programs_open(instance, spec->maps_dir, err);
	if (r == 0)
		r = state_open(instance, spec, &about, err);
	if (r == 0)
		r = meters_open(instance, spec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(instance);
	return 0;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void instance_free(struct instance *instance)
{
	struct state *state;
	size_t page = (size_t)getpagesize();

	if (!instance)
		return;
	state = &instance->state;
	meters_unmap(&instance->meters);
	if (state->control)
		munmap(state->control, page);
	if (state->forget_slots)
		munmap(state->forget_slots, page);
	if (state->hints)
		munmap(state->hints, state->hints_size);
	if (state->dumped)
		munmap(state->dumped, state->dumped_size);
	if (state->staging)
		munmap(state->staging, state->staging_size);
	fd_close(state->get_fd);
	fd_close(state->put_fd);
	fd_close(state->sweep_fd);
	fd_close(state->forget_fd);
	fd_close(state->dump_fd);
	fd_close(instance->prog_fd);
	pthread_mutex_destroy(&state->dump_lock);
	pthread_mutex_destroy(&state->lock);
	schema_set_done(&instance->schemas);
	btf__free(instance->btf);
	free(instance->pin_dir);
	free(instance);
}

int instance_remove(struct instance *instance, struct ff_error *err)
{
	return pins_remove(instance->pin_dir, err);
}

/* ---- settings ------------------------------------------------------------------------------ */

void instance_set_capacity(struct instance *instance, uint64_t capacity)
{
	__atomic_store_n(&instance->state.control->capacity, capacity, __ATOMIC_RELAXED);
}

int instance_configure(struct instance *instance, const json_t *config, struct ff_error *err)
{
	const struct schema_set *set = &instance->schemas;
	_cleanup_free_ void *value = NULL;
	_cleanup_close_ int fd = -1;
	uint32_t zero = 0;
	int r;

	if (!set->config_type) {
		if (!config || !json_object_size(config))
			return 0;
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "leave `config` out",
				 "NF %s takes no configuration", instance->nf);
	}
	value = calloc(1, set->config_size);
	if (!value)
		return error_nomem(err);
	if (config) {
		r = btf_from_json(instance->btf, set->config_type, config, value, err);
		if (r < 0) {
			error_prefix(err, "config of NF %s", instance->nf);
			return r;
		}
	}
	r = pin_need(instance, PIN_CONFIG, &fd, err);
	if (r < 0)
		return r;
	r = bpf_map_update_elem(fd, &zero, value, BPF_ANY);
	if (r < 0)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't configure instance %s: %s",
				 instance->name, strerror(-r));
	return 0;
}
