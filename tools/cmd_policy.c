/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_policy.c - flowferry policy get|set|check|unset */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/policy.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

#define YAML_INDENT 2

/* ---- as YAML ------------------------------------------------------------------------------- */

/* JSON's own way to write a scalar is YAML's, too. */
static void scalar_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_ENCODE_ANY);
}

/* A list's members, each on one line: scalars, or mappings in braces. */
static void list_print(const json_t *list, int indent)
{
	const json_t *item;
	size_t i;

	if (!json_array_size(list)) {
		puts(" []");
		return;
	}
	putchar('\n');
	json_array_foreach(list, i, item) {
		printf("%*s- ", indent + YAML_INDENT, "");
		scalar_print(item);
		putchar('\n');
	}
}

static void mapping_print(const json_t *mapping, int indent)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)mapping, key, value) {
		printf("%*s%s:", indent, "", key);
		if (json_is_array(value)) {
			list_print(value, indent);
		} else if (json_is_object(value)) {
			putchar('\n');
			mapping_print(value, indent + YAML_INDENT);
		} else if (json_is_string(value)) { /* words: modes */
			printf(" %s\n", json_string_value(value));
		} else {
			putchar(' ');
			scalar_print(value);
			putchar('\n');
		}
	}
}

/* ---- the verbs ----------------------------------------------------------------------------- */

static int get_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s/policy", call->args[0]);
	_cleanup_json_ json_t *policy = NULL;
	int r;

	r = remote_get(call, path, &policy);
	if (r)
		return r;
	if (call_json(call))
		json_print(policy);
	else
		mapping_print(policy, 0);
	return CLI_DONE;
}

/* The file, read and checked here, where its lines can be named. 0, or the exit status. */
static int file_read(const struct call *call, const char *file, json_t **ret)
{
	struct ff_error err = {};
	struct policy policy;

	if (policy_load(file, &policy, &err) < 0) {
		_cleanup_json_ json_t *body = call_json(call) ? json_from_error(&err) : NULL;

		call_error(call, &err);
		if (body)
			json_print(body);
		return CLI_USAGE;
	}
	*ret = policy_to_json(&policy);
	if (*ret)
		return 0;
	error_nomem(&err);
	call_error(call, &err);
	return CLI_FAILED;
}

static int set_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s/policy", call->args[0]);
	_cleanup_json_ json_t *policy = NULL, *reply = NULL;
	int r;

	r = file_read(call, call->args[1], &policy);
	if (r == 0)
		r = remote_call(call, "PUT", path, policy, &reply);
	if (r)
		return r;
	if (call_json(call))
		json_print(reply);
	else
		printf("service %s has this policy now (mode %s)\n", call->args[0],
		       field_text(reply, "mode"));
	return CLI_DONE;
}

static int check_run(struct call *call)
{
	_cleanup_json_ json_t *policy = NULL;
	int r;

	r = file_read(call, call->args[0], &policy);
	if (r)
		return r;
	if (call_json(call))
		json_print(policy);
	else
		printf("%s: valid\n", call->args[0]);
	return CLI_DONE;
}

static int unset_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s/policy", call->args[0]);
	_cleanup_json_ json_t *answer = NULL;
	int r;

	r = remote_call(call, "DELETE", path, NULL, NULL);
	if (r)
		return r;
	if (!call_json(call)) {
		printf("service %s has no policy any more\n", call->args[0]);
		return CLI_DONE;
	}
	answer = json_pack("{ss sn}", "service", call->args[0], "policy");
	json_print(answer);
	return CLI_DONE;
}

static const struct argument service_arguments[] = {
	{ .name = "SERVICE", .complete = COMPLETE_SERVICE },
	{},
};

static const struct argument set_arguments[] = {
	{ .name = "SERVICE", .complete = COMPLETE_SERVICE },
	{ .name = "FILE", .complete = COMPLETE_FILE },
	{},
};

static const struct argument check_arguments[] = {
	{ .name = "FILE", .complete = COMPLETE_FILE },
	{},
};

static const struct command get_command = {
	.name = "get",
	.summary = "the policy of a service",
	.description = "Shows the policy in force, with every field, as a file that `flowferry "
		       "policy set` takes.",
	.run = get_run,
	.arguments = service_arguments,
	.remote = true,
};

static const struct command set_command = {
	.name = "set",
	.summary = "put a service under a policy",
	.description =
		"Reads FILE (YAML or JSON; - is standard input) and puts SERVICE under this "
		"policy, all of it at once, in place of the one before; it holds from the loop's next look (100 ms) on, and "
		"over restarts. What the file leaves out has its default. Mistakes are shown with "
		"their line, and nothing is changed then.",
	.run = set_run,
	.arguments = set_arguments,
	.remote = true,
};

static const struct command check_command = {
	.name = "check",
	.summary = "see whether a file is a valid policy",
	.description = "Reads FILE as `flowferry policy set` would, and says what is wrong with "
		       "it, by line. Needs no orchestrator.",
	.run = check_run,
	.arguments = check_arguments,
};

static const struct command unset_command = {
	.name = "unset",
	.summary = "govern a service no more",
	.description =
		"Takes the policy away: the loop decides nothing for SERVICE any more, except to "
		"empty hosts that are drained.",
	.run = unset_run,
	.arguments = service_arguments,
	.remote = true,
};

static const struct command *const policy_subs[] = {
	&get_command, &set_command, &check_command, &unset_command, NULL,
};

static const struct example policy_examples[] = {
	{ "policy set fw fw.yaml", "From now on the loop scales and balances service fw:" },
	{ "policy get fw > fw.yaml", "Every field, with what is in force, to edit:" },
	{ "policy check fw.yaml", "Is it right?" },
	{ "policy get fw | sed 's/max: 8/max: 12/' | flowferry policy set fw -",
	  "All as it is, but for more instances:" },
	{ "policy unset fw", "Decide for yourself again:" },
	{},
};

const struct command command_policy = {
	.name = "policy",
	.summary = "what the loop may do for a service: get, set, check, unset",
	.description =
		"A policy says within which bounds the loop decides for a service: utilisation "
		"targets, what users are promised, how many instances and where, what moves may "
		"cost, quiet hours; and whether it acts or only observes (`mode: observe`: "
		"plans are shown, none is carried out; standbys and fences that are there stay, "
		"and none is new). A "
		"service without a policy is left to people. See policies/example.yaml for every "
		"field.",
	.examples = policy_examples,
	.subs = policy_subs,
	.remote = true,
};
