/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.h - the agent's configuration file.
 *
 *	host: nf1
 *	fabric: {interface: fabric0}
 *	steering: [client0, server0]		# may be left out
 *	listen: {address: 198.18.8.11, port: 7601}
 *	socket: /run/flowferry/nf1/agent.sock
 *	tls: {ca: ca.pem, cert: nf1.pem, key: nf1.key}
 *	bpffs: /sys/fs/bpf/flowferry		# default; pins go to BPFFS/HOST
 *	nf_dir: /usr/local/lib/flowferry/nf	# default: where this program's installation has them
 *	state_dir: /run/flowferry/nf1		# default: the socket's directory
 *	insecure: false
 *	monitor: {period_ms: 100, run_time_every_s: 10}	# optional; 0: the run time isn't measured
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct agent_fabric {
	char *interface;
};

struct agent_listen {
	char *address;
	uint16_t port;
};

struct agent_tls {
	char *ca;
	char *cert;
	char *key;
};

struct agent_monitor {
	unsigned int period_ms;
	unsigned int *run_time_every_s;
};

struct agent_config {
	char *host;
	struct agent_fabric *fabric;
	char **steering;
	unsigned int steering_count;
	struct agent_listen *listen; /* NULL: the unix socket only */
	char *socket;
	struct agent_tls *tls;
	char *bpffs;
	char *nf_dir;
	char *state_dir;
	bool insecure;
	struct agent_monitor *monitor;
};

int agent_config_load(const char *path, struct agent_config **ret, struct ff_error *err);
void agent_config_free(struct agent_config *config);
