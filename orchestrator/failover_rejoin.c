/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_rejoin.c - what was given up, until its host comes back and tells what it did meanwhile. */
#include <string.h>

#include "lib/json.h"
#include "orchestrator/events.h"
#include "orchestrator/failover_internal.h"

void rejoin_note(const struct run *run, const struct sample_instance *told)
{
	struct failover *f = run->f;
	struct failover_lost *lost = &f->lost[f->lost_next++ % FAILOVER_LOST_MAX];

	*lost = (struct failover_lost){ .instance = run->op->from,
					.host = run->host->id,
					.packets = told->packets };
	strcpy(lost->name, run->from);
	strcpy(lost->service, run->service);
}

/* What an instance that was given up has processed since its last sample; -1: it is gone. */
static int64_t diverged(const struct failover_lost *lost, const json_t *report)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(report, "instances"), i, item)
		if (json_integer_value(json_object_get(item, "id")) == lost->instance)
			return json_integer_value(json_object_get(item, "packets")) -
			       (int64_t)lost->packets;
	return -1;
}

void failover_rejoin(struct orchestrator *orch, const struct host *host, const json_t *report)
{
	struct failover *f = orch->failover;

	for (size_t i = 0; i < FAILOVER_LOST_MAX; i++) {
		struct failover_lost lost;
		int64_t packets;
		{
			MODEL_LOCKED(&orch->model);

			lost = f->lost[i];
			if (lost.host == host->id)
				f->lost[i] = (struct failover_lost){ 0 };
		}
		if (!lost.instance || lost.host != host->id)
			continue;
		packets = diverged(&lost, report);
		event_emit(
			orch->events, packets > 0 ? "host-diverged" : "host-rejoined",
			(struct event_about){ .host = host->name,
					      .service = lost.service,
					      .instance = lost.name },
			packets < 0 ?
				"host %s is back, without %s: it rejoins empty" :
			packets == 0 ?
				"host %s is back; %s has processed nothing since it was last heard: "
				"it rejoins empty" :
				"host %s is back; %s had processed %lld packets more than it last told, "
				"which its heir knows nothing of; it rejoins empty",
			host->name, lost.name, (long long)packets);
	}
}
