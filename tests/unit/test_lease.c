/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_lease.c - when a host's lease on a service ends: begun, renewed, cut, taken away. */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/lease.h"
#include "lib/clock.h"
#include "lib/json.h"

#define MS(n) ((n)*NSEC_PER_MSEC)

static struct ff_service services[FF_SERVICES_MAX];
static struct ff_error err;

static int renew(const char *text, uint64_t now_ns, size_t *ret_done)
{
	_cleanup_json_ json_t *body = NULL, *reply = NULL;
	int r;

	cr_assert_eq(json_parse(text, strlen(text), &body, &err), 0, "%s", text);
	r = lease_renew(services, body, now_ns, &reply, &err);
	if (!r)
		*ret_done = json_array_size(json_object_get(reply, "services"));
	return r;
}

Test(lease, begins_with_the_configuration_and_is_not_renewed_by_it)
{
	struct ff_service s = { .used = 1 };

	lease_configure(&s, 0, MS(5000));
	cr_expect_eq(s.lease_ns, 0);
	lease_configure(&s, 1000, MS(5000));
	cr_expect_eq(s.lease_ns, MS(6000));
	lease_configure(&s, 1000, MS(5500));
	cr_expect_eq(s.lease_ns, MS(6000), "a configuration says nothing of when it was sent");
	lease_configure(&s, 1000, MS(9000));
	cr_expect_eq(s.lease_ns, MS(6000), "what has run out has run out");
	lease_configure(&s, 200, MS(5700));
	cr_expect_eq(s.lease_ns, MS(5900), "a shorter one holds from now on");
	lease_configure(&s, 0, MS(5700));
	cr_expect_eq(s.lease_ns, 0);
}

/* After a boot: the configuration may have been sent when its flows were still this host's. */
Test(lease, of_a_new_service_begins_with_its_renewal)
{
	size_t done = 9;

	services[1] = (struct ff_service){ 0 };
	lease_configure(&services[1], 1000, MS(5000));
	cr_expect_eq(services[1].lease_ns, LEASE_OVER_NS);
	services[1].used = 1;
	lease_configure(&services[1], 1000, MS(5000));
	cr_expect_eq(services[1].lease_ns, LEASE_OVER_NS);
	cr_assert_eq(renew("{\"heard_ns\":5500000000,\"services\":[{\"id\":1,\"lease_ms\":1000}]}",
			   MS(5900), &done),
		     0);
	cr_expect_eq(services[1].lease_ns, MS(6500));
}

Test(lease, is_renewed_from_what_was_heard)
{
	size_t done = 9;

	services[1].lease_ns = MS(6000);
	services[2].lease_ns = MS(8000);
	cr_assert_eq(renew("{\"heard_ns\":5500000000,\"services\":[{\"id\":1,\"lease_ms\":1000},"
			   "{\"id\":2,\"lease_ms\":1000},{\"id\":3,\"lease_ms\":1000}]}",
			   MS(5900), &done),
		     0, "%s", err.message);
	cr_expect_eq(services[1].lease_ns, MS(6500), "however late the renewal comes");
	cr_expect_eq(services[2].lease_ns, MS(8000), "an older one takes nothing back");
	cr_expect_eq(services[3].lease_ns, 0, "a service without a lease needs none");
	cr_expect_eq(done, 2);
}

Test(lease, refuses_all_of_a_bad_request)
{
	static const char *const bodies[] = {
		"{\"services\":[]}",
		"{\"heard_ns\":5500000000}",
		"{\"heard_ns\":6000000001,\"services\":[{\"id\":1,\"lease_ms\":1000}]}",
		"{\"heard_ns\":-1,\"services\":[{\"id\":1,\"lease_ms\":1000}]}",
		"{\"heard_ns\":1,\"services\":[{\"id\":1,\"lease_ms\":1000},{\"id\":16}]}",
		"{\"heard_ns\":5500000000,\"services\":[{\"id\":1,\"lease_ms\":1000},7]}",
		"{\"heard_ns\":5500000000,\"services\":[{\"id\":1,\"lease_ms\":99}]}",
	};
	size_t done;

	services[1].lease_ns = MS(6000);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		cr_expect_lt(renew(bodies[i], MS(6000), &done), 0, "%s", bodies[i]);
		cr_expect_eq(services[1].lease_ns, MS(6000), "%s", bodies[i]);
	}
}
