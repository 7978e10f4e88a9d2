/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab.h - the lab: a network of namespaces on one machine (DESIGN.md section 6).
 *
 *	client --- gw --- server	c0, s0: the gateway's ends; gw2 beside it with two gateways
 *		   |
 *		fabric ---- nf1 ... nfN, orch	f0: the host's end
 *
 * lab_state.c plans it and keeps it in LAB_STATE; lab_net.c makes namespaces, links, addresses and
 * routes of the plan, lab_bpf.c their XDP programs; lab_proc.c runs the daemons; lab_service.c talks
 * to them; lab_up.c is the order of all that; lab_clean.c takes it down; cmd_lab.c is the
 * verb. LAB_STATE is written before anything is made, so whatever a lab that died half-way has left
 * is in it, and nothing else is ever taken down. Whoever changes the lab holds the lock on LAB_DIR.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/json.h"

#define LAB_RUN_DIR	     "/run/flowferry"
#define LAB_DIR		     LAB_RUN_DIR "/lab"
#define LAB_STATE	     LAB_DIR "/lab.json"
#define LAB_PKI_DIR	     LAB_DIR "/pki"
#define LAB_BPFFS	     "/sys/fs/bpf"
#define LAB_PIN_DIR	     LAB_BPFFS "/flowferry"
#define LAB_SOCKET	     LAB_RUN_DIR "/orchestrator.sock"
#define LAB_AGENT_PORT	     7601

#define LAB_GATEWAYS_MAX     2
#define LAB_NF_HOSTS_MAX     60 /* FF_HOSTS_MAX, less the gateways and number 0 */
#define LAB_HOSTS_MAX	     (LAB_NF_HOSTS_MAX + LAB_GATEWAYS_MAX + 4)
#define LAB_NAME_MAX	     16
#define LAB_ACCESS_MTU	     1500
#define LAB_FABRIC_MTU	     1600 /* 1500 and the tunnel's headers, over IPv6 too */
#define LAB_FABRIC_MTU_MIN   1280 /* IPv6's least */
#define LAB_FABRIC_MTU_MAX   3400 /* what native XDP on a veth bears, in one page of 4 KiB */
#define LAB_HOSTS_DEFAULT    3
#define LAB_GATEWAYS_DEFAULT 1
#define LAB_SLOTS_DEFAULT    4096
#define LAB_NF_DEFAULT	     "firewall"

struct lab_options {
	unsigned int hosts; /* NF hosts */
	unsigned int gateways;
	unsigned int slots;
	unsigned int fabric_mtu;
	char nf[LAB_NAME_MAX * 2];
	bool no_daemons; /* the network alone, forwarded by the kernel */
	bool no_wait;
	bool keep_logs;
};

enum lab_role { LAB_CLIENT, LAB_SERVER, LAB_FABRIC, LAB_ORCHESTRATOR, LAB_GATEWAY, LAB_NF_HOST };

struct lab_host {
	char name[LAB_NAME_MAX];
	char netns[LAB_NAME_MAX + 4];
	enum lab_role role;
	unsigned int number;	    /* of its role, from 1 */
	char ipv4[INET_ADDRSTRLEN]; /* on the fabric, the ends' on their link; empty: none */
	char ipv6[INET6_ADDRSTRLEN];
	pid_t pid;	     /* of its daemon; 0: none was started */
	uint64_t start_time; /* of that process, so that nobody else's is ever taken for it */
};

struct lab {
	struct lab_options options;
	struct lab_host hosts[LAB_HOSTS_MAX];
	size_t n_hosts;
	bool mounted_bpffs;
	bool complete; /* `lab up` came to its end */
	int lock_fd;   /* -1: not held */
};

/* ---- lab_up.c ---------------------------------------------------------------------------------- */

/* Makes the lab; whatever goes wrong, SIGINT and SIGTERM too, nothing of it is left. */
int lab_up(const struct lab_options *options, struct ff_error *err);

/* SIGINT and SIGTERM from now on only set a flag; then all that waits ends with -EINTR. */
void lab_signals_catch(void);
int lab_check_interrupted(struct ff_error *err);
const atomic_bool *lab_interrupt_flag(void);
/* Between two tries of something that is waited for. */
void lab_pause(void);

/* ---- lab_state.c ------------------------------------------------------------------------------- */

/* Pure: who is in the lab, and their addresses. The options have been checked. */
void lab_plan(struct lab *lab, const struct lab_options *options);
/* By name, with or without "ff-"; "orchestrator" is "orch". NULL: none. */
struct lab_host *lab_host_find(struct lab *lab, const char *name);
bool lab_host_has_agent(const struct lab_host *host);
bool lab_host_has_daemon(const struct lab_host *host);
const char *lab_role_name(enum lab_role role);
/* What the lab calls its service; instances are NAME-1, NAME-2 ... */
const char *lab_service_name(const struct lab *lab);

/*
 * Takes the lock. With `create`, makes LAB_DIR. -EBUSY: somebody holds it; -ENOENT: no lab.
 */
int lab_lock(struct lab *lab, bool create, struct ff_error *err);
void lab_unlock(struct lab *lab);
/* -ENOENT: no lab is up. */
int lab_load(struct lab *lab, struct ff_error *err);
int lab_save(const struct lab *lab, struct ff_error *err);
int lab_to_json(const struct lab *lab, json_t **ret);
int lab_from_json(const json_t *json, struct lab *lab, struct ff_error *err);

/* ---- lab_net.c --------------------------------------------------------------------------------- */

int lab_net_up(const struct lab *lab, struct ff_error *err);
/* The addresses that a host has now, as a JSON array of text. */
int lab_net_addresses(const struct lab_host *host, json_t **ret);

/* ---- lab_tune.c -------------------------------------------------------------------------------- */

/* Before the links are made. */
int lab_sysctls_write(const struct lab_host *host, int netns_fd);
/* Checksum and segmentation offloads of a link, which XDP's redirected frames don't survive. */
int lab_offloads_off(int netns_fd, const char *link);
/* When the links are there: each CPU sends by its own queue of each. */
int lab_queues_pin(int netns_fd);

/* ---- lab_bpf.c --------------------------------------------------------------------------------- */

struct lab_bpf;

struct lab_xdp {
	struct lab_bpf *skeleton;
};

int lab_xdp_init(struct lab_xdp *xdp, struct ff_error *err);
void lab_xdp_done(struct lab_xdp *xdp);
/* In the namespace `netns_fd`, natively: the program that lets an end receive. */
int lab_xdp_pass(struct lab_xdp *xdp, int netns_fd, unsigned int ifindex);
/* A port of the switch, to which `mac` is reached. */
int lab_xdp_port(struct lab_xdp *xdp, int netns_fd, unsigned int ifindex, unsigned int port,
		 const uint8_t mac[6]);

/* Mounts bpffs if it isn't there; *ret_mounted tells. */
int lab_bpffs_mount(bool *ret_mounted, struct ff_error *err);
bool lab_bpffs_is_mounted(void);

/* ---- lab_clean.c ------------------------------------------------------------------------------- */

/* -EEXIST if one of the lab's namespaces is there already, and hence somebody else's. */
int lab_net_check(const struct lab *lab, struct ff_error *err);
/* Ends the daemons; removes pins, links, namespaces and files; the lab's own mount of bpffs. */
void lab_clean(struct lab *lab);

/* ---- lab_config.c ------------------------------------------------------------------------------ */

/* Certificates and configuration files of all daemons. */
int lab_config_write(const struct lab *lab, struct ff_error *err);

/* ---- lab_proc.c -------------------------------------------------------------------------------- */

/* Starts a host's daemon and saves the lab, in such an order that no process is ever unaccounted. */
int lab_proc_start(struct lab *lab, struct lab_host *host, struct ff_error *err);
bool lab_proc_alive(const struct lab_host *host);
/* Ends the daemons of `host`, or (NULL) of all; asks first, then kills. */
void lab_proc_stop(struct lab *lab, struct lab_host *host);
/* "flowferry-agent" ... */
const char *lab_proc_name(const struct lab_host *host);
void lab_proc_log_path(const struct lab_host *host, char *buf, size_t size);
void lab_proc_config_path(const struct lab_host *host, char *buf, size_t size);
/* The socket on which a host's daemon answers. */
void lab_proc_socket(const struct lab_host *host, char *buf, size_t size);

/* ---- lab_service.c ----------------------------------------------------------------------------- */

/* Waits until a host's daemon answers; an error quotes its log. */
int lab_wait_ready(const struct lab_host *host, struct ff_error *err);
int lab_service_create(const struct lab *lab, struct ff_error *err);
/* Waits until client and server reach each other over IPv4 and IPv6. */
int lab_wait_traffic(struct lab *lab, struct ff_error *err);
/* The instances by host as the orchestrator knows them; NULL if it doesn't answer. */
json_t *lab_instances(void);
