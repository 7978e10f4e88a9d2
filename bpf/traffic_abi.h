/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_abi.h - what the traffic generator and judge agree on: with each other on the wire, and
 * with `flowferry traffic` in their maps.
 *
 * Apart from abi.h because nothing of the data path may depend on its judge. The judge's
 * bookkeeping is here, not in the BPF program, so that the packets of a BPF judge and those of a
 * socket judge are counted by the same code.
 */
#pragma once

#include <linux/types.h>
#include <linux/bpf.h>

#define TRAFFIC_FLOWS_MAX    (1u << 20) /* 128 MiB of flow records an end */
#define TRAFFIC_CLIENT_PORTS 32768 /* client ports in use; flows beyond them take server ports */
#define TRAFFIC_SIZE_MAX     1500  /* L3 bytes: native XDP on veth, and one page a live frame */
#define TRAFFIC_LINKS_MAX    4	   /* interfaces of one end: one for each gateway */
#define TRAFFIC_CPUS_MAX     64
#define TRAFFIC_MAGIC	     0x66662d7472616666ull /* "ff-traff" */

#define TRAFFIC_FORWARD	     0 /* client to server */
#define TRAFFIC_REVERSE	     1

#define TRAFFIC_IPV4	     1u /* families; with both, flows with an odd index are IPv6 */
#define TRAFFIC_IPV6	     2u

#define TRAFFIC_ROUND_ROBIN  0
#define TRAFFIC_RANDOM	     1

/* ---- on the wire --------------------------------------------------------------------------- */

/*
 * Behind the UDP header; the rest of the datagram is filled with words that follow from `check`,
 * so that a mix-up of two packets' parts shows as well as a flipped bit.
 */
struct traffic_payload {
	__be64 magic;
	__be32 run;
	__be32 flow; /* top bit: direction */
	__be64 seq;  /* from 0, by flow and direction */
	__be64 sent_ns;
	__be64 check;
};
_Static_assert(sizeof(struct traffic_payload) == 40, "traffic_payload");

#define TRAFFIC_FLOW_DIR_SHIFT 31
#define TRAFFIC_FILL_STEP      0x9e3779b97f4a7c15ull /* 2^64 / golden ratio: no short period */

/* What an honest payload's `check` is: all its fields and the length of the datagram, mixed. */
static inline __attribute__((always_inline)) __u64 traffic_check(__u32 run, __u32 flow, __u64 seq,
								 __u64 sent_ns, __u32 len)
{
	__u64 x = ((__u64)run << 32 | flow) ^ TRAFFIC_MAGIC;

	x *= 0xff51afd7ed558ccdull; /* MurmurHash3's finalizer, a round for each field */
	x ^= x >> 33;
	x = (x ^ seq) * 0xc4ceb9fe1a85ec53ull;
	x ^= x >> 29;
	x = (x ^ sent_ns) * 0xff51afd7ed558ccdull;
	x ^= x >> 32;
	x = (x ^ len) * 0xc4ceb9fe1a85ec53ull;
	return x ^ (x >> 33);
}

/* Internet checksum (RFC 1071): words as they lie in memory, folded once at the end. */
static inline __attribute__((always_inline)) __u64 traffic_sum64(__u64 word)
{
	return (word & 0xffffffff) + (word >> 32);
}

static inline __attribute__((always_inline)) __u16 traffic_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* ---- one flow in one direction, as its receiver sees it ------------------------------------ */

#define TRAFFIC_WINDOW 256 /* latest sequence numbers remembered one by one */

/* Map flows: [flow]. Two cache lines, so that no record shares one with another. */
struct traffic_flow {
	struct bpf_spin_lock lock;
	__u32 duplicates;
	__u64 next;	/* highest sequence number seen, plus 1 */
	__u64 received; /* all of them, duplicates included */
	__u64 missing;	/* below `next`, and not seen so far */
	__u64 last_ns;
	__u64 gap_max_ns;
	__u64 latency_max_ns;
	__u64 displacement_max; /* by how many packets a reordered one came late */
	__u32 reordered;
	__u32 corrupted;
	__u32 beyond; /* so late that the window couldn't tell a late packet from a second one */
	__u32 pad;
	__u64 window[TRAFFIC_WINDOW / 64]; /* bit i: next - 1 - i was seen */
	__u64 pad2[2];
};
_Static_assert(sizeof(struct traffic_flow) == 128, "traffic_flow");

/* Moves the window on to @seq, the highest so far. */
static inline __attribute__((always_inline)) void traffic_window_advance(struct traffic_flow *f,
									 __u64 seq)
{
	__u64 steps = seq - f->next + 1;
	__u64 *w = f->window;
	__u32 i;

	f->missing += steps - 1;
	f->next = seq + 1;
	for (i = 0; i < TRAFFIC_WINDOW / 64 && steps >= 64; i++, steps -= 64)
		w[3] = w[2], w[2] = w[1], w[1] = w[0], w[0] = 0;
	if (steps >= 64) {
		w[3] = w[2] = w[1] = w[0] = 0;
	} else if (steps) {
		w[3] = w[3] << steps | w[2] >> (64 - steps);
		w[2] = w[2] << steps | w[1] >> (64 - steps);
		w[1] = w[1] << steps | w[0] >> (64 - steps);
		w[0] <<= steps;
	}
	w[0] |= 1;
}

/* A packet that comes after a later one: reordered, or a second copy. */
static inline __attribute__((always_inline)) void traffic_late_note(struct traffic_flow *f,
								    __u64 seq)
{
	__u64 late = f->next - 1 - seq, bit = 1ull << (late % 64);
	__u64 *word = &f->window[(late / 64) % (TRAFFIC_WINDOW / 64)];

	if (late < TRAFFIC_WINDOW ? (*word & bit) != 0 : !f->missing) {
		f->duplicates++;
		return;
	}
	if (late < TRAFFIC_WINDOW)
		*word |= bit;
	else
		f->beyond++; /* something that old is missing: this is taken to be it */
	if (f->missing)	     /* it isn't only if a second copy was taken for a late one */
		f->missing--;
	f->reordered++;
	if (late > f->displacement_max)
		f->displacement_max = late;
}

/* Enters one genuine packet of the flow. The caller holds f->lock where there are several CPUs. */
static inline __attribute__((always_inline)) void traffic_flow_note(struct traffic_flow *f,
								    __u64 seq, __u64 sent_ns,
								    __u64 now_ns, __u32 corrupted)
{
	__u64 latency = now_ns > sent_ns ? now_ns - sent_ns : 0;

	if (f->received && now_ns > f->last_ns && now_ns - f->last_ns > f->gap_max_ns)
		f->gap_max_ns = now_ns - f->last_ns;
	f->last_ns = now_ns;
	f->received++;
	f->corrupted += corrupted;
	if (latency > f->latency_max_ns)
		f->latency_max_ns = latency;
	if (seq >= f->next)
		traffic_window_advance(f, seq);
	else
		traffic_late_note(f, seq);
}

/* ---- a receiver in all --------------------------------------------------------------------- */

/* Latency histogram: exact below 32 ns, then 32 buckets for each power of two: 3 % wide. */
#define TRAFFIC_BUCKET_BITS 5
#define TRAFFIC_BUCKETS	    (36 << TRAFFIC_BUCKET_BITS) /* up to 2^40 ns, 18 minutes */

static inline __attribute__((always_inline)) __u32 traffic_bucket(__u64 value)
{
	__u32 log = 0, index;
	__u64 v = value;

	if (value < (1u << TRAFFIC_BUCKET_BITS))
		return (__u32)value;
	if (v >> 32)
		log += 32, v >>= 32;
	if (v >> 16)
		log += 16, v >>= 16;
	if (v >> 8)
		log += 8, v >>= 8;
	if (v >> 4)
		log += 4, v >>= 4;
	if (v >> 2)
		log += 2, v >>= 2;
	if (v >> 1)
		log += 1;
	index = ((log - TRAFFIC_BUCKET_BITS + 1) << TRAFFIC_BUCKET_BITS) +
		((value >> (log - TRAFFIC_BUCKET_BITS)) & ((1u << TRAFFIC_BUCKET_BITS) - 1));
	return index < TRAFFIC_BUCKETS ? index : TRAFFIC_BUCKETS - 1;
}

/* Map tally: per CPU, [0]. */
struct traffic_tally {
	__u64 packets;	 /* genuine ones */
	__u64 bytes;	 /* their L3 bytes */
	__u64 corrupted; /* wrong checksum, filling, length or addresses, or an unreadable header */
	__u64 unreadable;   /* of those: so that nobody can tell which packet it was */
	__u64 foreign;	    /* of another run, the wrong direction, or for another MAC address */
	__u64 out_of_range; /* a flow index that this run doesn't have */
	__u64 latency_max_ns;
	__u64 last_ns; /* when the latest genuine one came */
	__u64 latency[TRAFFIC_BUCKETS];
};
_Static_assert(sizeof(struct traffic_tally) == 64 + 8 * TRAFFIC_BUCKETS, "traffic_tally");

/* ---- configuration, fixed when the programs are loaded ------------------------------------- */

struct traffic_hop {
	__u32 ifindex;
	__u8 dst[6];
	__u8 src[6];
};

/* Map devices: where hop i of IPv4 (ipv6 0) or IPv6 (1) begins. */
#define TRAFFIC_HOP(ipv6, i) ((ipv6)*TRAFFIC_LINKS_MAX + (i))

struct traffic_config {
	__u8 addr4[2][4]; /* client, server */
	__u8 addr6[2][16];
	__u32 run; /* 0, receivers only: that of the first genuine packet */
	__u32 flows;
	__u32 client_ports; /* flow i: client_port + i % these, server_port + i / these */
	__u32 elephants;    /* flows 0 to this - 1 get a share of the packets for themselves */
	__u32 elephants_percent;
	__u16 client_port;
	__u16 server_port;
	__u16 size;	/* L3 bytes of each packet */
	__u8 direction; /* of what this end sends */
	__u8 families;	/* TRAFFIC_IPV4 | TRAFFIC_IPV6 */
	__u8 order;	/* TRAFFIC_ROUND_ROBIN or TRAFFIC_RANDOM */
	__u8 links;	/* interfaces of this end */
	__u8 hops[2];	/* next hops for IPv4 and IPv6; flows are spread over them */
	struct traffic_hop hop[2][TRAFFIC_LINKS_MAX];
	struct traffic_hop link[TRAFFIC_LINKS_MAX]; /* `src`: the interface's own address */
};
_Static_assert(sizeof(struct traffic_config) == 72 + 12 * 16, "traffic_config");

static inline __attribute__((always_inline)) __u32 traffic_is_ipv6(__u8 families, __u32 flow)
{
	return families == (TRAFFIC_IPV4 | TRAFFIC_IPV6) ? flow & 1 : families == TRAFFIC_IPV6;
}

/* ---- whose turn it is ---------------------------------------------------------------------- */

/* How far a sender has come; it starts as zeros. */
struct traffic_turn {
	__u32 opened;  /* flows 0 to this - 1 have been sent once: all have, before any is again */
	__u32 credit;  /* of the elephants, in hundredths of a packet */
	__u32 next[2]; /* of the elephants, of the others: counted from the first of each */
};

/* The flow of the next packet. @random is for TRAFFIC_RANDOM only. */
static inline __attribute__((always_inline)) __u32 traffic_turn_take(
	struct traffic_turn *turn, const volatile struct traffic_config *config, __u32 random)
{
	__u32 first = 0, n = config->flows, herd = 1, at;

	if (turn->opened < n)
		return turn->opened++;
	if (config->elephants && config->elephants < n) {
		turn->credit += config->elephants_percent;
		herd = turn->credit < 100;
		turn->credit -= herd ? 0 : 100;
		first = herd ? config->elephants : 0;
		n = herd ? n - config->elephants : config->elephants;
	}
	if (config->order == TRAFFIC_RANDOM)
		return first + random % n;
	at = turn->next[herd] < n ? turn->next[herd] : 0;
	turn->next[herd] = at + 1;
	return first + at;
}
