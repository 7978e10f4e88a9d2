/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an NF's object file to the pins of an instance.
 *
 * The object is foreign: everything about it is judged before it is loaded, and said in words. Maps
 * that the data path has pinned under the same name are shared with it. The per-flow state's groups
 * are created here, not by libbpf (state_groups.c says why), and the programs behind agent/state.h
 * are loaded over them. `about` is pinned last, and marks the instance as whole.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/abi.h"
#include "agent/instance.h"
#include "agent/instance_pins.h"
#include "agent/state_staging.h"
#include "bpf/state.skel.h"
#include "lib/cleanup.h"

#define NF_SUFFIX     ".bpf.o"
#define MEND_BUILD    "build it with this version's bpf/nf.h"
#define VERIFIER_LOG  65536u /* of which the last lines are told */
#define VERIFIER_TOLD 240

DEFINE_CLEANUP(struct bpf_object *, bpf_object__close);
DEFINE_CLEANUP(struct state_bpf *, state_bpf__destroy);

struct load {
	const struct instance_spec *spec;
	struct ff_error *err;
	char *file;
	char *pin_dir; /* of the instance */
	char *log;
	struct bpf_object *object;
	struct state_bpf *skel;
	struct schema_set schemas;
	const struct schema *schema; /* per-flow */
	struct state_geometry geometry;
	struct state_inner inner;
	bool keep; /* its maps are pinned already, with state in them */
};

static void load_done(struct load *load)
{
	if (load->skel)
		state_bpf__destroy(load->skel);
	if (load->object)
		bpf_object__close(load->object);
	schema_set_done(&load->schemas);
	free(load->file);
	free(load->pin_dir);
	free(load->log);
}

static int refuse(struct load *load, int err, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int refuse(struct load *load, int err, const char *mend, const char *fmt, ...)
{
	char text[360];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_set(load->err, err, err == ENOENT ? FF_CODE_NOT_FOUND : FF_CODE_REFUSED, mend,
			 "NF %s: %s", load->spec->nf, text);
}

/* ---- the file ------------------------------------------------------------------------------ */

static int file_check(struct load *load)
{
	struct stat st;

	if (!instance_name_ok(load->spec->nf))
		return refuse(load, EINVAL, "letters, digits, _ and -, 31 at most",
			      "that is no name of an NF");
	if (asprintf(&load->file, "%s/%s" NF_SUFFIX, load->spec->nf_dir, load->spec->nf) < 0)
		return error_nomem(load->err);
	if (stat(load->file, &st) < 0)
		return refuse(load, errno, "install its object there, or name another NF",
			      "can't find %s: %s", load->file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(load, EINVAL, NULL, "%s isn't a file", load->file);
	if (st.st_size > INSTANCE_OBJECT_MAX)
		return refuse(load, EFBIG, "strip it of DWARF: llvm-strip -g",
			      "%s is %lld bytes large, the limit is %ld", load->file,
			      (long long)st.st_size, INSTANCE_OBJECT_MAX);
	return 0;
}

static int object_open(struct load *load)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_size = VERIFIER_LOG);
	const struct btf *btf;

	load->log = calloc(1, VERIFIER_LOG);
	if (!load->log)
		return error_nomem(load->err);
	opts.kernel_log_buf = load->log;
	load->object = bpf_object__open_file(load->file, &opts);
	if (!load->object)
		return refuse(load, ENOEXEC, "build it with clang -target bpf -g, from bpf/nf.h",
			      "%s is no BPF object that can be read (%s)", load->file,
			      strerror(errno));
	btf = bpf_object__btf(load->object);
	if (!btf)
		return refuse(load, ENOEXEC, "build it with clang -g, don't strip .BTF",
			      "%s has no BTF", load->file);
	return schema_set_read(btf, load->spec->nf, &load->schemas, load->err);
}

static int programs_check(struct load *load)
{
	struct bpf_program *prog, *entry = NULL;

	bpf_object__for_each_program(prog, load->object) {
		const char *name = bpf_program__name(prog);

		if (bpf_program__type(prog) != BPF_PROG_TYPE_XDP)
			return refuse(load, EINVAL,
				      "an NF's programs are SEC(\"xdp\"): use FF_NF()",
				      "program %s is in section \"%s\"", name,
				      bpf_program__section_name(prog));
		if (!strcmp(name, PIN_NF))
			entry = prog;
	}
	return entry ? 0 :
		       refuse(load, EINVAL, "end its source with FF_NF(function)",
			      "it has no entry program `nf`");
}

static int state_check(struct load *load)
{
	struct bpf_map *control = bpf_object__find_map_by_name(load->object, PIN_CONTROL);
	struct bpf_map *outer, *inner;

	load->schema = schema_set_per_flow(&load->schemas);
	if (!load->schema)
		return refuse(load, EINVAL, "declare it with FF_FLOW_STATE(name, struct type)",
			      "it declares no per-flow state");
	if (!control || bpf_map__value_size(control) != sizeof(struct ff_nf_control) ||
	    !(bpf_map__map_flags(control) & BPF_F_MMAPABLE))
		return refuse(load, EINVAL, MEND_BUILD, "its map `control` isn't this version's");
	outer = bpf_object__find_map_by_name(load->object, load->schema->name);
	inner = outer ? bpf_map__inner_map(outer) : NULL;
	if (!inner || bpf_map__type(outer) != BPF_MAP_TYPE_ARRAY_OF_MAPS ||
	    bpf_map__type(inner) != BPF_MAP_TYPE_HASH ||
	    !(bpf_map__map_flags(inner) & BPF_F_NO_PREALLOC))
		return refuse(load, EINVAL, "declare it with FF_FLOW_STATE(name, struct type)",
			      "state %s isn't an array of hash maps without preallocation",
			      load->schema->name);
	/* libbpf forgets the inner map when it has loaded the object */
	load->inner = (struct state_inner){
		.key_size = bpf_map__key_size(inner),
		.value_size = bpf_map__value_size(inner),
		.flags = bpf_map__map_flags(inner),
		.key_type = bpf_map__btf_key_type_id(inner),
		.value_type = bpf_map__btf_value_type_id(inner),
	};
	return bpf_map__set_max_entries(outer, load->geometry.groups) < 0 ?
		       refuse(load, EINVAL, NULL, "state %s can't be sized", load->schema->name) :
		       0;
}

/* A row for each CPU that may ever run packets. */
static int meters_size(struct load *load)
{
	struct bpf_map *meter = bpf_object__find_map_by_name(load->object, PIN_METER);
	struct bpf_map *loads = bpf_object__find_map_by_name(load->object, PIN_SLOT_LOADS);
	struct bpf_map *hints = bpf_object__find_map_by_name(load->object, PIN_SLOT_HINTS);
	int cpus = libbpf_num_possible_cpus();

	if (!meter || bpf_map__value_size(meter) != sizeof(struct ff_meter) || !loads ||
	    bpf_map__value_size(loads) != sizeof(struct ff_slot_load) || !hints ||
	    bpf_map__value_size(hints) != sizeof(struct ff_slot_hint))
		return refuse(load, EINVAL, MEND_BUILD,
			      "its maps `meter`, `slot_loads`, `slot_hints` aren't this version's");
	if (cpus < 1 || bpf_map__set_max_entries(meter, (uint32_t)cpus) < 0 ||
	    bpf_map__set_max_entries(loads, (uint32_t)cpus * load->spec->slots) < 0 ||
	    bpf_map__set_max_entries(hints, load->spec->slots) < 0)
		return refuse(load, EINVAL, NULL, "its meters can't be sized for %d CPUs", cpus);
	return 0;
}

/* ---- sharing the data path's maps ---------------------------------------------------------- */

/* A map that keeps what is in it. */
static int map_keep(struct load *load, struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	int r = pin_open(load->pin_dir, name, &fd, load->err);

	if (r == -ENOENT)
		return refuse(load, EINVAL, NULL, "its map %s isn't pinned in %s", name,
			      load->pin_dir);
	if (r < 0)
		return r;
	r = map_info(fd, &info);
	if (r == 0 && (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		       info.value_size != bpf_map__value_size(map) ||
		       info.max_entries != bpf_map__max_entries(map)))
		return refuse(load, EINVAL, NULL, "its map %s isn't like the one in %s", name,
			      load->pin_dir);
	if (r == 0)
		r = bpf_map__reuse_fd(map, fd);
	return r < 0 ? refuse(load, -r, NULL, "can't keep map %s: %s", name, strerror(-r)) : 0;
}

static int map_share(struct load *load, struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	int r = pin_open(load->spec->maps_dir, name, &fd, load->err);

	if (r == -ENOENT)
		return load->keep ? map_keep(load, map) : 0;
	if (r < 0)
		return r;
	r = map_info(fd, &info);
	if (r == 0 && (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		       info.value_size != bpf_map__value_size(map)))
		return refuse(load, EINVAL, MEND_BUILD ", or rename its own map",
			      "its map %s (type %u, key %u, value %u bytes) isn't the data path's "
			      "(type %u, key %u, value %u bytes)",
			      name, bpf_map__type(map), bpf_map__key_size(map),
			      bpf_map__value_size(map), info.type, info.key_size, info.value_size);
	if (r == 0)
		r = bpf_map__reuse_fd(map, fd);
	return r < 0 ? refuse(load, -r, NULL, "can't share map %s: %s", name, strerror(-r)) : 0;
}

/* Of one size says nothing about what is where in it. */
static int types_share(struct load *load, int fd)
{
	struct btf *theirs = NULL;
	const char *name = NULL;
	int r = abi_map_btf(fd, &theirs);

	if (r == 0 && theirs)
		name = abi_difference(bpf_object__btf(load->object), theirs);
	btf__free(theirs);
	if (name)
		return refuse(load, EINVAL, MEND_BUILD,
			      "its struct %s isn't the one of the data path's maps", name);
	return r < 0 ? refuse(load, -r, NULL, "the types of the data path's maps can't be read") :
		       0;
}

/* Without these, packets would meet maps that nobody else sees. */
static int maps_share(struct load *load)
{
	static const char *const needed[] = { "scratch", "progs" };
	struct bpf_map *map;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_close_ int fd = -1;

		r = pin_open(load->spec->maps_dir, needed[i], &fd, load->err);
		if (r == -ENOENT)
			return refuse(load, EINVAL, "load the data path first",
				      "map %s isn't pinned in %s", needed[i], load->spec->maps_dir);
		if (r < 0)
			return r;
		if (!bpf_object__find_map_by_name(load->object, needed[i]))
			return refuse(load, EINVAL, "build it from bpf/nf.h",
				      "it doesn't use the data path's map %s", needed[i]);
		r = types_share(load, fd);
		if (r < 0)
			return r;
	}
	bpf_object__for_each_map(map, load->object) {
		if (bpf_map__is_internal(map))
			continue;
		if (strcmp(bpf_map__name(map), load->schema->name) != 0)
			r = map_share(load, map);
		else if (load->keep)
			r = map_keep(load, map);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* The verifier says why in its last lines, behind which it only counts. */
static const char *verifier_words(char *log)
{
	char *end = strstr(log, "\nprocessed ");
	size_t len;

	if (end)
		*end = 0;
	len = strlen(log);
	while (len && log[len - 1] == '\n')
		log[--len] = 0;
	return len > VERIFIER_TOLD ? log + len - VERIFIER_TOLD : log;
}

static int object_load(struct load *load)
{
	int r = bpf_object__load(load->object);
	struct bpf_map *outer;

	if (r < 0 && *load->log)
		return refuse(load, EINVAL, "see its log with `bpftool prog load`",
			      "the kernel's verifier refuses it: %s", verifier_words(load->log));
	if (r < 0)
		return refuse(load, -r, NULL, "the kernel doesn't load it: %s", strerror(-r));
	if (load->keep)
		return 0;
	outer = bpf_object__find_map_by_name(load->object, load->schema->name);
	return state_groups_create(bpf_map__fd(outer), &load->inner,
				   bpf_object__btf_fd(load->object), &load->geometry,
				   load->schema->name, load->err);
}

static int skeleton_load(struct load *load)
{
	struct bpf_map *outer = bpf_object__find_map_by_name(load->object, load->schema->name);
	struct bpf_map *control = bpf_object__find_map_by_name(load->object, PIN_CONTROL);
	struct bpf_map *loads = bpf_object__find_map_by_name(load->object, PIN_SLOT_LOADS);
	struct bpf_map *hints = bpf_object__find_map_by_name(load->object, PIN_SLOT_HINTS);
	uint32_t size = load->schema->value_size;
	struct state_bpf *skel = load->skel = state_bpf__open();
	const char *name;
	int r;

	if (!skel)
		return error_set(load->err, errno, FF_CODE_INTERNAL, NULL,
				 "can't open the state programs: %s", strerror(errno));
	name = abi_difference(bpf_object__btf(skel->obj), bpf_object__btf(load->object));
	if (name)
		return refuse(load, EINVAL, MEND_BUILD, "its struct %s isn't this version's", name);
	skel->rodata->value_words = size / 8;
	r = bpf_map__set_value_size(skel->maps.staging, (uint32_t)sizeof(struct ff_record) + size);
	if (r == 0)
		r = bpf_map__set_value_size(skel->maps.dumped,
					    (uint32_t)sizeof(struct ff_record) + size);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.flows, bpf_map__fd(outer));
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.control, bpf_map__fd(control));
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.slot_loads, bpf_map__fd(loads));
	if (r == 0 && load->keep)
		r = map_keep(load, skel->maps.staging)		    ?:
			    map_keep(load, skel->maps.forget_slots) ?:
			    map_keep(load, skel->maps.about);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.slot_hints, bpf_map__fd(hints));
	if (r == 0)
		r = state_bpf__load(skel);
	if (r < 0)
		return refuse(load, -r, NULL, "can't load the state programs for it: %s",
			      strerror(-r));
	return 0;
}

static int maps_fill(struct load *load)
{
	const struct instance_spec *spec = load->spec;
	struct ff_nf_control control = {
		.capacity = spec->capacity,
		.instance = spec->id,
		.service = spec->service,
	};
	struct ff_about about = {
		.groups = load->geometry.groups,
		.group_shift = load->geometry.group_shift,
		.version = FF_ABI_VERSION,
	};
	struct bpf_map *map = bpf_object__find_map_by_name(load->object, PIN_CONTROL);
	uint32_t zero = 0;
	int r;

	memcpy(about.name, spec->name, strlen(spec->name));
	memcpy(about.nf, spec->nf, strlen(spec->nf));
	memcpy(about.state, load->schema->name, strlen(load->schema->name));
	r = bpf_map_update_elem(bpf_map__fd(map), &zero, &control, BPF_ANY);
	if (r == 0)
		r = bpf_map_update_elem(bpf_map__fd(load->skel->maps.about), &zero, &about,
					BPF_ANY);
	map = bpf_object__find_map_by_name(load->object, PIN_METER);
	for (uint32_t cpu = 0; r == 0 && cpu < bpf_map__max_entries(map); cpu++) {
		struct ff_meter meter = { .row = cpu * spec->slots };

		r = bpf_map_update_elem(bpf_map__fd(map), &cpu, &meter, BPF_ANY);
	}
	return r < 0 ? refuse(load, -r, NULL, "can't write its maps: %s", strerror(-r)) : 0;
}

/* ---- pinning ------------------------------------------------------------------------------- */

static int pin(struct load *load, int fd, const char *name)
{
	_cleanup_free_ char *path = pin_path(load->pin_dir, name);
	int r;

	if (!path)
		return error_nomem(load->err);
	r = bpf_obj_pin(fd, path);
	if (r < 0)
		return refuse(load, -r, "is bpffs mounted there?", "can't pin %s: %s", path,
			      strerror(-r));
	return 0;
}

/* Its own maps: not those that are the data path's, nor .rodata and the like, which programs hold. */
static int object_pin(struct load *load)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(load->object, PIN_NF);
	int r = pin(load, bpf_program__fd(prog), PIN_NF);
	struct bpf_map *map;

	bpf_object__for_each_map(map, load->object) {
		_cleanup_close_ int shared = -1;

		if (r < 0)
			return r;
		if (bpf_map__is_internal(map) ||
		    pin_open(load->spec->maps_dir, bpf_map__name(map), &shared, NULL) == 0)
			continue;
		r = pin(load, bpf_map__fd(map), bpf_map__name(map));
	}
	return r;
}

static int skeleton_pin(struct load *load)
{
	const struct state_bpf *skel = load->skel;
	const struct {
		int fd;
		const char *name;
	} pins[] = {
		{ bpf_program__fd(skel->progs.get), PIN_GET },
		{ bpf_program__fd(skel->progs.dump), PIN_DUMP },
		{ bpf_program__fd(skel->progs.put), PIN_PUT },
		{ bpf_program__fd(skel->progs.sweep), PIN_SWEEP },
		{ bpf_program__fd(skel->progs.forget), PIN_FORGET },
		{ bpf_map__fd(skel->maps.staging), PIN_STAGING },
		{ bpf_map__fd(skel->maps.dumped), PIN_DUMPED },
		{ bpf_map__fd(skel->maps.forget_slots), PIN_FORGET_SLOTS },
		{ bpf_map__fd(skel->maps.about), PIN_ABOUT }, /* last: the instance is whole */
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pins) && r == 0; i++)
		r = pin(load, pins[i].fd, pins[i].name);
	return r;
}

/* Over those of other programs, if there are any. */
static int programs_repin(struct load *load)
{
	const struct {
		const char *name;
		int fd;
	} pins[] = {
		{ PIN_NF, bpf_program__fd(bpf_object__find_program_by_name(load->object, PIN_NF)) },
		{ PIN_GET, bpf_program__fd(load->skel->progs.get) },
		{ PIN_PUT, bpf_program__fd(load->skel->progs.put) },
		{ PIN_SWEEP, bpf_program__fd(load->skel->progs.sweep) },
		{ PIN_FORGET, bpf_program__fd(load->skel->progs.forget) },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pins) && r == 0; i++) {
		_cleanup_free_ char *path = pin_path(load->pin_dir, pins[i].name);

		if (!path)
			return error_nomem(load->err);
		if (unlink(path) < 0 && errno != ENOENT)
			return refuse(load, errno, NULL, "can't remove %s: %s", path,
				      strerror(errno));
		r = pin(load, pins[i].fd, pins[i].name);
	}
	return r;
}

/* State of other types, though of one size, would be read as nonsense. */
static int schema_same(struct load *load)
{
	_cleanup_close_ int fd = -1;
	struct schema_set pinned = {};
	const struct schema *schema;
	struct bpf_map_info info;
	struct btf *btf = NULL;
	int r = pin_open(load->pin_dir, PIN_CONTROL, &fd, load->err);

	if (r == 0)
		r = map_info(fd, &info);
	if (r == 0)
		btf = btf__load_from_kernel_by_id(info.btf_id);
	if (r < 0 || !btf)
		return refuse(load, EINVAL, NULL, "the types of its pinned maps can't be read");
	r = schema_set_read(btf, load->spec->nf, &pinned, load->err);
	schema = r == 0 ? schema_set_per_flow(&pinned) : NULL;
	if (r == 0 && (!schema || schema->hash != load->schema->hash))
		r = refuse(load, EINVAL, NULL, "its state is of other types than the pinned one");
	schema_set_done(&pinned);
	btf__free(btf);
	return r;
}

static int spec_check(const struct instance_spec *spec, struct ff_error *err)
{
	if (!instance_name_ok(spec->name))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "letters, digits, _ and -, 31 at most", "bad instance name %.40s",
				 spec->name);
	if (!spec->slots || spec->slots > FF_SLOTS_MAX || spec->slots & (spec->slots - 1))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "instance %s: %u slots, a power of two up to %u is due",
				 spec->name, spec->slots, FF_SLOTS_MAX);
	if (!spec->id || spec->id >= FF_INSTANCES_MAX || !spec->capacity)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "instance %s: number %u with capacity %" PRIu64 " makes no sense",
				 spec->name, spec->id, spec->capacity);
	return 0;
}

typedef int (*step_fn)(struct load *load);

static int steps_run(struct load *load, const step_fn *steps, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = steps[i](load);
	return r;
}

static int load_run(struct load *load)
{
	static const step_fn steps[] = {
		file_check,  object_open,   programs_check, state_check, meters_size,  maps_share,
		object_load, skeleton_load, maps_fill,	    object_pin,	 skeleton_pin,
	};

	return steps_run(load, steps, ARRAY_SIZE(steps));
}

int instance_load(const struct instance_spec *spec, struct instance **ret, struct ff_error *err)
{
	_cleanup_(load_done) struct load load = { .spec = spec, .err = err };
	_cleanup_instance_ struct instance *instance = NULL;
	int r = spec_check(spec, err);

	if (r < 0)
		return r;
	load.geometry = state_geometry_of(spec->slots, spec->capacity);
	r = pins_create(spec->pin_dir, spec->name, &load.pin_dir, err);
	if (r < 0)
		return r;
	r = load_run(&load);
	if (r == 0)
		r = instance_adopt(spec, &instance, err);
	if (r == 0)
		r = instance_configure(instance, spec->config, err);
	if (r < 0) {
		pins_remove(load.pin_dir, NULL);
		return r;
	}
	*ret = TAKE_PTR(instance);
	return 0;
}

int instance_reload(const struct instance_spec *spec, struct instance **ret, struct ff_error *err)
{
	static const step_fn steps[] = {
		file_check,  object_open, programs_check, state_check,	 schema_same,
		meters_size, maps_share,  object_load,	  skeleton_load, programs_repin,
	};
	_cleanup_(load_done) struct load load = { .spec = spec, .err = err, .keep = true };
	int r = spec_check(spec, err);

	if (r < 0)
		return r;
	load.geometry = state_geometry_of(spec->slots, spec->capacity);
	if (asprintf(&load.pin_dir, "%s/instances/%s", spec->pin_dir, spec->name) < 0)
		return error_nomem(err);
	r = steps_run(&load, steps, ARRAY_SIZE(steps));
	return r < 0 ? r : instance_adopt(spec, ret, err);
}
