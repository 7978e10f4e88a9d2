/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * monitor - watches and never drops: counters of each flow; what each source host offers and how
 * its TCP looks; histograms of everything. One NF with all three scopes of state.
 *
 * All but the notes about a host change by atomic instructions, which cost less than a lock and are
 * exact as well, because no two fields have to agree with each other.
 */
#include <linux/in.h>

#include "bpf/nf.h"
#include "bpf/nf/tcp.h"

#define IPPROTO_ICMPV6 58 /* <linux/in6.h> clashes with vmlinux.h */

#define MON_HOSTS_MAX  65536 /* watched; further ones are counted, not kept */
#define MON_OFFERS_MAX 32    /* services kept of one host */
#define MON_SIZES      8     /* classes of packet sizes: below 64, 128, 256 ... 4096, and more */
#define MON_IDLE_S     300   /* default: how long a flow is remembered after its last packet */
#define MON_CLOSED_S   10    /* default: the same after its end, RST or FIN of both sides */

struct mon_config {
	__u32 idle_s;	/* 0: the default */
	__u32 closed_s; /* 0: the default */
	__u32 full_drop; /* 1: a flow that the full table can't hold is dropped, not just passed by */
};
FF_CONFIG(struct mon_config);

/* ---- per-flow: a pair is indexed by the endpoint of the key that sends ---------------------- */

struct mon_flow {
	__u64 packets[2] ff_sum;
	__u64 bytes[2] ff_sum; /* L3 */
	__u64 first_ns ff_min ff_clock;
	__u64 last_ns ff_max ff_clock;
	__u32 tcp_flags[2] ff_or;
	__u32 fragments ff_sum;
	__u32 related ff_sum;  /* ICMP errors about it */
	__u32 opener ff_last;  /* which endpoint was seen first, plus 1 */
	__u32 answered ff_max; /* 1: the other one was seen too */
};
FF_FLOW_STATE(mon_flows, struct mon_flow);

/* ---- multi-flow: a host, known by the packets that it sends --------------------------------- */

struct mon_host_key {
	__u8 addr[16]; /* IPv4 mapped */
};

struct mon_offer {
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct mon_host {
	struct bpf_spin_lock lock; /* of what is below `bytes` */
	__u32 pad;
	__u64 first_ns ff_min ff_clock;
	__u64 last_ns ff_max ff_clock;
	__u64 flows ff_sum; /* that it opened */
	__u64 packets ff_sum;
	__u64 bytes ff_sum;
	__u64 layout ff_last; /* of its last SYN's options: 4 bits a kind */
	__u16 window ff_last; /* of that SYN, like the following */
	__u16 mss ff_last;
	__u8 scale ff_last;
	__u8 ttl ff_last; /* as it arrived here */
	__u8 dont_fragment ff_last;
	__u8 pad2;
	__u32 syns ff_sum;
	__u32 offers_more ff_sum; /* further offers, for which there was no room */
	__u32 offers_count ff_max;
	struct mon_offer offers[MON_OFFERS_MAX];
	__u32 pad3;
};
FF_SHARED_STATE(mon_hosts, struct mon_host_key, struct mon_host, MON_HOSTS_MAX);

/* ---- all flows ------------------------------------------------------------------------------ */

struct mon_totals {
	__u64 packets ff_sum;
	__u64 bytes ff_sum;
	__u64 sizes[MON_SIZES] ff_sum;
	__u64 tcp ff_sum;
	__u64 udp ff_sum;
	__u64 sctp ff_sum;
	__u64 icmp ff_sum;
	__u64 icmp6 ff_sum;
	__u64 ipv4 ff_sum;
	__u64 ipv6 ff_sum;
	__u64 fragments ff_sum;
	__u64 related ff_sum;
	__u64 flows_unkept ff_sum; /* packets whose flow found no room */
	__u64 hosts_unkept ff_sum; /* packets whose host found none */
};
FF_GLOBAL_STATE(mon_totals, struct mon_totals);

static __always_inline __u32 size_class(__u32 len)
{
	__u32 class = 0;

#pragma unroll
	for (int i = 0; i < MON_SIZES - 1; i++)
		class += len >= 64u << i;
	return class;
}

static __always_inline void totals_count(const struct ff_pkt *pkt)
{
	struct mon_totals *totals = mon_totals_all();
	__u64 *proto;

	if (!totals)
		return;
	switch (pkt->proto) {
	case IPPROTO_TCP:
		proto = &totals->tcp;
		break;
	case IPPROTO_UDP:
		proto = &totals->udp;
		break;
	case IPPROTO_SCTP:
		proto = &totals->sctp;
		break;
	case IPPROTO_ICMP:
		proto = &totals->icmp;
		break;
	default:
		proto = &totals->icmp6;
		break;
	}
	if (pkt->flags & FF_PKT_RELATED) /* its protocol is that of the flow it speaks of */
		proto = pkt->family == 4 ? &totals->icmp : &totals->icmp6;
	__sync_fetch_and_add(proto, 1);
	__sync_fetch_and_add(&totals->packets, 1);
	__sync_fetch_and_add(&totals->bytes, pkt->l3_len);
	__sync_fetch_and_add(&totals->sizes[size_class(pkt->l3_len) & (MON_SIZES - 1)], 1);
	__sync_fetch_and_add(pkt->family == 4 ? &totals->ipv4 : &totals->ipv6, 1);
	if (pkt->flags & FF_PKT_FRAGMENT)
		__sync_fetch_and_add(&totals->fragments, 1);
	if (pkt->flags & FF_PKT_RELATED)
		__sync_fetch_and_add(&totals->related, 1);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static __always_inline struct mon_host *host_get(const struct ff_pkt *pkt)
{
	struct mon_host *host, fresh = {};
	struct mon_totals *totals;
	struct mon_host_key key;

	__builtin_memcpy(key.addr, pkt->key.addr[pkt->dir & 1], sizeof(key.addr));
	host = bpf_map_lookup_elem(&mon_hosts, &key);
	if (host)
		return host;
	fresh.first_ns = pkt->now_ns;
	bpf_map_update_elem(&mon_hosts, &key, &fresh, BPF_NOEXIST);
	host = bpf_map_lookup_elem(&mon_hosts, &key);
	totals = mon_totals_all();
	if (!host && totals)
		__sync_fetch_and_add(&totals->hosts_unkept, 1);
	return host;
}

struct mon_search {
	const struct mon_host *host;
	__be16 port;
	__u8 proto;
	__u8 found;
};

static long offer_compare(__u32 i, struct mon_search *search)
{
	const struct mon_offer *offer;

	if (i >= MON_OFFERS_MAX || i >= search->host->offers_count)
		return 1;
	offer = &search->host->offers[i];
	search->found = offer->port == search->port && offer->proto == search->proto;
	return search->found;
}

/* The host has answered from this port: it offers something there. */
static __always_inline void host_offers(struct mon_host *host, const struct ff_pkt *pkt)
{
	struct mon_search search = { .host = host, .port = pkt->port[0], .proto = pkt->proto };
	__u32 place;

	bpf_loop(MON_OFFERS_MAX, offer_compare, &search, 0);
	if (search.found)
		return;
	bpf_spin_lock(&host->lock);
	place = host->offers_count;
	/* another CPU may have noted the same port just before: most likely as the last one */
	if (place && place <= MON_OFFERS_MAX && host->offers[place - 1].port == search.port &&
	    host->offers[place - 1].proto == search.proto) {
		/* nothing */
	} else if (place < MON_OFFERS_MAX) {
		host->offers[place].port = search.port;
		host->offers[place].proto = search.proto;
		host->offers_count = place + 1;
	} else {
		host->offers_more++;
	}
	bpf_spin_unlock(&host->lock);
}

/* What a SYN tells about the system that sent it, as p0f (Zalewski) and others read it. */
static __always_inline void host_fingerprint(struct xdp_md *ctx, struct mon_host *host,
					     const struct ff_pkt *pkt)
{
	struct tcphdr *tcp = ff_at(ctx, pkt->l4_off, sizeof(*tcp));
	struct tcp_options options;
	__u32 header_len;
	__u16 window;
	__u8 *ip, ttl, dont_fragment;

	if (!tcp)
		return;
	header_len = tcp->doff * 4;
	window = bpf_ntohs(tcp->window);
	ip = ff_at(ctx, pkt->l3_off, sizeof(struct iphdr));
	if (!ip)
		return;
	ttl = pkt->family == 4 ? ip[8] : ip[7];
	dont_fragment = pkt->family == 4 ? !!(ip[6] & 0x40) : 1;
	tcp_options_read(ctx, pkt, header_len, &options);

	bpf_spin_lock(&host->lock);
	host->layout = options.layout;
	host->window = window;
	host->mss = options.mss;
	host->scale = options.wscale;
	host->ttl = ttl;
	host->dont_fragment = dont_fragment;
	host->syns++;
	bpf_spin_unlock(&host->lock);
}

static __always_inline void host_note(struct xdp_md *ctx, const struct ff_pkt *pkt, int opened,
				      int answered)
{
	struct mon_host *host = host_get(pkt);
	__u8 syn = pkt->tcp_flags & (TCP_SYN | TCP_ACK);

	if (!host)
		return;
	__sync_fetch_and_add(&host->packets, 1);
	__sync_fetch_and_add(&host->bytes, pkt->l3_len);
	host->last_ns = pkt->now_ns;
	if (opened)
		__sync_fetch_and_add(&host->flows, 1);
	if (pkt->proto == IPPROTO_TCP) {
		if (syn == TCP_SYN)
			host_fingerprint(ctx, host, pkt);
		if (syn == (TCP_SYN | TCP_ACK))
			host_offers(host, pkt);
	} else if (answered && (pkt->proto == IPPROTO_UDP || pkt->proto == IPPROTO_SCTP)) {
		host_offers(host, pkt);
	}
}

/* ---- flows ---------------------------------------------------------------------------------- */

static __always_inline __u64 flow_lifetime(const struct mon_flow *flow)
{
	const struct mon_config *config = ff_config();
	__u32 flags = flow->tcp_flags[0] | flow->tcp_flags[1];
	__u32 both = flow->tcp_flags[0] & flow->tcp_flags[1];
	__u32 idle_s = 0, closed_s = 0;

	if (config) {
		idle_s = config->idle_s;
		closed_s = config->closed_s;
	}
	if ((flags & TCP_RST) || (both & TCP_FIN))
		return (closed_s ? closed_s : MON_CLOSED_S) * FF_SEC;
	return (idle_s ? idle_s : MON_IDLE_S) * FF_SEC;
}

static __always_inline void flow_count(struct mon_flow *flow, const struct ff_pkt *pkt)
{
	__u32 dir = pkt->dir & 1;

	__sync_fetch_and_add(&flow->packets[dir], 1);
	__sync_fetch_and_add(&flow->bytes[dir], pkt->l3_len);
	if ((flow->tcp_flags[dir] & pkt->tcp_flags) != pkt->tcp_flags)
		__sync_fetch_and_or(&flow->tcp_flags[dir], pkt->tcp_flags);
	if (pkt->flags & FF_PKT_FRAGMENT)
		__sync_fetch_and_add(&flow->fragments, 1);
	if (flow->last_ns < pkt->now_ns)
		flow->last_ns = pkt->now_ns;
}

static __always_inline int full_verdict(struct ff_pkt *pkt)
{
	const struct mon_config *config = ff_config();
	struct mon_totals *totals = mon_totals_all();
	int reason = ff_refuse(pkt);

	if (totals)
		__sync_fetch_and_add(&totals->flows_unkept, 1);
	if (config && config->full_drop)
		return reason;
	ff_count(reason); /* noted, not obeyed: who only watches must not break what it watches */
	return FF_PASS;
}

static __always_inline int monitor(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	struct mon_flows_entry *e = mon_flows_get(pkt);
	__u32 me = (pkt->dir & 1) + 1;
	int opened = 0, answered = 0;

	pkt->now_ns = bpf_ktime_get_ns(); /* who looks at gaps wants more than the tick */
	totals_count(pkt);
	if (pkt->flags &
	    FF_PKT_RELATED) { /* sent by anyone on the way: tells nothing about a host */
		if (e)
			__sync_fetch_and_add(&e->state.related, 1);
		return FF_PASS;
	}
	if (!e)
		e = mon_flows_new(pkt, flow_lifetime(&(struct mon_flow){}));
	if (e) {
		opened = !e->state.opener && !__sync_val_compare_and_swap(&e->state.opener, 0, me);
		if (opened)
			e->state.first_ns = pkt->now_ns;
		answered = !e->state.answered && e->state.opener != me &&
			   !__sync_val_compare_and_swap(&e->state.answered, 0, 1);
		flow_count(&e->state, pkt);
	}
	host_note(ctx, pkt, opened, answered);
	if (!e)
		return full_verdict(pkt);
	ff_keep(&e->head, pkt, flow_lifetime(&e->state));
	return FF_PASS;
}
FF_NF(monitor);
