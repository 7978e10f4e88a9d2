/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* help.c - pages of help; see help.h. */

#include "tools/help.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tools/output.h"

#define PAGE_WIDTH_MIN 60
#define PAGE_WIDTH_MAX 100 /* longer lines are hard to read */
#define PAGE_WIDTH     80  /* where there is no terminal to ask */
#define INDENT	       4
#define SYNOPSIS_MAX   1024

static int page_width(FILE *to)
{
	struct winsize size;

	if (!isatty(fileno(to)) || ioctl(fileno(to), TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return PAGE_WIDTH;
	return MIN(MAX((int)size.ws_col, PAGE_WIDTH_MIN), PAGE_WIDTH_MAX);
}

/*
 * Prints words within [indent, width), the cursor being at `column`; lines after the first start at
 * `indent`. "\n\n" begins a paragraph; a line that starts with a blank is kept as it is.
 */
static void text_wrap(FILE *to, const char *text, int indent, int column, int width)
{
	while (*text) {
		size_t word = strcspn(text, " \n");

		if (column > indent && column + 1 + (int)word > width) {
			fprintf(to, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', to);
			column++;
		}
		fwrite(text, 1, word, to);
		column += (int)word;
		text += word;
		if (strncmp(text, "\n\n", 2) == 0) {
			fprintf(to, "\n\n%*s", indent, "");
			column = indent;
		}
		while (text[0] == '\n' && text[1] == ' ') { /* as it is */
			size_t line = strcspn(text + 1, "\n");

			fprintf(to, "\n%*s%.*s", indent, "", (int)line, text + 1);
			text += 1 + line;
			column = width;
		}
		text += strspn(text, " \n");
	}
	fputc('\n', to);
}

static void section(FILE *to, const char *title)
{
	fprintf(to, "\n%s%s%s\n", colour_code(to, COLOUR_BOLD), title,
		colour_code(to, COLOUR_NONE));
}

/* ---- synopsis ------------------------------------------------------------------------------ */

static void __attribute__((format(printf, 2, 3))) text_append(char *text, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + used, SYNOPSIS_MAX - used, fmt, ap);
	va_end(ap);
}

static void option_append(char *text, const struct option_spec *spec)
{
	/* A no-break space, as one option and its value stay on one line; see synopsis_print(). */
	text_append(text, "--%s%s%s", spec->name, spec->value ? "\1" : "", spec->value ?: "");
}

/* Options of one group, as [--a A | --b B]; they stand where the first of them is. */
static void group_append(char *text, const struct option_spec *specs, unsigned int group)
{
	const char *bar = "";

	text_append(text, " [");
	for (const struct option_spec *s = specs; s->name; s++) {
		if (s->group != group)
			continue;
		text_append(text, "%s", bar);
		option_append(text, s);
		bar = " |\1";
	}
	text_append(text, "]");
}

static bool group_seen(const struct option_spec *specs, const struct option_spec *until)
{
	for (; specs < until; specs++)
		if (specs->group == until->group)
			return true;
	return false;
}

static void synopsis_make(char *text, const struct command *command, const char *path)
{
	const struct option_spec *specs = command->options;

	snprintf(text, SYNOPSIS_MAX, "flowferry %s", path);
	for (const struct argument *a = command->arguments; a && a->name; a++)
		text_append(text, a->optional ? " [%s%s]" : " %s%s", a->name, a->many ? "..." : "");
	for (const struct option_spec *s = specs; s && s->name; s++) {
		if (s->group) {
			if (!group_seen(specs, s))
				group_append(text, specs, s->group);
			continue;
		}
		text_append(text, s->required ? " " : " [");
		option_append(text, s);
		text_append(text, "%s%s", s->required ? "" : "]",
			    s->kind == OPTION_LIST ? "..." : "");
	}
	text_append(text, " [-o\1FORMAT]");
}

/* Wrapped under its first argument; the \1 that bind become blanks on the way out. */
static void synopsis_print(FILE *to, const struct command *command, const char *path, int width)
{
	int indent = INDENT + (int)strlen("flowferry ") + (int)strlen(path) + 1;
	char text[SYNOPSIS_MAX];
	_cleanup_free_ char *wrapped = NULL;
	size_t size;
	FILE *memory;

	synopsis_make(text, command, path);
	memory = open_memstream(&wrapped, &size);
	if (!memory)
		return;
	fprintf(memory, "%*sflowferry %s ", INDENT, "", path);
	text_wrap(memory, text + strlen("flowferry ") + strlen(path) + 1, indent, indent, width);
	if (fclose(memory) != 0)
		return;
	for (char *c = wrapped; *c; c++)
		if (*c == '\1')
			*c = ' ';
	fputs(wrapped, to);
}

static void synopses_print(FILE *to, const struct command *command, const char *path, int width)
{
	if (command->run)
		synopsis_print(to, command, path, width);
	for (const struct command *const *sub = command->subs; sub && *sub; sub++) {
		char sub_path[CLI_PATH_MAX];

		snprintf(sub_path, sizeof(sub_path), "%s %s", path, (*sub)->name);
		synopses_print(to, *sub, sub_path, width);
	}
}

/* ---- the page ------------------------------------------------------------------------------ */

static void options_print(FILE *to, const struct option_spec *specs, int width)
{
	for (const struct option_spec *s = specs; s && s->name; s++) {
		char letter[8] = "";

		if (s->letter)
			snprintf(letter, sizeof(letter), "-%c, ", s->letter);
		fprintf(to, "%*s%s%s--%s%s%s%s", INDENT, "", colour_code(to, COLOUR_BOLD), letter,
			s->name, colour_code(to, COLOUR_NONE), s->value ? " " : "", s->value ?: "");
		for (size_t i = 0; s->choices && s->choices[i]; i++)
			fprintf(to, "%s%s", i ? " | " : "  (", s->choices[i]);
		fprintf(to, "%s\n%*s", s->choices ? ")" : "", 2 * INDENT, "");
		text_wrap(to, s->help, 2 * INDENT, 2 * INDENT, width);
	}
}

/* Has one before it the same options? */
static bool options_were(const struct command *const *subs, const struct command *const *until)
{
	for (; subs < until; subs++)
		if ((*subs)->options == (*until)->options)
			return true;
	return false;
}

static void all_options_print(FILE *to, const struct command *command, int width)
{
	section(to, "OPTIONS");
	options_print(to, command->options, width);
	for (const struct command *const *sub = command->subs; sub && *sub; sub++) {
		if (!(*sub)->options || (*sub)->options == command->options ||
		    options_were(command->subs, sub))
			continue;
		fprintf(to, "%*sof `%s`", INDENT, "", (*sub)->name);
		for (const struct command *const *other = sub + 1; *other; other++)
			if ((*other)->options == (*sub)->options)
				fprintf(to, ", `%s`", (*other)->name);
		fputs(":\n", to);
		options_print(to, (*sub)->options, width);
	}
	options_print(to, common_specs, width);
}

static bool command_remote(const struct command *command)
{
	bool remote = command->remote;

	for (const struct command *const *sub = command->subs; sub && *sub; sub++)
		remote |= (*sub)->remote;
	return remote;
}

static void status_print(FILE *to, const struct command *command)
{
	section(to, "EXIT STATUS");
	fprintf(to, "    0  done\n"
		    "    1  the operation failed; the reason is on stderr\n"
		    "    2  wrong usage, or a request that the orchestrator can't take\n");
	if (command_remote(command))
		fprintf(to, "    3  the orchestrator can't be reached\n");
}

/* Those whose line begins with `path`. */
static bool example_fits(const struct example *e, const char *path)
{
	size_t n = strlen(path);

	return strncmp(e->line, path, n) == 0 && (e->line[n] == ' ' || !e->line[n]);
}

static bool examples_print(FILE *to, const struct example *e, const char *path, bool any, int width)
{
	for (; e && e->line; e++) {
		if (path && !example_fits(e, path))
			continue;
		if (!any)
			section(to, "EXAMPLES");
		any = true;
		if (*e->what) {
			fprintf(to, "%*s", INDENT, "");
			text_wrap(to, e->what, INDENT, INDENT, width);
		}
		fprintf(to, "%*s$ flowferry %s\n", 2 * INDENT, "", e->line);
	}
	return any;
}

static bool examples_were(const struct command *const *subs, size_t until)
{
	for (size_t i = 0; i < until; i++)
		if (subs[i]->examples == subs[until]->examples)
			return true;
	return false;
}

/* A verb's own, or those of its second words; a second word without its own has the verb's. */
static void all_examples_print(FILE *to, const struct command *command, const char *path, int width)
{
	bool any = examples_print(to, command->examples, NULL, false, width);
	char verb[CLI_PATH_MAX];

	for (size_t i = 0; !command->examples && command->subs && command->subs[i]; i++)
		if (!examples_were(command->subs, i))
			any = examples_print(to, command->subs[i]->examples, NULL, any, width);
	if (any || !strchr(path, ' '))
		return;
	snprintf(verb, sizeof(verb), "%.*s", (int)strcspn(path, " "), path);
	examples_print(to, command_find(commands, verb)->examples, path, false, width);
}

static void page_print(const struct command *command, const char *path, FILE *to)
{
	int width = page_width(to);

	fprintf(to, "%sNAME%s\n%*s", colour_code(to, COLOUR_BOLD), colour_code(to, COLOUR_NONE),
		INDENT, "");
	fprintf(to, "flowferry %s - %s\n", path, command->summary);
	section(to, "SYNOPSIS");
	synopses_print(to, command, path, width);
	if (command->description) {
		section(to, "DESCRIPTION");
		fprintf(to, "%*s", INDENT, "");
		text_wrap(to, command->description, INDENT, INDENT, width);
	}
	for (const struct command *const *sub = command->subs; sub && *sub; sub++) {
		fprintf(to, "\n%*s%s%s%s\n%*s", INDENT, "", colour_code(to, COLOUR_BOLD),
			(*sub)->name, colour_code(to, COLOUR_NONE), 2 * INDENT, "");
		text_wrap(to, (*sub)->description ?: (*sub)->summary, 2 * INDENT, 2 * INDENT,
			  width);
	}
	all_options_print(to, command, width);
	if (command_remote(command)) {
		section(to, "WHERE THE ORCHESTRATOR IS");
		options_print(to, remote_specs, width);
	}
	status_print(to, command);
	all_examples_print(to, command, path, width);
}

void help_show(const struct call *call, const struct command *command, const char *path)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *page = NULL;
	FILE *memory;
	size_t size;

	if (!call_json(call)) {
		page_print(command, path, stdout);
		return;
	}
	memory = open_memstream(&page, &size);
	if (!memory)
		return;
	page_print(command, path, memory);
	if (fclose(memory) != 0)
		return;
	answer = json_pack("{ss ss ss}", "name", path, "summary", command->summary, "page", page);
	json_print(answer);
}

void help_overview(FILE *to)
{
	fprintf(to,
		"flowferry moves live network flows, with their state, between NF instances.\n");
	section(to, "usage: flowferry VERB [OPTIONS] [ARGUMENTS]");
	for (const struct command *const *c = commands; *c; c++)
		fprintf(to, "%*s%s%-12s%s%s\n", INDENT, "", colour_code(to, COLOUR_BOLD),
			(*c)->name, colour_code(to, COLOUR_NONE), (*c)->summary);
	fprintf(to,
		"\n`flowferry help VERB` explains one, with examples. Every verb takes -o json.\n");
}
