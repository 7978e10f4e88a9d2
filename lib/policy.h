/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * policy.h - what an operator wants of one service: the bounds within which the loop decides.
 *
 * A file holds one policy, in YAML; policies/example.yaml shows every field with its default.
 * JSON is read by the same parser, so that file and API can't differ. Each field has the name and
 * the unit that it has here. What a file leaves out has its default.
 *
 * A policy is plain memory without pointers: copied by `=`, applied as a whole by exchanging one
 * for another. One that was read here is valid: each number within its bounds, no contradiction.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "bpf/abi.h"
#include "lib/error.h"

#define POLICY_QUIET_MAX    16 /* quiet hours: two a day and a few days of their own */
#define POLICY_TOGETHER_MAX 16 /* each may become a rule in the data path, of which there are 32 */
#define POLICY_FILTER_MAX   256
#define POLICY_DAY_MINUTES  (24 * 60)
#define POLICY_EVERY_DAY    0x7f

enum policy_mode {
	POLICY_ACT,	/* plans are carried out */
	POLICY_OBSERVE, /* plans are made and shown, none is carried out */
};

enum policy_partition {
	POLICY_KEEP_FORWARDING, /* a host that is cut off goes on with its last table */
	POLICY_FENCE, /* it gives its flows up when its lease ends, before others get them */
};

/* Per cent of what an instance, or a host, can do. */
struct policy_utilisation {
	uint32_t up_percent;	 /* an instance, or all together, above: overload */
	uint32_t target_percent; /* no instance above it after a plan; down < target < up */
	uint32_t down_percent;	 /* all of a service's instances together below: underload */
	uint32_t
		imbalance_percent; /* points between the busiest instance and the mean: imbalance */
	uint32_t host_percent;	   /* of a host's CPUs, all services and the kernel together */
	uint32_t pressure_percent; /* of the time in which something on a host waits (PSI) */
};

/* What users of the service are promised. 0: no promise. */
struct policy_sla {
	uint32_t latency_us; /* an NF's time for a packet, mean */
	uint32_t drop_ppm;   /* packets dropped for want of capacity, per million */
	uint32_t freeze_ms;  /* the longest freeze of a flow in one move */
};

struct policy_instances {
	uint32_t min; /* at least 1: the last instance stays */
	uint32_t max;
	uint32_t per_host; /* on one host at most */
};

/* What an instance holds: per cent of the flows that its state table takes. */
struct policy_capacity {
	uint32_t packets_per_s;	 /* that an instance can process; 0: as measured */
	uint32_t up_percent;	 /* above, or forecast to be: capacity */
	uint32_t target_percent; /* no table above it after a plan */
};

struct policy_moves {
	uint32_t freeze_ms_per_s;   /* a flow may be frozen so long in any second, all moves */
	uint32_t parked_packets;    /* parked for one move on its target; the move's park_limit */
	uint32_t fabric_mbit_per_s; /* of state on a host's fabric link; 0: as fast as it goes */
	uint32_t at_once;	    /* moves of this service that run at the same time */
	uint32_t gain_percent;	    /* a balancing plan must better the busiest by so many points */
};

struct policy_scale_in {
	uint32_t patience_ms; /* a flow expected to end within this is left to end, not moved */
	uint32_t deadline_ms; /* the retired instance is empty by then, moved or ended */
};

/* Against flapping: how the analyzer smooths, and how long things must last. */
struct policy_stability {
	uint32_t smooth_ms; /* time constant of the moving average; 0: none */
	uint32_t up_ms;	    /* overload, capacity, imbalance must last before they count */
	uint32_t down_ms;   /* likewise underload, and the end of any condition */
	uint32_t hold_ms;   /* after the number of instances changed, before the next change down */
	uint32_t lifetime_ms; /* none is retired before, nor one that was needed within it */
	uint32_t forecast_ms; /* how far ahead the trend is followed; 0: no forecast */
	uint32_t stale_ms;    /* data older than this is no data */
	uint32_t failure_ms;  /* a silent data path counts as failed after this */
};

struct policy_protect {
	bool enabled;	 /* a standby on another host has each flow's state */
	uint32_t lag_ms; /* its copy may be so old */
};

struct policy_partition_rule {
	uint8_t mode;	   /* enum policy_partition */
	uint32_t lease_ms; /* for fence */
};

struct policy_placement {
	bool spread;	      /* two or more instances: never all on one host */
	uint32_t hosts_count; /* 0: any host */
	char hosts[FF_HOSTS_MAX][FF_NAME_MAX];
};

/*
 * Times, by the orchestrator's own time zone, in which nothing is changed that can wait: no
 * scale-in, no balancing. Overload, failure and maintenance don't wait. `to` before `from` ends on
 * the next day; the days are those on which it begins.
 */
struct policy_quiet {
	uint16_t from_minute; /* of the day */
	uint16_t to_minute;
	uint8_t days; /* bit 0: Monday */
};

struct policy {
	uint8_t mode; /* enum policy_mode */
	struct policy_utilisation utilisation;
	struct policy_sla sla;
	struct policy_instances instances;
	struct policy_capacity capacity;
	struct policy_moves moves;
	struct policy_scale_in scale_in;
	struct policy_stability stability;
	struct policy_protect protect;
	struct policy_partition_rule partition;
	struct policy_placement placement;
	uint32_t quiet_count;
	struct policy_quiet quiet_hours[POLICY_QUIET_MAX];
	/* filters (pcap-filter(7)): all flows that one takes have one owner */
	uint32_t together_count;
	char together[POLICY_TOGETHER_MAX][POLICY_FILTER_MAX];
};

/* The policy of a service that was given none. */
void policy_init(struct policy *ret_policy);

/*
 * Reads YAML or JSON. Errors name @name (a file), line, column, field, cause and mend; so do
 * contradictions between fields. *ret_policy is untouched on failure. -EINVAL, -EFBIG, -ENOENT ...
 */
int policy_load(const char *path, struct policy *ret_policy, struct ff_error *err);
int policy_load_text(const char *name, const char *text, size_t len, struct policy *ret_policy,
		     struct ff_error *err);
/* A policy that came in the body of a request. Errors name fields, not lines. */
int policy_from_json(const json_t *json, struct policy *ret_policy, struct ff_error *err);

/* All of it, defaults too: what policy_from_json() takes. NULL: no memory. */
json_t *policy_to_json(const struct policy *policy);

/* Whether @minute (of the day) on @day (0: Monday) is in quiet hours. */
bool policy_is_quiet(const struct policy *policy, unsigned int day, unsigned int minute);

/* Whether an instance may be on that host. */
bool policy_allows_host(const struct policy *policy, const char *host);

const char *policy_mode_name(uint8_t mode);
const char *policy_partition_name(uint8_t mode);
