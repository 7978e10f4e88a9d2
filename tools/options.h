/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * options.h - command-line options as data, over getopt_long().
 *
 * A verb declares a struct for its options and a table that says which option fills which field.
 * Parsing, help and completion read that table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* What the shell offers where a value is expected. */
enum complete {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_DIRECTORY,
	COMPLETE_SERVICE,
	COMPLETE_INSTANCE,
	COMPLETE_HOST,
	COMPLETE_OPERATION,
	COMPLETE_PLAN,
	COMPLETE_VERB,
	COMPLETE_SHELL,
	COMPLETE_SUITE,
};

enum option_kind {
	OPTION_FLAG,   /* bool */
	OPTION_TEXT,   /* const char *, not empty */
	OPTION_CHOICE, /* const char *, one of `choices` */
	OPTION_NUMBER, /* uint64_t, min..max */
	OPTION_LIST,   /* struct text_list: may be given several times */
};

#define TEXT_LIST_MAX 256 /* more values than anybody types; scripts use a filter or a file */

struct text_list {
	const char *items[TEXT_LIST_MAX + 1]; /* ends with NULL */
	size_t count;
};

struct option_spec {
	const char *name; /* "service" for --service; NULL ends a table */
	char letter;	  /* 'o' for -o; 0: none */
	enum option_kind kind;
	size_t offset;		    /* of the field in the command's struct */
	const char *value;	    /* what help calls the value: "NAME" */
	const char *help;	    /* one sentence, lower case, no full stop */
	const char *const *choices; /* OPTION_CHOICE: ends with NULL */
	uint64_t min, max;	    /* OPTION_NUMBER */
	enum complete complete;
	unsigned int group; /* at most one option of a group may be given; 0: no group */
	bool required;
};

/* A table and the struct that it fills. */
struct option_table {
	const struct option_spec *specs; /* NULL: empty */
	void *target;
};

#define OPTION_TABLES_MAX 3  /* a verb's own, what all take, what those that connect take */
#define OPTIONS_MAX	  48 /* of one verb, all tables together */

/*
 * Reads the options of argv[1..argc-1] into the tables' targets, which hold the defaults before,
 * and moves the other arguments to the end: *ret_first is the first of them. Values point into
 * argv. -EINVAL: wrong usage, *err says what and how to mend it, with a suggestion for an option
 * that is nearly right. *ret_help is set, and nothing required is missed, if --help is there.
 */
int options_parse(const struct option_table *tables, size_t n_tables, int argc, char **argv,
		  bool *ret_help, int *ret_first, struct ff_error *err);
/* The same up to the first other argument: what follows stays as it is. */
int options_parse_leading(const struct option_table *tables, size_t n_tables, int argc, char **argv,
			  bool *ret_help, int *ret_first, struct ff_error *err);

/* A whole number in decimal, in min..max, and nothing behind it. */
int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
