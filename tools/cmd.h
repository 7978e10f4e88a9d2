/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cmd.h - what a verb of the CLI is.
 *
 * A verb is data: its name, its options, its arguments, its help, and a function. Dispatch, usage
 * errors, help pages and tab completion all read the same tables, so none of them can lag behind.
 * To add a verb: write cmd_VERB.c with a struct command, and put it into the table in main.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"
#include "tools/options.h"

struct http_client;

/* What the program exits with (DESIGN.md section 7). */
enum exit_status {
	CLI_DONE = 0,
	CLI_FAILED = 1,	     /* the operation failed */
	CLI_USAGE = 2,	     /* wrong usage: the same command line will never work */
	CLI_UNREACHABLE = 3, /* no answer from the orchestrator */
};

#define CLI_PATH_MAX 48 /* "flows get": a verb and its second word */

/* Where verbs find the orchestrator, and how they answer: the options that all of them take. */
struct common_options {
	const char *output; /* "table" or "json" */
	const char *socket;
	const char *url;
	const char *ca;
	const char *cert;
	const char *key;
	bool help;
};

/* One parsed command line. */
struct call {
	const struct command *command;
	char path[CLI_PATH_MAX]; /* "flows get" */
	void *options;		 /* the command's own struct, of options_size */
	struct common_options common;
	char **args; /* what is left, n_args of them, then NULL */
	int n_args;
	struct http_client *client; /* made by the first remote_call() */
};

struct argument {
	const char *name; /* in capitals, as help shows it; NULL ends a table */
	enum complete complete;
	bool optional;
	bool many; /* the last one only */
};

struct example {
	const char *line; /* without the leading "flowferry "; NULL ends a table */
	const char *what;
};

struct command {
	const char *name;
	const char *summary;		   /* one line, no full stop */
	const char *description;	   /* paragraphs, separated by "\n\n"; help wraps them */
	int (*run)(struct call *call);	   /* -> enum exit_status */
	const struct option_spec *options; /* its own; NULL: none */
	size_t options_size;		   /* of the struct that they fill */
	const struct argument *arguments;  /* NULL: none */
	const struct example *examples;
	const struct command *const *subs; /* second words; `run`, if any, is for none of them */
	bool wraps;  /* runs another program: what stands behind its first argument is that one's */
	bool remote; /* talks to the orchestrator: takes --socket ... */
};

/* The table of all verbs, in the order in which help lists them; NULL ends it. */
extern const struct command *const commands[];
extern const struct option_spec common_specs[]; /* into struct common_options: every verb's */
extern const struct option_spec remote_specs[]; /* likewise: verbs that are `remote` */

extern const struct command command_status, command_services, command_service, command_instances,
	command_instance, command_hosts, command_operations, command_events, command_flows,
	command_move, command_table, command_pki, command_traffic, command_lab, command_bench,
	command_help, command_version, command_completion, command_drain, command_undrain,
	command_policy, command_plan, command_conditions, command_pause, command_resume;

/* Follows `name` in a table of commands; NULL: there is none. */
const struct command *command_find(const struct command *const *table, const char *name);
/* The name in the table that somebody who typed `name` may have meant; NULL: none is near. */
const char *command_suggest(const struct command *const *table, const char *name);

/* Reports on stderr, once: "flowferry PATH: message", and the mend below it. */
void call_error(const struct call *call, const struct ff_error *err);
/* The same for wrong usage, with a pointer to the help; returns CLI_USAGE. */
int call_usage(const struct call *call, const struct ff_error *err);
/* Wrong usage: `word` is no verb of that table. Suggests one that is near. */
int call_unknown(const struct call *call, const struct command *const *table, const char *word);
/* Was -o json given? */
bool call_json(const struct call *call);
