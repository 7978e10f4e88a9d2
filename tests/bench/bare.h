/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bare.h - the chain of redirects alone: packets take the links of the lab that flowferry's take,
 * client -> gw -> nf1 -> gw -> server, and nothing is done to them but new MAC addresses.
 */
#pragma once

#include "lib/error.h"
#include "tools/lab.h"

struct bare_bpf;

/* In a lab without daemons; whoever takes the lab down takes the programs away. */
int bare_attach(const struct lab *lab, struct bare_bpf **ret, struct ff_error *err);
void bare_free(struct bare_bpf *bare); /* NULL is fine; what is attached stays */
