/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.h - the orchestrator's configuration file.
 *
 *	socket: /run/flowferry/orchestrator.sock
 *	listen: { address: 198.18.8.1, port: 4432 }	optional
 *	database: /var/lib/flowferry/orchestrator.db
 *	tls: { ca: ca.pem, cert: orch.pem, key: orch.key }	needed for listen and https agents
 *	insecure: false		optional: plain TCP outside loopback
 *	hosts:
 *	  - { name: nf1, url: "https://198.18.8.3:4433", ipv4: 198.18.8.3, ipv6: "2001:db8:8::3" }
 *
 * A host's url may also be "unix:/path" or "http://127.0.0.1:8080".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

struct orch_config_listen {
	char *address;
	uint16_t port;
};

struct orch_config_tls {
	char *ca;
	char *cert;
	char *key;
};

struct orch_config_host {
	char *name;
	char *url;
	char *ipv4; /* fabric addresses; either may be NULL, not both */
	char *ipv6;
};

struct orch_config {
	char *socket;
	struct orch_config_listen *listen; /* NULL: none */
	char *database;
	struct orch_config_tls *tls; /* NULL: none */
	bool insecure;
	struct orch_config_host *hosts;
	unsigned int hosts_count;
};

/* Reads and checks it: names, addresses, duplicates, TLS where it's needed. */
int orch_config_load(const char *path, struct orch_config **ret, struct ff_error *err);
void orch_config_free(struct orch_config *config);
DEFINE_CLEANUP(struct orch_config *, orch_config_free);
