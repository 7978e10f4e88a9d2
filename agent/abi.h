/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h - is what an earlier agent has pinned what this one would take it for?
 *
 * Pins outlive the agent that made them. An upgraded one that takes them up must find in them what it knows:
 * a map of the right size, of which a field has moved, would be read as nonsense, silently, with packets in
 * it. The kernel keeps the types of all maps, as BTF of the object that they came from. So nobody needs
 * to remember anything when a struct of bpf/ changes: each struct ff_* that both sides know must be
 * alike in both, member by member. For what changes its meaning and keeps its layout there is FF_ABI_VERSION.
 *
 * Compared are: the data path's maps when they are taken up, an instance's when it is adopted (both with
 * the agent's own objects), and an NF's object when it is loaded, which may have been built with other
 * headers. What is foreign is left as it is, and forwards.
 */
#pragma once

#include <bpf/btf.h>

#include "lib/error.h"

/* The first struct ff_* that both know, and that isn't the same in both; NULL: there is none. */
const char *abi_difference(const struct btf *ours, const struct btf *theirs);

/* The types of the object that a map came from; *ret NULL: not kept, as of maps of numbers. */
int abi_map_btf(int map_fd, struct btf **ret);

/*
 * All maps pinned in @dir. -EPROTO: one of them is foreign, which *err names, without a mend; a map whose types
 * aren't kept is libbpf's to compare. A directory that isn't there has none.
 */
int abi_check_dir(const char *dir, const struct btf *ours, struct ff_error *err);
