/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_packet.c - payloads as user space makes and checks them: for sockets, TCP and tests. */

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "tools/traffic.h"

/* As filling_write() in bpf/traffic.bpf.c. */
static void filling_word(uint64_t check, size_t index, uint8_t ret_bytes[8])
{
	uint64_t word = check + (index + 1) * TRAFFIC_FILL_STEP;

	memcpy(ret_bytes, &word, sizeof(word));
}

void traffic_payload_make(void *at, size_t len, const struct traffic_stamp *stamp)
{
	uint32_t flow = stamp->flow | stamp->direction << TRAFFIC_FLOW_DIR_SHIFT;
	uint64_t check = traffic_check(stamp->run, flow, stamp->seq, stamp->sent_ns, (uint32_t)len);
	struct traffic_payload payload = {
		.magic = htobe64(TRAFFIC_MAGIC),
		.run = htobe32(stamp->run),
		.flow = htobe32(flow),
		.seq = htobe64(stamp->seq),
		.sent_ns = htobe64(stamp->sent_ns),
		.check = htobe64(check),
	};
	uint8_t *filling = (uint8_t *)at + sizeof(payload), word[8];

	memcpy(at, &payload, sizeof(payload));
	len -= sizeof(payload);
	for (size_t i = 0; i * 8 < len; i++) {
		filling_word(check, i, word);
		memcpy(filling + i * 8, word, len - i * 8 < 8 ? len - i * 8 : 8);
	}
}

int traffic_payload_read(const void *at, size_t len, struct traffic_stamp *ret_stamp)
{
	const uint8_t *filling = (const uint8_t *)at + sizeof(struct traffic_payload);
	struct traffic_payload p;
	uint8_t word[8];
	uint32_t flow;

	if (len < sizeof(p))
		return -ENOMSG;
	memcpy(&p, at, sizeof(p));
	if (p.magic != htobe64(TRAFFIC_MAGIC))
		return -ENOMSG;
	flow = be32toh(p.flow);
	*ret_stamp = (struct traffic_stamp){
		.run = be32toh(p.run),
		.flow = flow & ~(1u << TRAFFIC_FLOW_DIR_SHIFT),
		.direction = flow >> TRAFFIC_FLOW_DIR_SHIFT,
		.seq = be64toh(p.seq),
		.sent_ns = be64toh(p.sent_ns),
	};
	if (be64toh(p.check) !=
	    traffic_check(ret_stamp->run, flow, ret_stamp->seq, ret_stamp->sent_ns, (uint32_t)len))
		return -EBADMSG;
	len -= sizeof(p);
	for (size_t i = 0; i * 8 < len; i++) {
		filling_word(be64toh(p.check), i, word);
		if (memcmp(filling + i * 8, word, len - i * 8 < 8 ? len - i * 8 : 8))
			return -EILSEQ;
	}
	return 0;
}
