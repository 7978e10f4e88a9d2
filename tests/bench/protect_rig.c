/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* protect_rig.c - see protect_rig.h. */
#include <errno.h>

#include "lib/json.h"
#include "tests/bench/protect_rig.h"

#define SERVICE "/v1/services/fw"
#define OWNER	"/v1/instances/fw-1"

int too_long(const char *what, struct ff_error *err)
{
	return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL, "after %d s still not %s",
			 LIMIT_MS / 1000, what);
}

int protect_up(struct rig *rig, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	int r = rig_policy(rig, POLICY("true"), err);

	while (!r) {
		_cleanup_json_ json_t *service = NULL;
		const json_t *protect;

		r = rig_call(rig, "GET", SERVICE, NULL, &service, err);
		protect = json_object_get(service, "protect");
		if (!r && field(protect, "owners") &&
		    field(protect, "owners") == field(protect, "protected"))
			return 0;
		if (!r && clock_ns() > deadline)
			r = too_long("protected", err);
		clock_sleep_ns(LAG_NS);
	}
	return r;
}

int standby_get(struct rig *rig, json_t **ret_instance, const json_t **ret_standby,
		struct ff_error *err)
{
	int r = rig_call(rig, "GET", OWNER, NULL, ret_instance, err);

	if (r)
		return r;
	*ret_standby = json_object_get(*ret_instance, "standby");
	if (json_is_object(*ret_standby))
		return 0;
	return error_set(err, ENOENT, FF_CODE_INTERNAL, NULL, "fw-1 has no standby");
}
