/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* drive.h - an XDP program under test, run over packets of many flows; see drive.bpf.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "tests/bench/drive_abi.h"

struct drive;

struct drive_spec {
	const char *link; /* in the caller's network namespace, without a program: for the driver */
	bool tunnelled;	  /* frames stand behind a tunnel header */
	uint8_t mac[6];	  /* to which clients' frames are addressed */
	uint32_t slot_mask; /* of the service, for tunnelled ones */
	struct ff_slot_keys slot_keys;
};

/*
 * The driver sits on an interface all the while, though nothing comes in there: the
 * kernel waits for three grace periods before each run of a program that is on none. *ret
 * is the caller's: drive_free().
 */
int drive_new(const struct drive_spec *spec, struct drive **ret, struct ff_error *err);
void drive_free(struct drive *drive); /* NULL is fine */

/* The program whose packets they are; -1: one that does nothing. */
int drive_target(struct drive *drive, int prog_fd, struct ff_error *err);

/*
 * Runs it over so many packets, made of a frame (Ethernet, IPv4, TCP; or that behind a tunnel
 * header) that comes in by interface `ifindex`. *ret_ns (may be NULL) is of one packet, the
 * driver's own part included. -EIO: not all of them ran and came out as due.
 */
struct drive_run {
	struct drive_plan plan;
	const void *frame;
	size_t len;
	unsigned int ifindex;
	uint32_t packets;
};
int drive_run(struct drive *drive, const struct drive_run *run, double *ret_ns,
	      struct ff_error *err);
