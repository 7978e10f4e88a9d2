/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "tests/unit/analyzer_fixture.h"

#define BEGIN_MS 100000 /* any; the clock doesn't begin with our test */
#define FLOWS	 10000	/* that a state table takes */

void site_init(struct site *site, size_t instances)
{
	memset(site, 0, sizeof(*site));
	policy_init(&site->policy);
	site->analyzer = analyzer_new();
	cr_assert(site->analyzer);
	site->now_ms = BEGIN_MS;
	site->instances_n = instances;
	for (size_t i = 0; i < instances; i++) {
		site->states[i] = INSTANCE_RUNNING;
		site->born_ms[i] = BEGIN_MS - 60000;
	}
	for (size_t i = 0; i < SITE_SLOTS; i++)
		site->weights[i] = 1;
	site_spread(site);
}

void site_done(struct site *site)
{
	analyzer_free(site->analyzer);
}

void site_spread(struct site *site)
{
	uint16_t running[SITE_INSTANCES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < site->instances_n; i++)
		if (site->states[i] == INSTANCE_RUNNING)
			running[n++] = (uint16_t)(i + 1);
	cr_assert(n);
	for (size_t i = 0; i < SITE_SLOTS; i++)
		site->owners[i] = running[i % n];
}

static void hosts_report(struct site *site)
{
	for (size_t i = 0; i < SITE_HOSTS; i++) {
		struct host_load *host = &site->hosts[i];

		*host = (struct host_load){
			.id = (uint16_t)(i + 1),
			.quality = { .validity = LOAD_VALID },
			.cpus = 4,
			.cpu = { .softirq = 0.5f, .system = 0.1f, .user = 0.2f },
			.memory_bytes = 1e9,
			.pressure_known = true,
		};
		snprintf(host->name, sizeof(host->name), "nf%zu", i + 1);
	}
}

static void instance_report(struct site *site, size_t i, double utilisation)
{
	struct instance_load *instance = &site->instances[i];

	*instance = (struct instance_load){
		.id = (uint16_t)(i + 1),
		.host = (uint16_t)(i % SITE_HOSTS + 1),
		.state = site->states[i],
		.packets_per_s = utilisation * SITE_PPS,
		.bytes_per_s = utilisation * SITE_PPS * 500,
		.flows = site->fill * FLOWS,
		.ns_per_packet = 1e9 / SITE_PPS,
		.utilisation = utilisation,
		.capacity_pps = SITE_PPS,
		.capacity_flows = FLOWS,
		.age_ms = site->now_ms - site->born_ms[i],
	};
	if (instance->state != INSTANCE_STARTING)
		instance->quality.validity = LOAD_VALID;
	else
		instance->quality.age_ns = UINT64_MAX;
	snprintf(instance->name, sizeof(instance->name), "fw-%zu", i + 1);
}

void site_report(struct site *site)
{
	double owned[SITE_INSTANCES_MAX] = {}, weight = 0;

	for (size_t i = 0; i < SITE_SLOTS; i++)
		weight += site->weights[i];
	for (size_t i = 0; i < SITE_SLOTS; i++) {
		double share = site->demand * site->weights[i] / weight;

		owned[site->owners[i] - 1] += share;
		site->slots[i] = (struct slot_load){
			.owner = site->owners[i],
			.valid = true,
			.packets_per_s = (float)(share * SITE_PPS),
		};
	}
	hosts_report(site);
	for (size_t i = 0; i < site->instances_n; i++)
		instance_report(site, i, owned[i]);
	site->service = (struct service_load){
		.id = SITE_SERVICE,
		.name = "fw",
		.instances = site->instances,
		.instances_n = site->instances_n,
		.slots = site->slots,
		.slots_n = SITE_SLOTS,
		.slots_quality = { .validity = LOAD_VALID },
	};
	site->loads = (struct loads){
		.now_ns = site->now_ms * NSEC_PER_MSEC,
		.hosts = site->hosts,
		.hosts_n = SITE_HOSTS,
		.services = &site->service,
		.services_n = 1,
	};
}

void site_judge(struct site *site)
{
	const struct policy *policies[FF_SERVICES_MAX] = { [SITE_SERVICE] = &site->policy };

	cr_assert_eq(analyzer_step(site->analyzer, &site->loads, policies, &site->analysis), 0);
	for (size_t i = 0; i < site->analysis.changes_n; i++) {
		const struct condition_change *change = &site->analysis.changes[i];

		cr_log_info("%7.1f s %s %s: %s", (double)(site->now_ms - BEGIN_MS) / 1e3,
			    change->raised ? "+" : "-", condition_kind_name(change->condition.kind),
			    change->condition.why);
		(change->raised ? site->raised : site->ended)[change->condition.kind]++;
	}
}

void site_run(struct site *site, uint64_t ms)
{
	for (uint64_t end = site->now_ms + ms; site->now_ms < end;) {
		site->now_ms += SITE_SAMPLE_MS;
		site_report(site);
		site_judge(site);
	}
}

void site_run_spoilt(struct site *site, uint64_t ms, void (*spoil)(void))
{
	for (uint64_t until = site->now_ms + ms; site->now_ms < until;) {
		site->now_ms += SITE_SAMPLE_MS;
		site_report(site);
		spoil();
		site_judge(site);
	}
}

const struct condition *site_holds(const struct site *site, enum condition_kind kind,
				   enum condition_about about, uint16_t id)
{
	for (size_t i = 0; i < site->analysis.conditions_n; i++) {
		const struct condition *condition = &site->analysis.conditions[i];

		if (condition->kind == kind && condition->about == about && condition->id == id)
			return condition;
	}
	return NULL;
}

const struct condition_change *site_changed(const struct site *site, enum condition_kind kind,
					    enum condition_about about, uint16_t id)
{
	for (size_t i = site->analysis.changes_n; i--;) {
		const struct condition_change *change = &site->analysis.changes[i];

		if (change->condition.kind == kind && change->condition.about == about &&
		    change->condition.id == id)
			return change;
	}
	return NULL;
}
