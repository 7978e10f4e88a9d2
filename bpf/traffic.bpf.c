/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic.bpf.c - the traffic generator and its judge, for one end of the traffic.
 *
 * One program is both. As generator it is run by BPF_PROG_TEST_RUN in live-frame mode, in paced
 * batches, by one thread: each run makes the next packet and sends it out of the end host's
 * interface. Frames are reused, with whatever the network did to them, so every byte is written
 * each time. Only that one thread numbers the packets, so their order is well defined.
 *
 * As judge it is attached to the end host's interfaces. It takes its own packets out (XDP_DROP)
 * and notes each in its flow's record: nothing between the network and the record can lose one.
 * All other packets go to the kernel.
 *
 * Two programs would be nicer, but slower by a factor of a thousand: a test run of a program that
 * is attached nowhere enters it into the kernel's XDP dispatcher and takes it out again, which waits
 * for grace periods each time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/traffic_abi.h"

#define IP_DF	   0x4000
#define IP_OFFSET  0x3fff /* more-fragments flag and fragment offset */
#define WORDS_MAX  ((TRAFFIC_SIZE_MAX - 28 - sizeof(struct traffic_payload)) / 8)
#define SEND_TTL   64
#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define IPV4_WORDS 15 /* of 4 bytes in the longest header */
#define OFFSET_MASK 0xff /* the filling begins at most 14 + 60 + 48 bytes into the frame */

const volatile struct traffic_config config = {};

__u32 run_id;	    /* of the packets judged; user space sets it unless config.run is 0 */
__u64 sent_packets; /* written by the one generator thread */
__u64 sent_bytes;   /* L3 */
__u32 cursor;
__u32 first_pass_done; /* each flow has been sent once */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sent SEC(".maps"); /* [flow]: next sequence number */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); /* a map with a lock can't be memory-mapped */
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_tally);
} tally SEC(".maps");

/* Not bpf_redirect(): an ifindex would be one of the caller's namespace, and it sends from two. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2 * TRAFFIC_LINKS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps"); /* [TRAFFIC_HOP()] */

struct ipv4 {
	__u8   version_ihl, tos;
	__be16 len, id, frag;
	__u8   ttl, proto;
	__u16  csum;
	__be32 src, dst;
} __attribute__((packed));

struct ipv6 {
	__be32 version_class_label;
	__be16 len;
	__u8   proto, hops;
	__be32 src[4], dst[4];
} __attribute__((packed));

struct udp {
	__be16 sport, dport, len;
	__u16  csum;
	struct traffic_payload payload;
} __attribute__((packed));

/* ---- generator ----------------------------------------------------------------------------- */

static __always_inline __u32 flow_next(void)
{
	__u32 flow = cursor;

	if (config.order == TRAFFIC_RANDOM && first_pass_done)
		return bpf_get_prandom_u32() % config.flows;
	if (flow >= config.flows)
		flow = 0;
	cursor = flow + 1;
	if (cursor >= config.flows)
		first_pass_done = 1;
	return flow;
}

static __always_inline __be16 flow_port(__u32 flow, __u32 end)
{
	return bpf_htons(end == TRAFFIC_FORWARD ? config.client_port + flow % config.client_ports :
						  config.server_port + flow / config.client_ports);
}

/* Fills the datagram behind the header with words that follow from @word; returns their sum. */
static __always_inline __u64 filling_write(__u8 *at, __u8 *end, __u64 word)
{
	union {
		__u8  byte[8];
		__u64 word;
	} tail = { .word = 0 };
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < WORDS_MAX && at + 8 <= end; i++, at += 8) {
		word += TRAFFIC_FILL_STEP;
		*(__u64 *)at = word;
		sum += traffic_sum64(word);
	}
	word += TRAFFIC_FILL_STEP;
	for (i = 0; i < 7 && at + 1 <= end; i++, at++) {
		*at = word >> (8 * i);
		tail.byte[i] = *at;
	}
	return sum + traffic_sum64(tail.word);
}

/* Writes UDP header and payload. @sum is that of the addresses. */
static __always_inline int udp_write(struct udp *udp, void *end, __u32 flow, __u64 seq, __u64 sum,
				     __u32 len)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 wire_flow = flow | (__u32)config.direction << TRAFFIC_FLOW_DIR_SHIFT;
	__u32 run = config.run ?: run_id; /* 0: answers to a run that began elsewhere */
	__u64 check = traffic_check(run, wire_flow, seq, now_ns, len - 8);
	__u16 csum;

	if ((void *)(udp + 1) > end)
		return -1;
	udp->sport = flow_port(flow, config.direction);
	udp->dport = flow_port(flow, !config.direction);
	udp->len = bpf_htons(len);
	udp->payload.magic = bpf_cpu_to_be64(TRAFFIC_MAGIC);
	udp->payload.run = bpf_htonl(run);
	udp->payload.flow = bpf_htonl(wire_flow);
	udp->payload.seq = bpf_cpu_to_be64(seq);
	udp->payload.sent_ns = bpf_cpu_to_be64(now_ns);
	udp->payload.check = bpf_cpu_to_be64(check);

	sum += bpf_htons(IPPROTO_UDP) + 2ull * udp->len + udp->sport + udp->dport;
	sum += traffic_sum64(udp->payload.magic) + udp->payload.run + udp->payload.flow;
	sum += traffic_sum64(udp->payload.seq) + traffic_sum64(udp->payload.sent_ns) +
	       traffic_sum64(udp->payload.check);
	sum += filling_write((__u8 *)(udp + 1), end, check);
	csum = ~traffic_fold(sum);
	udp->csum = csum ? csum : 0xffff; /* 0 means none (RFC 768) */
	return 0;
}

static __always_inline int ipv4_write(void *at, void *end, __u32 flow, __u64 seq)
{
	const __u32 *src = (void *)config.addr4[config.direction];
	const __u32 *dst = (void *)config.addr4[!config.direction];
	struct ipv4 *ip = at;
	__u64 sum;

	if ((void *)(ip + 1) > end)
		return -1;
	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->len = bpf_htons(config.size);
	ip->id = 0;
	ip->frag = bpf_htons(IP_DF);
	ip->ttl = SEND_TTL;
	ip->proto = IPPROTO_UDP;
	ip->src = *src;
	ip->dst = *dst;
	sum = (__u64)ip->src + ip->dst;
	ip->csum = ~traffic_fold(sum + bpf_htons(0x4500) + ip->len + ip->frag +
				 bpf_htons(SEND_TTL << 8 | IPPROTO_UDP));
	return udp_write((void *)(ip + 1), end, flow, seq, sum, config.size - sizeof(*ip));
}

static __always_inline int ipv6_write(void *at, void *end, __u32 flow, __u64 seq)
{
	const __u32 *src = (void *)config.addr6[config.direction];
	const __u32 *dst = (void *)config.addr6[!config.direction];
	struct ipv6 *ip = at;
	__u64 sum = 0;
	__u32 i;

	if ((void *)(ip + 1) > end)
		return -1;
	ip->version_class_label = bpf_htonl(0x60000000);
	ip->len = bpf_htons(config.size - sizeof(*ip));
	ip->proto = IPPROTO_UDP;
	ip->hops = SEND_TTL;
	for (i = 0; i < 4; i++) {
		ip->src[i] = src[i];
		ip->dst[i] = dst[i];
		sum += (__u64)src[i] + dst[i];
	}
	return udp_write((void *)(ip + 1), end, flow, seq, sum, config.size - sizeof(*ip));
}

/* Which of the next hops a flow takes: each direction by itself, as with ECMP. */
static __always_inline __u32 hop_choose(__u32 flow, __u32 ipv6)
{
	__u32 hops = config.hops[ipv6], key = flow ^ (__u32)config.direction << 20;

	return hops > 1 ? ((key * 0x9e3779b1u) >> 16) % hops % TRAFFIC_LINKS_MAX : 0;
}

static __always_inline int packet_generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 flow = flow_next(), ipv6 = traffic_is_ipv6(config.families, flow) & 1, i;
	__u32 choice = hop_choose(flow, ipv6);
	const volatile struct traffic_hop *hop = &config.hop[ipv6][choice];
	__u64 *seq = bpf_map_lookup_elem(&sent, &flow);
	struct ethhdr *eth = data;

	if (!seq || (void *)(eth + 1) > end)
		return XDP_ABORTED;
	for (i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = hop->dst[i];
		eth->h_source[i] = hop->src[i];
	}
	eth->h_proto = ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (ipv6 ? ipv6_write(eth + 1, end, flow, *seq) : ipv4_write(eth + 1, end, flow, *seq))
		return XDP_ABORTED;
	(*seq)++;
	sent_packets++;
	sent_bytes += config.size;
	return bpf_redirect_map(&devices, TRAFFIC_HOP(ipv6, choice), XDP_ABORTED);
}

/* ---- judge --------------------------------------------------------------------------------- */

/* What a packet of the judge claims, and what was found wrong with it. */
struct claim {
	struct udp *udp;
	__u64	    sum; /* of the addresses */
	__u32	    offset; /* of the UDP header in the frame */
	__u32	    len;    /* of the UDP datagram, by the IP header */
	__u32	    l3_len;
	__u32	    ipv6;
	__u32	    wrong;
};

/*
 * The two loops below are global functions: those are verified once and by themselves, not once for
 * each way in and out of them, which would pass the verifier's limit.
 */

/* Whether the IPv4 header's checksum is right. */
__noinline int ipv4_csum_ok(struct xdp_md *ctx, __u32 ihl)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *at = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < IPV4_WORDS; i++, at += 4) {
		if (4 * i >= ihl)
			break;
		if ((void *)at + 4 > end)
			return 0;
		sum += *(__u32 *)at;
	}
	return traffic_fold(sum) == 0xffff;
}

#define FILLING_WRONG (1u << 16)

/*
 * Compares @len bytes at @offset with the filling that follows from @word. Returns their folded
 * sum, with FILLING_WRONG if they differ from it.
 */
__noinline __u32 filling_read(struct xdp_md *ctx, __u32 offset, __u32 len, __u64 word)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *at = (void *)(long)ctx->data + (offset & OFFSET_MASK);
	__u32 i, wrong = 0;
	__u64 sum = 0;
	union {
		__u8  byte[8];
		__u64 word;
	} tail = { .word = 0 };

	for (i = 0; i < WORDS_MAX && len >= 8; i++, at += 8, len -= 8) {
		barrier_var(at); /* else clang compares end - at, which the verifier refuses */
		if ((void *)at + 8 > end)
			return FILLING_WRONG;
		word += TRAFFIC_FILL_STEP;
		wrong |= *(__u64 *)at != word;
		sum += traffic_sum64(*(__u64 *)at);
	}
	word += TRAFFIC_FILL_STEP;
	for (i = 0; i < 7 && i < len; i++, at++) {
		barrier_var(at);
		if ((void *)at + 1 > end)
			return FILLING_WRONG;
		wrong |= *at != (__u8)(word >> (8 * i));
		tail.byte[i] = *at;
	}
	return traffic_fold(sum + traffic_sum64(tail.word)) | (wrong ? FILLING_WRONG : 0);
}

static __always_inline int ipv4_read(struct xdp_md *ctx, void *at, void *end, struct claim *claim)
{
	struct ipv4 *ip = at;
	__u32 ihl;

	if ((void *)(ip + 1) > end || ip->proto != IPPROTO_UDP || ip->version_ihl >> 4 != 4 ||
	    ip->frag & bpf_htons(IP_OFFSET))
		return -1;
	ihl = (ip->version_ihl & 0xf) * 4;
	claim->l3_len = bpf_ntohs(ip->len);
	if (ihl < sizeof(*ip) || claim->l3_len < ihl || at + claim->l3_len > end)
		return -1;
	claim->wrong = !ipv4_csum_ok(ctx, ihl);
	claim->sum = (__u64)ip->src + ip->dst;
	claim->len = claim->l3_len - ihl;
	claim->udp = at + ihl;
	claim->offset = sizeof(struct ethhdr) + ihl;
	return 0;
}

static __always_inline int ipv6_read(void *at, void *end, struct claim *claim)
{
	struct ipv6 *ip = at;
	__u32 i;

	if ((void *)(ip + 1) > end || ip->proto != IPPROTO_UDP)
		return -1;
	claim->l3_len = bpf_ntohs(ip->len) + sizeof(*ip);
	if (at + claim->l3_len > end)
		return -1;
	for (i = 0; i < 4; i++)
		claim->sum += (__u64)ip->src[i] + ip->dst[i];
	claim->len = claim->l3_len - sizeof(*ip);
	claim->udp = (void *)(ip + 1);
	claim->offset = sizeof(struct ethhdr) + sizeof(*ip);
	claim->ipv6 = 1;
	return 0;
}

/* Whether everything but the payload's own header is as its sender made it. */
static __always_inline __u32 datagram_wrong(struct xdp_md *ctx, struct claim *claim, __u32 flow)
{
	struct udp *udp = claim->udp;
	__u64 sum = claim->sum + bpf_htons(IPPROTO_UDP) + bpf_htons(claim->len);
	__u32 filling, wrong = claim->wrong;

	sum += udp->sport + udp->dport + udp->len + udp->csum;
	sum += traffic_sum64(udp->payload.magic) + udp->payload.run + udp->payload.flow;
	sum += traffic_sum64(udp->payload.seq) + traffic_sum64(udp->payload.sent_ns) +
	       traffic_sum64(udp->payload.check);
	filling = filling_read(ctx, claim->offset + sizeof(*udp), claim->len - sizeof(*udp),
			       bpf_be64_to_cpu(udp->payload.check));
	sum += filling & 0xffff;
	wrong |= filling >> 16;
	wrong |= !udp->csum || traffic_fold(sum) != 0xffff;
	wrong |= udp->len != bpf_htons(claim->len);
	wrong |= udp->sport != flow_port(flow, !config.direction) ||
		 udp->dport != flow_port(flow, config.direction);
	return wrong | (claim->ipv6 != traffic_is_ipv6(config.families, flow));
}

/* The addresses between Ethernet and UDP, against the configured ones. */
static __always_inline __u32 addresses_wrong(void *l3, void *end, __u32 is_ipv6)
{
	__u32 from = !config.direction, to = config.direction, i, wrong = 0;
	struct ipv4 *ip4 = l3;
	struct ipv6 *ip6 = l3;

	if (!is_ipv6) {
		if ((void *)(ip4 + 1) > end)
			return 1;
		return ip4->src != *(__u32 *)config.addr4[from] ||
		       ip4->dst != *(__u32 *)config.addr4[to];
	}
	if ((void *)(ip6 + 1) > end)
		return 1;
	for (i = 0; i < 4; i++)
		wrong |= ip6->src[i] != ((__u32 *)config.addr6[from])[i] ||
			 ip6->dst[i] != ((__u32 *)config.addr6[to])[i];
	return wrong;
}

/* A kernel would not take a frame for another station either. */
static __always_inline int frame_is_ours(struct xdp_md *ctx, struct ethhdr *eth)
{
	__u32 i, j, wrong;

	for (i = 0; i < TRAFFIC_LINKS_MAX; i++) {
		if (i >= config.links || config.link[i].ifindex != ctx->ingress_ifindex)
			continue;
		for (j = 0, wrong = 0; j < ETH_ALEN; j++)
			wrong |= eth->h_dest[j] ^ config.link[i].src[j];
		return !wrong;
	}
	return 0;
}

static __always_inline int run_matches(__u32 run)
{
	__u32 expected = run_id;

	if (!expected && !config.run)
		expected = __sync_val_compare_and_swap(&run_id, 0, run) ?: run;
	return run == expected;
}

static __always_inline void packet_note(struct traffic_tally *all, struct traffic_flow *flow,
					struct claim *claim, __u32 wrong)
{
	__u64 seq = bpf_be64_to_cpu(claim->udp->payload.seq);
	__u64 sent_ns = bpf_be64_to_cpu(claim->udp->payload.sent_ns);
	__u64 now_ns = bpf_ktime_get_ns();
	__u64 latency = now_ns > sent_ns ? now_ns - sent_ns : 0;
	__u32 bucket = traffic_bucket(latency);

	bpf_spin_lock(&flow->lock);
	traffic_flow_note(flow, seq, sent_ns, now_ns, wrong);
	bpf_spin_unlock(&flow->lock);

	all->packets++;
	all->bytes += claim->l3_len;
	all->corrupted += wrong;
	all->last_ns = now_ns;
	if (latency > all->latency_max_ns)
		all->latency_max_ns = latency;
	if (bucket < TRAFFIC_BUCKETS)
		all->latency[bucket]++;
}

static __always_inline int packet_judge(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct claim claim = {};
	struct ethhdr *eth = data;
	struct traffic_tally *all;
	struct traffic_payload *p;
	struct traffic_flow *flow;
	__u32 zero = 0, index, run;
	int read = -1;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		read = ipv4_read(ctx, eth + 1, end, &claim);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		read = ipv6_read(eth + 1, end, &claim);
	if (read || claim.len < sizeof(struct udp) || (void *)(claim.udp + 1) > end)
		return XDP_PASS;
	p = &claim.udp->payload;
	all = bpf_map_lookup_elem(&tally, &zero);
	if (!all || p->magic != bpf_cpu_to_be64(TRAFFIC_MAGIC))
		return XDP_PASS;

	run = bpf_ntohl(p->run);
	index = bpf_ntohl(p->flow);
	if (bpf_be64_to_cpu(p->check) !=
	    traffic_check(run, index, bpf_be64_to_cpu(p->seq), bpf_be64_to_cpu(p->sent_ns),
			  claim.len - 8)) {
		all->corrupted++;
		all->unreadable++;
		return XDP_DROP;
	}
	if (index >> TRAFFIC_FLOW_DIR_SHIFT == config.direction || !frame_is_ours(ctx, eth) ||
	    !run_matches(run)) {
		all->foreign++;
		return XDP_DROP;
	}
	index &= ~(1u << TRAFFIC_FLOW_DIR_SHIFT);
	flow = bpf_map_lookup_elem(&flows, &index);
	if (!flow) {
		all->out_of_range++;
		return XDP_DROP;
	}
	packet_note(all, flow, &claim,
		    datagram_wrong(ctx, &claim, index) | addresses_wrong(eth + 1, end, claim.ipv6));
	return XDP_DROP;
}

/* Frames of a test run come from the loopback, where nothing is attached. */
SEC("xdp")
int traffic_end(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex == LOOPBACK_IFINDEX ? packet_generate(ctx) : packet_judge(ctx);
}

/* What stays on an interface in the judge's place, where frames need some program to arrive. */
SEC("xdp")
int traffic_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
