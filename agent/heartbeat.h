/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * heartbeat.h - which peers' data paths live, as seen from this host.
 *
 * Every HEARTBEAT_MS a thread of its own sends each peer a heartbeat, a tunnel packet of VNI 0 from an
 * ordinary UDP socket on the fabric; the peer's program answers (bpf/heartbeat.h), whether or not an
 * agent runs there, and ours notes the answer in dp->heard. So the silence of a peer tells of its
 * packets' way, not of its daemon.
 *
 * Threads: `lock` guards what is known of peers; the thread writes it, the monitor reads it. The thread
 * runs before ordinary work, as a judge of others must, and takes agent.instances_lock for a copy of
 * addresses only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

/* 64 hosts: 2560 packets a second, of 74 bytes. Six of them in the default failure_ms of 150. */
#define HEARTBEAT_MS 25

struct agent;
struct heartbeat;

/* A peer falls silent, or is heard again; it was last heard age_ms ago. In the heartbeat's thread. */
typedef void (*heartbeat_tell_fn)(struct agent *agent, uint32_t host, bool silent, uint64_t age_ms);

/* Asks nobody yet. */
int heartbeat_new(struct agent *agent, struct heartbeat **ret, struct ff_error *err);
int heartbeat_start(struct heartbeat *heartbeat, heartbeat_tell_fn tell, struct ff_error *err);
void heartbeat_stop(struct heartbeat *heartbeat); /* NULL is fine, here and below */
void heartbeat_free(struct heartbeat *heartbeat);

/* Peers are silent when they owe an answer for so long; 0: they aren't asked. Any thread. */
void heartbeat_configure(struct heartbeat *heartbeat, uint32_t failure_ms);

/* The part `peers` of a sample (API.md); *ret NULL: nobody is asked. -ENOMEM. */
int heartbeat_json(struct heartbeat *heartbeat, uint64_t now_ns, json_t **ret);
