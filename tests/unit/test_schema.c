/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Schemas as text, and what becomes of a value on its way from one to another.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/schema.h"
#include "lib/cleanup.h"

#define TITLE "per-flow flows key 40 value 72 state 40\n"

static struct schema parse(const char *text)
{
	struct schema schema;
	struct ff_error err = { 0 };

	cr_assert_eq(schema_parse(text, &schema, &err), 0, "%s: %s", text, err.message);
	return schema;
}

Test(schema, text_comes_back_as_it_was)
{
	static const char text[] = TITLE "packets 40 8 2 unsigned sum\n"
					 "seen_ns 56 8 1 unsigned max clock\n"
					 "mac 64 1 6 bytes\n";
	struct schema schema = parse(text), other = parse(TITLE "packets 40 8 2 unsigned max\n");

	cr_assert_str_eq(schema.text, text);
	cr_assert_eq(schema.fields_count, 3);
	cr_assert_eq(schema.fields[0].merge, SCHEMA_MERGE_SUM);
	cr_assert(schema.fields[1].clock);
	cr_assert_neq(schema.hash, other.hash);
	schema_done(&schema);
	schema_done(&other);
}

/* The text comes from another host: whatever it says must be refused or be harmless. */
Test(schema, malformed_text_is_refused)
{
	static const char *const cases[] = {
		"",
		"\n",
		"flows\n",
		"per-flow flows key 40 value 72\n",
		"per-stream flows key 40 value 72 state 40\n",
		"per-flow flows key 65 value 72 state 40\n",
		"per-flow flows key 40 value 4097 state 40\n",
		"per-flow flows key 40 value 72 state 73\n",
		"per-flow flows key 40 value 72 state 40 more\n",
		TITLE "packets\n",
		TITLE "packets 40 8 1\n",
		TITLE "packets 40 8 1 float\n",
		TITLE "packets 40 8 1 unsigned add\n",
		TITLE "packets 32 8 1 unsigned\n", /* in the head */
		TITLE "packets 65 8 1 unsigned\n", /* past the end */
		TITLE "packets 40 8 5 unsigned\n",
		TITLE "packets 40 0 1 unsigned\n",
		TITLE "packets 40 8 0 unsigned\n",
		TITLE "packets 40 4294967295 4294967295 unsigned\n",
		TITLE "packets 4294967295 1 1 unsigned\n",
		TITLE "packets -1 1 1 unsigned\n",
		TITLE "seen_ns 40 4 1 unsigned clock\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ff_error err = { 0 };
		struct schema schema;

		cr_assert_eq(schema_parse(cases[i], &schema, &err), -EINVAL, "%s", cases[i]);
		cr_assert(err.message[0] && err.mend[0]);
	}
}

Test(schema, too_many_fields_are_refused)
{
	_cleanup_free_ char *text = malloc(SCHEMA_FIELDS_MAX * 32 + 200);
	struct schema schema;
	size_t len = (size_t)sprintf(text, "per-flow flows key 40 value 4096 state 40\n");

	for (int i = 0; i <= SCHEMA_FIELDS_MAX; i++)
		len += (size_t)sprintf(text + len, "f%d %d 1 1 unsigned\n", i, 40 + i);
	cr_assert_eq(schema_parse(text, &schema, NULL), -EINVAL);
}

/* ---- conversion ---------------------------------------------------------------------------- */

static const char source_text[] = "per-flow flows key 40 value 96 state 40\n"
				  "packets 40 8 2 unsigned sum\n"
				  "hits 56 4 1 unsigned sum\n"
				  "port 60 2 1 network\n"
				  "flags 62 1 1 unsigned or\n"
				  "tag 63 1 1 unsigned\n"
				  "seen_ns 64 8 1 unsigned max clock\n"
				  "gone_ns 72 8 1 unsigned clock\n"
				  "balance 80 4 1 signed\n"
				  "mac 84 1 6 bytes\n";

static const char target_text[] = "per-flow flows key 40 value 128 state 40\n"
				  "mac 40 1 6 bytes\n"
				  "port 46 2 1 network\n"
				  "hits 48 8 1 unsigned sum\n"	  /* wider */
				  "packets 56 8 3 unsigned sum\n" /* longer */
				  "fresh 80 4 1 unsigned\n"	  /* new */
				  "tag 84 2 1 unsigned\n"
				  "flags 88 4 1 unsigned or\n"
				  "balance 92 4 1 signed\n"
				  "seen_ns 96 8 1 unsigned max clock\n"
				  "gone_ns 104 8 1 unsigned clock\n"
				  "fresh_ns 112 8 1 unsigned clock\n";

#define PUT(value, offset, number)                                                                 \
	do {                                                                                       \
		__typeof__(number) _n = (number);                                                  \
		memcpy((value) + (offset), &_n, sizeof(_n));                                       \
	} while (0)

#define IS(value, offset, number)                                                                  \
	({                                                                                         \
		__typeof__(number) _n = (number);                                                  \
		memcmp((value) + (offset), &_n, sizeof(_n)) == 0;                                  \
	})

static void value_make(uint8_t value[96])
{
	struct ff_head head = { .expires_ns = 5000, .moves = 3, .slot = 77, .born = 9000 };

	memset(value, 0, 96);
	memcpy(value, &head, sizeof(head));
	PUT(value, 40, (uint64_t)11);
	PUT(value, 48, (uint64_t)22);
	PUT(value, 56, (uint32_t)0xffffffff);
	PUT(value, 60, (uint16_t)0x1234);
	PUT(value, 62, (uint8_t)0x81);
	PUT(value, 63, (uint8_t)0xfe);
	PUT(value, 64, (uint64_t)4000);
	PUT(value, 80, (int32_t)-5);
	memcpy(value + 84, "\x02\x00\x00\x00\x00\x09", 6);
}

Test(schema, fields_meet_by_name)
{
	struct schema from = parse(source_text), to = parse(target_text);
	struct schema_plan plan;
	uint8_t source[96], target[128];
	struct ff_head head;

	value_make(source);
	memset(target, 0xa5, sizeof(target));
	cr_assert_eq(schema_plan_new(&from, &to, &plan, NULL), 0);
	cr_assert_not(plan.identical);
	schema_plan_apply(&plan, source, 1000, target);
	memcpy(&head, target, sizeof(head));
	cr_assert_eq(head.expires_ns, 6000);
	cr_assert_eq(head.moves, 3);
	cr_assert_eq(head.slot, 77);
	cr_assert_arr_eq(target + 40, source + 84, 6);
	cr_assert(IS(target, 46, (uint16_t)0x1234));
	cr_assert(IS(target, 48, (uint64_t)0xffffffff), "widening must not extend a sign");
	cr_assert(IS(target, 56, (uint64_t)11) && IS(target, 64, (uint64_t)22));
	cr_assert(IS(target, 72, (uint64_t)0), "an array's new elements are 0");
	cr_assert(IS(target, 80, (uint32_t)0), "a new field is 0");
	cr_assert(IS(target, 84, (uint16_t)0xfe));
	cr_assert(IS(target, 88, (uint32_t)0x81));
	cr_assert(IS(target, 92, (int32_t)-5));
	cr_assert(IS(target, 96, (uint64_t)5000), "clocks are rebased");
	cr_assert(IS(target, 104, (uint64_t)0), "never stays never");
	cr_assert(IS(target, 112, (uint64_t)0));
	cr_assert(IS(target, 120, (uint64_t)0), "padding is 0");
	schema_plan_done(&plan);
	schema_done(&from);
	schema_done(&to);
}

Test(schema, equal_schemas_copy_and_rebase)
{
	struct schema from = parse(source_text), to = parse(source_text);
	struct schema_plan plan;
	uint8_t source[96], target[96];

	value_make(source);
	cr_assert_eq(schema_plan_new(&from, &to, &plan, NULL), 0);
	cr_assert(plan.identical);
	schema_plan_apply(&plan, source, -1500, target);
	cr_assert(IS(target, 0, (uint64_t)3500));
	cr_assert(IS(target, 64, (uint64_t)2500));
	cr_assert(IS(target, offsetof(struct ff_head, born), (uint32_t)8999), "2^20 ns each");
	PUT(target, offsetof(struct ff_head, born), (uint32_t)9000);
	PUT(target, 0, (uint64_t)5000);
	PUT(target, 64, (uint64_t)4000);
	cr_assert_arr_eq(target, source, sizeof(source));
	/* a time before this host's boot is the oldest there is, not one in the far future */
	schema_plan_apply(&plan, source, -4500, target);
	cr_assert(IS(target, 64, (uint64_t)1));
	cr_assert(IS(target, 0, (uint64_t)500));
	/* ages go on: modulo 2^32, but 0 is not known, and stays so */
	schema_plan_apply(&plan, source, -(9001ll << FF_BORN_SHIFT), target);
	cr_assert(IS(target, offsetof(struct ff_head, born), UINT32_MAX));
	schema_plan_apply(&plan, source, -(9000ll << FF_BORN_SHIFT), target);
	cr_assert(IS(target, offsetof(struct ff_head, born), (uint32_t)1));
	PUT(source, offsetof(struct ff_head, born), (uint32_t)0);
	schema_plan_apply(&plan, source, 5ll << FF_BORN_SHIFT, target);
	cr_assert(IS(target, offsetof(struct ff_head, born), (uint32_t)0));
	/* the dead stay dead */
	PUT(source, 0, (uint64_t)FF_DEAD);
	schema_plan_apply(&plan, source, 1000, target);
	cr_assert(IS(target, 0, (uint64_t)FF_DEAD));
	schema_plan_done(&plan);
	schema_done(&from);
	schema_done(&to);
}

Test(schema, what_would_be_lost_is_refused_by_name)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ TITLE "a 40 8 1 unsigned\nb 48 8 1 unsigned\n", TITLE "a 40 8 1 unsigned\n",
		  "field b doesn't exist" },
		{ TITLE "a 40 8 1 unsigned\n", TITLE "a 40 4 1 unsigned\n",
		  "field a is of another size" },
		{ TITLE "a 40 4 1 signed\n", TITLE "a 40 8 1 signed\n",
		  "field a is of another size" },
		{ TITLE "a 40 4 1 unsigned\n", TITLE "a 40 4 1 signed\n",
		  "field a is of another kind" },
		{ TITLE "a 40 4 4 unsigned\n", TITLE "a 40 4 3 unsigned\n", "field a has fewer" },
		{ TITLE "a 40 8 1 unsigned clock\n", TITLE "a 40 8 1 unsigned\n",
		  "field a is a clock" },
		{ TITLE "a 40 8 1 unsigned\n",
		  "per-flow flows key 36 value 72 state 40\na 40 8 1 unsigned\n", "36-byte keys" },
		{ TITLE "a 40 8 1 unsigned\n",
		  "multi-flow flows key 40 value 72 state 40\na 40 8 1 unsigned\n", "multi-flow" },
		{ "per-flow flows key 40 value 8 state 0\na 0 8 1 unsigned\n",
		  TITLE "a 40 8 1 unsigned\n", "no room for its head" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct schema from = parse(cases[i].from), to = parse(cases[i].to);
		struct ff_error err = { 0 };
		struct schema_plan plan;

		cr_assert_eq(schema_plan_new(&from, &to, &plan, &err), -EPROTOTYPE, "%s",
			     cases[i].says);
		cr_assert(strstr(err.message, cases[i].says), "%s", err.message);
		schema_done(&from);
		schema_done(&to);
	}
}
