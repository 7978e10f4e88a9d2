/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output.h - how verbs answer: aligned tables with units for people, JSON for programs.
 *
 * What comes from elsewhere (names, messages) is never trusted with the terminal: control
 * characters are shown as `?`. Colours appear on a terminal only, and never with NO_COLOR set
 * (https://no-color.org).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED };

struct column {
	const char *title; /* NULL ends a table's columns */
	bool right;	   /* numbers */
};

#define TABLE_COLUMNS_MAX 16

struct cell {
	char *text;
	enum colour colour;
};

/* Filled cell by cell, row by row. Cells of a row left over are empty. */
struct table {
	const struct column *columns; /* NULL: two columns without titles, "name  value" */
	size_t width;
	struct cell *cells;
	size_t n_cells, space;
};

void table_init(struct table *table, const struct column *columns);
void table_done(struct table *table);
/* Ends the program when memory is out: a CLI has nothing better to do then. */
void table_cell(struct table *table, enum colour colour, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A row of a table without columns. An empty value, or a dash, leaves the row out. */
void table_pair(struct table *table, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void table_print(const struct table *table, FILE *to);

/* The escape sequence that begins a colour, COLOUR_NONE ends it; "" where there are none. */
const char *colour_code(FILE *to, enum colour colour);
/* Green for what is well, yellow for what is under way, red for what isn't. */
enum colour colour_of_state(const char *state);

/* Replaces control characters and broken UTF-8 by `?`; returns `text`. */
char *text_clean(char *text);

/* One JSON value and a newline: indented, fields in the order in which they came. */
void json_print(const json_t *value);

#define UNIT_TEXT_MAX 32 /* what the functions below need; they return `buf` */

const char *count_format(uint64_t count, char buf[UNIT_TEXT_MAX]); /* 1,234,567 */
const char *bytes_format(uint64_t bytes, char buf[UNIT_TEXT_MAX]); /* 9.60 MB */
const char *duration_format(uint64_t us, char buf[UNIT_TEXT_MAX]); /* 1.83 ms, 2 h 5 min */

/*
 * Fields of an answer, for tables: what is missing, null or of another type is a dash, or 0.
 * `field_text` makes numbers and booleans into text too, in a few static buffers used in turn.
 */
const char *field_text(const json_t *object, const char *key);
uint64_t field_count(const json_t *object, const char *key);
/* A field as count, bytes or duration; a dash where there is none. */
const char *field_units(const json_t *object, const char *key,
			const char *(*format)(uint64_t, char *), char buf[UNIT_TEXT_MAX]);
/* A time of the API (seconds or milliseconds since 1970) as local time. */
const char *field_time(const json_t *object, const char *key, char buf[UNIT_TEXT_MAX]);
/* Names in an array (of strings, or of objects with a "name"): "a, b, c". malloc'ed, never NULL. */
char *field_names(const json_t *object, const char *key);
/* Fields of an object on one line: "state=established,packets=12". malloc'ed, never NULL. */
char *object_line(const json_t *object);
