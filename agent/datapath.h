/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath.h - the data path of this host: its programs, its maps, its interfaces.
 *
 * The only module that knows the skeleton. Everything is pinned under PIN_DIR (PIN_DIR/maps/NAME,
 * PIN_DIR/links/IFNAME), so packets are forwarded while no agent runs. An agent that starts finds
 * the maps and adopts them, loads the programs it brings along, and exchanges them on the running
 * interfaces one by one: a restart is also how the data path is upgraded.
 *
 * Maps that the agent writes by plain stores are mapped into memory. What orders those stores
 * against packets is said where they are made: table.h for steering, lane.h for moves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"

struct datapath {
	char *pin_dir;
	int owner_fd; /* flock() on pin_dir: a second agent would take this one's programs away */
	char *maps_dir;
	int cpus; /* that run programs: 0 .. cpus - 1 */

	/* mapped, as long as the data path is open */
	struct ff_host_info *host;
	struct ff_service *services;	       /* [FF_SERVICES_MAX] */
	struct ff_slot *table;		       /* FF_TABLE_INDEX */
	struct ff_rule *rules;		       /* FF_RULES_INDEX */
	struct ff_instance *instances;	       /* [FF_INSTANCES_MAX] */
	struct ff_peer *peers;		       /* [2 * FF_HOSTS_MAX], see ff_peer */
	struct ff_lane *lanes;		       /* [FF_LANES_MAX] */
	uint64_t lanes_freed_ns[FF_LANES_MAX]; /* when a free one was last used */
	/* lane.c's: mapped with the first move, and for as long as the rings are kept; or NULL */
	struct ff_flow_key *lane_logs[FF_LANES_MAX][2];
	struct ff_fences *fences; /* [FF_LANES_MAX] */
	struct ff_job *jobs;	  /* [FF_CPUS_MAX] */
	struct ff_heard *heard;	  /* [FF_HOSTS_MAX] */
	struct ff_sent *sent;	  /* [FF_CPUS_MAX] */

	/* map descriptors */
	int pins_fd, nfs_fd, park_rings_fd, log_rings_fd, peer_addrs_fd, local_addrs_fd, ifaces_fd,
		reasons_fd;

	int fabric_fd; /* the program that the agent runs on live frames */

	unsigned int fabric_ifindex;
	uint32_t pins_max; /* that the map pins takes */
	struct datapath_bpf *skel;
};

/*
 * Loads the data path, or takes up what is pinned in pin_dir, a directory on a bpffs. -EBUSY: another
 * process has it open, and nothing was changed.
 */
int datapath_open(const char *pin_dir, struct datapath **ret, struct ff_error *err);
void datapath_close(struct datapath *dp); /* pins stay; NULL is fine */
DEFINE_CLEANUP(struct datapath *, datapath_close);
#define _cleanup_datapath_ _cleanup_(datapath_closep)

/* Native XDP on an interface of this namespace; `role` is FF_IFACE_*. Replaces our own program. */
int datapath_attach(struct datapath *dp, const char *ifname, uint32_t role, struct ff_error *err);

/*
 * Fills in this host's addresses: of its interfaces (for ICMP errors and the tunnel) and all local
 * ones. own[]: by which IPv4 and IPv6 address the other hosts know this one (zero: none), for the
 * fabric interface. Cheap when nothing changed; call it once a second and after address events.
 */
int datapath_addresses_refresh(struct datapath *dp, const struct ff_addr own[2],
			       struct ff_error *err);

/*
 * The addresses of an interface, out of `list`: the preferred one of each family if it has it, else
 * its first global one.
 */
struct netlink_address;
void datapath_iface_addresses(struct ff_iface *iface, uint32_t ifindex,
			      const struct netlink_address *list, size_t count,
			      const struct ff_addr preferred[2]);

/* The sum over CPUs of each reason's counter: FF_REASON_MAX numbers. */
int datapath_reasons(const struct datapath *dp, uint64_t ret_counts[FF_REASON_MAX]);

/* The programs that interfaces run; the others are part of them, by tail calls. */
#define DATAPATH_PROGRAMS 2
struct datapath_program {
	const char *name;
	int fd; /* borrowed */
};
void datapath_programs(const struct datapath *dp,
		       struct datapath_program ret_programs[DATAPATH_PROGRAMS]);

/* Tunnel packets with data to a host, of all CPUs. */
uint64_t datapath_sent(const struct datapath *dp, uint32_t host);

/* Puts an instance's program into the path of its packets; prog_fd -1 takes it out. */
int datapath_nf_set(struct datapath *dp, uint32_t instance, int prog_fd);

/* The id of the program that is there. -ENOENT: none. */
int datapath_nf_get(const struct datapath *dp, uint32_t instance, uint32_t *ret_prog_id);

/* "drop-stranger" and what it means. */
const char *reason_name(uint32_t reason);
const char *reason_text(uint32_t reason);
