/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sample.h - one line of an agent's GET /v1/samples, read and judged.
 *
 * An agent may be broken, of another version, or lying: what has a wrong type, is out of range, or
 * can't be true by itself refuses the whole line. What an agent doesn't know it leaves out, with the
 * reason in `missing`; nothing here is 0 for that. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"

/* How the copy of an instance's state at its standby is kept up. */
enum sample_standby_state { STANDBY_NONE, STANDBY_COPYING, STANDBY_SYNCED, STANDBY_BROKEN };
const char *sample_standby_name(enum sample_standby_state state);

struct sample_standby {
	uint16_t instance; /* the standby */
	enum sample_standby_state state;
	uint64_t lag_ms; /* the age of the copy, then */
	uint64_t rounds, bytes, flows, resends;
	char error[160];
};

/* What a host tells of another one's data path. */
struct sample_peer {
	uint16_t host;
	bool heard;
	uint64_t heard_ms;   /* ago; only where heard */
	uint64_t tx_packets; /* sent to it through the tunnel */
	uint64_t
		tx_unheard; /* of these, since the last heartbeat that it has answered: maybe lost */
};

/* Since the instance was loaded, or its slot counted: they only rise. */
struct sample_instance {
	uint16_t id;
	uint16_t service;
	uint32_t prog_id;		       /* another one: another life */
	uint64_t flows, capacity, state_bytes; /* levels */
	uint64_t packets, bytes, dropped, denied;
	uint64_t flows_new, flows_refused, flows_expired;
	uint64_t timed, nf_ns, path_ns; /* of the packets that were timed */
	struct sample_standby standby;
	char failed[160]; /* its program is gone, and why; "": it runs */
};

/* Of one instance. */
struct sample_slots {
	uint16_t instance;
	uint32_t count;
	struct sample_slot {
		uint64_t packets, bytes;
		uint32_t flows;
		bool known;
	} slots[]; /* [count] */
};

struct sample_flow {
	uint16_t instance;
	uint16_t slot;
	struct ff_flow_key key;
	double packets_per_s, bytes_per_s, error_per_s;
	double age_s; /* below 0: not known */
};

/* Of one instance, since it was loaded: they only rise. */
struct sample_lives {
	uint16_t instance;
	uint64_t began;
	uint64_t ended[FF_LIVES]; /* by ff_life_bin() of how long they lived */
};

struct sample_link {
	char name[16];
	bool fabric;
	bool known; /* else the interface is gone, and the rest is nothing */
	bool up, carrier;
	uint64_t bits_per_s; /* 0: not known */
	uint64_t rx_bytes, tx_bytes;
};

enum sample_part {
	SAMPLE_CPU,
	SAMPLE_SOFTNET,
	SAMPLE_PRESSURE,
	SAMPLE_MEMORY,
	SAMPLE_LINKS,
	SAMPLE_REASONS,
	SAMPLE_PROGRAMS,
	SAMPLE_INSTANCES,
	SAMPLE_SLOTS,
	SAMPLE_FLOWS,
	SAMPLE_MAPS,
	SAMPLE_PEERS,
	SAMPLE_LIVES,
	SAMPLE_PARTS,
};
const char *sample_part_name(enum sample_part part);

#define SAMPLE_LINKS_MAX 64

struct sample {
	uint64_t seq;
	uint64_t agent_ns; /* another one: the agent has been started anew */
	uint64_t time_ns;  /* the host's CLOCK_MONOTONIC */
	unsigned int period_ms;
	uint32_t has;	  /* bit of each enum sample_part that is there */
	uint32_t missing; /* likewise: that the agent can't tell */

	unsigned int cpus;
	uint64_t user_ns, system_ns, softirq_ns, other_ns, idle_ns; /* of all CPUs */
	uint64_t softnet_processed, softnet_dropped, softnet_squeezed;
	uint64_t pressure_cpu_us, pressure_memory_us; /* "some" */
	uint64_t memory_total, memory_available;
	uint64_t lanes_used;
	struct sample_link links[SAMPLE_LINKS_MAX];
	size_t links_n;
	struct sample_peer peers[FF_HOSTS_MAX];
	size_t peers_n;
	struct sample_instance *instances;
	size_t instances_n;
	struct sample_slots **slots;
	size_t slots_n;
	struct sample_lives *lives;
	size_t lives_n;
	struct sample_flow *flows;
	size_t flows_n;
	bool told
		[FF_INSTANCES_MAX]; /* instances whose flows this sample tells, also if none is heavy */
};

/* sample_protect.c, for sample.c: the part `peers`, and what protection adds to an instance. */
int sample_peers_read(struct sample *sample, const json_t *json, struct ff_error *err);
int sample_protect_read(struct sample_instance *instance, const json_t *json, struct ff_error *err);

/* sample_lives.c, likewise: the part `lives`. */
int sample_lives_read(struct sample *sample, const json_t *json, struct ff_error *err);

/* -EINVAL: what is wrong with it; -ENOMEM. *ret is the caller's. */
int sample_parse(const json_t *json, struct sample **ret, struct ff_error *err);
void sample_free(struct sample *sample); /* NULL is fine */
DEFINE_CLEANUP(struct sample *, sample_free);
#define _cleanup_sample_ _cleanup_(sample_freep)
