/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * instance_pins.h - what the instance modules share among themselves: names and paths of pins.
 */
#pragma once

#include <stdbool.h>

#include "lib/cleanup.h"
#include "lib/error.h"

struct bpf_map_info;

/*
 * Pinned last: an instance whose `about` is there is whole. The NF object's program and maps are
 * `nf`, `control`, `config`; the others come from bpf/state.bpf.c.
 */
#define PIN_NF		 "nf"
#define PIN_CONTROL	 "control"
#define PIN_CONFIG	 "config"
#define PIN_METER	 "meter"
#define PIN_SLOT_LOADS	 "slot_loads"
#define PIN_SLOT_HINTS	 "slot_hints"
#define PIN_GET		 "get"
#define PIN_DUMP	 "dump"
#define PIN_DUMPED	 "dumped"
#define PIN_PUT		 "put"
#define PIN_SWEEP	 "sweep"
#define PIN_FORGET	 "forget"
#define PIN_STAGING	 "staging"
#define PIN_FORGET_SLOTS "forget_slots"
#define PIN_ABOUT	 "about"
#define PIN_LOCKS	 "locks" /* the data path's, as all that NFs share with it */

/* Letters, digits, _ and -, FF_NAME_MAX - 1 at most: it becomes a file's name. */
bool instance_name_ok(const char *name);

/* "DIR/NAME", the caller's to free; NULL: out of memory. */
char *pin_path(const char *dir, const char *name);

/* Opens a pinned map or program. -ENOENT without words if it isn't there. */
int pin_open(const char *dir, const char *name, int *ret_fd, struct ff_error *err);

/* What the kernel knows of a map. */
int map_info(int fd, struct bpf_map_info *ret_info);

/* Removes the directory @path with all pins in it. Missing ones are fine. */
int pins_remove(const char *path, struct ff_error *err);

/*
 * Makes the directory of a new instance, PIN_DIR/instances/NAME, empty. *ret_path is the caller's to
 * free. -EEXIST: a whole instance is pinned there.
 */
int pins_create(const char *pin_dir, const char *name, char **ret_path, struct ff_error *err);
