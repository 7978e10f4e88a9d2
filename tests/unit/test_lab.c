/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lab's plan and its state file; the network that is made of them is tests/e2e's. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/lab.h"

static const struct lab_options defaults = {
	.hosts = LAB_HOSTS_DEFAULT,
	.gateways = LAB_GATEWAYS_DEFAULT,
	.slots = LAB_SLOTS_DEFAULT,
	.fabric_mtu = LAB_FABRIC_MTU,
	.nf = LAB_NF_DEFAULT,
};

Test(lab, plan_is_the_design)
{
	static const struct {
		const char *name, *netns, *ipv4, *ipv6;
		bool agent;
	} expected[] = {
		{ "client", "ff-client", "198.18.1.2", "2001:db8:1::2", false },
		{ "server", "ff-server", "198.18.2.2", "2001:db8:2::2", false },
		{ "fabric", "ff-fabric", "", "", false },
		{ "orch", "ff-orch", "198.18.8.9", "2001:db8:8::9", false },
		{ "gw", "ff-gw", "198.18.8.1", "2001:db8:8::1", true },
		{ "nf1", "ff-nf1", "198.18.8.11", "2001:db8:8::11", true },
		{ "nf3", "ff-nf3", "198.18.8.13", "2001:db8:8::13", true },
	};
	struct lab lab;

	lab_plan(&lab, &defaults);
	cr_assert_eq(lab.n_hosts, 8);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct lab_host *host = lab_host_find(&lab, expected[i].name);

		cr_assert_not_null(host, "%s", expected[i].name);
		cr_assert_eq(host, lab_host_find(&lab, expected[i].netns));
		cr_assert_str_eq(host->ipv4, expected[i].ipv4);
		cr_assert_str_eq(host->ipv6, expected[i].ipv6);
		cr_assert_eq(lab_host_has_agent(host), expected[i].agent);
	}
	cr_assert_str_eq(lab_service_name(&lab), "fw");
	cr_assert_null(lab_host_find(&lab, "gw2"));
	cr_assert_null(lab_host_find(&lab, "nf4"));
	cr_assert_eq(lab_host_find(&lab, "orchestrator"), lab_host_find(&lab, "orch"));
}

Test(lab, largest_plan_has_no_address_twice)
{
	struct lab_options options = defaults;
	struct lab lab;

	options.hosts = LAB_NF_HOSTS_MAX;
	options.gateways = LAB_GATEWAYS_MAX;
	lab_plan(&lab, &options);
	cr_assert_leq(lab.n_hosts, LAB_HOSTS_MAX);
	for (size_t i = 0; i < lab.n_hosts; i++)
		for (size_t j = 0; *lab.hosts[i].ipv4 && j < i; j++) {
			cr_assert_str_neq(lab.hosts[i].ipv4, lab.hosts[j].ipv4);
			cr_assert_str_neq(lab.hosts[i].ipv6, lab.hosts[j].ipv6);
		}
}

Test(lab, state_comes_back_as_it_was)
{
	_cleanup_json_ json_t *json = NULL;
	struct lab_options options = defaults;
	struct lab lab, again;

	options.gateways = 2;
	options.no_daemons = true;
	lab_plan(&lab, &options);
	lab.mounted_bpffs = true;
	lab_host_find(&lab, "nf2")->pid = 4711;
	lab_host_find(&lab, "nf2")->start_time = UINT32_MAX + 7ull;
	cr_assert_eq(lab_to_json(&lab, &json), 0);
	cr_assert_eq(lab_from_json(json, &again, NULL), 0);
	cr_assert_eq(again.n_hosts, lab.n_hosts);
	cr_assert_eq(again.options.gateways, 2);
	cr_assert(again.options.no_daemons && again.mounted_bpffs && !again.complete);
	cr_assert_str_eq(again.options.nf, "firewall");
	cr_assert_eq(lab_host_find(&again, "nf2")->pid, 4711);
	cr_assert_eq(lab_host_find(&again, "nf2")->start_time, UINT32_MAX + 7ull);
}

/* A damaged state must not make `lab down` write past its tables or signal a pid of somebody's. */
Test(lab, damaged_state_is_refused)
{
	static const struct {
		const char *key;
		const char *value;
	} damages[] = {
		{ "version", "2" },
		{ "hosts", "0" },
		{ "hosts", "61" },
		{ "hosts", "\"3\"" },
		{ "gateways", "3" },
		{ "slots", "0" },
		{ "fabric_mtu", "65536" },
		{ "nf", "\"\"" },
		{ "nf", "\"a name that is longer than any of an NF\"" },
		{ "mounted_bpffs", "1" },
		{ "processes", "{}" },
		{ "processes", "[{\"name\":\"nf9\",\"pid\":1,\"start_time\":1}]" },
		{ "processes", "[{\"name\":\"nf1\",\"pid\":-1,\"start_time\":1}]" },
		{ "processes", "[7]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		_cleanup_json_ json_t *json = NULL;
		struct ff_error err = {};
		struct lab lab;

		lab_plan(&lab, &defaults);
		cr_assert_eq(lab_to_json(&lab, &json), 0);
		json_object_set_new(json, damages[i].key,
				    json_loads(damages[i].value, JSON_DECODE_ANY, NULL));
		cr_assert_lt(lab_from_json(json, &lab, &err), 0, "%s: %s", damages[i].key,
			     damages[i].value);
		cr_assert(*err.message);
	}
}
