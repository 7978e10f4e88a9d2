/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the daemons take as configuration: the examples that are
 * installed, and what contradicts itself.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/monitor.h"
#include "lib/cleanup.h"
#include "orchestrator/config.h"

TestSuite(daemon_config);

#define AGENT "host: nf1\nfabric: {interface: f0}\nsocket: /run/x/agent.sock\n"

/* Loads a file of that text. */
static int agent_load(const char *text, struct agent_config **ret, struct ff_error *err)
{
	char path[] = "/tmp/ff-config-XXXXXX";
	int fd = mkstemp(path), r;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	r = agent_config_load(path, ret, err);
	unlink(path);
	return r;
}

/* A file that people copy must be right, and its comments say what is so without it. */
Test(daemon_config, the_agents_example)
{
	struct agent_config *example, *defaults;
	struct ff_error err = {};

	cr_assert_eq(agent_config_load("deploy/agent.yaml", &example, &err), 0, "%s", err.message);
	cr_assert_eq(agent_load(AGENT, &defaults, &err), 0, "%s", err.message);
	cr_expect_str_eq(example->bpffs, defaults->bpffs);
	cr_expect_eq(example->monitor->period_ms, defaults->monitor->period_ms);
	cr_expect_eq(*example->monitor->run_time_every_s, *defaults->monitor->run_time_every_s);
	cr_expect_eq(example->insecure, defaults->insecure);
	cr_expect_eq(example->steering_count, defaults->steering_count);
	cr_expect_str_eq(example->state_dir, "/run/flowferry");
	cr_expect(strstr(defaults->nf_dir, "nf"), "NF objects are looked for in %s",
		  defaults->nf_dir);
	agent_config_free(example);
	agent_config_free(defaults);
}

Test(daemon_config, the_orchestrators_example)
{
	_cleanup_(orch_config_freep) struct orch_config *example = NULL;
	struct ff_error err = {};

	cr_assert_eq(orch_config_load("deploy/orchestrator.yaml", &example, &err), 0, "%s",
		     err.message);
	cr_expect_eq(example->hosts_count, 2);
}

Test(daemon_config, an_interface_has_one_role)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ AGENT "steering: [c0, f0]\n", "steering: f0 is the fabric's interface" },
		{ AGENT "steering: [c0, s0, c0]\n", "steering: c0 is there twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct agent_config *config;
		struct ff_error err = {};

		cr_assert_eq(agent_load(cases[i].text, &config, &err), -EINVAL);
		cr_expect(strstr(err.message, cases[i].says) && *err.mend, "%s", err.message);
	}
}
