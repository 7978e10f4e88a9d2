/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rig.h - the lab as suites use it: a network with its daemons, moves through the orchestrator's
 * API, and numbered traffic beside them, whose verdict decides about the figures taken under it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/http_client.h"
#include "tests/bench/bench.h"
#include "tools/lab.h"

struct rig {
	struct lab lab;
	struct http_client *orchestrator;
};

/*
 * A lab with so many NF hosts; no other may be up. With daemons: the firewall fw, instances fw-1
 * ...; without: the network alone.
 */
int rig_up(struct rig *rig, unsigned int hosts, bool daemons, struct ff_error *err);
void rig_down(struct rig *rig); /* also one that didn't come up */

/* A call to the orchestrator; `body` is borrowed, and may be NULL, as ret_reply. */
int rig_call(struct rig *rig, const char *method, const char *path, json_t *body,
	     json_t **ret_reply, struct ff_error *err);
int rig_instance_add(struct rig *rig, const char *name, const char *host, struct ff_error *err);
int rig_instance_remove(struct rig *rig, const char *name, struct ff_error *err);

/* Gives fw-1 all flows and removes the other instances, of which there is one on each host. */
int rig_gather(struct rig *rig, struct ff_error *err);
int rig_policy(struct rig *rig, const char *json, struct ff_error *err);

/* Flows with state, of all instances, as the orchestrator knows them: up to half a second old. */
int rig_flows(struct rig *rig, uint64_t *ret_flows, struct ff_error *err);
/* Returns when there are so many; -ETIMEDOUT after timeout_ms. */
int rig_flows_wait(struct rig *rig, uint64_t flows, unsigned int timeout_ms, struct ff_error *err);

/*
 * Moves what `from` owns to `to`, with the fields of `options` (borrowed, may be NULL) in the
 * request. *ret_operation: as it ended; an error unless it is `completed`, with nothing given up.
 */
int rig_move(struct rig *rig, const char *from, const char *to, const json_t *options,
	     json_t **ret_operation, struct ff_error *err);

/* ---- traffic --------------------------------------------------------------------------------- */

/* From client to server: UDP in packets of 128 bytes, or TCP with an answer to each message. */
struct rig_traffic_spec {
	uint64_t flows;
	uint64_t rate;	      /* packets a second in all; 0: as many as go without loss */
	unsigned int debt_ms; /* so far behind the rate is made up for; 0: the sender's default */
	unsigned int seconds; /* 0: until rig_traffic_end() */
	uint64_t count;	      /* not more packets than this; 0: no bound */
	bool ipv6;
	uint16_t port;		/* of the server, for flows that no others are taken for; 0: any */
	unsigned int tcp_flows; /* connections; 0: UDP. The fields above then say nothing */
	unsigned int tcp_rate;	/* messages a second, each */
};

struct rig_traffic {
	pid_t pid; /* 0: none */
	int fd;	   /* where its report goes */
	uint64_t rate;
	bool tcp;
	bool endless;
};

int rig_traffic_start(struct rig_traffic *traffic, const struct rig_traffic_spec *spec,
		      struct ff_error *err);
bool rig_traffic_running(const struct rig_traffic *traffic);
/*
 * Waits for its end; one without a duration is told to end. *ret_report: what `flowferry traffic
 * run -o json` has printed. *ret_verdict: NULL if every packet came once and in order and the rate
 * was reached, and no connection broke, else what was wrong, malloc'ed.
 */
int rig_traffic_end(struct rig_traffic *traffic, json_t **ret_report, char **ret_verdict,
		    struct ff_error *err);
/* From start to end. A bad verdict is an error. */
int rig_traffic_run(const struct rig_traffic_spec *spec, json_t **ret_report, struct ff_error *err);
/* Begins so many flows, each with a packet, and leaves them idle; port: as above. */
int rig_flows_begin(uint64_t flows, uint16_t port, bool ipv6, struct ff_error *err);
