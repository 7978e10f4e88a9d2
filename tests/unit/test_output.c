/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What people read: units, cleaned text, suggestions, and options as data. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/suggest.h"

Test(output, counts)
{
	static const struct {
		uint64_t count;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 999, "999" },
		{ 1000, "1,000" },
		{ 1234567, "1,234,567" },
		{ UINT64_MAX, "18,446,744,073,709,551,615" },
	};
	char buf[UNIT_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(count_format(cases[i].count, buf), cases[i].text);
}

Test(output, bytes)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.00 kB" },
		{ 9995, "10.0 kB" },
		{ 99949, "99.9 kB" },
		{ 999499, "999 kB" },
		{ 999500, "1.00 MB" },
		{ 9600000, "9.60 MB" },
		{ 12345678901, "12.3 GB" },
		{ UINT64_MAX, "18.4 EB" },
	};
	char buf[UNIT_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(bytes_format(cases[i].bytes, buf), cases[i].text, "%s, not %s",
				 buf, cases[i].text);
}

Test(output, durations)
{
	static const struct {
		uint64_t us;
		const char *text;
	} cases[] = {
		{ 0, "0 us" },
		{ 999, "999 us" },
		{ 1830, "1.83 ms" },
		{ 412000, "412 ms" },
		{ 999499, "999 ms" },
		{ 999500, "1.00 s" },
		{ 59990000, "60.0 s" },
		{ 60000000, "1 min 0 s" },
		{ 3725000000, "1 h 2 min" },
		{ 90000000000, "1 d 1 h" },
		{ UINT64_MAX, "213503982 d 8 h" },
	};
	char buf[UNIT_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(duration_format(cases[i].us, buf), cases[i].text, "%s, not %s",
				 buf, cases[i].text);
}

Test(output, text_is_cleaned)
{
	static const struct {
		const char *text, *clean;
	} cases[] = {
		{ "plain", "plain" },
		{ "g\xc3\xbcnstig", "g\xc3\xbcnstig" },
		{ "\033[2Jgone\r\n", "?[2Jgone??" },
		{ "\x7f", "?" },
		{ "\xc2\x9b"
		  "31m",
		  "??31m" }, /* CSI, as one character of C1 */
		{ "\xff\xfe", "??" },
		{ "cut \xc3", "cut ?" },
		{ "cut \xf0\x9f\x98", "cut ???" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = strdup(cases[i].text);

		cr_expect_str_eq(text_clean(text), cases[i].clean, "case %zu: %s", i, text);
	}
}

Test(output, suggestions)
{
	cr_expect_eq(suggest_distance("move", "move"), 0);
	cr_expect_eq(suggest_distance("mvoe", "move"), 1);
	cr_expect_eq(suggest_distance("", "move"), 4);
	cr_expect(suggest_near("stauts", "status"));
	cr_expect(suggest_near("inst", "instances"));
	cr_expect_not(suggest_near("lab", "pki"));
	cr_expect_not(suggest_near("s", "status"));
	cr_expect_gt(suggest_distance("a-word-that-is-far-longer-than-any-verb", "move"), 31);
}

/* ---- options ------------------------------------------------------------------------------- */

struct sample {
	bool flag, help;
	const char *text, *choice;
	uint64_t number;
	struct text_list list;
};

static const char *const choices[] = { "one", "two", NULL };

static const struct option_spec specs[] = {
	{ .name = "flag",
	  .letter = 'f',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct sample, flag) },
	{ .name = "help", .kind = OPTION_FLAG, .offset = offsetof(struct sample, help) },
	{ .name = "text",
	  .letter = 't',
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct sample, text),
	  .value = "T",
	  .group = 1 },
	{ .name = "choice",
	  .kind = OPTION_CHOICE,
	  .offset = offsetof(struct sample, choice),
	  .value = "C",
	  .choices = choices,
	  .group = 1 },
	{ .name = "number",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct sample, number),
	  .value = "N",
	  .min = 5,
	  .max = UINT64_MAX,
	  .required = true,
	  .help = "a number" },
	{ .name = "list",
	  .kind = OPTION_LIST,
	  .offset = offsetof(struct sample, list),
	  .value = "L" },
	{},
};

static int parse(struct sample *s, int *ret_first, char **argv)
{
	const struct option_table table = { specs, s };
	struct ff_error err = {};
	bool help;
	int argc = 0;
	int r;

	memset(s, 0, sizeof(*s));
	while (argv[argc])
		argc++;
	r = options_parse(&table, 1, argc, argv, &help, ret_first, &err);
	cr_expect_eq(r < 0, *err.message != '\0', "an error without words, or words without one");
	return r;
}

/* The options of the one that runs it, not of the command that it runs. */
Test(options, leading_ones)
{
	const struct option_table table = { specs, &(struct sample){} };
	char *argv[] = { (char *)"verb",   (char *)"--number=5", (char *)"ip",
			 (char *)"--flag", (char *)"--",	 NULL };
	struct ff_error err = {};
	bool help;
	int first;

	cr_assert_eq(options_parse_leading(&table, 1, 5, argv, &help, &first, &err), 0);
	cr_expect_eq(first, 2);
	cr_expect_str_eq(argv[3], "--flag");
	cr_expect_not(((struct sample *)table.target)->flag);
}

#define ARGV(...) ((char *[]){ (char *)"verb", __VA_ARGS__, NULL })

Test(options, all_kinds)
{
	struct sample s;
	int first;

	cr_assert_eq(parse(&s, &first,
			   ARGV("arg", "--number", "18446744073709551615", "-ft", "text",
				"--list=a", "--list", "b", "more")),
		     0);
	cr_expect(s.flag);
	cr_expect_str_eq(s.text, "text");
	cr_expect_eq(s.number, UINT64_MAX);
	cr_expect_eq(s.list.count, 2);
	cr_expect_str_eq(s.list.items[1], "b");
	cr_expect_eq(first, 8); /* both arguments stand behind the options now */
	cr_assert_eq(parse(&s, &first, ARGV("--number=5", "--", "--flag")), 0);
	cr_expect_not(s.flag);
	cr_assert_eq(parse(&s, &first, ARGV("--num", "7")), 0, "abbreviations work");
	cr_assert_eq(parse(&s, &first, ARGV("--help")), 0, "nothing is required beside --help");
}

Test(options, refusals)
{
	struct sample s;
	int first;

	cr_expect_eq(parse(&s, &first, ARGV("arg")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "4")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "-6")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", " 6")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6x")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "18446744073709551616")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "--number", "6")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "--choice", "three")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "--choice", "one", "-t", "x")),
		     -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "--flag=1")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "--unknown")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "-x")), -EINVAL);
	cr_expect_eq(parse(&s, &first, ARGV("--number", "6", "-")), 0,
		     "a lone dash is an argument");
}

/* One option too many must be refused, not written past the end. */
Test(options, long_list)
{
	char *argv[2 + TEXT_LIST_MAX + 2 + 1] = { (char *)"verb", (char *)"--number=5" };
	struct sample s;
	int first;

	for (int i = 0; i < TEXT_LIST_MAX; i++)
		argv[2 + i] = (char *)"--list=x";
	cr_expect_eq(parse(&s, &first, argv), 0);
	cr_expect_eq(s.list.items[TEXT_LIST_MAX], NULL);
	argv[2 + TEXT_LIST_MAX] = (char *)"--list=x";
	cr_expect_eq(parse(&s, &first, argv), -EINVAL);
}
