/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peers.h - the other hosts as the tunnel needs them: outer headers made ready, senders allowed.
 *
 * XDP's own packets don't make the kernel resolve neighbours, so this does. A header that changes (a
 * neighbour's MAC) is written beside the one in use, and one store says which is used: packets see
 * either of them whole.
 */
#pragma once

#include "agent/agent.h"

/* Brings maps peers and peer_addrs in line with agent->hosts. Under agent.lock; once a second. */
void peers_refresh(struct agent *agent);

/* This host's own addresses: tunnel packets are known by them. Under agent.lock. */
int peers_self_refresh(struct agent *agent, struct ff_error *err);
