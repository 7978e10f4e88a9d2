/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* harness_internal.h - what the harness's files share among themselves; not for tests. */
#pragma once

#include "tests/prog/harness.h"

#define RIG_GROUP_SHIFT 2 /* 4 groups of 4 slots */
#define RIG_GROUPS	(RIG_SLOTS >> RIG_GROUP_SHIFT)

struct bpf_map;
struct bpf_object;
struct datapath_bpf;
struct nf;

struct rig {
	struct datapath_bpf *datapath;
	unsigned int ifindex[RIG_PORTS];
	struct nf *nf;
};

/* An NF object, loaded and joined to the data path. */
struct nf *nf_load(const char *name, struct bpf_object *datapath);
int nf_program(const struct nf *nf);
struct bpf_map *nf_map_find(const struct nf *nf, const char *name);
struct nf *rig_nf(void);
