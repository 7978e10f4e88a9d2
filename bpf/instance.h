/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * instance.h - the maps of an instance in which both packets (nf.h) and the agent's programs
 * (state.bpf.c) count its flows. The agent sizes those of slots for the service.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

#define FF_INSTANCE_MAP(NAME, VALUE)                                                               \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, VALUE);                                                              \
	} NAME SEC(".maps")

FF_INSTANCE_MAP(control, struct ff_nf_control);
FF_INSTANCE_MAP(slot_loads, struct ff_slot_load); /* row 0 counts what isn't done by packets, too */
FF_INSTANCE_MAP(slot_hints, struct ff_slot_hint);
