/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an instance's state is by the reports of its host: gone, or only not this agent's. */
#include <criterion/criterion.h>

#include "orchestrator/gather.h"
#include "orchestrator/monitor.h"
#include "tests/unit/orch_fixture.h"

TestSuite(gather, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

static struct gather *gather;
static uint64_t now_ns;

/* A report a second after the one before. The model's lock is held: the host's own don't come in between. */
static enum instance_state reported(const struct instance *instance, json_t *report)
{
	struct host *host = model_host(&orch->model, instance->host);
	struct instance_load load = {};
	struct host_load host_load = {};

	now_ns += NSEC_PER_SEC;
	json_decref(host->report);
	host->report = report;
	host->last_seen_ms += 1000;
	host->up = true;
	monitor_note_foreign(orch, host, json_object_get(report, "foreign"));
	gather_host(gather, host, now_ns, &host_load);
	gather_instance(gather, instance, now_ns, &load);
	return load.state;
}

static json_t *report_with(uint16_t id, int packets)
{
	return json_pack("{s[{si si si}]}", "instances", "id", id, "prog_id", 7, "packets",
			 packets);
}

/* The states after it has run, when @without has come for longer than GATHER_GONE_MS. */
static enum instance_state state_when(json_t *(*without)(uint16_t id))
{
	enum instance_state state = INSTANCE_STARTING;
	const struct instance *instance;
	MODEL_LOCKED(&orch->model);

	instance = model_find_instance(&orch->model, "fw-1");
	cr_assert_eq(gather_new(orch, &gather, NULL), 0);
	now_ns = clock_ns();
	reported(instance, report_with(instance->id, 1));
	cr_assert_eq(reported(instance, report_with(instance->id, 2)), INSTANCE_RUNNING);
	for (int i = 0; i < 5; i++)
		state = reported(instance, without(instance->id));
	gather_free(gather);
	return state;
}

static json_t *report_none(uint16_t id)
{
	(void)id;
	return json_pack("{s[] s[]}", "instances", "foreign");
}

static json_t *report_foreign(uint16_t id)
{
	return json_pack("{s[] s[i]}", "instances", "foreign", id);
}

Test(gather, one_that_its_host_has_no_more_has_failed)
{
	cr_expect_eq(state_when(report_none), INSTANCE_FAILED);
}

/* A rescue would take its flows away without their state, and then have it removed. */
Test(gather, one_of_another_version_is_left_where_it_is)
{
	cr_expect_eq(state_when(report_foreign), INSTANCE_UNKNOWN);
}
