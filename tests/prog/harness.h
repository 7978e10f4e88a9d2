/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * harness.h - one host's data path and one NF, driven packet by packet by BPF_PROG_TEST_RUN.
 *
 * The host of the tests, number 1, lives in a network namespace of the test's own:
 *
 *	c0  steering  198.18.1.1/24  2001:db8:1::1/64   behind it the client, ::2 and .2
 *	s0  steering  198.18.2.1/24  2001:db8:2::1/64   behind it the server
 *	f0  fabric    198.18.8.1/24  2001:db8:8::1/64   behind it host 2, .2, and a stranger, .66
 *
 * All three have the MAC that packets are addressed to unless they say else, PACKET_MAC_DST.
 *
 * Service 1 is everything, with RIG_SLOTS slots, owned by instance 1 (here) until a test says else;
 * instance 2 is on host 2, instance 3 on the unresolved host 3.
 *
 * Criterion runs each test in a process of its own, so a rig is made by a test's .init and needs no
 * end. Whatever fails here ends the test: with missing privileges the suite fails, it doesn't skip.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "tests/prog/packet.h"

#define RIG_SLOTS    16
#define RIG_SERVICE  1
#define RIG_HERE     1 /* instance on this host */
#define RIG_THERE    2 /* on host 2 */
#define RIG_NOWHERE  3 /* on host 3, which isn't resolved */
#define RIG_CAPACITY 1000
#define RIG_MTU	     1500

enum rig_port { RIG_CLIENT, RIG_SERVER, RIG_FABRIC, RIG_PORTS };

struct rig;
extern struct rig *rig; /* the test's; made by rig_init() */

/*
 * Makes the namespace, loads the data path, and `nf` (a name such as "firewall", or NULL). The
 * programs of the fabric cost the verifier two seconds, so tests that don't need them go without.
 */
enum rig_parts { RIG_STEERING, RIG_ALL };
void rig_init(const char *nf, enum rig_parts parts);

/* What became of a packet. */
struct outcome {
	int verdict;	  /* XDP_* */
	uint64_t reasons; /* bit of each enum ff_reason that was counted */
	struct frame out; /* as it left, or as the kernel gets it */
};
#define REASON(name) (1ull << FF_REASON_##name)

/* Runs one packet through the program that the interface has. */
void rig_run(enum rig_port port, const struct packet *packet, struct outcome *ret);
void rig_run_frame(enum rig_port port, const void *data, size_t len, struct outcome *ret);

/* The names of a set of reasons, for messages. Static storage. */
const char *rig_reasons_text(uint64_t reasons);

/*
 * One row of a table. `reasons` must be exactly what is counted. Without a verdict: dropped if
 * there is a reason, else sent on.
 */
struct row {
	const char *what;
	enum rig_port port;
	struct packet packet;
	int verdict;
	uint64_t reasons;
};
#define SENT		0, 0
#define DROPPED(reason) XDP_DROP, REASON(reason)
#define PASSED(reason)	XDP_PASS, REASON(reason) /* to the kernel */
void rig_rows(const struct row *rows, size_t count);

/* The data path's maps by name, for what a test sets up itself. */
int rig_map(const char *name);
void rig_map_set(const char *name, const void *key, const void *value);
void rig_map_get(const char *name, const void *key, void *ret_value);
bool rig_map_has(const char *name, const void *key);
void rig_owner_set(uint16_t slot, const struct ff_steer *steer); /* in the active bank */
void rig_owner_set_all(const struct ff_steer *steer);
void rig_capacity_set(uint64_t capacity);
uint64_t rig_lives_ended(void);			  /* all that are counted by their length */
uint64_t rig_flows(void);			  /* as the NF counts them */
struct ff_instance_stats rig_stats(void);	  /* of RIG_HERE, over all CPUs */
uint16_t rig_slot(const struct ff_flow_key *key); /* by user space's hash */
extern const __u64 RIG_SEED[2];

/*
 * An NF's types are its own: fields are found through BTF, by path: "packets", "timeouts.none_s".
 * rig_flow() reads element `index` of a field of the flow's state as a number; the flow must have
 * an entry. rig_config_set() writes one, or a whole struct by rig_config_put().
 */
bool rig_flow_known(const char *flow);
uint64_t rig_flow(const char *flow, const char *field, unsigned int index);
void rig_flow_expire(const char *flow);	       /* as if its time had just run out */
void rig_flow_die(const char *flow);	       /* as if a sweep were just deleting it */
int64_t rig_flow_lifetime_s(const char *flow); /* left, rounded */
void rig_config_set(const char *field, unsigned int index, uint64_t value);
void rig_config_put(const char *field, unsigned int index, const void *data, size_t len);
uint64_t rig_value_field(const char *map, const void *key, const char *field, unsigned int index);
int rig_enum(const char *name);		      /* an enumerator of the NF, by name */
struct ff_flow_key rig_key(const char *flow); /* text as in lib/flow.h */

/* Runs one packet `count` times on each of two CPUs at once. */
void rig_run_twice(const struct packet *a, const struct packet *b, enum rig_port port_a,
		   enum rig_port port_b, unsigned int count);

/* The addresses of client and server, in both directions, for descriptions of packets. */
#define C4 .src = "198.18.1.2", .dst = "198.18.2.2"
#define S4 .src = "198.18.2.2", .dst = "198.18.1.2"
#define C6 .src = "2001:db8:1::2", .dst = "2001:db8:2::2"
#define S6 .src = "2001:db8:2::2", .dst = "2001:db8:1::2"

/* Likewise, of what comes by the fabric: of a tunnel packet, and of one from host 2 to this one. */
#define TUNNEL_UDP   .proto = IPPROTO_UDP, .sport = FF_PATH_PORT, .dport = FF_GENEVE_PORT
#define PEER	     .src = "198.18.8.2", .dst = "198.18.8.1", TUNNEL_UDP

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
