/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* output.c - tables and JSON; see output.h. Units and fields are in units.c. */

#include "tools/output.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tools/cmd.h"

#define COLUMN_GAP 2

static const struct column pair_columns[] = { { .title = "" }, { .title = "" }, {} };

static void out_of_memory(void)
{
	fputs("flowferry: out of memory\n", stderr);
	exit(CLI_FAILED);
}

/* ---- text ---------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at `s`, 0 if there is none (RFC 3629, without its finer points). */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] >= 0xf5 || (s[0] >= 0x80 && s[0] < 0xc2))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

char *text_clean(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = utf8_length(s);
		/* C0, DEL, and C1 (U+0080 - U+009F), which some terminals obey too */
		bool control = *s < 0x20 || *s == 0x7f || (*s == 0xc2 && n == 2 && s[1] < 0xa0);

		if (control || !n)
			memset(s, '?', n ?: 1);
		s += n ?: 1;
	}
	return text;
}

/* Columns on the terminal: one for each character. Wide and combining ones aren't told apart. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

const char *colour_code(FILE *to, enum colour colour)
{
	static const char *const codes[] = {
		[COLOUR_NONE] = "\033[0m",    [COLOUR_BOLD] = "\033[1m",
		[COLOUR_DIM] = "\033[2m",     [COLOUR_GREEN] = "\033[32m",
		[COLOUR_YELLOW] = "\033[33m", [COLOUR_RED] = "\033[31m",
	};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!isatty(fileno(to)) || (no_color && *no_color) || (term && strcmp(term, "dumb") == 0))
		return "";
	return codes[colour];
}

enum colour colour_of_state(const char *state)
{
	static const struct {
		const char *state;
		enum colour colour;
	} table[] = {
		{ "up", COLOUR_GREEN },	       { "completed", COLOUR_GREEN },
		{ "queued", COLOUR_YELLOW },   { "running", COLOUR_YELLOW },
		{ "starting", COLOUR_YELLOW }, { "retiring", COLOUR_YELLOW },
		{ "foreign", COLOUR_YELLOW },  { "rolled-back", COLOUR_RED },
		{ "failed", COLOUR_RED },      { "down", COLOUR_RED },
		{ "unreachable", COLOUR_RED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].state, state) == 0)
			return table[i].colour;
	return COLOUR_NONE;
}

void json_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* ---- tables -------------------------------------------------------------------------------- */

void table_init(struct table *table, const struct column *columns)
{
	memset(table, 0, sizeof(*table));
	table->columns = columns ?: pair_columns;
	while (table->columns[table->width].title)
		table->width++;
	assert(table->width > 0 && table->width <= TABLE_COLUMNS_MAX);
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	memset(table, 0, sizeof(*table));
}

static void cell_append(struct table *table, enum colour colour, char *text)
{
	if (table->n_cells == table->space) {
		size_t space = table->space ? 2 * table->space : 64;
		struct cell *cells = reallocarray(table->cells, space, sizeof(*cells));

		if (!cells)
			out_of_memory();
		table->cells = cells;
		table->space = space;
	}
	table->cells[table->n_cells].text = text_clean(text);
	table->cells[table->n_cells++].colour = colour;
}

void table_cell(struct table *table, enum colour colour, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		out_of_memory();
	cell_append(table, colour, text);
}

void table_pair(struct table *table, const char *name, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		out_of_memory();
	if (!*text || strcmp(text, "-") == 0) {
		free(text);
		return;
	}
	table_cell(table, COLOUR_DIM, "%s", name);
	cell_append(table, colour_of_state(text), text);
}

static void cell_print(const struct column *column, const struct cell *cell, size_t width,
		       bool last, FILE *to)
{
	const char *begin = cell->colour ? colour_code(to, cell->colour) : "";
	int pad = (int)(width - text_width(cell->text));

	fprintf(to, "%*s%s%s%s%*s", column->right ? pad : 0, "", begin, cell->text,
		*begin ? colour_code(to, COLOUR_NONE) : "",
		last	      ? 0 :
		column->right ? COLUMN_GAP :
				pad + COLUMN_GAP,
		"");
}

void table_print(const struct table *table, FILE *to)
{
	size_t widths[TABLE_COLUMNS_MAX];
	bool titles = table->columns != pair_columns;

	assert(table->width > 0 && table->n_cells % table->width == 0);
	for (size_t c = 0; c < table->width; c++)
		widths[c] = text_width(table->columns[c].title);
	for (size_t i = 0; i < table->n_cells; i++)
		widths[i % table->width] =
			MAX(widths[i % table->width], text_width(table->cells[i].text));
	for (size_t c = 0; titles && c < table->width; c++) {
		struct cell title = { (char *)table->columns[c].title, COLOUR_BOLD };
		bool last = c + 1 == table->width;

		cell_print(&table->columns[c], &title, widths[c], last, to);
		if (last)
			fputc('\n', to);
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t c = i % table->width;
		bool last = c + 1 == table->width;

		cell_print(&table->columns[c], &table->cells[i], widths[c], last, to);
		if (last)
			fputc('\n', to);
	}
}
