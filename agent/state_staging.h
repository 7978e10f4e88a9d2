/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_staging.h - what the state modules share among themselves: the staging area that their BPF
 * programs (bpf/state.bpf.c) work on, and how those are run.
 */
#pragma once

#include "agent/state.h"
#include "bpf/state_abi.h"

/* The value lies behind the record. Kernel memory, mapped: 8-aligned. */
static inline struct ff_record *state_record(const struct state *state, uint32_t i)
{
	return (struct ff_record *)((uint8_t *)state->staging + i * state->record_size);
}

/* Bytes between records: an array map rounds its values up to 8. */
static inline size_t state_record_size(uint32_t value_size)
{
	return (sizeof(struct ff_record) + value_size + 7) / 8 * 8;
}

/* Runs a program; @context is what it is told and tells. The caller holds state->lock. */
int state_program_run(const struct state *state, int fd, const char *name, void *context,
		      uint32_t size, struct ff_error *err);

/* As state_program_run(), for programs that delete or replace entries: dumps meanwhile don't count. */
int state_program_free(struct state *state, int fd, const char *name, void *context, uint32_t size,
		       struct ff_error *err);

/* Runs `put` over the first @count records; as state_program_run(). *ret_counts is added to. */
int state_put_run(struct state *state, uint32_t count, struct state_counts *ret_counts,
		  struct ff_error *err);

/* *ret_fd is the caller's to close. */
int state_group_open(const struct state *state, uint32_t group, int *ret_fd, struct ff_error *err);

/* Whether a slot of @slots is in the group. */
bool state_group_selected(const struct state *state, const struct slotset *slots, uint32_t group);
