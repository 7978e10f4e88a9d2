/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* firewall_rig.h - the NF `firewall` on the rig, and the flows that its tests send through it. */
#pragma once

#include "tests/prog/harness.h"

#define UDP_C	 .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define UDP_S	 .proto = IPPROTO_UDP, .sport = 53, .dport = 5000
#define UDP_FLOW "udp 198.18.1.2:5000 198.18.2.2:53"
#define TCP_C	 .proto = IPPROTO_TCP, .sport = 1234, .dport = 80
#define TCP_S	 .proto = IPPROTO_TCP, .sport = 80, .dport = 1234
#define TCP_FLOW "tcp 198.18.1.2:1234 198.18.2.2:80"
#define ECHO	 .proto = IPPROTO_ICMP, .icmp_type = 8, .icmp_id = 77
#define REPLY	 .proto = IPPROTO_ICMP, .icmp_type = 0, .icmp_id = 77
#define SYNACK	 (TH_SYN | TH_ACK)

/* From the client, which is allowed; the server's answer; both sent on. */
extern const struct row syn_c, synack_s;

/* For a test suite's .init. */
void firewall_init(void);

/* The flow is known, and in that state of enum fw_state. */
void state_expect(const char *flow, const char *state);
