/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON written as text: commas, names, numbers, strings that need escapes;
 * what is read again is the same.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/json.h"
#include "lib/json_text.h"

TestSuite(json_text);

static void expect(const struct json_text *out, const char *text)
{
	cr_assert_not(out->failed);
	cr_expect(out->len == strlen(text) && !memcmp(out->text, text, out->len), "%.*s",
		  (int)out->len, out->text);
}

Test(json_text, commas_come_by_themselves)
{
	_cleanup_json_text_ struct json_text out = { 0 };

	json_text_open(&out, NULL, '{');
	json_text_uint(&out, "a", 1);
	json_text_open(&out, "list", '[');
	json_text_uint(&out, NULL, 2);
	json_text_str(&out, NULL, "three");
	json_text_open(&out, NULL, '{');
	json_text_close(&out, '}');
	json_text_open(&out, NULL, '[');
	json_text_close(&out, ']');
	json_text_close(&out, ']');
	json_text_bool(&out, "yes", true);
	json_text_bool(&out, "no", false);
	json_text_name(&out, "named");
	json_text_uint(&out, NULL, 5);
	json_text_close(&out, '}');
	expect(&out,
	       "{\"a\":1,\"list\":[2,\"three\",{},[]],\"yes\":true,\"no\":false,\"named\":5}");
}

/* A string may end as if something had been opened. */
Test(json_text, strings_that_look_like_brackets)
{
	_cleanup_json_text_ struct json_text out = { 0 };

	json_text_open(&out, NULL, '[');
	json_text_str(&out, NULL, "{");
	json_text_str(&out, NULL, "");
	json_text_str(&out, NULL, ":");
	json_text_close(&out, ']');
	expect(&out, "[\"{\",\"\",\":\"]");
}

Test(json_text, numbers)
{
	static const uint64_t values[] = { 0, 9, 10, 18446744073709551ull, INT64_MAX };
	_cleanup_json_text_ struct json_text out = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		char text[32];

		snprintf(text, sizeof(text), "%llu", (unsigned long long)values[i]);
		json_text_reset(&out);
		json_text_uint(&out, NULL, values[i]);
		expect(&out, text);
	}
	json_text_reset(&out);
	json_text_uint(&out, NULL, UINT64_MAX);
	expect(&out, "9223372036854775807");
}

Test(json_text, strings_that_need_escapes)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;
	const char *strange = "a \"b\" \\ \n \x01 \xc3\xa9", *read;

	json_text_open(&out, NULL, '{');
	json_text_str(&out, "strange", strange);
	json_text_str(&out, "not-utf8", "\xff\xfe");
	json_text_close(&out, '}');
	cr_assert_not(out.failed);
	cr_assert_eq(json_parse(out.text, out.len, &json, NULL), 0);
	cr_assert_eq(json_get_str(json, "strange", &read, NULL), 0);
	cr_expect_str_eq(read, strange);
	cr_expect(json_is_null(json_object_get(json, "not-utf8")));
}

Test(json_text, values_from_elsewhere)
{
	_cleanup_json_text_ struct json_text out = { 0 }, part = { 0 };

	json_text_open(&part, NULL, '{');
	json_text_close(&part, '}');
	json_text_open(&out, NULL, '{');
	json_text_value(&out, "tree", json_pack("{s[iif]}", "x", 1, 2, 0.1));
	json_text_add(&out, "part", &part);
	json_text_close(&out, '}');
	expect(&out, "{\"tree\":{\"x\":[1,2,0.1]},\"part\":{}}");
	json_text_value(&out, "none", NULL);
	cr_expect(out.failed);
	json_text_reset(&out);
	part.failed = true;
	json_text_add(&out, NULL, &part);
	cr_expect(out.failed, "as its part");
}

/* What a reader has written that then failed is taken back, and the comma with it. */
Test(json_text, cut)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	size_t before;

	json_text_open(&out, NULL, '{');
	before = out.len;
	json_text_open(&out, "half", '[');
	json_text_cut(&out, before);
	json_text_uint(&out, "a", 1);
	before = out.len;
	json_text_open(&out, "half", '[');
	json_text_cut(&out, before);
	json_text_close(&out, '}');
	expect(&out, "{\"a\":1}");
}

/* Much longer than what it begins with, by all who write. */
Test(json_text, grows)
{
	_cleanup_json_text_ struct json_text out = { 0 };
	_cleanup_json_ json_t *json = NULL;

	json_text_open(&out, NULL, '[');
	for (int i = 0; i < 50000; i++) {
		char *at = json_text_room(&out, 64);

		cr_assert_not_null(at);
		memset(at, ' ', 64);
		json_text_str(&out, NULL, "some text that is long enough");
		json_text_uint(&out, NULL, (uint64_t)i);
	}
	json_text_close(&out, ']');
	cr_assert_not(out.failed);
	cr_assert_eq(json_parse(out.text, out.len, &json, NULL), 0);
	cr_expect_eq(json_array_size(json), 100000);
	cr_expect_eq(json_integer_value(json_array_get(json, 99999)), 49999);
}
