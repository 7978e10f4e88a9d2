/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frame.h - a TCP segment of 64 bytes, as a client sends it or as it comes from another host. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

#define FRAME 60 /* and 4 of checksum, which XDP doesn't see */

struct frame {
	uint8_t bytes[FF_ENCAP_V4 + FRAME];
	size_t len;
};

/*
 * @peer: to which this host would send it; it comes from there, of
 * service @vni. 0: as from a client.
 */
void frame_make(const struct ff_peer *peer, uint8_t vni, struct frame *ret);
