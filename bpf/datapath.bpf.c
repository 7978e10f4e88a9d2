/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath.bpf.c - the XDP programs of a host.
 *
 *	steer	 on steering interfaces: parse -> service -> slot -> owner
 *	fabric	 on the fabric interface: tunnel packets as above, the rest by the FIB
 *	forward	 after the NF: the FIB
 *	too_big	 the ICMP answer to what doesn't fit into the tunnel
 *	release	 for the agent's live frames: parked packets, in order
 *	fence	 for the agent's live frames: fences behind the data of this CPU
 *
 * ARCHITECTURE.md tells the life of a packet.
 */
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/station.h"
#include "bpf/fragment.h"
#include "bpf/steer.h"
#include "bpf/tunnel.h"
#include "bpf/park.h"
#include "bpf/forward.h"
#include "bpf/icmp.h"
#include "bpf/heartbeat.h"

/* Malformed and foreign packets are the kernel's business; those that can't be, are dropped. */
static __always_inline int refuse(__u32 reason)
{
	if (reason >= FF_REASON_DROP_FRAG_NO_FIRST)
		return ff_verdict(XDP_DROP, reason);
	return ff_verdict(XDP_PASS, reason);
}

/* The host of the instance from which the lane's flows come; 0: it's this one, or unknown. */
static __always_inline __u32 source_host(__u32 lane_no)
{
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	__u32 from = lane ? lane->from : 0;
	__u32 host = instance_at(from)->host;

	return host != host_info.host ? host : 0;
}

/* The NF is to measure one packet of many, see struct ff_meter. */
static __always_inline void sample_choose(struct ff_pkt *pkt)
{
	pkt->sampled_ns = 0;
	if (pkt->sample_wait--)
		return;
	pkt->sample_wait = FF_SAMPLE_EVERY - 1;
	pkt->sampled_ns = bpf_ktime_get_ns();
}

/*
 * A host that the orchestrator has lost gives its flows up by itself, also when its agent is dead: by
 * then others may own them. To the tick: up to 10 ms late.
 */
static __always_inline int lease_is_over(const struct ff_service *service, __u64 now_ns)
{
	__u64 lease_ns = *(volatile __u64 *)&service->lease_ns;

	return lease_ns && now_ns > lease_ns;
}

/* The owner is on this host: hold the packet, or hand it to the NF. */
static __always_inline int deliver(struct xdp_md *ctx, struct ff_pkt *pkt,
				   const struct ff_service *service, const struct ff_steer *steer)
{
	pkt->now_ns = pkt->tick_ns;
	if (lease_is_over(service, pkt->now_ns))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_FENCED);
	sample_choose(pkt);
	pkt->instance = steer->here;
	pkt->steer_flags = steer->flags;
	pkt->lane = steer->lane;
	if ((steer->flags & FF_STEER_PARK) && pkt->kind != FF_KIND_RETURN) {
		__u32 source = source_host(steer->lane);

		/* a local move's source gives up when its target takes over: there's no way past */
		switch (park_packet(ctx, pkt, source && pkt->hops < FF_HOPS_MAX)) {
		case PARK_DONE:
			return XDP_DROP;
		case PARK_PAST:
			ff_count(FF_REASON_OVERTOOK);
			return tunnel_send(ctx, pkt, source, FF_KIND_RETURN);
		}
	}
	bpf_tail_call(ctx, &nfs, steer->here);
	return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_INSTANCE);
}

static __always_inline int is_multicast(const struct ff_pkt *pkt, const struct ff_cursor *c)
{
	__u32 to = c->addr[1][1] >> 32, top = c->addr[1][0] & 0xff, next = c->addr[1][0] >> 8;

	if (pkt->family == 4)
		return (to & 0xff) >= 224 || (to & 0xffff) == (169 | 254 << 8);
	return top == 0xff || (top == 0xfe && (next & 0xc0) == 0x80);
}

/* To one of this host's own addresses? */
static __always_inline int is_local(const struct ff_cursor *c)
{
	__u32 word[4] = { 0, 0, c->addr[1][1], c->addr[1][1] >> 32 };
	__u32 class = FF_LOCAL_CLASS(word);
	__u64 to[2];

	if (!(host_info.local[class / 64] & (1ull << (class % 64))))
		return 0;
	addr_copy(to, c->addr[1]);
	return bpf_map_lookup_elem(&local_addrs, to) != NULL;
}

static __always_inline void packet_begin(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	pkt->ifindex = ctx->ingress_ifindex;
	tick_begin(ctx, pkt);
	pkt->flags = 0;
	pkt->hops = 0;
	pkt->kind = FF_KIND_DATA;
	pkt->steer_flags = 0;
}

/* A packet that has been parsed. Once for plain ones and once for all others: what is known of the
 * former makes the code a third shorter. */
static __always_inline int steer_parsed(struct xdp_md *ctx, struct ff_pkt *pkt, struct ff_cursor *c)
{
	struct ff_service *service;
	struct ff_steer steer;
	__u32 host;
	int reason;

	if (is_multicast(pkt, c))
		return ff_verdict(XDP_PASS, FF_REASON_PASS_MULTICAST);
	if (is_local(c))
		return ff_verdict(XDP_PASS, FF_REASON_PASS_LOCAL);
	if (pkt->flags & FF_PKT_FRAG_LATER) {
		reason = fragment_follow(pkt, c);
		if (reason)
			return refuse(reason);
	} else if (pkt->flags & FF_PKT_FRAGMENT) {
		fragment_note(pkt, c, 0);
	}
	flow_key_set(pkt, c, 0);
	service = service_of(pkt);
	if (!service)
		return ff_verdict(XDP_PASS, FF_REASON_PASS_NO_SERVICE);
	pkt->slot = (pkt->family == 4 ? ff_slot_hash_v4(&pkt->key, &service->keys) :
					ff_slot_hash_keyed(&pkt->key, &service->keys)) &
		    service->slot_mask;
	reason = steer_of(service, pkt, &steer);
	if (reason)
		return refuse(reason);
	host = instance_at(steer.owner)->host;
	if (!host)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_OWNER);
	if (host == host_info.host)
		return deliver(ctx, pkt, service, &steer);
	return tunnel_send(ctx, pkt, host, FF_KIND_DATA);
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();
	struct ff_cursor plain, c;
	void *data, *end;
	int reason;

	if (!pkt)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	packet_begin(ctx, pkt);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	reason = station_check(data, end, &pkt->iface);
	if (reason)
		return ff_verdict(XDP_PASS, reason);
	if (!parse_plain(data, end, pkt, &plain))
		return steer_parsed(ctx, pkt, &plain);
	reason = parse_packet(data, end, pkt, &c);
	if (reason) {
		fragment_refused(pkt, &c, reason);
		return refuse(reason);
	}
	return steer_parsed(ctx, pkt, &c);
}

/* Notes the fence in its move's board. */
static __always_inline int fence_arrived(struct xdp_md *ctx, const struct ff_arrival *arrival)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ff_fence *fence = data + arrival->header;
	__u64 token, origin, old;
	__u32 i, from, cpu, path;
	struct ff_fences *board = NULL;
	struct ff_lane *lane = NULL;

	if (arrival->header > FF_ENCAP_V6 || (void *)(fence + 1) > end)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_FENCE);
	token = bpf_be64_to_cpu(fence->token);
	from = bpf_ntohs(fence->from);
	cpu = bpf_ntohs(fence->cpu);
	path = bpf_ntohs(fence->path);
	origin = bpf_ktime_get_ns() - bpf_be64_to_cpu(fence->age_ns);
	if (!token || from >= FF_STEERING_MAX || cpu >= FF_CPUS_MAX || path >= FF_PATHS)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_FENCE);
	for (i = 0; i < FF_LANES_MAX; i++) {
		__u32 index = i;

		lane = bpf_map_lookup_elem(&lanes, &index);
		board = bpf_map_lookup_elem(&fences, &index);
		if (lane && lane->token == token)
			break;
	}
	if (i == FF_LANES_MAX || !board || !lane)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_FENCE);
	old = lane->fence_origin_ns;
	if (!old || origin < old)
		__sync_val_compare_and_swap(&lane->fence_origin_ns, old, origin);
	/* checked above, but kernels before 6.2 have forgotten it where a value was spilled */
	from = ff_detach(from) & (FF_STEERING_MAX - 1);
	cpu = ff_detach(cpu) & (FF_CPUS_MAX - 1);
	path = ff_detach(path) & (FF_PATHS - 1);
	__sync_fetch_and_or(&board->seen[from][cpu][path / 64], 1ull << (path % 64));
	return ff_verdict(XDP_DROP, FF_REASON_FENCE_SEEN);
}

/* A tunnel packet, stripped of its outer header: to the instance here, or on to the owner. */
static __always_inline int arrive(struct xdp_md *ctx, struct ff_pkt *pkt,
				  const struct ff_arrival *arrival)
{
	struct ff_steer steer;
	struct ff_cursor c;
	void *data, *end;
	__u32 host;

	pkt->flags = FF_PKT_TUNNELED;
	pkt->hops = arrival->option.hops;
	pkt->kind = arrival->option.kind;
	pkt->slot = bpf_ntohs(arrival->option.slot);
	slot_touch(arrival->service, pkt);
	pkt->proto = arrival->option.proto;
	pkt->port[0] = arrival->option.port[0];
	pkt->port[1] = arrival->option.port[1];
	if (bpf_xdp_adjust_head(ctx, arrival->header)) /* less than a frame is left */
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INNER);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (parse_plain(data, end, pkt, &c) && parse_packet(data, end, pkt, &c))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INNER);
	flow_key_set(pkt, &c, arrival->vni);
	if (steer_of(arrival->service, pkt, &steer))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_SLOT);
	if (steer.here)
		return deliver(ctx, pkt, arrival->service, &steer);
	host = instance_at(steer.owner)->host;
	if (!host)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_OWNER);
	ff_count(FF_REASON_STRAY);
	/* sent past the parked ones, in vain: back once, to be parked whatever the bound */
	if (pkt->kind == FF_KIND_RETURN)
		pkt->hops = FF_HOPS_MAX - 1;
	return tunnel_send(ctx, pkt, host, FF_KIND_DATA);
}

static __always_inline struct ff_job *job_of_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&jobs, &cpu);
}

/* The program that a live frame of the agent's asks for; FF_PROG_MAX: it is no such frame. */
static __always_inline __u32 job_prog(struct xdp_md *ctx)
{
	struct ff_job_frame *frame = ff_at(ctx, 0, sizeof(*frame));
	struct ff_job *job;

	if (!frame || frame->proto != bpf_htons(FF_ETH_P_FENCE))
		return FF_PROG_MAX;
	job = job_of_cpu();
	if (!job || !job->cookie[0] || job->cookie[0] != frame->cookie[0] ||
	    job->cookie[1] != frame->cookie[1])
		return FF_PROG_MAX;
	return job->prog;
}

SEC("xdp")
int fabric(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();
	struct ff_arrival arrival = {};
	struct ff_cursor c;
	int reason, strange;

	if (!pkt)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	packet_begin(ctx, pkt);
	strange = station_check((void *)(long)ctx->data, (void *)(long)ctx->data_end, &pkt->iface);
	reason = strange ? NOT_TUNNEL : tunnel_check(ctx, pkt, &arrival);
	if (!reason) {
		pkt->key.service = arrival.vni;
		if (arrival.protocol == bpf_htons(FF_ETH_P_FENCE) &&
		    arrival.option.kind == FF_KIND_FENCE)
			return fence_arrived(ctx, &arrival);
		if (arrival.protocol != bpf_htons(FF_ETH_P_TEB) ||
		    (arrival.option.kind != FF_KIND_DATA && arrival.option.kind != FF_KIND_RETURN))
			return ff_verdict(XDP_DROP, FF_REASON_DROP_TUNNEL);
		return arrive(ctx, pkt, &arrival);
	}
	if (reason == FF_REASON_DROP_VNI) /* nothing that packets wait for, so last */
		return heartbeat_arrived(ctx, arrival.header);
	if (reason != NOT_TUNNEL)
		return ff_verdict(XDP_DROP, reason);
	bpf_tail_call(ctx, &progs, job_prog(ctx)); /* a live frame is addressed to nobody */
	if (strange)
		return ff_verdict(XDP_PASS, strange);
	/* Not ours: what isn't plain IP to somewhere else is for the kernel, as it came. */
	reason = parse_packet((void *)(long)ctx->data, (void *)(long)ctx->data_end, pkt, &c);
	if (reason)
		return ff_verdict(XDP_PASS, reason < FF_REASON_DROP_FRAG_NO_FIRST ?
						    reason :
						    FF_REASON_PASS_BAD_HEADER);
	if (is_multicast(pkt, &c))
		return ff_verdict(XDP_PASS, FF_REASON_PASS_MULTICAST);
	if (is_local(&c))
		return ff_verdict(XDP_PASS, FF_REASON_PASS_LOCAL);
	if (pkt->vlans) /* another network on the same wire: the kernel's VLAN device knows it */
		return ff_verdict(XDP_PASS, FF_REASON_PASS_VLANS);
	return forward_packet(ctx, pkt);
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();

	if (!pkt)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	return forward_packet(ctx, pkt);
}

SEC("xdp")
int too_big(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();
	__u32 ifindex = ctx->ingress_ifindex, mtu;
	struct ff_peer *peer;

	if (!pkt)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	peer = peer_of(pkt->peer);
	if (peer) {
		/* what is left for the inner IP packet */
		mtu = peer->mtu - (peer->encap_len - sizeof(struct ethhdr)) - pkt->l3_off;
		if (!too_big_answer(ctx, pkt, mtu)) {
			ff_count(FF_REASON_DROP_TOO_BIG);
			return bpf_redirect_map(&tx_ports, ifindex, XDP_DROP);
		}
	}
	return ff_verdict(XDP_DROP, FF_REASON_DROP_TOO_BIG);
}

SEC("xdp")
int release(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();
	struct ff_job *job = job_of_cpu();
	struct ff_service *service;
	struct ff_cursor c;
	__u32 number, slot;

	if (!pkt || !job)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	packet_begin(ctx, pkt);
	pkt->flags = FF_PKT_TUNNELED;
	if (park_take(ctx, pkt, job))
		return XDP_DROP;
	number = pkt->key.service;
	service = service_at(number);
	if (parse_packet((void *)(long)ctx->data, (void *)(long)ctx->data_end, pkt, &c))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_LOST_CELL);
	flow_key_set(pkt, &c, number);
	if (job->host) {
		ff_count(FF_REASON_RETURNED);
		pkt->hops = 0;
		return tunnel_send(ctx, pkt, job->host, FF_KIND_RETURN);
	}
	pkt->now_ns = pkt->tick_ns;
	if (lease_is_over(service, pkt->now_ns))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_FENCED);
	ff_count(FF_REASON_RELEASED);
	slot = pkt->slot;
	pkt->group = slot >> (service->group_shift & 15);
	sample_choose(pkt);
	pkt->instance = job->instance;
	bpf_tail_call(ctx, &nfs, job->instance);
	return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_INSTANCE);
}

/* The next path of the job that wants a fence, or -1. */
static __always_inline int fence_path(struct ff_job *job)
{
	__u32 i, bit;

	for (i = 0; i < FF_PATHS / 64; i++) {
		__u64 left = job->paths[i];

		if (!left)
			continue;
		for (bit = 0; bit < 64; bit++) {
			if (left & (1ull << bit)) {
				job->paths[i] = left & ~(1ull << bit);
				return i * 64 + bit;
			}
		}
	}
	return -1;
}

SEC("xdp")
int fence(struct xdp_md *ctx)
{
	struct ff_job *job = job_of_cpu();
	__u32 have = ff_frame_len(ctx), need;
	struct outer_words words;
	struct ff_outer *outer;
	struct ff_fence *fence;
	struct ff_peer *peer;
	void *end;
	int path;

	if (!job)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	path = fence_path(job);
	if (path < 0)
		return XDP_DROP;
	peer = peer_of(job->host);
	if (!peer)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_PEER);
	need = peer->encap_len + sizeof(*fence);
	if (bpf_xdp_adjust_tail(ctx, (int)need - (int)have))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_HEADROOM);
	end = (void *)(long)ctx->data_end;
	words = outer_words(job->service, 0, 1, FF_KIND_FENCE);
	outer = outer_write((void *)(long)ctx->data, end, peer, sizeof(*fence), path, &words);
	if (!outer)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	fence = (void *)(outer + 1);
	if ((void *)(fence + 1) > end)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	outer->geneve.protocol = bpf_htons(FF_ETH_P_FENCE);
	fence->token = bpf_cpu_to_be64(job->token);
	fence->age_ns = bpf_cpu_to_be64(bpf_ktime_get_ns() - job->switched_ns);
	fence->from = bpf_htons(job->from);
	fence->cpu = bpf_htons(bpf_get_smp_processor_id());
	fence->path = bpf_htons(path);
	fence->pad = 0;
	ff_count(FF_REASON_FENCE_SENT);
	return bpf_redirect_map(&tx_ports, peer->ifindex, XDP_DROP);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
