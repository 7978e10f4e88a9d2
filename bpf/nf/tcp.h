/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp.h - what an NF that looks into TCP needs: flags, sequence numbers, options. */
#pragma once

#include "bpf/nf.h"

#define TCP_FIN		   0x01
#define TCP_SYN		   0x02
#define TCP_RST		   0x04
#define TCP_PSH		   0x08
#define TCP_ACK		   0x10
#define TCP_URG		   0x20

#define TCP_OPT_END	   0
#define TCP_OPT_NOP	   1
#define TCP_OPT_MSS	   2
#define TCP_OPT_WSCALE	   3
#define TCP_OPTIONS_MAX	   40 /* bytes: a data offset of 15 words */
#define TCP_WSCALE_MAX	   14 /* RFC 7323, section 2.3 */
#define TCP_OPTION_BUF	   64 /* a power of two, so that an offset is bounded by a mask */
#define TCP_LAYOUT_OPTIONS 16 /* options that a layout of 4 bits each can name */

struct tcp_options {
	__u8 data[TCP_OPTION_BUF];
	__u32 len;
	__u32 off;
	__u64 layout; /* kinds in order, 4 bits each, the first in the highest used; 15: any other */
	__u16 mss;
	__u8 wscale;
	__u8 has_wscale;
};

/* Sequence numbers are compared modulo 2^32 (RFC 9293, section 3.4). */
static __always_inline int seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

static __always_inline int seq_after(__u32 a, __u32 b)
{
	return (__s32)(b - a) < 0;
}

static long tcp_option_next(__u32 i, struct tcp_options *o)
{
	__u32 off = o->off & (TCP_OPTION_BUF - 1), left = o->len - off;
	__u8 kind = o->data[off], len;

	if (o->off >= o->len || kind == TCP_OPT_END)
		return 1;
	if (i < TCP_LAYOUT_OPTIONS)
		o->layout = o->layout << 4 | (kind < 15 ? kind : 15);
	if (kind == TCP_OPT_NOP) {
		o->off = off + 1;
		return 0;
	}
	len = o->data[(off + 1) & (TCP_OPTION_BUF - 1)];
	if (left < 2 || len < 2 || len > left)
		return 1;
	if (kind == TCP_OPT_MSS && len == 4) {
		o->mss = (__u16)(o->data[(off + 2) & (TCP_OPTION_BUF - 1)] << 8 |
				 o->data[(off + 3) & (TCP_OPTION_BUF - 1)]);
	} else if (kind == TCP_OPT_WSCALE && len == 3) {
		o->wscale = o->data[(off + 2) & (TCP_OPTION_BUF - 1)];
		if (o->wscale > TCP_WSCALE_MAX)
			o->wscale = TCP_WSCALE_MAX;
		o->has_wscale = 1;
	}
	o->off = off + len;
	return 0;
}

/* Reads the options of a TCP header of `header_len` bytes; malformed ones end the walk. */
static __always_inline void tcp_options_read(struct xdp_md *ctx, const struct ff_pkt *pkt,
					     __u32 header_len, struct tcp_options *ret_options)
{
	__u32 below = ff_detach(header_len - sizeof(struct tcphdr) - 1);

	__builtin_memset(ret_options, 0, sizeof(*ret_options));
	if (below >= TCP_OPTIONS_MAX || bpf_xdp_load_bytes(ctx, pkt->l4_off + sizeof(struct tcphdr),
							   ret_options->data, below + 1))
		return;
	ret_options->len = below + 1;
	bpf_loop(TCP_OPTIONS_MAX, tcp_option_next, ret_options, 0);
}
