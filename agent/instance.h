/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * instance.h - one running copy of an NF: its object loaded, pinned, configured, or adopted.
 *
 * Pins, all readable with bpftool, in PIN_DIR/instances/NAME/:
 *	nf		the entry program
 *	get put sweep forget	the programs behind agent/state.h
 *	about		struct ff_about: what a restarted agent must know
 *	control, config, staging, and the NF's own maps under their own names
 * An instance lives in its pins: freeing the struct leaves it running, instance_adopt() takes it up
 * again, instance_remove() ends it (once the data path's program array lets go of it, too).
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "agent/meters.h"
#include "agent/schema.h"
#include "agent/state.h"
#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"

/* An NF object is tens of kilobytes; libbpf reads all of it into memory. */
#define INSTANCE_OBJECT_MAX (4l * 1024 * 1024)

struct instance {
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX];
	uint16_t id;
	uint16_t service;
	char *pin_dir; /* PIN_DIR/instances/NAME */
	int prog_fd;   /* for the data path's program array */
	uint32_t prog_id;
	struct btf *btf;
	struct schema_set schemas;
	struct state state;
	struct meters meters;
};

struct instance_spec {
	const char *name;
	const char *nf; /* NF_DIR/NF.bpf.o is loaded */
	const char *nf_dir;
	const char *pin_dir;  /* of this host: /sys/fs/bpf/flowferry/HOST; bpffs, must exist */
	const char *maps_dir; /* where the data path's maps are pinned: shared by name */
	uint16_t id;
	uint16_t service;
	uint32_t slots; /* of the service: a power of two */
	__u64 seed[2];
	uint64_t capacity;
	const json_t *config; /* of the NF; NULL or {}: all zero */
};

/*
 * Loads, sizes, configures and pins. Nothing is left behind on failure. Errors name the file, the
 * cause and the mend: -ENOENT no such NF, -EFBIG, -ENOEXEC not a BPF object, -EINVAL no per-flow
 * state, no program `nf` or one of another type, maps that differ from the data path's, bad config;
 * -EEXIST: pinned already. *ret is the caller's: instance_free().
 */
int instance_load(const struct instance_spec *spec, struct instance **ret, struct ff_error *err);

/*
 * Loads programs over the maps of an instance whose own are gone, or are of no use any more: nothing of
 * its state is lost. -EINVAL: its maps aren't all pinned, or aren't those of this object.
 */
int instance_reload(const struct instance_spec *spec, struct instance **ret, struct ff_error *err);

/*
 * Takes up what an earlier agent left pinned. spec: name, pin_dir, maps_dir, slots and seed (of the
 * service, as the data path has them) are used. -ENOENT: not pinned; -EINVAL: pinned in part, or for a
 * data path that is gone; -EPROTO: whole, but by an agent that lays it out otherwise.
 */
int instance_adopt(const struct instance_spec *spec, struct instance **ret, struct ff_error *err);

/*
 * The names in PIN_DIR/instances, whole ones and halves. *ret_names ends with NULL and is the
 * caller's: instance_names_free(). No directory: an empty list.
 */
int instance_list(const char *pin_dir, char ***ret_names, struct ff_error *err);
void instance_names_free(char **names);

/* A new configuration, whole: all of it or nothing. -EINVAL: it doesn't fit the NF's type. */
int instance_configure(struct instance *instance, const json_t *config, struct ff_error *err);
void instance_set_capacity(struct instance *instance, uint64_t capacity);

/* Are its pins there, as far as an agent needs them that starts? NULL, or what is wrong. */
const char *instance_pins_fault(const struct instance *instance);

/* Pins its programs anew where they are missing. -ENOENT: its directory has gone, too. */
int instance_programs_pin(const struct instance *instance, struct ff_error *err);

/* Unpins everything; the struct stays to be freed. Missing pins are fine. */
int instance_remove(struct instance *instance, struct ff_error *err);

/* Removes what a crash left in PIN_DIR/instances/NAME, whatever it is. */
int instance_purge(const char *pin_dir, const char *name, struct ff_error *err);

void instance_free(struct instance *instance); /* NULL is fine; pins stay */
DEFINE_CLEANUP(struct instance *, instance_free);
#define _cleanup_instance_ _cleanup_(instance_freep)

/*
 * API.md's flow object of an entry: {"flow","slot","expires_ms","moves","moved_by","state":{}};
 * expires_ms is from @now_ns on. NULL: out of memory.
 */
json_t *instance_flow_json(const struct instance *instance, const struct ff_flow_key *key,
			   const void *value, uint64_t now_ns);

/*
 * GET /v1/instances/NAME/state: {"states":[{"name","scope","key_size","value_size","schema_hash",
 * "fields":[{"name","offset","size","count","kind","merge","clock"}],"entries":[{"key","value"}],
 * "truncated"}],"config":{}}; entries (at most @limit of a state) of multi-flow and all-flows states
 * only. config: as the NF has it now, null if it takes none.
 */
int instance_state_json(const struct instance *instance, size_t limit, json_t **ret_json,
			struct ff_error *err);
