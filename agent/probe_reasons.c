/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_reasons.c - every drop and unusual turn of this host's packets; those that were any. */
#include <string.h>

#include "agent/agent.h"
#include "agent/probe.h"

static int reasons_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
			struct ff_error *err)
{
	uint64_t counts[FF_REASON_MAX];
	int r = datapath_reasons(agent->dp, counts);

	(void)state;
	(void)now_ns;
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "map reasons: %s", strerror(-r));
	json_text_open(out, NULL, '{');
	for (uint32_t i = 1; i < FF_REASON_MAX; i++)
		if (counts[i])
			json_text_uint(out, reason_name(i), counts[i]);
	json_text_close(out, '}');
	return 0;
}

#define REASONS_PERIOD_MS 500 /* for people; what instances drop is in each sample */

const struct probe probe_reasons = { "reasons", REASONS_PERIOD_MS, NULL, reasons_read, NULL };
