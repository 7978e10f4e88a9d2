/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* options.c - command-line options as data; see options.h. */

#include "tools/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/suggest.h"

#define GETOPT_BASE 256 /* getopt's values for options: past every character */

/* What getopt_long() needs, made from the tables, and which options were met. */
struct parser {
	const struct option_spec *specs[OPTIONS_MAX];
	void *fields[OPTIONS_MAX];
	bool given[OPTIONS_MAX];
	size_t count;
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 4];
};

static void parser_init(struct parser *p, const struct option_table *tables, size_t n_tables,
			bool leading)
{
	size_t s = 0;

	memset(p, 0, sizeof(*p));
	if (leading)
		p->shorts[s++] = '+';
	p->shorts[s++] = ':'; /* tell a missing value from an unknown option */
	for (size_t t = 0; t < n_tables; t++) {
		const struct option_spec *spec = tables[t].specs;

		for (; spec && spec->name; spec++) {
			size_t i = p->count++;

			assert(i < OPTIONS_MAX);
			p->specs[i] = spec;
			p->fields[i] = (char *)tables[t].target + spec->offset;
			p->longs[i].name = spec->name;
			p->longs[i].has_arg = spec->kind == OPTION_FLAG ? no_argument :
									  required_argument;
			p->longs[i].val = (int)(GETOPT_BASE + i);
			if (!spec->letter)
				continue;
			p->shorts[s++] = spec->letter;
			if (spec->kind != OPTION_FLAG)
				p->shorts[s++] = ':';
		}
	}
}

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	char *end;

	if (!isdigit((unsigned char)*text)) /* strtoull takes signs and blanks */
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

static int choice_store(const struct option_spec *spec, const char *text, void *field,
			struct ff_error *err)
{
	const char *near = NULL;
	char all[160] = "";

	for (size_t i = 0; spec->choices[i]; i++) {
		if (strcmp(spec->choices[i], text) == 0) {
			*(const char **)field = spec->choices[i];
			return 0;
		}
		if (suggest_near(text, spec->choices[i]) && !near)
			near = spec->choices[i];
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 spec->choices[i]);
	}
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			 "--%s can't be '%s': it is one of %s%s%s%s", spec->name, text, all,
			 near ? " (did you mean '" : "", near ?: "", near ? "'?)" : "");
}

static int number_store(const struct option_spec *spec, const char *text, void *field,
			struct ff_error *err)
{
	if (number_parse(text, spec->min, spec->max, field) == 0)
		return 0;
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			 "--%s can't be '%s': it is a whole number from %" PRIu64 " to %" PRIu64,
			 spec->name, text, spec->min, spec->max);
}

static int list_store(const struct option_spec *spec, const char *text, struct text_list *list,
		      struct ff_error *err)
{
	if (list->count == TEXT_LIST_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "give fewer of them at once",
				 "--%s is given more than %d times", spec->name, TEXT_LIST_MAX);
	list->items[list->count++] = text;
	return 0;
}

static int value_store(struct parser *p, size_t i, const char *text, struct ff_error *err)
{
	const struct option_spec *spec = p->specs[i];

	if (p->given[i] && spec->kind != OPTION_FLAG && spec->kind != OPTION_LIST)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "give it once",
				 "--%s is given twice", spec->name);
	p->given[i] = true;
	if (spec->kind != OPTION_FLAG && !*text)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "--%s has an empty value",
				 spec->name);
	switch (spec->kind) {
	case OPTION_FLAG:
		*(bool *)p->fields[i] = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)p->fields[i] = text;
		return 0;
	case OPTION_CHOICE:
		return choice_store(spec, text, p->fields[i], err);
	case OPTION_NUMBER:
		return number_store(spec, text, p->fields[i], err);
	case OPTION_LIST:
		return list_store(spec, text, p->fields[i], err);
	}
	return -EINVAL;
}

/* The option that getopt's answer stands for; the table's size if it is none of them. */
static size_t option_index(const struct parser *p, int value)
{
	if (value >= GETOPT_BASE)
		return (size_t)(value - GETOPT_BASE);
	for (size_t i = 0; i < p->count; i++)
		if (p->specs[i]->letter && p->specs[i]->letter == value)
			return i;
	return p->count;
}

/* getopt refused `word`: an option that doesn't exist, or an abbreviation of several. */
static int unknown_error(const struct parser *p, const char *word, int letter, struct ff_error *err)
{
	char typed[64], matches[128] = "";
	const char *near = NULL;

	if (letter && letter < GETOPT_BASE)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "there is no option -%c",
				 letter);
	if (letter) /* a flag was given a value: optopt is its number */
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "--%s takes no value",
				 p->specs[letter - GETOPT_BASE]->name);
	snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (size_t i = 0; i < p->count; i++) {
		const char *name = p->specs[i]->name;

		if (*typed && strncmp(name, typed, strlen(typed)) == 0)
			snprintf(matches + strlen(matches), sizeof(matches) - strlen(matches),
				 "%s--%s", *matches ? ", " : "", name);
		if (!near || suggest_distance(typed, name) < suggest_distance(typed, near))
			near = suggest_near(typed, name) ? name : near;
	}
	if (*matches)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "--%s may mean any of %s",
				 typed, matches);
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "there is no option --%s%s%s%s",
			 typed, near ? "; did you mean --" : "", near ?: "", near ? "?" : "");
}

/* What no single option can see: two of one group, or a required one that is missing. */
static int combination_check(const struct parser *p, struct ff_error *err)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct option_spec *spec = p->specs[i];

		if (spec->required && !p->given[i])
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "--%s%s%s is missing: %s", spec->name,
					 spec->value ? " " : "", spec->value ?: "", spec->help);
		for (size_t k = 0; spec->group && p->given[i] && k < i; k++)
			if (p->given[k] && p->specs[k]->group == spec->group)
				return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
						 "give one of them",
						 "--%s and --%s exclude each other",
						 p->specs[k]->name, spec->name);
	}
	return 0;
}

static int parse(const struct option_table *tables, size_t n_tables, bool leading, int argc,
		 char **argv, bool *ret_help, int *ret_first, struct ff_error *err)
{
	struct parser p;
	bool help = false;
	int c, r;

	parser_init(&p, tables, n_tables, leading);
	opterr = 0;
	optind = 0; /* glibc: start afresh, whatever was parsed before */
	while ((c = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
		size_t i;

		if (c == '?')
			return unknown_error(&p, argv[optind - 1], optopt, err);
		i = option_index(&p, c == ':' ? optopt : c);
		assert(i < p.count);
		if (c == ':')
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "--%s needs a value: %s", p.specs[i]->name,
					 p.specs[i]->value);
		r = value_store(&p, i, optarg, err);
		if (r < 0)
			return r;
		help |= strcmp(p.specs[i]->name, "help") == 0;
	}
	r = help ? 0 : combination_check(&p, err);
	if (r < 0)
		return r;
	*ret_help = help;
	*ret_first = optind;
	return 0;
}

int options_parse(const struct option_table *tables, size_t n_tables, int argc, char **argv,
		  bool *ret_help, int *ret_first, struct ff_error *err)
{
	return parse(tables, n_tables, false, argc, argv, ret_help, ret_first, err);
}

int options_parse_leading(const struct option_table *tables, size_t n_tables, int argc, char **argv,
			  bool *ret_help, int *ret_first, struct ff_error *err)
{
	return parse(tables, n_tables, true, argc, argv, ret_help, ret_first, err);
}
