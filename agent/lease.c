/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/lease.h"

#include "agent/desired.h"
#include "lib/clock.h"
#include "lib/json.h"

void lease_configure(struct ff_service *service, uint32_t lease_ms, uint64_t now_ns)
{
	uint64_t until_ns = lease_ms ? now_ns + lease_ms * NSEC_PER_MSEC : 0;
	__u64 old = __atomic_load_n(&service->lease_ns, __ATOMIC_RELAXED);

	/* nobody owns here yet, and this may have been long under way: it begins with its renewal */
	if (lease_ms && !service->used)
		until_ns = LEASE_OVER_NS;
	while (!old || old > until_ns)
		if (old == until_ns ||
		    __atomic_compare_exchange_n(&service->lease_ns, &old, until_ns, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
}

/* False: it has none, by a configuration that may just have come. */
static bool extend(struct ff_service *service, uint64_t until_ns)
{
	__u64 old = __atomic_load_n(&service->lease_ns, __ATOMIC_RELAXED);

	do {
		if (!old)
			return false;
		if (old >= until_ns)
			return true;
	} while (!__atomic_compare_exchange_n(&service->lease_ns, &old, until_ns, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return true;
}

static int item_renew(struct ff_service services[FF_SERVICES_MAX], const json_t *item,
		      uint64_t heard_ns, bool apply, json_t *list, struct ff_error *err)
{
	int64_t id, lease_ms;
	uint64_t until_ns;
	int r = json_get_range(item, "id", 1, FF_SERVICES_MAX - 1, &id, err);

	if (!r)
		r = json_get_range(item, "lease_ms", LEASE_MS_MIN, LEASE_MS_MAX, &lease_ms, err);
	if (r || !apply)
		return r;
	until_ns = heard_ns + (uint64_t)lease_ms * NSEC_PER_MSEC;
	if (extend(&services[id], until_ns))
		json_array_append_new(list, json_pack("{sI sI}", "id", (json_int_t)id, "until_ns",
						      (json_int_t)services[id].lease_ns));
	return 0;
}

int lease_renew(struct ff_service services[FF_SERVICES_MAX], const json_t *body, uint64_t now_ns,
		json_t **ret_reply, struct ff_error *err)
{
	_cleanup_json_ json_t *done = json_array();
	uint64_t heard_ns;
	json_t *list, *item;
	size_t i;
	int r = json_get_uint(body, "heard_ns", &heard_ns, err);

	if (!r && heard_ns > now_ns)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			      "heard_ns is %llu, but it is only %llu here",
			      (unsigned long long)heard_ns, (unsigned long long)now_ns);
	if (!r)
		r = json_get_array(body, "services", &list, err);
	/* all of it is read before any of it is done */
	for (int apply = 0; !r && apply < 2; apply++)
		json_array_foreach(list, i, item)
			if (!r)
				r = item_renew(services, item, heard_ns, apply, done, err);
	if (r)
		return r;
	*ret_reply = json_pack("{sO}", "services", done);
	return 0;
}
