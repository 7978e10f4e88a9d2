/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h - what the BPF programs and the programs of user space agree on.
 *
 * The only header that both sides include: sizes, map values, the tunnel's option, the reasons.
 * Both sides include <linux/types.h> and <linux/bpf.h> before it. Nothing here has a pointer, a
 * bool, an enum field or implicit padding, and the byte order of each field is in its type.
 *
 * Who writes what:
 *   agent only          services, table, pins, rules, peers, ifaces, local_addrs, lane set-up
 *   data path only      reasons, meter, park cells, log records, fragments, lane.park_head,
 *                       peer_sent, peer_heard
 *   both, atomically    lane.park_tail, lane.log_tail, fences, entry head.expires,
 *                       slot_loads.flows, slot_hints (see each)
 *   both, one CPU       jobs: an agent's thread on that CPU, and its live frames
 */
#pragma once

#include <linux/types.h>

/*
 * Of what is pinned: an agent leaves alone what has another number. To be raised when something keeps its
 * layout and changes its meaning (a flag, a hash, a constant). Layouts are compared without it: agent/abi.h.
 */
#define FF_ABI_VERSION 5

/* ---- bounds, each with its why ------------------------------------------------------------- */

#define FF_SERVICES_MAX	 16    /* services on one host; the VNI is the service's number, 1..15 */
#define FF_SLOTS_MAX	 16384 /* slots of a service; 2 banks x 16 services x 16 B x this = 8 MiB */
#define FF_GROUPS_MAX	 512   /* state maps of an instance: 1 % of the slots touches 1 % of them */
#define FF_INSTANCES_MAX 1024  /* instances known to one host; number 0 means none */
#define FF_HOSTS_MAX	 64    /* hosts on one fabric; number 0 means none */
#define FF_RULES_MAX	 32    /* rules of a service: a bit each in a slot's mask */
#define FF_LANES_MAX	 32 /* moves that one host takes part in at once (2 for a local move) and */
#define FF_REPLICAS_MAX	 16 /* instances of a host that are replicated: they leave lanes for moves */
#define FF_STEERING_MAX	 8  /* senders of fences in a move: 7 steering hosts and the target */
#define FF_CPUS_MAX	 64 /* CPUs of a steering host: bounds the fence board */
#define FF_PATHS	 64 /* outer source ports: enough for ECMP and RSS, few enough to fence */
#define FF_PATH_PORT	 49152 /* outer source port of path 0 (RFC 6335's dynamic range) */
#define FF_HOPS_MAX	 2 /* tunnel hops of one packet: steering host, then one stray forward */
#define FF_VLANS_MAX	 2 /* 802.1Q tags looked through (QinQ) */
#define FF_EXTHDRS_MAX	 6 /* IPv6 extension headers looked through (RFC 8200 lists six kinds) */
#define FF_NAME_MAX	 32

#define FF_GENEVE_PORT	 6081	/* RFC 8926 */
#define FF_GENEVE_CLASS	 0xff46 /* RFC 8926 section 6: 0xff00 - 0xffff, experimental */
#define FF_GENEVE_TYPE	 0x46
#define FF_ETH_P_TEB	 0x6558 /* transparent Ethernet bridging: the payload is a frame */
#define FF_ETH_P_FENCE	 0x88b5 /* IEEE 802 local experimental: the payload is struct ff_fence */

/* ---- reasons ------------------------------------------------------------------------------- */

/* Every drop and every unusual turn of a packet. X(symbol, name, what it tells an operator) */
#define FF_REASONS(X)                                                                              \
	X(NONE, "none", "not counted")                                                             \
	X(PASS_NOT_IP, "pass-not-ip", "not IP (ARP, LLDP, ...): to the kernel")                    \
	X(PASS_NOT_US, "pass-not-us", "frame for another station: to the kernel")                  \
	X(PASS_LOCAL, "pass-local", "addressed to this host: to the kernel")                       \
	X(PASS_MULTICAST, "pass-multicast", "multicast, broadcast, link-local: to the kernel")     \
	X(PASS_NO_SERVICE, "pass-no-service", "belongs to no service: to the kernel")              \
	X(PASS_PROTOCOL, "pass-protocol", "transport protocol without flows: to the kernel")       \
	X(PASS_NO_ROUTE, "pass-no-route", "the FIB can't forward it in XDP: to the kernel")        \
	X(PASS_NO_NEIGHBOUR, "pass-no-neighbour", "next hop unresolved: to the kernel")            \
	X(PASS_TTL, "pass-ttl", "TTL or hop limit at its end: to the kernel")                      \
	X(PASS_TOO_BIG, "pass-too-big", "larger than the next link: to the kernel")                \
	X(PASS_TRUNCATED, "pass-truncated", "cut short or bad length: to the kernel")              \
	X(PASS_BAD_HEADER, "pass-bad-header", "malformed IP or transport header: to the kernel")   \
	X(PASS_EXTHDRS, "pass-exthdrs", "too many IPv6 extension headers: to the kernel")          \
	X(PASS_VLANS, "pass-vlans", "too many VLAN tags, or on the fabric: to the kernel")         \
	X(DROP_FRAG_NO_FIRST, "drop-frag-no-first", "fragment whose first one wasn't seen")        \
	X(DROP_FRAG_OVERLAP, "drop-frag-overlap", "fragment that would cut into the L4 header")    \
	X(DROP_ICMP_QUOTE, "drop-icmp-quote", "ICMP error that quotes no whole flow")              \
	X(DROP_STRANGER, "drop-stranger", "tunnel packet from a host that is no peer")             \
	X(DROP_TUNNEL, "drop-tunnel", "malformed tunnel packet")                                   \
	X(DROP_VNI, "drop-vni", "tunnel packet of an unknown service")                             \
	X(DROP_SLOT, "drop-slot", "tunnel packet of a slot that the service doesn't have")         \
	X(DROP_HOPS, "drop-hops", "tunnel packet past its hop bound")                              \
	X(DROP_FENCE, "drop-fence", "fence of no move that is under way here")                     \
	X(DROP_INNER, "drop-inner", "tunnelled packet that can't be parsed")                       \
	X(DROP_NO_OWNER, "drop-no-owner", "slot without an owner")                                 \
	X(DROP_NO_PEER, "drop-no-peer", "owner's host isn't known or not resolved")                \
	X(DROP_NO_INSTANCE, "drop-no-instance", "owner is here, but its program isn't")            \
	X(DROP_TOO_BIG, "drop-too-big", "too big for the fabric; its sender was told")             \
	X(DROP_HEADROOM, "drop-headroom", "no room to encapsulate or to rewrite")                  \
	X(DROP_PARK_FULL, "drop-park-full", "parking bound hit")                                   \
	X(DROP_PARK_SIZE, "drop-park-size", "longer than a parking cell")                          \
	X(DROP_LOST_CELL, "drop-lost-cell", "parked packet that could not be rebuilt")             \
	X(DROP_FENCED, "drop-fenced", "this host's lease on the service has run out")              \
	X(DROP_STATE_RACE, "drop-state-race", "its flow's state was expiring at that moment")      \
	X(DROP_INTERNAL, "drop-internal", "a lookup that can't fail did")                          \
	X(NF_DENIED, "nf-denied", "the NF's policy refuses it")                                    \
	X(NF_NO_STATE, "nf-no-state", "mid-stream packet of a flow that the NF doesn't know")      \
	X(NF_INVALID, "nf-invalid", "packet that the flow's state doesn't allow")                  \
	X(NF_TABLE_FULL, "nf-table-full", "no room for a new flow's state")                        \
	X(PARKED, "parked", "held for a flow between owners")                                      \
	X(RELEASED, "released", "parked packet handed to its owner")                               \
	X(RETURNED, "returned", "parked packet sent back to the source of an aborted move")        \
	X(OVERTOOK, "overtook", "parking bound hit, policy reorder: sent past the parked ones")    \
	X(STRAY, "stray", "arrived at a former owner, forwarded to the owner")                     \
	X(FENCE_SENT, "fence-sent", "fence packet sent")                                           \
	X(FENCE_SEEN, "fence-seen", "fence packet received")                                       \
	X(LOG_FULL, "log-full", "change not logged: the round rescans")

#define FF_X(sym, name, text) FF_REASON_##sym,
enum ff_reason { FF_REASONS(FF_X) FF_REASON_MAX };
#undef FF_X

/* ---- flows --------------------------------------------------------------------------------- */

/*
 * The canonical 5-tuple: endpoint 0 is the smaller one, so both directions of a flow have one key.
 * IPv4 addresses are mapped (::ffff:a.b.c.d). ICMP echo: both ports are the identifier.
 */
struct ff_flow_key {
	__u8 addr[2][16];
	__be16 port[2];
	__u8 proto; /* IPPROTO_*; ICMP and ICMPv6 differ */
	__u8 pad;
	__u16 service;
};
_Static_assert(sizeof(struct ff_flow_key) == 40, "ff_flow_key");

/*
 * A conjunction of prefixes, protocol and ports, between an endpoint a and an endpoint b. An
 * address matches if (addr & mask) == value, word by word in network order; ports are ranges.
 */
struct ff_end {
	__be32 addr[4];
	__be32 mask[4];
	__u16 port_min; /* host order, inclusive; 0..65535 is any */
	__u16 port_max;
};
_Static_assert(sizeof(struct ff_end) == 36, "ff_end");

#define FF_MATCH_USED	1u /* an unused match matches nothing */
#define FF_MATCH_EITHER 2u /* also with a and b exchanged: both directions of a flow */

struct ff_match {
	struct ff_end a; /* of the packet's source */
	struct ff_end b; /* of its destination */
	__u8 proto;	 /* 0 is any */
	__u8 flags;
	__u8 family; /* 0 any, 4, 6 */
	__u8 pad;
};
_Static_assert(sizeof(struct ff_match) == 76, "ff_match");

/* ---- the slot hash ------------------------------------------------------------------------- */

/*
 * Multilinear hashing (Lemire, Kaser: "Strongly universal string hashing is fast", 2014): the flow's
 * 32-bit words, each times a random 64-bit number, plus another, of which the upper half is kept. So
 * the slot of any flow is uniform and those of any two flows are independent, over the choice of the
 * numbers, whichever flows somebody chooses who doesn't know them: nobody outside can aim at a slot.
 * Unlike SipHash it would not withstand somebody who is told slots; but they are seen on the fabric
 * only. It takes a tenth of SipHash-1-3's instructions, BPF having no rotation.
 */
struct ff_slot_keys {
	__u64 ports;
	__u64 proto;
	__u64 addr[2][4];
	__u64 add;
	__u64 add_v4; /* and what the three words add that are the same in all IPv4 addresses */
};
_Static_assert(sizeof(struct ff_slot_keys) == 96, "ff_slot_keys");

#define FF_V4_WORD 0xffff0000u /* word 2 of a mapped address, as a little-endian host reads it */

static inline __u64 ff_mix64(__u64 x) /* SplitMix64's (Steele, Lea, Flood) */
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* The numbers that a seed stands for. */
static inline void ff_slot_keys_make(const __u64 seed[2], struct ff_slot_keys *ret)
{
	__u64 *key = (__u64 *)ret;
	__u32 i;

	for (i = 0; i < sizeof(*ret) / sizeof(*key); i++)
		key[i] = ff_mix64(ff_mix64(seed[0] + (i + 1) * 0x9e3779b97f4a7c15ull) ^ seed[1]);
	ret->add_v4 = ret->add + (ret->addr[0][2] + ret->addr[1][2]) * FF_V4_WORD;
}

/*
 * One to one, so as good; but flows that follow each other spread as by chance, not evenly or in heaps:
 * part of murmur3's finalizer.
 */
static inline __attribute__((always_inline)) __u32 ff_slot_mix(__u64 sum)
{
	__u32 hash = sum >> 32;

	hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
	return hash ^ (hash >> 13);
}

static inline __attribute__((always_inline)) __u64 ff_slot_sum(const struct ff_flow_key *key,
							       const struct ff_slot_keys *keys)
{
	const __u64 *word = (const __u64 *)key;

	return (__u32)word[4] * keys->ports + key->proto * keys->proto +
	       (word[1] >> 32) * keys->addr[0][3] + (word[3] >> 32) * keys->addr[1][3];
}

/* A flow of IPv4 addresses. */
static inline __attribute__((always_inline)) __u32 ff_slot_hash_v4(const struct ff_flow_key *key,
								   const struct ff_slot_keys *keys)
{
	return ff_slot_mix(ff_slot_sum(key, keys) + keys->add_v4);
}

/* Any flow; the same for those of IPv4 addresses. */
static inline __attribute__((always_inline)) __u32 ff_slot_hash_keyed(
	const struct ff_flow_key *key, const struct ff_slot_keys *keys)
{
	const __u64 *a = (const __u64 *)key->addr[0], *b = (const __u64 *)key->addr[1];
	__u64 sum = ff_slot_sum(key, keys) + keys->add;

	sum += (__u32)a[0] * keys->addr[0][0] + (a[0] >> 32) * keys->addr[0][1];
	sum += (__u32)b[0] * keys->addr[1][0] + (b[0] >> 32) * keys->addr[1][1];
	sum += (__u32)a[1] * keys->addr[0][2] + (__u32)b[1] * keys->addr[1][2];
	return ff_slot_mix(sum);
}

/* The same from a seed, for who hashes now and then. */
static inline __u32 ff_slot_hash(const struct ff_flow_key *key, const __u64 seed[2])
{
	struct ff_slot_keys keys;

	ff_slot_keys_make(seed, &keys);
	return ff_slot_hash_keyed(key, &keys);
}

/* ---- steering ------------------------------------------------------------------------------ */

#define FF_STEER_PARK	1u /* hold packets for `here` in lane `lane` */
#define FF_STEER_LOG	2u /* note each flow that changes in lane `lane` */
#define FF_STEER_ABSENT 4u /* pins only: no exception in this bank */

/*
 * Where packets go: `owner` for those that arrive on a steering interface, `here` for those that
 * arrive by the tunnel: the instance on this host that holds, or is about to hold, the state;
 * 0: none, so a tunnelled packet is a stray and goes to `owner`.
 */
struct ff_steer {
	__u16 owner;
	__u16 here;
	__u8 flags;
	__u8 lane;
	__u16 mark; /* pins: ff_pin_mark() of the key */
};
_Static_assert(sizeof(struct ff_steer) == 8, "ff_steer");

/* Map table: [service][bank][slot], flat; see FF_TABLE_INDEX. */
struct ff_slot {
	struct ff_steer steer;
	__u32 rules; /* which of the service's rules apply to this slot */
	__u32 pad;
};
_Static_assert(sizeof(struct ff_slot) == 16, "ff_slot");
#define FF_TABLE_INDEX(service, bank, slot)                                                        \
	((((__u32)(service)*2u + (__u32)(bank)) * FF_SLOTS_MAX) + (__u32)(slot))

/* Map rules: [service][bank][rule], flat. The lowest rule that applies and matches decides. */
struct ff_rule {
	struct ff_match match;
	struct ff_steer steer;
	__u32 pad;
};
_Static_assert(sizeof(struct ff_rule) == 88, "ff_rule");
#define FF_RULES_INDEX(service, bank, rule)                                                        \
	((((__u32)(service)*2u + (__u32)(bank)) * FF_RULES_MAX) + (__u32)(rule))

/*
 * Map pins: ff_flow_key -> one entry a bank. The map may give the memory of an element that was
 * replaced to another key's at once, before a packet that has just found it has read it; so an entry
 * is read in one piece, and its mark says whose it is.
 */
struct ff_pin {
	struct ff_steer steer[2];
};
_Static_assert(sizeof(struct ff_pin) == 16, "ff_pin");

static inline __attribute__((always_inline)) __u16 ff_pin_mark(const struct ff_flow_key *key)
{
	const __u64 *word = (const __u64 *)key;
	__u64 mark = word[4];

	mark = mark * 0x9e3779b97f4a7c15ull ^ word[3];
	mark = mark * 0x9e3779b97f4a7c15ull ^ word[2];
	mark = mark * 0x9e3779b97f4a7c15ull ^ word[1];
	mark = mark * 0x9e3779b97f4a7c15ull ^ word[0];
	return (mark * 0x9e3779b97f4a7c15ull) >> 48;
}

/*
 * Map services: [number]. `active` selects the bank of slots, rules and pins alike: its store is
 * the one atomic step of a switch. A packet reads it once.
 */
struct ff_service {
	__u32 active;
	__u32 used;
	__u32 slot_mask;	  /* slots - 1 */
	__u32 group_shift;	  /* group of state maps = slot >> group_shift */
	__u32 pins[2];		  /* pins in each bank; 0: not consulted */
	__u32 rules[2];		  /* highest rule in use in each bank, plus 1 */
	__u64 lease_ns;		  /* CLOCK_MONOTONIC: after it no instance gets packets; 0: none */
	__u32 epoch;		  /* of the orchestrator that set it */
	__u32 any;		  /* class is "everything" */
	__u64 seed[2];		  /* of the slot hash */
	struct ff_slot_keys keys; /* made of the seed */
	struct ff_match class;
	__u32 pad;
	__u64 version; /* of the table, counted by the agent */
};
_Static_assert(sizeof(struct ff_service) == 248, "ff_service");

/* Map instances: [number]; number 0 stays empty. */
struct ff_instance {
	__u16 host; /* 0: no such instance */
	__u16 service;
	__u32 pad;
};
_Static_assert(sizeof(struct ff_instance) == 8, "ff_instance");

/* Of one instance, on one CPU or all. Only packets that the NF saw. */
struct ff_instance_stats {
	__u64 packets;
	__u64 bytes; /* L3 */
	__u64 dropped;
	__u64 flows_new;
	__u64 flows_refused;
};
_Static_assert(sizeof(struct ff_instance_stats) == 40, "ff_instance_stats");

/*
 * Map meter of each NF object, memory-mapped: [CPU]. What the agent's monitor wants of every
 * FF_SAMPLE_EVERY-th packet that a CPU hands to an NF: how long it took, and whose it was. A prime,
 * so that no regular pattern of traffic (two directions in turn) always shows it the same one.
 */
#define FF_SAMPLE_EVERY 61
#define FF_SAMPLES	128    /* kept until the agent comes round; a power of two */
#define FF_TIMED_MAX_NS 100000 /* longer: the CPU was taken away meanwhile, and it isn't counted */
#define FF_DROPS_MAX	64     /* bounds FF_REASON_MAX where its exact number may not be seen */

struct ff_sample {
	struct ff_flow_key key;
	__u16 slot;
	__u16 len; /* L3 */
	__u32 pad;
};
_Static_assert(sizeof(struct ff_sample) == 48, "ff_sample");

struct ff_meter {
	struct ff_instance_stats stats; /* of all packets */
	__u32 pad2;
	__u32 row;     /* of this CPU in slot_loads; set by the agent before there are packets */
	__u64 samples; /* the newest is ring[(samples - 1) % FF_SAMPLES] */
	__u64 timed;   /* of those: with a time */
	__u64 nf_ns;   /* their sum in the NF's own function */
	__u64 path_ns; /* their sum from the packet's first instruction to the end of the NF */
	__u64 pad[6];
	__u64 drops[FF_DROPS_MAX]; /* by reason */
	struct ff_sample ring[FF_SAMPLES];
};
_Static_assert(sizeof(struct ff_meter) == 6784, "ff_meter"); /* whole cache lines */
_Static_assert(FF_REASON_MAX <= FF_DROPS_MAX, "ff_meter.drops");

/*
 * Map slot_loads of each NF object, memory-mapped: [CPU][slot], flat: meter.row + slot; to be summed
 * over the CPUs. packets and flows count modulo 2^32: one CPU's flows may be "negative".
 */
struct ff_slot_load {
	__u64 bytes;   /* L3 */
	__u32 packets; /* like bytes: written by its own CPU only */
	__u32 flows;   /* entries that live in the slot, expired ones included; atomic */
};
_Static_assert(sizeof(struct ff_slot_load) == 16, "ff_slot_load");

/*
 * Map slot_hints of each NF object: [slot], memory-mapped. The flows that came last, so that the state
 * of few is found without a look at every bucket of their maps. Hints, no more: two CPUs may write
 * one key at once, and it may have gone since. Who uses them compares what is found with
 * slot_loads.flows, which is counted before `born`.
 */
#define FF_HINTS 4 /* a power of two; a slot of so few flows needs no search */

struct ff_slot_hint {
	__u32 born;   /* atomic; key n is keys[n % FF_HINTS] */
	__u32 handed; /* how often the slot's map has changed hands, see agent/handover_state.h */
	struct ff_flow_key keys[FF_HINTS];
	__u64 handed_by; /* token of the move that did it last */
};
_Static_assert(sizeof(struct ff_slot_hint) == 176, "ff_slot_hint");

static inline __attribute__((always_inline)) void ff_slot_hint_add(struct ff_slot_hint *hint,
								   const struct ff_flow_key *key)
{
	__u32 ticket = __sync_fetch_and_add(&hint->born, 1);

	hint->keys[ticket & (FF_HINTS - 1)] = *key;
}

/* ---- hosts and tunnel ---------------------------------------------------------------------- */

struct ff_geneve {
	__u8 ver_optlen;
	__u8 flags;
	__be16 protocol;
	__u8 vni[3];
	__u8 reserved;
};
_Static_assert(sizeof(struct ff_geneve) == 8, "ff_geneve");

#define FF_KIND_DATA	  0
#define FF_KIND_FENCE	  1
#define FF_KIND_RETURN	  2 /* a parked packet on its way back: not parked again at its target */
#define FF_KIND_HEARTBEAT 3 /* an agent asks a peer's data path whether it lives; VNI 0 */
#define FF_KIND_HEARD	  4 /* its answer */

struct ff_geneve_option {
	__be16 class;
	__u8 type;
	__u8 length; /* 4-byte words that follow: 3 */
	__be16 slot;
	__u8 hops; /* tunnel hops taken, this one included */
	__u8 kind;
	__u8 proto; /* of the packet, for later fragments */
	__u8 reserved[3];
	__be16 port[2]; /* of the packet: source, destination; likewise */
};
_Static_assert(sizeof(struct ff_geneve_option) == 16, "ff_geneve_option");

struct ff_fence {
	__be64 token;  /* of the move */
	__be64 age_ns; /* since the sender switched */
	__be16 from;   /* place of the sender in the move's list of steering hosts */
	__be16 cpu;
	__be16 path;
	__be16 pad;
};
_Static_assert(sizeof(struct ff_fence) == 24, "ff_fence");

/* What follows the outer header of a heartbeat, and of its answer. See heartbeat.h. */
struct ff_heartbeat {
	__be64 sent_ns; /* on the asking host's clock, which tells its heartbeats apart */
};
_Static_assert(sizeof(struct ff_heartbeat) == 8, "ff_heartbeat");

/* Map peer_heard, memory-mapped: [host]. Its last answer; both times are of this host's clock. */
struct ff_heard {
	__u64 sent_ns; /* when what it answers was sent; 0: never heard */
	__u64 at_ns;
};
_Static_assert(sizeof(struct ff_heard) == 16, "ff_heard");

/* Map peer_sent, memory-mapped: [CPU]. Tunnel packets with data to each host, counted by that CPU alone. */
struct ff_sent {
	__u64 packets[FF_HOSTS_MAX];
};
_Static_assert(sizeof(struct ff_sent) == 512, "ff_sent"); /* whole cache lines */

#define FF_ENCAP_V4  66 /* Ethernet 14, IPv4 20, UDP 8, Geneve 8, option 16 */
#define FF_ENCAP_V6  86
#define FF_ENCAP_MAX 88

/*
 * Map peers: [host] and [FF_HOSTS_MAX + host]. The whole outer header but length, checksum, source
 * port, VNI and option fields, which are zero, is made ready by the agent. The first one's `ready` says
 * which of the two is in use, so that a packet never sees half a change; 0: next hop unresolved.
 */
#define FF_PEER_FIRST  1u
#define FF_PEER_SECOND 2u
struct ff_peer {
	__u32 ready;
	__u32 ifindex;
	__u16 encap_len; /* FF_ENCAP_V4 or FF_ENCAP_V6 */
	__u16 mtu;	 /* of the link to it, L3 bytes */
	__u32 csum;	 /* IPv4: one's-complement sum of the header without its length */
	__u8 header[FF_ENCAP_MAX];
};
_Static_assert(sizeof(struct ff_peer) == 104, "ff_peer");

/* Key of maps peer_addrs (-> host: only these may send tunnel packets) and local_addrs. */
struct ff_addr {
	__be32 word[4]; /* IPv4 mapped */
};

#define FF_IFACE_STEERING 1
#define FF_IFACE_FABRIC	  2

/* Map ifaces: ifindex -> */
struct ff_iface {
	__u32 role;
	__u32 mtu;
	__u8 mac[6];
	__u16 pad;
	__u8 ipv4[4];  /* source of ICMP errors; 0: none */
	__u8 ipv6[16]; /* likewise */
	__u32 pad2;
};
_Static_assert(sizeof(struct ff_iface) == 40, "ff_iface");

/* Map fragments (LRU: soft state): what a datagram's first fragment told. See fragment.h. */
struct ff_frag_key {
	__u8 addr[2][16]; /* source, destination */
	__be32 id;
	__u8 proto; /* IPv6: 0 */
	__u8 pad[3];
};
_Static_assert(sizeof(struct ff_frag_key) == 40, "ff_frag_key");

struct ff_frag {
	__be16 port[2];
	__u16 reason; /* it was left to the kernel, for this reason; 0: it has a flow */
	__u8 proto;
	__u8 pad;
};
_Static_assert(sizeof(struct ff_frag) == 8, "ff_frag");

/* ---- moves --------------------------------------------------------------------------------- */

#define FF_PARK_OPEN	    (1ull << 63) /* in park_tail: nothing is parked any more, process at once */

#define FF_OVERFLOW_ABORT   0
#define FF_OVERFLOW_DROP    1
#define FF_OVERFLOW_REORDER 2

/* A cell of a parking ring, bytes; and the fewest cells of one. */
#define FF_CELL_SIZE	 512
#define FF_PARK_SIZE_MIN 8192

/*
 * Map lanes: [lane]. One host's part in one move. A lane with token 0 is free.
 *
 * Parking is a ring with tickets: a packet of n cells takes ticket park_tail and adds n to it, fills
 * cells ticket % park_size and on, and marks the first one ready. The release takes packets at
 * park_head, in order. When nothing is left, the agent exchanges park_tail from park_head to
 * FF_PARK_OPEN in one atomic step; it fails if a packet came meanwhile. A packet whose ticket has
 * FF_PARK_OPEN set is processed at once: everything that was parked before it has been processed,
 * so order holds.
 *
 * The log notes each flow that changed in the current round once: entry.round != lane.round.
 */
struct ff_lane {
	__u64 token; /* the move's; checked against fences */
	__u16 from;
	__u16 to;
	__u16 service;
	__u16 overflow; /* FF_OVERFLOW_* */
	__u32 role;	/* agent's own notes, so that a restarted one can tell: */
	__u32 phase;
	__u64 park_size;       /* cells, a power of two; 0: no ring */
	__u64 park_limit;      /* packets parked before the policy applies */
	__u64 log_size;	       /* records in each of the two logs */
	__u64 fence_origin_ns; /* on this host's clock: when the first steering host switched */
	__u8 op[24];	       /* operation id, text */
	__u8 pad0[48];

	__u64 park_tail __attribute__((aligned(64)));
	__u64 parked;	  /* packets */
	__u64 overflowed; /* packets that found the bound hit */
	__u64 dropped;	  /* of those, and for size: the ones that were lost */
	__u32 park_cpu;	  /* that parked last */
	__u8 pad1[28];

	__u64 park_head __attribute__((aligned(64)));
	__u64 released; /* packets taken from the ring again */
	__u8 pad3[48];

	__u32 round __attribute__((aligned(64))); /* unique over an agent's life, never 0 */
	__u32 pad4;
	__u64 log_tail[2]; /* by round & 1; may pass log_size: then the log overflowed */
	__u8 pad5[40];
};
_Static_assert(sizeof(struct ff_lane) == 320, "ff_lane");

/* A parked packet, in the inner map of its lane in `park_rings`; the data follows. */
struct ff_cell {
	__u64 ready; /* ticket + 1 */
	__u32 len;
	__u16 slot;
	__u8 hops;
	__u8 cells;	/* of this packet */
	__be16 port[2]; /* as in the tunnel option, like proto */
	__u16 service;
	__u8 proto;
	__u8 pad;
	__u8 data[];
};
_Static_assert(sizeof(struct ff_cell) == 24, "ff_cell");

/* Map log_rings: [lane * 2 + (round & 1)] -> array of ff_flow_key. */

/* Map fences: [lane]. A bit for each (steering host, CPU, path) whose fence has arrived. */
struct ff_fences {
	__u64 seen[FF_STEERING_MAX][FF_CPUS_MAX][FF_PATHS / 64];
};

/*
 * Map jobs: [CPU]. What the programs `fence` and `release` are to do, one packet a run. The agent's
 * thread on that CPU fills it in and then runs the program `fabric` there on live frames that carry
 * the job's cookie: 128 random bits for each run, so nothing from a wire is taken for one. (Why
 * `fabric`: the kernel spends three grace periods, 24 ms, on each run of a program that is on no
 * interface.)
 */
struct ff_job {
	__u64 cookie[2];
	__u64 token;
	__u64 switched_ns;	    /* CLOCK_MONOTONIC */
	__u64 paths[FF_PATHS / 64]; /* fences still to send */
	__u32 host;	/* fence: to; release: return the packets to it; 0: give them to */
	__u16 instance; /* this one */
	__u16 service;
	__u16 from;
	__u16 lane;
	__u32 prog; /* FF_PROG_FENCE or FF_PROG_RELEASE */
};
_Static_assert(sizeof(struct ff_job) == 56, "ff_job");

/* A live frame of the agent's: Ethernet header, type FF_ETH_P_FENCE, and the cookie. */
#define FF_JOB_FRAME 64
struct ff_job_frame {
	__u8 mac[12];
	__be16 proto;
	__u16 pad;
	__u64 cookie[2];
	__u8 rest[32];
};
_Static_assert(sizeof(struct ff_job_frame) == FF_JOB_FRAME, "ff_job_frame");

/*
 * Host_info says which classes of addresses this host's own are of, by words of a struct ff_addr: so
 * most packets are spared the look into `local_addrs`.
 */
#define FF_LOCAL_CLASSES     512
#define FF_LOCAL_CLASS(word) (((__u32)((word)[2] ^ (word)[3]) * 0x9e3779b1u) >> 23)

/* Map host_info: [0]. */
struct ff_host_info {
	__u32 epoch; /* highest orchestrator epoch accepted */
	__u16 host;  /* own number */
	__u16 pad;
	__u32 next_round; /* never reused, so that a stale entry.round can't look current */
	__u32 abi;	  /* FF_ABI_VERSION of who has pinned the maps; written as they are made */
	__u8 name[FF_NAME_MAX];
	__u64 local[FF_LOCAL_CLASSES / 64]; /* a bit for each class */
	/* until then (CLOCK_MONOTONIC) the agent vouches that routes depend on the destination only */
	__u64 routes_plain_ns;
	__u64 config_version; /* the oldest configuration that counts still, */
	__u32 config_epoch;   /* of this epoch; see inventory.h */
	__u32 pad3;
};
_Static_assert(sizeof(struct ff_host_info) == 136, "ff_host_info");

/* ---- NF state ------------------------------------------------------------------------------ */

/*
 * What stands in front of each per-flow state value, followed by the NF's own struct.
 * expires: an entry past it is dead for everybody: a packet revives it by exchanging `expires`
 * atomically and starts afresh; the agent's sweep exchanges it for FF_DEAD and only then deletes.
 */
#define FF_DEAD 0ull
struct ff_head {
	__u64 expires_ns; /* CLOCK_MONOTONIC of this host */
	__u32 round;	  /* last log round that noted it */
	__u32 moves;	  /* how many times it has moved */
	__u64 moved_by;	  /* token of the move that brought it here; 0: born here */
	__u16 slot;
	__u16 handed; /* its slot's, when it came: what came on top are moves that left no trace here */
	__u32 born; /* ff_born(), of this host's clock; it goes with the flow when that moves */
};
_Static_assert(sizeof(struct ff_head) == 32, "ff_head");

/*
 * When a flow began: CLOCK_MONOTONIC in units of 2^20 ns, about a millisecond; modulo 2^32, which are 52
 * days. 0: not known.
 */
#define FF_BORN_SHIFT 20

static inline __attribute__((always_inline)) __u32 ff_born(__u64 ns)
{
	__u32 born = ns >> FF_BORN_SHIFT;

	return born ? born : 1;
}

/* What is older is told as 26 days old, up to 52 days. */
#define FF_AGE_MAX 0x7fffffffu

/* Clocks differ: what seems to begin so little later than now, 18 minutes, begins now. */
#define FF_AGE_SLACK 0xfffffu

/* How old it is at @ns, in those units. Two hosts' clocks are brought together by the unit: never below 0. */
static inline __attribute__((always_inline)) __u32 ff_age(__u32 born, __u64 ns)
{
	__u32 age = (__u32)(ns >> FF_BORN_SHIFT) - born;

	if (age >= ~FF_AGE_SLACK)
		return 0;
	return age < FF_AGE_MAX ? age : FF_AGE_MAX;
}

/* Lives by their length: 0 in bin 0, [2^(n-1), 2^n) units in bin n. */
#define FF_LIVES 32

static inline __attribute__((always_inline)) __u32 ff_life_bin(__u32 age)
{
	__u32 bin = 0, step;

	for (step = 16; step; step /= 2) {
		if (age >> step) {
			age >>= step;
			bin += step;
		}
	}
	return bin + (age ? 1 : 0);
}

/* Map control of each NF object: [0], memory-mapped. */
struct ff_nf_control {
	__u64 flows;	/* entries in the per-flow state, counted atomically by both sides */
	__u64 capacity; /* new flows are refused at this count */
	__u32 instance;
	__u32 service;
	__u64 expired; /* entries that died of age: swept, or revived for a new flow; ever rising */
	__u64 ended[FF_LIVES]; /* the same, by how long they had lived; but for those not known */
	__u64 heir_until_ns; /* the agent's own note that it may have others' flows: see agent/heir.h */
};
_Static_assert(sizeof(struct ff_nf_control) == 40 + 8 * FF_LIVES, "ff_nf_control");

/* Context of an NF object's program `sweep`: what it is told and tells. */
struct ff_sweep {
	__u64 now_ns;
	__u64 swept;
	__u32 first; /* groups first .. first + count - 1 */
	__u32 count;
	__u64 skip[FF_GROUPS_MAX / 64]; /* groups with flows under a move: left alone */
};
_Static_assert(sizeof(struct ff_sweep) == 88, "ff_sweep");

/* Programs of the data path that others tail-call, in map progs. */
#define FF_PROG_FORWARD 0
#define FF_PROG_TOO_BIG 1
#define FF_PROG_RELEASE 2
#define FF_PROG_FENCE	3
#define FF_PROG_MAX	4
