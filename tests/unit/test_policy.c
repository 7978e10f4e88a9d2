/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policies: what a file may hold, that file, defaults and JSON agree, and each
 * contradiction with its place and its mend.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/config.h"
#include "lib/json.h"
#include "lib/policy_internal.h"

TestSuite(policy);

static int load(const char *text, struct policy *policy, struct ff_error *err)
{
	return policy_load_text("p.yaml", text, strlen(text), policy, err);
}

/* struct policy has no pointers, and is made by assignments only: padding is all zero */
static bool policy_same(const struct policy *a, const struct policy *b)
{
	_cleanup_json_ json_t *x = policy_to_json(a), *y = policy_to_json(b);

	cr_assert(x && y);
	return json_equal(x, y);
}

/* The example holds each field, and each has its default. */
Test(policy, example_is_the_default)
{
	struct policy example = { .mode = 77 }, initial;
	struct ff_error err = {};
	_cleanup_json_ json_t *json = NULL;
	char *text = NULL;
	size_t len;

	policy_init(&initial);
	cr_assert_eq(policy_load("policies/example.yaml", &example, &err), 0, "%s", err.message);
	cr_expect(policy_same(&example, &initial));

	cr_assert_eq(config_read("policies/example.yaml", &text, &len, &err), 0);
	for (size_t i = 0; i < policy_numbers_n; i++) {
		unsigned int line, column;
		char path[64];

		snprintf(path, sizeof(path), "%s.%s", policy_numbers[i].section,
			 policy_numbers[i].name);
		cr_expect(config_place(text, len, path, &line, &column), "%s is not in it", path);
	}
	free(text);
}

Test(policy, reads_all)
{
	static const char text[] = "mode: observe\n"
				   "utilisation: {up_percent: 90, down_percent: 0}\n"
				   "sla:\n  latency_us: 500\n"
				   "protect: {enabled: true, lag_ms: 20}\n"
				   "partition: {mode: fence, lease_ms: 400}\n"
				   "placement:\n  spread: false\n  hosts: [nf1, nf2]\n"
				   "quiet_hours:\n"
				   "  - {from: \"22:00\", to: \"06:30\", days: [mon, sun]}\n"
				   "  - {from: 0:00, to: 24:00}\n"
				   "together: [tcp port 80, host 198.18.1.2]\n";
	struct policy policy;
	struct ff_error err = {};

	cr_assert_eq(load(text, &policy, &err), 0, "%s", err.message);
	cr_expect_eq(policy.mode, POLICY_OBSERVE);
	cr_expect_eq(policy.utilisation.up_percent, 90);
	cr_expect_eq(policy.utilisation.target_percent, 65, "a default");
	cr_expect_eq(policy.utilisation.down_percent, 0, "0 is not absence");
	cr_expect_eq(policy.sla.latency_us, 500);
	cr_expect(policy.protect.enabled);
	cr_expect_eq(policy.protect.lag_ms, 20);
	cr_expect_eq(policy.partition.mode, POLICY_FENCE);
	cr_expect_eq(policy.partition.lease_ms, 400);
	cr_expect(!policy.placement.spread);
	cr_assert_eq(policy.placement.hosts_count, 2);
	cr_expect_str_eq(policy.placement.hosts[1], "nf2");
	cr_assert_eq(policy.quiet_count, 2);
	cr_expect_eq(policy.quiet_hours[0].from_minute, 22 * 60);
	cr_expect_eq(policy.quiet_hours[0].to_minute, 6 * 60 + 30);
	cr_expect_eq(policy.quiet_hours[0].days, 1 << 0 | 1 << 6);
	cr_expect_eq(policy.quiet_hours[1].to_minute, POLICY_DAY_MINUTES);
	cr_expect_eq(policy.quiet_hours[1].days, POLICY_EVERY_DAY);
	cr_assert_eq(policy.together_count, 2);
	cr_expect_str_eq(policy.together[1], "host 198.18.1.2");
}

/* What JSON says of a policy makes the same policy; and the text of it is YAML. */
Test(policy, json_and_back)
{
	static const char text[] = "{\"mode\": \"observe\", \"instances\": {\"max\":3},"
				   "\"placement\":{\"hosts\":[\"a\",\"b\"]},"
				   "\"quiet_hours\":[{\"from\":\"01:05\",\"to\":\"02:00\"}],"
				   "\"together\":[\"tcp port 80\"]}";
	struct policy first, second, third;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *dump = NULL;
	struct ff_error err = {};

	cr_assert_eq(load(text, &first, &err), 0, "%s", err.message);
	cr_expect_eq(first.instances.max, 3);
	json = policy_to_json(&first);
	cr_assert(json);
	cr_assert_eq(policy_from_json(json, &second, &err), 0, "%s", err.message);
	cr_expect(policy_same(&first, &second));
	dump = json_dumps(json, JSON_INDENT(2));
	cr_assert_eq(load(dump, &third, &err), 0, "%s", err.message);
	cr_expect(policy_same(&first, &third));
	cr_expect_eq(third.quiet_hours[0].from_minute, 65);
}

Test(policy, json_errors_have_no_place)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "{\"mode\":\"maybe\"}", "policy: mode: invalid ENUM value: maybe" },
		{ "{\"instances\":{\"min\":9}}",
		  "policy: instances.min (9) is above instances.max (8)" },
		{ "{\"modus\":\"act\"}", "policy: unexpected key: modus" },
		{ "[1]", "policy: expecting MAPPING" },
		{ "{\"sla\":{\"freeze_ms\":null}}", "policy: sla.freeze_ms: " },
		{ "{\"sla\":{\"freeze_ms\":-1}}", "policy: sla.freeze_ms: " },
		{ "{\"sla\":{\"freeze_ms\":1.5}}", "policy: sla.freeze_ms: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *json = json_loads(cases[i].text, 0, NULL);
		struct ff_error err = {};
		struct policy policy;

		cr_assert_eq(policy_from_json(json, &policy, &err), -EINVAL, "%s", cases[i].text);
		cr_expect(!strncmp(err.message, cases[i].message, strlen(cases[i].message)),
			  "%s gave: %s", cases[i].text, err.message);
	}
}

/*
 * What can't be used; how the message begins, which names the place
 * and the fields; part of the mend.
 */
struct refusal {
	const char *text, *message, *mend;
};

static void refusals_expect(const struct refusal *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct policy policy = { .mode = 99 };
		struct ff_error err = {};

		cr_assert_eq(load(cases[i].text, &policy, &err), -EINVAL, "accepted: %s",
			     cases[i].text);
		cr_expect_eq(policy.mode, 99, "touched: %s", cases[i].text);
		cr_expect(!strncmp(err.message, cases[i].message, strlen(cases[i].message)),
			  "%sgave: %s", cases[i].text, err.message);
		cr_expect(strstr(err.mend, cases[i].mend), "%sgave the mend: %s", cases[i].text,
			  err.mend);
	}
}

Test(policy, contradictions)
{
	static const struct refusal cases[] = {
		{ "mode: act\ninstances:\n  min: 4\n  max: 2\n",
		  "p.yaml:3:8: instances.min (4) is above instances.max (2)", "raise max" },
		{ "instances:\n  max: 300\n  min: 301\n",
		  "p.yaml:3:8: instances.min (301) is above", "" },
		{ "instances: {min: 9}\n",
		  "p.yaml:1:18: instances.min (9) is above instances.max (8)", "" },
		{ "utilisation:\n  up_percent: 65\n",
		  "p.yaml:2:15: utilisation.target_percent (65) is not below "
		  "utilisation.up_percent (65)",
		  "starts the next one" },
		{ "utilisation: {down_percent: 70}\n", "p.yaml:1:29: utilisation.down_percent (70)",
		  "taken away again" },
		{ "capacity:\n  target_percent: 90\n", "p.yaml:2:19: capacity.target_percent (90)",
		  "" },
		{ "sla:\n  freeze_ms: 2000\n", "p.yaml:2:14: sla.freeze_ms (2000) is above", "" },
		{ "scale_in: {deadline_ms: 10}\n", "p.yaml:1:25: scale_in.patience_ms (2000)",
		  "less patient" },
		{ "stability:\n  up_ms: 5000\n  down_ms: 100\n",
		  "p.yaml:2:10: stability.up_ms (5000) is above stability.down_ms (100)",
		  "more slowly" },
	};

	refusals_expect(cases, ARRAY_SIZE(cases));
}

Test(policy, values_that_are_none)
{
	static const struct refusal cases[] = {
		{ "utilisation:\n  up_percent: 101\n",
		  "p.yaml:2:15: utilisation.up_percent: 101 is out of range", "give 2 to 100" },
		{ "instances:\n  min: 0\n", "p.yaml:2:8: instances.min: 0 is out of range",
		  "give 1 to" },
		{ "utilisation:\n  up_percent: -3\n",
		  "p.yaml:2:15: utilisation.up_percent: invalid", "" },
		{ "utilisation:\n  up_percent: 99999999999\n",
		  "p.yaml:2:15: utilisation.up_percent", "" },
		{ "utilisation:\n  up: 3\n", "p.yaml:2:3: utilisation: unexpected key: up", "" },
		{ "mode: on\n", "p.yaml:1:7: mode: invalid ENUM value: on", "" },
		{ "", "p.yaml: is empty", "" },
	};

	refusals_expect(cases, ARRAY_SIZE(cases));
}

Test(policy, placement_that_is_impossible)
{
	static const struct refusal cases[] = {
		{ "placement:\n  hosts: [nf1]\n",
		  "p.yaml:2:10: placement.spread keeps instances off a single host",
		  "spread: false" },
		{ "placement:\n  hosts: [nf1]\n  spread: false\nprotect:\n  enabled: true\n",
		  "p.yaml:5:12: protect.enabled needs a standby", "second host" },
		{ "placement:\n  hosts: [nf1, nf2]\ninstances:\n  min: 5\n  per_host: 2\n",
		  "p.yaml:4:8: instances.min (5) is more than", "more hosts" },
		{ "placement:\n  hosts: [nf1, nf2, nf1]\n",
		  "p.yaml:2:21: placement.hosts[2]: nf1 is there twice", "once" },
		{ "placement:\n  hosts: [nf 1]\n", "p.yaml:2:11: placement.hosts[0]: 'nf 1'",
		  "lists the names" },
		{ "placement: {spread: sometimes}\n", "p.yaml:1:21: placement.spread: invalid",
		  "" },
	};

	refusals_expect(cases, ARRAY_SIZE(cases));
}

Test(policy, quiet_hours_and_filters_that_are_none)
{
	static const struct refusal cases[] = {
		{ "quiet_hours:\n  - from: 25:00\n    to: 1:00\n",
		  "p.yaml:2:11: quiet_hours[0].from: '25:00' is no time", "22:00" },
		{ "quiet_hours:\n  - from: 24:00\n    to: 1:00\n",
		  "p.yaml:2:11: quiet_hours[0].from: '24:00' is no time", "22:00" },
		{ "quiet_hours:\n  - {from: 1:00, to: 2:0}\n",
		  "p.yaml:2:22: quiet_hours[0].to: '2:0' is no time", "06:00" },
		{ "quiet_hours:\n  - {from: \" 1:00\", to: 2:00}\n",
		  "p.yaml:2:12: quiet_hours[0].from: ' 1:00' is no time", "" },
		{ "quiet_hours:\n  - {from: 1:00, to: 2:+5}\n",
		  "p.yaml:2:22: quiet_hours[0].to: '2:+5' is no time", "" },
		{ "quiet_hours:\n  - {from: 1:00, to: 1:00}\n",
		  "p.yaml:2:22: quiet_hours[0].to: ends when it begins", "different" },
		{ "quiet_hours:\n  - {from: 1:00, to: 2:00, days: [moon]}\n",
		  "p.yaml:2:34: quiet_hours entry 1.days: unknown flag: moon", "" },
		{ "together:\n  - tcp port 80\n  - tcp and\n", "p.yaml:3:5: together[1]: ", "" },
		{ "together: [tcp, udp, tcp]\n",
		  "p.yaml:1:22: together[2]: the filter is there twice", "once" },
	};

	refusals_expect(cases, ARRAY_SIZE(cases));
}

/* Each bound of each number: the number at it is read, one past it is refused. */
Test(policy, bounds)
{
	for (size_t i = 0; i < policy_numbers_n; i++) {
		const struct policy_number *number = &policy_numbers[i];
		struct ff_error err = {};
		struct policy policy;
		char text[128];

		cr_expect(number->initial >= number->least && number->initial <= number->most,
			  "%s.%s", number->section, number->name);
		snprintf(text, sizeof(text), "%s: {%s: %u}", number->section, number->name,
			 number->most + 1);
		cr_assert_eq(load(text, &policy, &err), -EINVAL, "%s", text);
		cr_expect(strstr(err.message, "out of range"), "%s", err.message);
		if (!number->least)
			continue;
		snprintf(text, sizeof(text), "%s: {%s: %u}", number->section, number->name,
			 number->least - 1);
		cr_assert_eq(load(text, &policy, &err), -EINVAL, "%s", text);
		cr_expect(strstr(err.message, "out of range"), "%s", err.message);
	}
}

Test(policy, quiet_hours)
{
	static const char text[] = "quiet_hours:\n"
				   "  - {days: [fri], from: 22:00, to: 6:00}\n"
				   "  - {days: [sun], from: 0:00, to: 24:00}\n"
				   "  - {from: 12:00, to: 12:30}\n";
	enum { MON, TUE, WED, THU, FRI, SAT, SUN };
	static const struct {
		unsigned int day, hour, minute;
		bool quiet;
	} cases[] = {
		{ FRI, 21, 59, false }, { FRI, 22, 0, true },	{ SAT, 0, 0, true },
		{ SAT, 5, 59, true },	{ SAT, 6, 0, false },	{ SAT, 22, 0, false },
		{ FRI, 5, 0, false },	{ SUN, 0, 0, true },	{ SUN, 23, 59, true },
		{ MON, 0, 0, false },	{ SAT, 23, 59, false }, { WED, 12, 0, true },
		{ WED, 12, 30, false }, { THU, 11, 59, false }, { TUE, 3, 0, false },
	};
	struct policy policy;
	struct ff_error err = {};

	cr_assert_eq(load(text, &policy, &err), 0, "%s", err.message);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(policy_is_quiet(&policy, cases[i].day,
					     cases[i].hour * 60 + cases[i].minute),
			     cases[i].quiet, "day %u, %02u:%02u", cases[i].day, cases[i].hour,
			     cases[i].minute);
	policy_init(&policy);
	cr_expect(!policy_is_quiet(&policy, SUN, 12 * 60));
}

Test(policy, hosts_allowed)
{
	struct policy policy;

	policy_init(&policy);
	cr_expect(policy_allows_host(&policy, "any"));
	cr_assert_eq(load("placement: {hosts: [nf1, nf2]}", &policy, NULL), 0);
	cr_expect(policy_allows_host(&policy, "nf2"));
	cr_expect(!policy_allows_host(&policy, "nf"));
	cr_expect(!policy_allows_host(&policy, "nf3"));
}

Test(policy, place_of_a_field)
{
	static const char text[] = "a: 1\nb:\n  c: [x, {d: 2}]\n  \"e\": 'f'\n";
	static const struct {
		const char *path;
		unsigned int line, column;
	} cases[] = {
		{ "a", 1, 4 },	      { "b.c", 3, 6 },	  { "b.c[0]", 3, 7 }, { "b.c[1].d", 3, 14 },
		{ "b.e", 4, 8 },      { "b.c[2]", 0, 0 }, { "b.x", 0, 0 },    { "a.b", 0, 0 },
		{ "b.c[9].d", 0, 0 }, { "b[0]", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int line = 0, column = 0;

		cr_expect_eq(config_place(text, strlen(text), cases[i].path, &line, &column),
			     cases[i].line != 0, "%s", cases[i].path);
		cr_expect_eq(line, cases[i].line, "%s: line %u", cases[i].path, line);
		cr_expect_eq(column, cases[i].column, "%s: column %u", cases[i].path, column);
	}
	cr_expect(!config_place("a: [", 4, "a", &(unsigned int){ 0 }, &(unsigned int){ 0 }));
}
