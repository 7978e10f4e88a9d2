/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * desired.h - what the orchestrator wants of this host: the body of PUT /v1/config, read and checked
 * as a whole before anything of it is applied.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/table.h"
#include "lib/addr.h"

/* An answer from the far end of a fabric takes longer than this for a host with much to do. */
#define FAILURE_MS_MIN 50
#define FAILURE_MS_MAX 60000
#define LAG_MS_MIN     10 /* a round costs two hosts some 0.3 ms, however little has changed */
#define LAG_MS_MAX     60000
#define LEASE_MS_MIN   100 /* a sample is up to 100 ms old when the orchestrator has it */
#define LEASE_MS_MAX   3600000

struct desired_host {
	bool known;
	char name[FF_NAME_MAX];
	char url[128];
	struct ff_addr ipv4, ipv6; /* zero: none */
};

struct desired_service {
	bool is;
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX];
	json_t *config; /* of the NF; NULL: none */
	uint32_t slots;
	__u64 seed[2];
	bool any;	   /* its class is "everything" */
	uint32_t lag_ms;   /* by how much a standby's state may be behind; 0: not protected */
	uint32_t lease_ms; /* cut off from the orchestrator for longer, the host drops; 0: never */
	struct ff_match class;

	/* owners, pins, rules; `busy` is the caller's */
	struct table_desired table;
	struct table_owner *owners;
	struct ff_flow_key *pins;
	uint16_t *pin_owners;
	struct subject_rule *rules;
	uint16_t *rule_owners;
};

struct desired_instance {
	bool is;
	uint16_t service, host;
	uint16_t standby_of; /* instance whose state it is given, and no packets; 0: none */
	uint64_t capacity;
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX]; /* in an upgrade, another one than its service's */
};

struct desired {
	uint16_t host; /* this one's number */
	uint64_t version;
	uint32_t
		failure_ms; /* peers that are silent for longer are told of; 0: they aren't asked */
	struct desired_host hosts[FF_HOSTS_MAX];
	struct desired_service services[FF_SERVICES_MAX];
	struct desired_instance instances[FF_INSTANCES_MAX];
};

/* Changes nothing. -EINVAL: something in it is malformed or names what isn't there. */
int desired_read(const json_t *config, struct desired **ret, struct ff_error *err);
void desired_free(struct desired *desired); /* NULL is fine */
DEFINE_CLEANUP(struct desired *, desired_free);
#define _cleanup_desired_ _cleanup_(desired_freep)

/*
 * Does it agree with the services that run ([FF_SERVICES_MAX])? What steers packets already must
 * not change under them. -EEXIST.
 */
int desired_check(const struct desired *desired, const struct ff_service *running,
		  struct ff_error *err);
