/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_reasons.c - every drop and unusual turn of this host's packets; those that were any. */
#include <string.h>

#include "agent/agent.h"
#include "agent/probe.h"
#include "lib/json.h"

static int reasons_read(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
			struct ff_error *err)
{
	_cleanup_json_ json_t *object = json_object();
	uint64_t counts[FF_REASON_MAX];
	int r = datapath_reasons(agent->dp, counts);

	(void)state;
	(void)now_ns;
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "map reasons: %s", strerror(-r));
	for (uint32_t i = 1; i < FF_REASON_MAX; i++)
		if (counts[i] && json_put_uint(object, reason_name(i), counts[i]))
			return error_nomem(err);
	*ret = TAKE_PTR(object);
	return 0;
}

const struct probe probe_reasons = { "reasons", 0, NULL, reasons_read, NULL };
