/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_abi.h - what bpf/state.bpf.c and the agent's state modules agree on, beside abi.h.
 */
#pragma once

#include "bpf/abi.h"

/* Records of the staging area: a program run of some 0.2 ms, for softirqs must not wait longer. */
#define FF_STAGING_RECORDS 256

/* An entry is expired so long before it is deleted: a packet that found it alive has ended by then. */
#define FF_STATE_GRACE_NS 1000000000ull

/* Records of the dump area: twice a group's share of a million flows. */
#define FF_DUMP_RECORDS	 4096

#define FF_RECORD_UPSERT 1 /* as STREAM_UPSERT */
#define FF_RECORD_DELETE 2

/* Map staging: [i]. The value follows, as long as the instance's. */
struct ff_record {
	struct ff_flow_key key;
	__u32 group;
	__u8 kind;  /* put: FF_RECORD_* */
	__u8 found; /* get: 1 if the value is there */
	__u16 pad;
};
_Static_assert(sizeof(struct ff_record) == 48, "ff_record");

/* Context of programs get and put. */
struct ff_state_io {
	__u32 count; /* records 0 .. count - 1 of the staging area */
	__u32 done;  /* how many of them were dealt with */
	__s32 error; /* negative errno that ended it; -ENOSPC: at capacity, -E2BIG: group full */
	__u32 pad;
	__u64 added;
	__u64 replaced;
	__u64 deleted;
};
_Static_assert(sizeof(struct ff_state_io) == 40, "ff_state_io");

/* Context of program forget: the slots are in map forget_slots. */
struct ff_state_forget {
	__u32 first; /* groups first .. first + count - 1 */
	__u32 count;
	__u64 deleted;
};
_Static_assert(sizeof(struct ff_state_forget) == 16, "ff_state_forget");

/* Context of program dump: the entries of a group go to map dumped. */
struct ff_state_dump {
	__u32 group;
	__u32 count; /* entries that are there */
	__u32 full;  /* 1: there are more */
	__u32 pad;
};
_Static_assert(sizeof(struct ff_state_dump) == 16, "ff_state_dump");

/* Context of handover.bpf.c's program take: the slots are in map moved_slots. */
struct ff_state_take {
	__u32 slots; /* of the service */
	__u32 cpus;  /* rows of slot_loads */
	__s64 taken; /* flows */
};
_Static_assert(sizeof(struct ff_state_take) == 16, "ff_state_take");

/* Map about: [0]. What an agent must know to adopt a pinned instance. */
struct ff_about {
	__u8 name[FF_NAME_MAX];
	__u8 nf[FF_NAME_MAX];
	__u8 state[FF_NAME_MAX]; /* name of the per-flow state */
	__u32 groups;
	__u32 group_shift;
	__u32 version; /* FF_ABI_VERSION */
	__u32 pad;
};
_Static_assert(sizeof(struct ff_about) == 112, "ff_about");
