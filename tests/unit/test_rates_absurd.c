/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Samples that make no sense are refused, and do no harm. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "tests/unit/rates_fixture.h"
#include "tests/unit/random.h"

TestSuite(rates_absurd, .init = rates_setup, .fini = rates_teardown);

static int refused(const char *path, json_t *value)
{
	struct told told = told_first();
	_cleanup_json_ json_t *json = NULL;
	struct sample *sample = NULL;
	json_t *at;
	char part[64];
	int r;

	told.loads = "0 1/1/1";
	told.heavy = "udp 198.18.1.2:1000 198.18.2.2:80";
	json = sample_json(&told);
	for (at = json; strchr(path, '.'); path = strchr(path, '.') + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)strcspn(path, "."), path);
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) :
					 json_object_get(at, part);
		cr_assert(at, "no %s", part);
	}
	if (json_is_array(at))
		json_array_set_new(at, (size_t)atoi(path), value);
	else
		json_object_set_new(at, path, value);
	rates_err = (struct ff_error){};
	r = sample_parse(json, &sample, &rates_err);
	cr_expect_eq(r == 0, sample != NULL);
	cr_expect(r == 0 || *rates_err.message);
	sample_free(sample);
	return r;
}

Test(rates_absurd, absurd_samples_are_refused)
{
	static const char *const wrong[] = { "seq",
					     "agent_ns",
					     "time_ns",
					     "period_ms",
					     "cpu.user.0",
					     "cpu.softirq.1",
					     "softnet.squeezed.0",
					     "pressure.cpu.some_us",
					     "links.0.rx_bytes",
					     "instances.0.id",
					     "instances.0.packets",
					     "instances.0.timed",
					     "instances.0.prog_id",
					     "instances.0.drops.nf-denied",
					     "slots.0.instance",
					     "slots.0.slots",
					     "flows.0.instance",
					     "flows.0.flows.0.slot",
					     "flows.0.flows.0.packets_per_s" };

	cr_assert_eq(refused("wall_ms", json_integer(5)), 0, "%s", rates_err.message);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cr_expect_eq(refused(wrong[i], json_string("many")), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_integer(-1)), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_integer(INT64_MAX)), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_object()), -EINVAL, "%s", wrong[i]);
	}
	cr_expect_eq(refused("cpu.user", json_array()), -EINVAL);
	cr_expect_eq(refused("cpu.user", json_pack("[i]", 5)), -EINVAL, "of another length");
	cr_expect_eq(refused("instances", json_object()), -EINVAL);
	cr_expect_eq(refused("instances.0.service", json_integer(FF_SERVICES_MAX)), -EINVAL);
	cr_expect_eq(refused("instances.0.nf_ns", json_integer(1 << 20)), -EINVAL,
		     "longer than the path that it is part of");
	cr_expect_eq(refused("instances.0.timed", json_integer(0)), -EINVAL, "time of no packets");
	cr_expect_eq(refused("flows.0.flows.0.flow", json_string("from here to there")), -EINVAL);
	cr_expect_eq(refused("flows.0.flows.0.packets_per_s", json_real(1e300)), -EINVAL);
	cr_expect_eq(refused("links.0.interface",
			     json_string("a name that is too long for an interface")),
		     -EINVAL);
}

Test(rates_absurd, absurd_slots_are_refused)
{
	static const char *const wrong[] = {
		"0",
		"0 ",
		"0 1/1",
		"0 1/1/",
		"0 1/1/1 ",
		"0 1/1/1;",
		"0 1/1/1;0 1/1/1",
		"x",
		" 1/1/1",
		"0 1/1/1x",
		"0 -1/1/1",
		"4 1/1/1",
		"3 1/1/1 1/1/1",
		"0 1/1/4294967296",
		"0 99999999999999999999/1/1",
		"0  1/1/1",
		"99999999999999999999 1/1/1",
	};

	cr_expect_eq(refused("slots.0.loads", json_string("")), 0);
	cr_expect_eq(refused("slots.0.loads", json_string("1 1/1/1;3 1/1/4294967295")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(refused("slots.0.loads", json_string(wrong[i])), -EINVAL, "%s",
			     wrong[i]);
}

/* A sample with some part of it replaced is refused, or taken, and the next good one is taken. */
Test(rates_absurd, garbage_does_no_harm)
{
	static const char *const texts[] = {
		"null", "-1", "[]", "{}", "1e300", "\"\"", "9223372036854775807", "true"
	};
	struct random random = { .state = 11 };
	struct told told = told_first();

	for (int i = 0; i < 3000; i++) {
		_cleanup_json_ json_t *json = NULL, *bad = NULL;
		_cleanup_sample_ struct sample *sample = NULL;
		_cleanup_free_ char *text = NULL;
		size_t len;

		tell_on(&told);
		told.loads = "0 1/1/1 2/2/2";
		told.heavy = "tcp [2001:db8::1]:1 [2001:db8::2]:2";
		json = sample_json(&told);
		text = json_dumps(json, JSON_COMPACT);
		len = strlen(text);
		if (random_below(&random, 2)) {
			text[random_below(&random, (unsigned int)len)] =
				(char)(32 + random_below(&random, 95));
		} else {
			const char *with = texts[random_below(&random, ARRAY_SIZE(texts))];
			char *colon = strchr(text + random_below(&random, (unsigned int)len), ':');
			_cleanup_free_ char *mixed = NULL;

			cr_assert(asprintf(&mixed, "%.*s:%s%s",
					   colon ? (int)(colon - text) : (int)len, text, with,
					   colon ? colon + 1 + strcspn(colon + 1, ",}]") : "") > 0);
			free(text);
			text = TAKE_PTR(mixed);
		}
		if (json_parse(text, strlen(text), &bad, NULL) == 0 &&
		    sample_parse(bad, &sample, NULL) == 0)
			rates_take(rates, sample, arrival(&told), NULL);
		tell_on(&told);
		take_at(&told, arrival(&told));
	}
	rates_free(rates);
	rates_setup();
	tell_on(&told);
	take(&told);
	tell_on(&told);
	take(&told);
	cr_expect(near(instance_now(arrival(&told)).packets_per_s, 100000));
}

Test(rates_absurd, absurd_lives_are_refused)
{
	static const char *const rows[] = {
		"{}",
		"[{\"instance\":5,\"ended\":[]}]",
		"[{\"instance\":5,\"began\":1}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[-1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[0.5]}]",
		"[{\"instance\":0,\"began\":1,\"ended\":[1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[1]},"
		"{\"instance\":5,\"began\":1,\"ended\":[1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
		"1,1,1,1,1,1,1,1,1,1]}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct told told = told_first();

		told.lives = rows[i];
		cr_expect_eq(take_at(&told, arrival(&told)), -EINVAL, "row %zu", i);
		cr_expect(strstr(rates_err.message, "lives"), "row %zu: %s", i, rates_err.message);
	}
}
