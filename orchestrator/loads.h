/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * loads.h - the measured input of the deciding modules (analyzer, planner): plain data, no
 * functions.
 *
 * Whoever gathers samples fills it, under one reading of the clock (`now_ns`), and owns the arrays.
 * analyzer_step() then refines it in place: what it finds absurd or stale loses its validity, rates
 * and utilisations become smoothed ones, hosts get their conditions, services their growth. The
 * planner only reads. Hosts, instances and services are named by the numbers of
 * the model (0: none), never by place in an array, and arrays are in any order unless a comment says
 * so.
 *
 * What could not be measured is not zero: each object carries how good its figures are, and only
 * those of a LOAD_VALID one may be used. All-zero memory is therefore "nothing known".
 *
 * Rates are per second: over the last sampling window before analyzer_step(), smoothed after it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "orchestrator/life.h"

enum load_validity {
	LOAD_MISSING, /* never measured, or not by this source */
	LOAD_STALE,   /* older than the gatherer's bound */
	LOAD_ABSURD, /* measured, but impossible: negative, not finite, above what the host can do */
	LOAD_VALID,
};

struct load_quality {
	enum load_validity validity;
	uint64_t age_ns; /* of the newest sample at loads.now_ns; UINT64_MAX: never */
};

enum instance_state {
	INSTANCE_UNKNOWN,  /* no agent has told yet */
	INSTANCE_STARTING, /* being created: owns nothing, may be given slots */
	INSTANCE_RUNNING,
	INSTANCE_RETIRING, /* a plan's scale-in empties it, with patience: gets nothing new */
	INSTANCE_DRAINING, /* to be emptied at once, by an operator's word: gets nothing new */
	INSTANCE_FAILED,   /* its program, namespace or host is gone: what it owns needs an owner */
};

struct instance_load {
	uint16_t id;
	uint16_t host;
	char name[FF_NAME_MAX];
	enum instance_state state;
	bool outdated; /* of another NF than new ones get, as after half an upgrade: gets nothing new */
	struct load_quality quality; /* of all that follows */
	double packets_per_s;
	double bytes_per_s; /* of the packets that it processed */
	double flows;	    /* that it holds state for */
	double new_flows_per_s;
	double expired_flows_per_s;
	double drops_per_s;	 /* all reasons that are a loss (not nf-denied) */
	double ns_per_packet;	 /* NF time, sampled in the data path */
	double utilisation;	 /* 0..1 (above: overloaded): packets_per_s / capacity_pps */
	double capacity_pps;	 /* packets/s at utilisation 1; 0: 1e9 / ns_per_packet */
	uint64_t capacity_flows; /* of its state table */
	uint64_t age_ms;   /* since it was created (minimum lifetime); UINT64_MAX: not known */
	uint64_t state_ms; /* since it is in this state */
};

/* One slot; its number is its place in service_load.slots. */
struct slot_load {
	uint16_t owner; /* instance; 0: nobody */
	uint8_t valid;	/* bool: the figures below; the owner is the model's and always right */
	uint8_t moving; /* bool: a running operation moves it; the planner leaves it alone */
	uint32_t group; /* slots and flows of one group must have one owner; 0: on its own */
	float packets_per_s; /* that its owner processes: heavy flows too, but none that a pin or a
			      * rule gives to another instance */
	float bytes_per_s;
	float flows;
	float state_bytes; /* what a full copy of its flows' state takes on the wire */
	float dirty_per_s; /* distinct flows that change in a second: what another round sends again */
	float frozen_us; /* how long its flows were held within the last second */
};

/* One of the heaviest flows, found by a bounded sketch, or one that is pinned. */
struct flow_load {
	struct ff_flow_key key;
	uint32_t slot;
	uint32_t group; /* as a slot's */
	uint16_t owner; /* the pin's instance, or its slot's owner */
	uint8_t valid;	/* bool */
	uint8_t pinned; /* bool: there is a pin; taking it away is a move to the slot's owner */
	uint8_t moving; /* bool */
	float packets_per_s;
	float bytes_per_s;
	float state_bytes;
	float left_s; /* how much longer it is likely to live; 0: not known, or no end in sight */
	float frozen_us; /* how long it was held within the last second */
};

/* A rule: all flows of one filter, also those that the policy wants together. */
struct rule_load {
	uint16_t index; /* in the service's table of rules */
	uint16_t owner;
	uint8_t valid;	/* bool */
	uint8_t moving; /* bool */
	uint32_t group;
	float packets_per_s;
	float bytes_per_s;
	float flows;
	float state_bytes;
	float dirty_per_s;
	float frozen_us;
};

/* CPU time by class, as CPUs (1.0: one CPU all the time). */
struct host_cpu {
	float softirq; /* packet processing */
	float system;
	float user;
	float other; /* irq, steal, iowait */
};

/* host_load.conditions, or-ed: what the analyzer has found or the operator said. */
#define HOST_FAILED	 1u /* found dead, or cut off: what its instances own needs new owners */
#define HOST_MAINTENANCE 2u /* to be emptied (drain), gets nothing new */
#define HOST_OVERLOAD	 4u
#define HOST_PRESSURE	 8u  /* pressure stall (CPU or memory) above the policy's bound */
#define HOST_LINK_DOWN	 16u /* its fabric link */
#define HOST_SUSPECT	 32u /* flaps, figures stale or absurd, unreachable: gets nothing new */

struct host_load {
	uint16_t id;
	char name[FF_NAME_MAX];
	uint32_t conditions;	      /* HOST_* */
	char unheard_by[FF_NAME_MAX]; /* a steering host that can't reach it; "": none */
	bool steering; /* gets new instances only where a policy names the hosts for them */
	struct load_quality quality;
	double cpus;		 /* that it has */
	struct host_cpu cpu;	 /* in use, by everything on it */
	double link_bytes_per_s; /* what its fabric link carries, each direction; 0: not known */
	double rx_bytes_per_s;	 /* in use on the fabric link */
	double tx_bytes_per_s;
	double memory_bytes;   /* free */
	bool pressure_known;   /* the kernel has pressure stall information */
	double pressure;       /* 0..1 of the time something waited for CPU or memory (PSI some) */
	double squeezes_per_s; /* softnet: the budget ran out */
	double softnet_drops_per_s;
	uint32_t instances_max;	  /* that the host takes, of all services; 0: FF_INSTANCES_MAX */
	uint32_t instances;	  /* that it has now, of all services */
	uint32_t parking_packets; /* that one move may park there (its bound); 0: not known */
	uint32_t lanes_free;	  /* moves that it can still take part in at once */
};

struct service_load {
	uint16_t id;
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX]; /* class of NF: moves of one class have one cost model */
	struct instance_load *instances;
	size_t instances_n;
	struct slot_load *slots; /* by number */
	size_t slots_n;
	struct flow_load *flows; /* heavy or pinned; sorted by packets_per_s, descending */
	size_t flows_n;
	double growth; /* load that a plan should be made for, of the load now: of the forecast, and
			* while there is underload of the highest within the minimum lifetime; 1: no
			* trend, 0: not known */
	double risen; /* load by now, of the smoothed figures, after a steep rise; else 1; 0: not known */
	uint32_t owners; /* of its instances own something; only where a policy protects it, .. */
	uint32_t unprotected; /* .. so many of them have no standby whose copy is whole */
	struct rule_load *rules;
	size_t rules_n;
	struct life_table lives;	   /* of its flows; all zero: nothing known */
	struct load_quality slots_quality; /* of slots, flows and rules: one stream brings them */
};

struct loads {
	uint64_t now_ns;	 /* CLOCK_MONOTONIC of the orchestrator */
	struct host_load *hosts; /* all that the model knows, also those that are down */
	size_t hosts_n;
	struct service_load *services;
	size_t services_n;
	char database[160]; /* why what is decided can't be written down; else empty */
};
