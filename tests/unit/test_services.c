/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_services.c - services and instances that their hosts refuse. */
#include <criterion/criterion.h>

#include "lib/json.h"
#include "orchestrator/model.h"
#include "tests/unit/orch_fixture.h"

TestSuite(services, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

/* A host may be given once more what it has refused, before the orchestrator has taken it back. */
static void assert_refused_everywhere(const char *path, json_t *body)
{
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	fake_script(&world, "nf1", "config", FAKE_REFUSE, 1);
	reply = ask("POST", path, body, &status);
	cr_assert_geq(status, 400);
	model_lock(&orch->model);
	for (size_t i = 0; i < orch->model.hosts_n; i++)
		cr_expect_geq(orch->model.hosts[i].pushed, orch->model.version, "%s has it still",
			      orch->model.hosts[i].name);
	model_unlock(&orch->model);
}

Test(services, nothing_is_left_of_one_that_is_refused)
{
	assert_refused_everywhere("/v1/services",
				  json_pack("{ss ss ss s[{ss ss}]}", "name", "bad", "nf", "bad",
					    "class", "udp and port 7", "instances", "name", "bad-1",
					    "host", "nf1"));
}

Test(services, nor_of_an_instance)
{
	assert_refused_everywhere("/v1/services/fw/instances",
				  json_pack("{ss ss}", "name", "fw-3", "host", "nf1"));
}
