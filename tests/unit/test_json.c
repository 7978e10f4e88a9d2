/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON helpers: each type, absent, null, wrong and out of range; messages that name the field.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/json.h"

TestSuite(json);

static json_t *parse(const char *text)
{
	struct ff_error err = {};
	json_t *value = NULL;

	cr_assert_eq(json_parse(text, strlen(text), &value, &err), 0, "%s", err.message);
	return value;
}

static const char sample[] =
	"{\"s\":\"text\",\"e\":\"\",\"i\":-5,\"n\":70000,\"big\":9223372036854775807,\"r\":1.5,"
	"\"t\":true,\"f\":false,\"z\":null,\"a\":[1,2],\"o\":{\"x\":1}}";

Test(json, reads_fields_of_each_type)
{
	_cleanup_json_ json_t *obj = parse(sample);
	const char *str = NULL;
	int64_t number = 0;
	uint64_t big = 0;
	uint32_t u32 = 0;
	uint16_t u16 = 0;
	double real = 0;
	bool flag = false;
	json_t *part = NULL;

	cr_expect_eq(json_get_str(obj, "s", &str, NULL), 0);
	cr_expect_str_eq(str, "text");
	cr_expect_eq(json_get_int(obj, "i", &number, NULL), 0);
	cr_expect_eq(number, -5);
	cr_expect_eq(json_get_uint(obj, "big", &big, NULL), 0);
	cr_expect_eq(big, INT64_MAX);
	cr_expect_eq(json_get_u32(obj, "n", &u32, NULL), 0);
	cr_expect_eq(u32, 70000);
	cr_expect_eq(json_get_u16(obj, "n", &u16, NULL), -EINVAL);
	cr_expect_eq(json_get_range(obj, "i", -5, 5, &number, NULL), 0);
	cr_expect_eq(json_get_real(obj, "r", &real, NULL), 0);
	cr_expect(real > 1.4 && real < 1.6);
	cr_expect_eq(json_get_real(obj, "i", &real, NULL), 0, "an integer is a number");
	cr_expect(real < -4.9 && real > -5.1);
	cr_expect_eq(json_get_bool(obj, "t", &flag, NULL), 0);
	cr_expect(flag);
	cr_expect_eq(json_get_bool(obj, "f", &flag, NULL), 0);
	cr_expect_not(flag);
	cr_expect_eq(json_get_array(obj, "a", &part, NULL), 0);
	cr_expect_eq(json_array_size(part), 2);
	cr_expect_eq(json_get_object(obj, "o", &part, NULL), 0);
	cr_expect_eq(json_object_size(part), 1);
}

Test(json, optional_fields_keep_their_default)
{
	_cleanup_json_ json_t *obj = parse(sample);
	const char *str = "default";
	int64_t number = 7;
	uint64_t big = 7;
	uint32_t u32 = 7;
	uint16_t u16 = 7;
	double real = 7;
	bool flag = true;
	json_t *part = obj;

	for (int i = 0; i < 2; i++) {
		const char *key = i ? "z" : "absent";

		cr_expect_eq(json_opt_str(obj, key, &str, NULL), 0);
		cr_expect_eq(json_opt_int(obj, key, &number, NULL), 0);
		cr_expect_eq(json_opt_range(obj, key, 0, 1, &number, NULL), 0);
		cr_expect_eq(json_opt_uint(obj, key, &big, NULL), 0);
		cr_expect_eq(json_opt_u32(obj, key, &u32, NULL), 0);
		cr_expect_eq(json_opt_u16(obj, key, &u16, NULL), 0);
		cr_expect_eq(json_opt_real(obj, key, &real, NULL), 0);
		cr_expect_eq(json_opt_bool(obj, key, &flag, NULL), 0);
		cr_expect_eq(json_opt_array(obj, key, &part, NULL), 0);
		cr_expect_eq(json_opt_object(obj, key, &part, NULL), 0);
	}
	cr_expect_str_eq(str, "default");
	cr_expect(number == 7 && big == 7 && u32 == 7 && u16 == 7 && flag && part == obj);
	cr_expect(real > 6.9 && real < 7.1);
	cr_expect_eq(json_opt_bool(obj, "s", &flag, NULL), -EINVAL, "there, but of another type");
	cr_expect_eq(json_opt_u16(obj, "n", &u16, NULL), -EINVAL);
	cr_expect_eq(json_opt_u32(obj, "n", &u32, NULL), 0);
	cr_expect_eq(u32, 70000);
}

static void expect_error(const struct ff_error *err, int number, const char *message,
			 const char *mend)
{
	cr_expect_eq(err->err, number, "%s", message);
	cr_expect_str_eq(err->message, message);
	cr_expect_str_eq(err->mend, mend);
	cr_expect_str_eq(err->code, FF_CODE_BAD_REQUEST);
}

Test(json, errors_name_the_field)
{
	_cleanup_json_ json_t *obj = parse(sample);
	const char *str = "before";
	struct ff_error err = {};
	char text[4] = "abc";
	int64_t number = 3;
	uint64_t big = 3;
	uint16_t u16 = 3;

	cr_expect_eq(json_get_str(obj, "absent", &str, &err), -ENOENT);
	expect_error(&err, -ENOENT, "field \"absent\" is missing", "add \"absent\": a string");
	cr_expect_eq(json_get_str(obj, "z", &str, &err), -ENOENT);
	cr_expect_eq(json_get_str(obj, "i", &str, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"i\" is an integer, not a string",
		     "give \"i\" as a string");
	cr_expect_str_eq(str, "before");
	cr_expect_eq(json_get_int(obj, "r", &number, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"r\" is a real number, not an integer",
		     "give \"r\" as an integer");
	cr_expect_eq(json_get_range(obj, "n", 1, 100, &number, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"n\" is 70000", "give \"n\" as 1 to 100");
	cr_expect_eq(json_get_uint(obj, "i", &big, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"i\" is -5", "give \"i\" as 0 or more");
	cr_expect_eq(json_get_u16(obj, "n", &u16, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"n\" is 70000", "give \"n\" as 0 to 65535");
	cr_expect(number == 3 && big == 3 && u16 == 3);
	cr_expect_eq(json_get_str(NULL, "s", &str, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"s\" is wanted from nothing", "send a JSON object");
	cr_expect_eq(json_get_str(json_object_get(obj, "a"), "s", &str, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"s\" is wanted from an array", "send a JSON object");
	cr_expect_eq(json_get_text(obj, "s", text, sizeof(text), &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"s\" has 4 characters", "give \"s\" 1 to 3 characters");
	cr_expect_eq(json_get_text(obj, "e", text, sizeof(text), &err), -EINVAL);
	cr_expect_str_eq(text, "abc");
}

Test(json, text_fits_or_is_refused)
{
	_cleanup_json_ json_t *obj = parse("{\"s\":\"four\"}");
	char text[5];

	cr_expect_eq(json_get_text(obj, "s", text, sizeof(text), NULL), 0);
	cr_expect_str_eq(text, "four");
	cr_expect_eq(json_get_text(obj, "s", text, sizeof(text) - 1, NULL), -EINVAL);
}

Test(json, refuses_unknown_fields)
{
	static const char *const known[] = { "service", "to", NULL };
	_cleanup_json_ json_t *good = parse("{\"to\":1}"), *bad = parse("{\"to\":1,\"form\":2}");
	struct ff_error err = {};

	cr_expect_eq(json_check_fields(good, known, &err), 0);
	cr_expect_eq(json_check_fields(bad, known, &err), -EINVAL);
	expect_error(&err, -EINVAL, "field \"form\" is unknown here",
		     "correct its name or leave it out");
	cr_expect_eq(json_check_fields(json_object_get(good, "to"), known, &err), -EINVAL);
	expect_error(&err, -EINVAL, "an object is wanted, not an integer", "send a JSON object");
}

Test(json, refuses_bad_text)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "line 1, column 0" },
		{ "{", "line 1, column 1" },
		{ "{}x", "end of file expected" },
		{ "{\"a\":1,\n\"a\":2}", "line 2, column 3: duplicate object key" },
		{ "{\"a\":}", "unexpected token" },
		{ "{'a':1}", "line 1" },
		{ "\"\xff\"", "unable to decode byte 0xff" },
		{ "\"a\\u0000b\"", "\\u0000 is not allowed" }, /* it would cut C strings short */
		{ "99999999999999999999", "too big integer" },
		{ "[1,]", "line 1" },
	};
	_cleanup_json_ json_t *deep = NULL;
	struct ff_error err = {};
	char nested[5000];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *value = (void *)1;

		cr_expect_eq(json_parse(cases[i].text, strlen(cases[i].text), &value, &err),
			     -EINVAL, "%s", cases[i].text);
		cr_expect(strstr(err.message, cases[i].says), "%s: says %s", cases[i].text,
			  err.message);
		cr_expect_eq(value, (void *)1, "touched by %s", cases[i].text);
	}
	memset(nested, '[', sizeof(nested));
	cr_expect_eq(json_parse(nested, sizeof(nested), &deep, &err), -EINVAL);
	cr_expect(strstr(err.message, "depth"), "%s", err.message);
}

Test(json, writes_fields)
{
	_cleanup_json_ json_t *obj = json_object();
	_cleanup_(cleanup_free) char *text = NULL;

	cr_expect_eq(json_put_str(obj, "s", "x"), 0);
	cr_expect_eq(json_put_str(obj, "none", NULL), 0);
	cr_expect_eq(json_put_fmt(obj, "f", "%d-%d", 1, 2), 0);
	cr_expect_eq(json_put_int(obj, "i", -1), 0);
	cr_expect_eq(json_put_uint(obj, "u", UINT64_MAX), 0);
	cr_expect_eq(json_put_bool(obj, "b", true), 0);
	cr_expect_eq(json_put_real(obj, "r", 0.5), 0);
	cr_expect_eq(json_put_real(obj, "inf", INFINITY), 0);
	cr_expect_eq(json_put(obj, "a", json_array()), 0);
	text = json_dumps(obj, JSON_COMPACT | JSON_SORT_KEYS);
	cr_expect_str_eq(text, "{\"a\":[],\"b\":true,\"f\":\"1-2\",\"i\":-1,\"inf\":null,"
			       "\"none\":null,\"r\":0.5,\"s\":\"x\",\"u\":9223372036854775807}");
	cr_expect_eq(json_put_str(obj, "s", "\xff"), -ENOMEM);
	cr_expect_eq(json_put_fmt(obj, "f", "%s", "\xff"), -ENOMEM);
	cr_expect_eq(json_put(NULL, "a", json_array()), -ENOMEM, "and frees the array");
}

Test(json, carries_errors_across)
{
	_cleanup_json_ json_t *body = NULL, *other = NULL;
	struct ff_error err = {}, back = {};

	error_set(&err, EBUSY, FF_CODE_OVERLAP, "wait for it", "slots 0-99 are moved by %s", "m1");
	body = json_from_error(&err);
	cr_assert_not_null(body);
	cr_expect(json_to_error(body, EBUSY, &back));
	cr_expect_eq(back.err, -EBUSY);
	cr_expect_str_eq(back.code, "overlap");
	cr_expect_str_eq(back.message, "slots 0-99 are moved by m1");
	cr_expect_str_eq(back.mend, "wait for it");

	error_set(&err, EINVAL, NULL, NULL, "bytes \xff");
	json_decref(body);
	body = json_from_error(&err);
	cr_assert_not_null(body, "an error gets through, whatever it quotes");
	cr_expect(json_to_error(body, EINVAL, &back));
	cr_expect_str_eq(back.code, "bad-request");

	other = parse("{\"state\":\"completed\"}");
	cr_expect_not(json_to_error(other, EIO, &back));
	cr_expect_not(json_to_error(NULL, EIO, &back));
	cr_expect_str_eq(back.code, "bad-request", "untouched");
	json_decref(other);
	other = parse("{\"error\":{\"code\":5}}");
	cr_expect(json_to_error(other, EIO, &back), "an error, though badly told");
	cr_expect_str_eq(back.code, "internal");
}
