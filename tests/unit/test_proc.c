/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the monitor reads in /proc: text as kernels write it, and text that no kernel writes.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agent/proc.h"
#include "lib/json.h"
#include "tests/unit/random.h"

TestSuite(proc);

#define TICK_NS 10000000

static json_int_t at(const json_t *json, const char *name, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(json, name), i));
}

static json_int_t field(const json_t *json, const char *name)
{
	cr_assert(json_is_integer(json_object_get(json, name)), "no %s", name);
	return json_integer_value(json_object_get(json, name));
}

/* What was written, read again. */
static json_t *written(int r, struct json_text *out)
{
	struct ff_error err = {};
	json_t *json;

	cr_assert_eq(r, 0);
	cr_assert_not(out->failed);
	cr_assert_eq(json_parse(out->text, out->len, &json, &err), 0, "%s", err.message);
	json_text_reset(out);
	return json;
}

/* ---- /proc/stat ------------------------------------------------------------------------------ */

/* Linux 6.18, two CPUs; of a guest, so that there is steal */
static const char stat_text[] =
	"cpu  835106 155392 809838 990228 3320 0 84205 47874 0 0\n"
	"cpu0 400666 85375 376826 508694 591 0 65864 24882 0 0\n"
	"cpu1 434439 70017 433012 481534 2728 0 18340 22992 0 0\n"
	"intr 30382057 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 15\n"
	"ctxt 67917052\nbtime 1795333357\nprocesses 341557\nprocs_running 1\nprocs_blocked 0\n";

Test(proc, cpu_times_by_class)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;

	json = written(proc_cpu_parse(stat_text, TICK_NS, &out, NULL), &out);
	cr_expect_eq(json_array_size(json_object_get(json, "cpu")), 2);
	cr_expect_eq(at(json, "cpu", 1), 1);
	cr_expect_eq(at(json, "user", 0), 400666ll * TICK_NS);
	cr_expect_eq(at(json, "nice", 0), 85375ll * TICK_NS);
	cr_expect_eq(at(json, "softirq", 0), 65864ll * TICK_NS);
	cr_expect_eq(at(json, "softirq", 1), 18340ll * TICK_NS);
	cr_expect_eq(at(json, "steal", 1), 22992ll * TICK_NS);
	cr_expect_eq(at(json, "idle", 1), 481534ll * TICK_NS);
}

/* CPU 1 is offline; and a kernel from before there was steal */
Test(proc, cpus_have_numbers_and_classes_may_be_fewer)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;

	json = written(
		proc_cpu_parse("cpu  3 0 3 3 0 0 3\ncpu0 1 0 1 1 0 0 1\ncpu2 2 0 2 2 0 0 2\n",
			       TICK_NS, &out, NULL),
		&out);
	cr_expect_eq(json_array_size(json_object_get(json, "cpu")), 2);
	cr_expect_eq(at(json, "cpu", 1), 2);
	cr_expect_eq(at(json, "softirq", 1), 2ll * TICK_NS);
	cr_expect_eq(at(json, "steal", 1), 0);
}

Test(proc, cpu_refuses_what_is_no_stat)
{
	static const char *const texts[] = {
		"",
		"\n",
		"intr 5\n",
		"cpu  1 2 3 4 5 6 7\n", /* the sum alone */
		"cpu0 1 2 3 4 5 6\n",
		"cpu0 1 2 3 four 5 6 7\n",
		"cpu0 1 2 -3 4 5 6 7\n",
		"cpu0 1 2 3 4 5 6 99999999999999999999999\n",
		"cpu0 1 2 3 4 5 6 9223372036854775807\n", /* as ns, more than fits */
		"cpu0\n",
		"cpu0 1 2 3 4 5 6",
		"cpu99999999999999999999 1 2 3 4 5 6 7\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct ff_error err = {};
		_cleanup_json_text_ struct json_text out = { 0 };

		cr_expect_eq(proc_cpu_parse(texts[i], TICK_NS, &out, &err), -EPROTO, "%s",
			     texts[i]);
		cr_expect(*err.message);
	}
}

/* ---- /proc/net/softnet_stat ------------------------------------------------------------------ */

/* columns that have come since then are there, too */
static const char softnet_text[] =
	"00e3b8d7 00000000 0000b7ac 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
	"00000000 00000000 00000000 00000000 00000000\n"
	"010914b8 00000002 000017bd 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
	"00000000 00000000 00000001 00000000 00000000\n";

Test(proc, softnet_counters)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;

	json = written(proc_softnet_parse(softnet_text, &out, NULL), &out);
	cr_expect_eq(json_array_size(json_object_get(json, "processed")), 2);
	cr_expect_eq(at(json, "processed", 0), 0xe3b8d7);
	cr_expect_eq(at(json, "dropped", 1), 2);
	cr_expect_eq(at(json, "squeezed", 0), 0xb7ac);
}

Test(proc, softnet_refuses_what_is_none)
{
	static const char *const texts[] = {
		"",
		"\n",
		"00000001 00000002\n",
		"00000001 00000002 xyz\n",
		"1ffffffff 0 0\n", /* 32 bits is what the kernel counts by */
		"0 0 0\n\n",
		"-1 0 0\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_text_ struct json_text out = { 0 };

		cr_expect_eq(proc_softnet_parse(texts[i], &out, NULL), -EPROTO, "%s", texts[i]);
	}
}

/* ---- /proc/pressure -------------------------------------------------------------------------- */

Test(proc, pressure_totals)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *both = NULL, *one = NULL;

	both = written(proc_pressure_parse("some avg10=45.79 avg60=13.00 avg300=4.96 "
					   "total=5829123925\n"
					   "full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n",
					   &out, NULL),
		       &out);
	cr_expect_eq(field(both, "some_us"), 5829123925);
	cr_expect_eq(field(both, "full_us"), 17);
	/* of the CPU, before Linux 5.13 */
	one = written(proc_pressure_parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", &out,
					  NULL),
		      &out);
	cr_expect_eq(field(one, "some_us"), 5);
	cr_expect_null(json_object_get(one, "full_us"));
}

Test(proc, pressure_refuses_what_is_none)
{
	static const char *const texts[] = {
		"",
		"some\n",
		"some total=\n",
		"some avg10=1 total=x\n",
		"full avg10=1 total=5\n",
		"some avg10=1\ntotal=5\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_text_ struct json_text out = { 0 };

		cr_expect_eq(proc_pressure_parse(texts[i], &out, NULL), -EPROTO, "%s", texts[i]);
	}
}

/* ---- /proc/meminfo --------------------------------------------------------------------------- */

Test(proc, memory)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;

	json = written(proc_memory_parse("MemTotal:       24684092 kB\n"
					 "MemFree:        22994692 kB\n"
					 "MemAvailable:   23348872 kB\n"
					 "Buffers:            6224 kB\n",
					 &out, NULL),
		       &out);
	cr_expect_eq(field(json, "total_bytes"), 24684092ll * 1024);
	cr_expect_eq(field(json, "available_bytes"), 23348872ll * 1024);
}

Test(proc, memory_refuses_a_part)
{
	_cleanup_json_text_ struct json_text out = { 0 };

	cr_expect_eq(proc_memory_parse("MemTotal: 5 kB\nMemFree: 5 kB\n", &out, NULL), -EPROTO);
	cr_expect_eq(proc_memory_parse("MemTotal: much\n", &out, NULL), -EPROTO);
	cr_expect_eq(proc_memory_parse("", &out, NULL), -EPROTO);
}

/* ---- garbage --------------------------------------------------------------------------------- */

/* Real text with some bytes changed is read or refused, and nothing else happens. */
Test(proc, garbage_is_read_or_refused)
{
	const char *const texts[] = { stat_text, softnet_text };
	struct random random = { .state = 7 };

	for (int i = 0; i < 20000; i++) {
		_cleanup_free_ char *text = strdup(texts[i % 2]);
		_cleanup_json_text_ struct json_text out = { 0 };
		int r;

		for (int n = 0; n < 5; n++)
			text[random_below(&random, (unsigned int)strlen(texts[i % 2]))] =
				(char)random_below(&random, 256);
		r = i % 2 ? proc_softnet_parse(text, &out, NULL) :
			    proc_cpu_parse(text, TICK_NS, &out, NULL);
		cr_assert(r == 0 || r == -EPROTO);
		if (r == 0)
			json_decref(written(r, &out));
	}
}
