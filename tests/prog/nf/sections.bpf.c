/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An NF with a program in a section that no NF has: the agent must refuse it. */
#define COUNTER_VERSION 1
#include "tests/prog/nf/counter.h"

SEC("tc")
int stranger(struct __sk_buff *skb)
{
	return skb->len != 0;
}
