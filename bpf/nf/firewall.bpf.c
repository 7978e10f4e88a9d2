/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * firewall - a stateful firewall: rules say which connections may be opened, and from which side;
 * everything else must belong to one that was.
 *
 * TCP follows RFC 9293 on both sides at once. The opening is a small machine over SYN, SYN+ACK and
 * ACK (simultaneous open included); the closing is not a machine but a fact: which sides have sent
 * a FIN, and which of those FINs are acknowledged. What may change the state is what lies in the
 * window of van Rooij's "Real Stateful TCP Packet Filtering in IP Filter", which Linux's conntrack
 * uses too; what lies outside is counted, and passed or dropped as configured.
 *
 * All of a flow's state changes inside its lock, so that counters are exact and the machine sees
 * one packet after another although the flow's two directions may be on two CPUs.
 */
#include <linux/in.h>

#include "bpf/match.h"
#include "bpf/nf.h"
#include "bpf/nf/tcp.h"

#define IPPROTO_ICMPV6	 58 /* <linux/in6.h> clashes with vmlinux.h */

#define FW_RULES_MAX	 64    /* evaluated for the packet that opens a flow only */
#define FW_ACK_SLACK_MIN 66000 /* how far back an ACK may lie at least: an unscaled window */

/* X(symbol, field of the timeouts, default in seconds: those of Linux's conntrack) */
#define FW_STATES(X)                                                                               \
	X(NONE, none, 30)                                                                          \
	X(SYN_SENT, tcp_syn_sent, 120)                                                             \
	X(SYN_SENT2, tcp_syn_sent2, 120) /* simultaneous open: both sides have sent a SYN */       \
	X(SYN_RECV, tcp_syn_recv, 60)                                                              \
	X(ESTABLISHED, tcp_established, 432000)                                                    \
	X(FIN_WAIT, tcp_fin_wait, 120)	  /* one side has sent a FIN */                            \
	X(CLOSE_WAIT, tcp_close_wait, 60) /* and it is acknowledged */                             \
	X(LAST_ACK, tcp_last_ack, 30)	  /* both have */                                          \
	X(TIME_WAIT, tcp_time_wait, 120)  /* and both are acknowledged */                          \
	X(CLOSE, tcp_close, 10)		  /* reset */                                              \
	X(UDP_NEW, udp_new, 30)                                                                    \
	X(UDP_REPLIED, udp_replied, 120)                                                           \
	X(ICMP_NEW, icmp_new, 30)                                                                  \
	X(ICMP_REPLIED, icmp_replied, 30)                                                          \
	X(SCTP_COOKIE_WAIT, sctp_cookie_wait, 10)                                                  \
	X(SCTP_COOKIE_ECHOED, sctp_cookie_echoed, 10)                                              \
	X(SCTP_ESTABLISHED, sctp_established, 210)                                                 \
	X(SCTP_SHUTDOWN, sctp_shutdown, 10)                                                        \
	X(SCTP_CLOSED, sctp_closed, 10)

#define FW_ENUM(symbol, field, seconds)	   FW_##symbol,
#define FW_FIELD(symbol, field, seconds)   __u32 field##_s;
#define FW_DEFAULT(symbol, field, seconds) seconds,

enum fw_state { FW_STATES(FW_ENUM) FW_STATE_MAX };

struct fw_timeouts {
	FW_STATES(FW_FIELD) /* 0: the default */
};
_Static_assert(sizeof(struct fw_timeouts) == FW_STATE_MAX * sizeof(__u32), "one a state");

static const __u32 timeout_default_s[FW_STATE_MAX] = { FW_STATES(FW_DEFAULT) };

enum fw_action { FW_DENY, FW_ALLOW };

/*
 * May a connection be opened by match.a towards match.b, as in `tcp and src net 198.18.1.0/24 and
 * dst port 80`? The first rule that matches decides. Filter text can't say in which direction it is
 * meant, so the match's own FF_MATCH_EITHER doesn't count here, and `either` does.
 */
struct fw_rule {
	struct ff_match match;
	enum fw_action action;
	__u32 either; /* 1: or by match.b towards match.a */
};

struct fw_config {
	struct fw_rule rules[FW_RULES_MAX];
	__u32 rules_count;
	__u32 default_deny;  /* what no rule matches: 0 may be opened */
	__u32 strict_window; /* 1: a segment outside the window is dropped */
	struct fw_timeouts timeouts;
};
FF_CONFIG(struct fw_config);

/* A pair is indexed by the endpoint of the flow's key that sends: pkt->dir. */
struct fw_flow {
	__u64 packets[2] ff_sum; /* that passed */
	__u64 bytes[2] ff_sum;	 /* L3 */
	__u64 opened_ns ff_min ff_clock;
	__u32 dropped ff_sum;
	__u32 related ff_sum; /* ICMP errors about the flow that passed */
	__u32 outside ff_sum; /* segments outside the window or with a foreign tag */
	enum fw_state state ff_last;
	__u32 end[2] ff_last;	  /* TCP: highest sequence number sent, plus 1 */
	__u32 acked[2] ff_last;	  /* up to here the other side has acknowledged it */
	__u32 max_end[2] ff_last; /* up to here the other side's window lets it send */
	__u32 max_win[2] ff_last; /* the largest window that it has offered */
	__u32 tag[2] ff_last;	  /* SCTP: what it expects in packets sent to it */
	__u8 scale[2] ff_last;	  /* of its windows */
	__u8 has_scale[2] ff_last;
	__u8 fin[2] ff_last;   /* it has sent a FIN, whose end is `end` */
	__u8 opener ff_last;   /* which endpoint sent the opening packet */
	__u8 answerer ff_last; /* which one sent the SYN+ACK */
	__u8 loose ff_last;    /* fragmented: sequence numbers aren't known any more */
	__u8 pad[3];
};
FF_FLOW_STATE(fw_flows, struct fw_flow);

enum fw_event {
	EV_OTHER, /* UDP, an ICMP reply, a later fragment */
	EV_OPEN,  /* ICMP echo request */
	EV_SYN,
	EV_SYNACK,
	EV_ACK, /* with or without data or FIN */
	EV_RST,
	EV_SCTP,
};

/* What a packet says, read before the lock is taken. */
struct fw_input {
	enum fw_event event;
	__u32 opens; /* it would open a flow */
	__u32 may;   /* and the rules let it */
	__u32 dir;
	__u32 seq, end, ack;
	__u32 window;
	__u32 tag, new_tag;
	__u8 flags;
	__u8 scale, has_scale;
	__u8 chunk, chunk_flags;
	__u8 fragment;
};

/* Over, though its entry is still there: it may be opened anew. */
static __always_inline int flow_is_over(enum fw_state state)
{
	return state == FW_NONE || state == FW_TIME_WAIT || state == FW_CLOSE ||
	       state == FW_SCTP_CLOSED;
}

/* ---- rules --------------------------------------------------------------------------------- */

struct fw_question {
	const struct ff_pkt *pkt;
	const struct fw_config *config;
	enum fw_action action;
};

static long rule_ask(__u32 i, struct fw_question *q)
{
	const struct fw_rule *rule;

	if (i >= FW_RULES_MAX || i >= q->config->rules_count)
		return 1;
	rule = &q->config->rules[i];
	if (!match_packet(&rule->match, q->pkt, rule->either))
		return 0;
	q->action = rule->action;
	return 1;
}

static __always_inline int rules_allow(const struct ff_pkt *pkt, const struct fw_config *config)
{
	struct fw_question q = {
		.pkt = pkt,
		.config = config,
		.action = config->default_deny ? FW_DENY : FW_ALLOW,
	};

	bpf_loop(FW_RULES_MAX, rule_ask, &q, 0);
	return q.action == FW_ALLOW;
}

/* ---- TCP ----------------------------------------------------------------------------------- */

/* Which event a segment is; EV_OTHER: a combination of flags that no TCP sends. */
static __always_inline enum fw_event tcp_event(__u8 flags)
{
	switch (flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) {
	case TCP_SYN:
		return EV_SYN;
	case TCP_SYN | TCP_ACK:
		return EV_SYNACK;
	case TCP_ACK:
	case TCP_ACK | TCP_FIN:
		return EV_ACK;
	case TCP_RST:
	case TCP_RST | TCP_ACK:
		return EV_RST;
	default:
		return EV_OTHER;
	}
}

static __always_inline int tcp_read(struct xdp_md *ctx, const struct ff_pkt *pkt,
				    struct fw_input *in)
{
	struct tcphdr *tcp = ff_at(ctx, pkt->l4_off, sizeof(*tcp));
	struct tcp_options options;
	__u32 header_len, l4_len = pkt->l3_len - (pkt->l4_off - pkt->l3_off);

	if (!tcp)
		return FF_REASON_NF_INVALID;
	header_len = tcp->doff * 4;
	in->flags = pkt->tcp_flags;
	in->event = tcp_event(in->flags);
	if (in->event == EV_OTHER || header_len < sizeof(*tcp) || header_len > l4_len)
		return FF_REASON_NF_INVALID;
	in->opens = in->event == EV_SYN;
	in->seq = bpf_ntohl(tcp->seq);
	in->ack = bpf_ntohl(tcp->ack_seq);
	in->window = bpf_ntohs(tcp->window);
	in->end = in->seq + l4_len - header_len + !!(in->flags & TCP_SYN) + !!(in->flags & TCP_FIN);
	if (in->flags & TCP_SYN) {
		tcp_options_read(ctx, pkt, header_len, &options);
		in->scale = options.wscale;
		in->has_scale = options.has_wscale;
	}
	return FF_PASS;
}

/* A side shows itself by its SYN or SYN+ACK, whose window is never scaled. */
static __always_inline void tcp_side_start(struct fw_flow *flow, const struct fw_input *in)
{
	__u32 dir = in->dir & 1, peer = dir ^ 1;

	flow->end[dir] = in->end;
	flow->acked[dir] = in->seq;
	flow->max_win[dir] = in->window ? in->window : 1;
	flow->max_end[dir] = in->end + flow->max_win[peer];
	flow->max_end[peer] = flow->end[peer] + flow->max_win[dir];
	flow->scale[dir] = in->scale;
	flow->has_scale[dir] = in->has_scale;
	flow->fin[dir] = 0;
}

static __always_inline void tcp_open(struct fw_flow *flow, const struct fw_input *in)
{
	__u32 dir = in->dir & 1, peer = dir ^ 1;

	flow->end[peer] = flow->acked[peer] = flow->max_win[peer] = 0;
	flow->scale[peer] = flow->has_scale[peer] = flow->fin[peer] = 0;
	tcp_side_start(flow, in);
	flow->opener = (__u8)dir;
	flow->loose = 0;
	flow->state = FW_SYN_SENT;
}

/* Both ends of the segment, and its acknowledgement, lie where they can. */
static __always_inline int tcp_in_window(const struct fw_flow *flow, const struct fw_input *in)
{
	__u32 dir = in->dir & 1, peer = dir ^ 1;
	__u32 slack = flow->max_win[dir] > FW_ACK_SLACK_MIN ? flow->max_win[dir] : FW_ACK_SLACK_MIN;

	return flow->loose || (!seq_after(in->seq, flow->max_end[dir]) &&
			       !seq_before(in->end, flow->end[dir] - flow->max_win[peer]) &&
			       !seq_after(in->ack, flow->end[peer]) &&
			       !seq_before(in->ack, flow->end[peer] - slack));
}

static __always_inline void tcp_track(struct fw_flow *flow, const struct fw_input *in)
{
	__u32 dir = in->dir & 1, peer = dir ^ 1;
	__u32 window = in->window;

	if (!(in->flags & TCP_SYN) && flow->has_scale[0] && flow->has_scale[1])
		window <<= flow->scale[dir] & 15;
	if (seq_after(in->end, flow->end[dir]) && !flow->fin[dir])
		flow->end[dir] = in->end; /* nothing comes after a FIN */
	if (window > flow->max_win[dir])
		flow->max_win[dir] = window;
	if (seq_after(in->ack, flow->acked[peer]))
		flow->acked[peer] = in->ack;
	window = in->ack + (window ? window : 1); /* a probe may pass a closed window */
	if (seq_after(window, flow->max_end[peer]))
		flow->max_end[peer] = window;
}

/* The closing states, from which FINs were sent and which are acknowledged. */
static __always_inline enum fw_state tcp_closing(const struct fw_flow *flow)
{
	int acked0 = flow->fin[0] && !seq_before(flow->acked[0], flow->end[0]);
	int acked1 = flow->fin[1] && !seq_before(flow->acked[1], flow->end[1]);

	if (flow->fin[0] && flow->fin[1])
		return acked0 && acked1 ? FW_TIME_WAIT : FW_LAST_ACK;
	return acked0 || acked1 ? FW_CLOSE_WAIT : FW_FIN_WAIT;
}

static __always_inline int flow_outside(struct fw_flow *flow, const struct fw_config *config)
{
	flow->outside++;
	return config->strict_window ? FF_REASON_NF_INVALID : FF_PASS;
}

/* An answer to a SYN acknowledges it: RFC 9293, section 3.10.7.3. */
static __always_inline int tcp_acks_syn(const struct fw_flow *flow, const struct fw_input *in)
{
	__u32 peer = (in->dir & 1) ^ 1;

	return (in->flags & TCP_ACK) && seq_after(in->ack, flow->acked[peer]) &&
	       !seq_after(in->ack, flow->end[peer]);
}

static __always_inline int tcp_syn(struct fw_flow *flow, const struct fw_input *in)
{
	if (flow_is_over(flow->state)) {
		if (!in->may)
			return FF_REASON_NF_DENIED;
		tcp_open(flow, in);
	} else if (flow->state == FW_SYN_SENT && in->dir == flow->opener) {
		tcp_open(flow, in); /* sent again, or a new attempt */
	} else if (flow->state == FW_SYN_SENT) {
		tcp_side_start(flow, in);
		flow->state = FW_SYN_SENT2;
	}
	/* else: its receiver knows best, and answers with an ACK (RFC 5961, section 4) */
	return FF_PASS;
}

static __always_inline int tcp_synack(struct fw_flow *flow, const struct fw_input *in)
{
	if ((flow->state == FW_SYN_SENT && in->dir != flow->opener) ||
	    flow->state == FW_SYN_SENT2) {
		if (!tcp_acks_syn(flow, in))
			return FF_REASON_NF_INVALID;
		if (flow->state == FW_SYN_SENT)
			tcp_side_start(flow, in);
		tcp_track(flow, in);
		flow->answerer = (__u8)in->dir;
		flow->state = FW_SYN_RECV;
	} else if (flow->state == FW_SYN_SENT || flow_is_over(flow->state)) {
		return FF_REASON_NF_INVALID;
	} else if (flow->state == FW_SYN_RECV && in->dir != flow->answerer &&
		   tcp_acks_syn(flow, in)) {
		tcp_track(flow, in); /* the second SYN+ACK of a simultaneous open */
		flow->state = FW_ESTABLISHED;
	}
	return FF_PASS;
}

static __always_inline int tcp_ack(struct fw_flow *flow, const struct fw_input *in,
				   const struct fw_config *config)
{
	__u32 dir = in->dir & 1;
	int opened;

	if (flow->state == FW_SYN_SENT && in->dir == flow->opener)
		return FF_REASON_NF_INVALID;
	if (flow->state == FW_SYN_SENT || flow->state == FW_SYN_SENT2 || flow->state == FW_CLOSE)
		return FF_PASS; /* a leftover of the connection before, which makes its peer reset it */
	opened = flow->state == FW_SYN_RECV && in->dir != flow->answerer;
	if (!tcp_in_window(flow, in) || (opened && !tcp_acks_syn(flow, in)))
		return flow_outside(flow, config);
	tcp_track(flow, in);
	if (in->flags & TCP_FIN)
		flow->fin[dir] = 1;
	if (flow->fin[0] || flow->fin[1])
		flow->state = tcp_closing(flow);
	else if (opened)
		flow->state = FW_ESTABLISHED;
	return FF_PASS;
}

static __always_inline int tcp_rst(struct fw_flow *flow, const struct fw_input *in,
				   const struct fw_config *config)
{
	__u32 dir = in->dir & 1;
	int accepted;

	if (flow->state == FW_CLOSE)
		return FF_PASS;
	if (flow->state == FW_SYN_SENT)
		accepted = in->dir == flow->opener || tcp_acks_syn(flow, in);
	else if (flow->state == FW_SYN_SENT2)
		accepted = tcp_acks_syn(flow, in) || in->seq == flow->end[dir];
	else /* where its receiver would take it: from what that has acknowledged, in its window */
		accepted = flow->loose || (!seq_before(in->seq, flow->acked[dir]) &&
					   seq_before(in->seq, flow->max_end[dir]));
	if (!accepted)
		return flow_outside(flow, config);
	flow->state = FW_CLOSE;
	return FF_PASS;
}

static __always_inline int tcp_step(struct fw_flow *flow, const struct fw_input *in,
				    const struct fw_config *config)
{
	if (in->fragment)
		flow->loose = 1;
	if (flow->state == FW_NONE && in->event != EV_SYN)
		return FF_REASON_NF_NO_STATE;
	switch (in->event) {
	case EV_SYN:
		return tcp_syn(flow, in);
	case EV_SYNACK:
		return tcp_synack(flow, in);
	case EV_ACK:
		return tcp_ack(flow, in, config);
	case EV_RST:
		return tcp_rst(flow, in, config);
	default:
		return FF_PASS; /* a later fragment */
	}
}

/* ---- SCTP ---------------------------------------------------------------------------------- */

enum sctp_chunk { /* RFC 9260, section 3.2 */
		  SCTP_INIT = 1,
		  SCTP_INIT_ACK = 2,
		  SCTP_ABORT = 6,
		  SCTP_SHUTDOWN = 7,
		  SCTP_SHUTDOWN_ACK = 8,
		  SCTP_COOKIE_ECHO = 10,
		  SCTP_COOKIE_ACK = 11,
		  SCTP_SHUTDOWN_COMPLETE = 14,
};
#define SCTP_REFLECTED 1 /* T flag: the tag is the sender's own peer's, for want of a better */

struct sctp_chunk_header {
	__u8 type, flags;
	__be16 length;
	__be32 tag; /* INIT and INIT ACK: the initiate tag */
};

static __always_inline int sctp_read(struct xdp_md *ctx, const struct ff_pkt *pkt,
				     struct fw_input *in)
{
	struct sctphdr *sctp = ff_at(ctx, pkt->l4_off, sizeof(*sctp) + 4);
	struct sctp_chunk_header *chunk;

	if (!sctp)
		return FF_REASON_NF_INVALID;
	chunk = (void *)(sctp + 1);
	in->event = EV_SCTP;
	in->tag = bpf_ntohl(sctp->vtag);
	in->chunk = chunk->type;
	in->chunk_flags = chunk->flags;
	in->opens = in->chunk == SCTP_INIT;
	if (in->chunk != SCTP_INIT && in->chunk != SCTP_INIT_ACK)
		return FF_PASS;
	chunk = ff_at(ctx, pkt->l4_off + sizeof(*sctp), sizeof(*chunk));
	if (!chunk || !chunk->tag || (in->opens && in->tag))
		return FF_REASON_NF_INVALID;
	in->new_tag = bpf_ntohl(chunk->tag);
	return FF_PASS;
}

static __always_inline int sctp_init(struct fw_flow *flow, const struct fw_input *in)
{
	__u32 dir = in->dir & 1;

	if (flow_is_over(flow->state)) {
		if (!in->may)
			return FF_REASON_NF_DENIED;
		flow->opener = (__u8)dir;
		flow->tag[dir ^ 1] = 0;
		flow->state = FW_SCTP_COOKIE_WAIT;
	}
	if (flow->state == FW_SCTP_COOKIE_WAIT)
		flow->tag[dir] = in->new_tag;
	return FF_PASS;
}

static __always_inline int sctp_step(struct fw_flow *flow, const struct fw_input *in,
				     const struct fw_config *config)
{
	__u32 dir = in->dir & 1, peer = dir ^ 1;
	__u32 expected = flow->tag[peer];

	if (in->event == EV_OTHER)
		return flow->state == FW_NONE ? FF_REASON_NF_NO_STATE : FF_PASS;
	if (in->chunk == SCTP_INIT)
		return sctp_init(flow, in);
	if (flow->state == FW_NONE)
		return FF_REASON_NF_NO_STATE;
	if ((in->chunk == SCTP_ABORT || in->chunk == SCTP_SHUTDOWN_COMPLETE) &&
	    (in->chunk_flags & SCTP_REFLECTED))
		expected = flow->tag[dir];
	if (in->tag != expected)
		return flow_outside(flow, config);
	switch (in->chunk) {
	case SCTP_INIT_ACK:
		if (flow->state == FW_SCTP_COOKIE_WAIT)
			flow->tag[dir] = in->new_tag;
		break;
	case SCTP_COOKIE_ECHO:
		if (flow->state == FW_SCTP_COOKIE_WAIT)
			flow->state = FW_SCTP_COOKIE_ECHOED;
		break;
	case SCTP_COOKIE_ACK:
		if (flow->state == FW_SCTP_COOKIE_ECHOED)
			flow->state = FW_SCTP_ESTABLISHED;
		break;
	case SCTP_SHUTDOWN:
	case SCTP_SHUTDOWN_ACK:
		if (flow->state == FW_SCTP_ESTABLISHED)
			flow->state = FW_SCTP_SHUTDOWN;
		break;
	case SCTP_ABORT:
	case SCTP_SHUTDOWN_COMPLETE:
		flow->state = FW_SCTP_CLOSED;
		break;
	}
	return FF_PASS;
}

/* ---- UDP and ICMP: who asks first, and is there an answer ----------------------------------- */

#define ECHO_REQUEST  8	  /* RFC 792 */
#define ECHO_REQUEST6 128 /* RFC 4443, section 4.1 */

static __always_inline int icmp_read(struct xdp_md *ctx, const struct ff_pkt *pkt,
				     struct fw_input *in)
{
	struct icmphdr *icmp = ff_at(ctx, pkt->l4_off, sizeof(*icmp));

	if (!icmp)
		return FF_REASON_NF_INVALID;
	in->opens = icmp->type == (pkt->proto == IPPROTO_ICMP ? ECHO_REQUEST : ECHO_REQUEST6);
	in->event = in->opens ? EV_OPEN : EV_OTHER;
	return FF_PASS;
}

static __always_inline int pseudo_step(struct fw_flow *flow, const struct fw_input *in,
				       enum fw_state fresh, enum fw_state replied)
{
	if (flow->state == FW_NONE) {
		if (!in->opens)
			return FF_REASON_NF_NO_STATE;
		flow->state = fresh;
		flow->opener = (__u8)in->dir;
	} else if (in->dir != flow->opener && in->event != EV_OPEN) {
		flow->state = replied; /* a ping the other way is no answer */
	}
	return FF_PASS;
}

/* ---- all ----------------------------------------------------------------------------------- */

/* What the packet says; not to be asked for later fragments, which have no transport header. */
static __always_inline int input_read(struct xdp_md *ctx, const struct ff_pkt *pkt,
				      struct fw_input *in)
{
	switch (pkt->proto) {
	case IPPROTO_TCP:
		return tcp_read(ctx, pkt, in);
	case IPPROTO_SCTP:
		return sctp_read(ctx, pkt, in);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return icmp_read(ctx, pkt, in);
	case IPPROTO_UDP:
		in->opens = 1;
		return FF_PASS;
	default:
		return FF_REASON_NF_INVALID;
	}
}

static __always_inline int flow_step(struct fw_flow *flow, const struct fw_input *in,
				     const struct fw_config *config, __u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return tcp_step(flow, in, config);
	case IPPROTO_SCTP:
		return sctp_step(flow, in, config);
	case IPPROTO_UDP:
		return pseudo_step(flow, in, FW_UDP_NEW, FW_UDP_REPLIED);
	default:
		return pseudo_step(flow, in, FW_ICMP_NEW, FW_ICMP_REPLIED);
	}
}

static __always_inline __u64 state_timeout(const struct fw_config *config, __u32 state)
{
	const __u32 *configured = (const __u32 *)&config->timeouts;

	if (state >= FW_STATE_MAX)
		return 0;
	return (configured[state] ? configured[state] : timeout_default_s[state]) * FF_SEC;
}

/*
 * One packet of a flow, counted exactly whatever the other direction's CPU does. How long it lives
 * is stored inside the lock, too: behind it, an ACK that was judged before the other side's RST could
 * store its five days after the RST its ten seconds, and a closed flow would keep its place.
 */
static __always_inline int flow_packet(struct fw_flows_entry *e, const struct ff_pkt *pkt,
				       const struct fw_input *in, const struct fw_config *config)
{
	struct ff_lock *lock = ff_lock(pkt);
	struct fw_flow *flow = &e->state;
	__u32 before, state, dir = in->dir & 1;
	int reason;

	if (!lock)
		return FF_REASON_DROP_INTERNAL;
	before = flow->state;
	reason = flow_step(flow, in, config, pkt->proto);
	state = flow->state;
	if (flow_is_over(before) && before != state)
		flow->opened_ns = pkt->now_ns;
	if (reason == FF_PASS) {
		flow->packets[dir]++;
		flow->bytes[dir] += pkt->l3_len;
	} else {
		flow->dropped++;
	}
	/* a reset connection's leftovers pass, but don't keep it */
	if (reason == FF_PASS && (state != FW_CLOSE || before != FW_CLOSE))
		ff_keep(&e->head, pkt, state_timeout(config, state));
	ff_unlock(lock);
	return reason;
}

/* An ICMP error passes if it speaks of a flow that is known; it doesn't keep the flow alive. */
static __always_inline int related_packet(struct fw_flows_entry *e)
{
	__sync_fetch_and_add(&e->state.related, 1);
	return FF_PASS;
}

static __always_inline int firewall(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	const struct fw_config *config = ff_config();
	struct fw_flows_entry *e = fw_flows_get(pkt);
	struct fw_input in = { .event = EV_OTHER, .dir = pkt->dir & 1 };
	int reason;

	if (!config)
		return FF_REASON_DROP_INTERNAL;
	if (pkt->flags & FF_PKT_RELATED)
		return e ? related_packet(e) : FF_REASON_NF_NO_STATE;
	in.fragment = !!(pkt->flags & FF_PKT_FRAGMENT);
	if (!(pkt->flags & FF_PKT_FRAG_LATER)) {
		reason = input_read(ctx, pkt, &in);
		if (reason != FF_PASS)
			return reason;
	}
	if (!e && !in.opens)
		return FF_REASON_NF_NO_STATE;
	/* each ping is asked for: one the other way with the same identifier has the same key */
	if (in.opens && (!e || flow_is_over(e->state.state) || in.event == EV_OPEN)) {
		in.may = rules_allow(pkt, config);
		if (!in.may)
			return FF_REASON_NF_DENIED;
	}
	if (!e)
		e = fw_flows_new(pkt, state_timeout(config, FW_NONE));
	return e ? flow_packet(e, pkt, &in, config) : ff_refuse(pkt);
}
FF_NF(firewall);
