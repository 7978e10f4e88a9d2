/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_pki.c - flowferry pki init|issue|show: a small CA; the work is done in lib/pki.c. */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/json.h"
#include "lib/pki.h"
#include "tools/cmd.h"
#include "tools/output.h"

#define PKI_PARENT	 "/etc/flowferry"
#define PKI_DIR		 PKI_PARENT "/pki"
#define CERTIFICATES_MAX 4096 /* files looked at in one directory */

struct pki_options {
	const char *dir;
};

static const struct option_spec pki_specs[] = {
	{ .name = "dir",
	  .letter = 'd',
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct pki_options, dir),
	  .value = "DIR",
	  .complete = COMPLETE_DIRECTORY,
	  .help = "where the CA lives; /etc/flowferry/pki by default" },
	{},
};

static const char *pki_dir(const struct call *call)
{
	return ((const struct pki_options *)call->options)->dir ?: PKI_DIR;
}

/* Local verbs answer errors in JSON too. */
static int pki_fail(const struct call *call, const struct ff_error *err)
{
	_cleanup_json_ json_t *body = call_json(call) ? json_from_error(err) : NULL;

	call_error(call, err);
	if (body)
		json_print(body);
	return err->err == -EINVAL ? CLI_USAGE : CLI_FAILED;
}

static int path_make(char path[PATH_MAX], const char *dir, const char *name, const char *suffix,
		     struct ff_error *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, FF_CODE_BAD_REQUEST, "choose a shorter path",
				 "%s/%s%s is too long", dir, name, suffix);
	return 0;
}

/* What was made: its two files. */
static int made_print(const struct call *call, const char *name)
{
	const char *dir = pki_dir(call);
	_cleanup_json_ json_t *answer = NULL;

	if (!call_json(call)) {
		printf("made %s/%s.pem and %s/%s.key\n", dir, name, dir, name);
		return CLI_DONE;
	}
	answer = json_object();
	json_put_str(answer, "name", name);
	json_put_fmt(answer, "certificate", "%s/%s.pem", dir, name);
	json_put_fmt(answer, "key", "%s/%s.key", dir, name);
	json_print(answer);
	return CLI_DONE;
}

static int init_run(struct call *call)
{
	const struct pki_options *o = call->options;
	struct ff_error err = {};

	if (!o->dir)
		mkdir(PKI_PARENT, 0755); /* if it fails, the next step says so */
	if (pki_ca_create(pki_dir(call), &err) < 0)
		return pki_fail(call, &err);
	return made_print(call, "ca");
}

static int issue_run(struct call *call)
{
	const char *const *sans = (const char *const *)call->args + 1;
	struct ff_error err = {};

	if (pki_issue(pki_dir(call), call->args[0], sans, &err) < 0)
		return pki_fail(call, &err);
	return made_print(call, call->args[0]);
}

/* ---- pki show ------------------------------------------------------------------------------ */

static const struct column show_columns[] = {
	{ "NAME", false },    { "VALID", false }, { "NAMES AND ADDRESSES", false },
	{ "EXPIRES", false }, { "KEY", false },	  {},
};

struct certificate {
	struct pki_info info;
	bool valid;
	struct ff_error why; /* if not */
};

static int certificate_load(const char *dir, const char *name, struct certificate *ret,
			    struct ff_error *err)
{
	char path[PATH_MAX], ca[PATH_MAX];
	int r;

	memset(ret, 0, sizeof(*ret));
	if ((r = path_make(path, dir, name, ".pem", err)) < 0 ||
	    (r = path_make(ca, dir, "ca", ".pem", err)) < 0 ||
	    (r = pki_inspect(path, &ret->info, err)) < 0)
		return r;
	ret->valid = pki_verify(path, ca, &ret->why) == 0;
	return 0;
}

static const char *time_text(time_t time, char buf[UNIT_TEXT_MAX])
{
	struct tm tm;

	if (!gmtime_r(&time, &tm) || !strftime(buf, UNIT_TEXT_MAX, "%FT%TZ", &tm))
		return "-";
	return buf;
}

static json_t *certificate_json(const char *name, const struct certificate *c)
{
	char from[UNIT_TEXT_MAX], to[UNIT_TEXT_MAX];

	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:s,s:s,s:s,s:s,s:s}", "name", name, "subject",
			 c->info.subject, "issuer", c->info.issuer, "sans", c->info.sans, "ca",
			 c->info.ca, "valid", c->valid, "not_before",
			 time_text(c->info.not_before, from), "not_after",
			 time_text(c->info.not_after, to), "key", c->info.key, "serial",
			 c->info.serial, "sha256", c->info.sha256);
}

static int one_show(struct call *call, const char *name)
{
	_cleanup_json_ json_t *answer = NULL;
	char from[UNIT_TEXT_MAX], to[UNIT_TEXT_MAX];
	struct certificate c;
	struct ff_error err = {};
	struct table table;

	if (certificate_load(pki_dir(call), name, &c, &err) < 0)
		return pki_fail(call, &err);
	if (call_json(call)) {
		answer = certificate_json(name, &c);
		json_print(answer);
		return CLI_DONE;
	}
	table_init(&table, NULL);
	table_pair(&table, "subject", "%s", c.info.subject);
	table_pair(&table, "issuer", "%s", c.info.issuer);
	table_pair(&table, "names", "%s", c.info.sans);
	table_pair(&table, "valid from", "%s", time_text(c.info.not_before, from));
	table_pair(&table, "valid until", "%s", time_text(c.info.not_after, to));
	table_pair(&table, "key", "%s", c.info.key);
	table_pair(&table, "serial", "%s", c.info.serial);
	table_pair(&table, "SHA-256", "%s", c.info.sha256);
	table_pair(&table, "is a CA", "%s", c.info.ca ? "yes" : "no");
	table_pair(&table, "valid now", "%s", c.valid ? "yes" : c.why.message);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static int pem_select(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && strcmp(entry->d_name + length - 4, ".pem") == 0;
}

static void certificate_row(struct table *table, const char *name, const struct certificate *c)
{
	char to[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_BOLD, "%s", name);
	table_cell(table, c->valid ? COLOUR_GREEN : COLOUR_RED, "%s", c->valid ? "yes" : "no");
	table_cell(table, COLOUR_NONE, "%s", *c->info.sans ? c->info.sans : "-");
	table_cell(table, COLOUR_NONE, "%s", time_text(c->info.not_after, to));
	table_cell(table, COLOUR_NONE, "%s", c->info.key);
}

static int all_show(struct call *call)
{
	const char *dir = pki_dir(call);
	_cleanup_json_ json_t *answer = NULL;
	struct dirent **entries;
	struct ff_error err = {};
	struct table table;
	int n;

	n = scandir(dir, &entries, pem_select, alphasort);
	if (n < 0) {
		error_set(&err, errno, FF_CODE_NOT_FOUND, "make it with `flowferry pki init`",
			  "can't read %s: %s", dir, strerror(errno));
		return pki_fail(call, &err);
	}
	answer = json_pack("{s:[]}", "certificates");
	table_init(&table, show_columns);
	for (int i = 0; i < n; i++) {
		char *name = entries[i]->d_name;
		struct certificate c;

		name[strlen(name) - strlen(".pem")] = '\0';
		if (i < CERTIFICATES_MAX && certificate_load(dir, name, &c, &err) == 0) {
			certificate_row(&table, name, &c);
			json_array_append_new(json_object_get(answer, "certificates"),
					      certificate_json(name, &c));
		}
		free(entries[i]);
	}
	free(entries);
	if (call_json(call))
		json_print(answer);
	else
		table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static int show_run(struct call *call)
{
	return call->n_args ? one_show(call, call->args[0]) : all_show(call);
}

/* ---- tables -------------------------------------------------------------------------------- */

static const struct argument issue_arguments[] = {
	{ .name = "NAME" },
	{ .name = "SAN", .complete = COMPLETE_HOST, .optional = true, .many = true },
	{},
};

static const struct argument show_arguments[] = {
	{ .name = "NAME", .optional = true },
	{},
};

static const struct command init_command = {
	.name = "init",
	.summary = "make a CA",
	.description =
		"Makes a CA in the directory: ca.pem, to be copied to every host, and ca.key, "
		"which stays here and should be kept offline.",
	.run = init_run,
	.options = pki_specs,
	.options_size = sizeof(struct pki_options),
};

static const struct command issue_command = {
	.name = "issue",
	.summary = "issue a certificate for a host or a person",
	.description =
		"Issues NAME.pem and NAME.key, good for both ends of a connection. SANs are the "
		"DNS names and IP addresses at which the host is reached; NAME itself is always "
		"among them. Files are never overwritten.",
	.run = issue_run,
	.options = pki_specs,
	.options_size = sizeof(struct pki_options),
	.arguments = issue_arguments,
};

static const struct command show_command = {
	.name = "show",
	.summary = "show certificates, and whether they are valid",
	.description = "Shows the certificates of the directory, or NAME in full.",
	.run = show_run,
	.options = pki_specs,
	.options_size = sizeof(struct pki_options),
	.arguments = show_arguments,
};

static const struct command *const pki_subs[] = {
	&init_command,
	&issue_command,
	&show_command,
	NULL,
};

static const struct example pki_examples[] = {
	{ "pki init", "Once for the site:" },
	{ "pki issue nf1 198.18.8.11 2001:db8:8::11 nf1.example", "For each host:" },
	{ "pki issue operator", "For a person who uses --url, --cert and --key:" },
	{ "pki show", "What has been issued, and until when it is valid:" },
	{},
};

const struct command command_pki = {
	.name = "pki",
	.summary = "a small CA: certificates for hosts and people",
	.description =
		"Hosts speak mutual TLS: each shows a certificate that the site's own CA has "
		"signed. Keys are ECDSA P-256 and readable by their owner only.",
	.options = pki_specs,
	.options_size = sizeof(struct pki_options),
	.examples = pki_examples,
	.subs = pki_subs,
};
