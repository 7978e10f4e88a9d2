/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The list of sources: each is a part of a sample, under its name. */
#include "agent/probe.h"

extern const struct probe probe_cpu, probe_flows, probe_instances, probe_links, probe_lives,
	probe_maps, probe_memory, probe_peers, probe_pressure, probe_programs, probe_reasons,
	probe_slots, probe_softnet;

const struct probe *const probes[PROBES] = {
	&probe_cpu,	&probe_softnet,	 &probe_pressure,  &probe_memory, &probe_links,
	&probe_reasons, &probe_programs, &probe_instances, &probe_slots,  &probe_flows,
	&probe_maps,	&probe_peers,	 &probe_lives,
};
