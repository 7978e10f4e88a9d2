/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* drive_abi.h - what drive.bpf.c and drive.c agree on. */
#pragma once

#include "bpf/abi.h"

#define DRIVE_FLOWS_MAX 100000u
/* Flow n is from client DRIVE_CLIENTS + n / 256, port 1024 + n % 256, to the server's port 80. */
#define DRIVE_CLIENTS 0xc6130000u /* 198.19.0.0 */
#define DRIVE_SERVER  0xc6120202u /* 198.18.2.2 */

/* The packets of a run. */
struct drive_plan {
	__u32 flows;	 /* flows 0 .. flows - 1 ... */
	__u32 random;	 /* ... in random order, from this seed; 0: one after the other */
	__u32 reverse;	 /* from server to client */
	__u32 tcp_flags; /* byte 13 of the TCP header */
	__u32 seq, ack;
	__u32 verdict; /* that is due for each */
	__s32 growth;  /* bytes that the program puts in front; negative: takes off */
};

/* What came of them. */
struct drive_score {
	__u64 packets;
	__u64 wrong; /* whose verdict or length wasn't the one that is due */
};
