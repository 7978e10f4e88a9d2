/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_services.c - flowferry services; flowferry service add|remove|show|upgrade */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/remote.h"
#include "tools/tables.h"

static const struct column services_columns[] = {
	{ "SERVICE", false },
	{ "NF", false },
	{ "SLOTS", true },
	{ "PINS", true },
	{ "RULES", true },
	{ "TABLE", true },
	{ "POLICY", false },
	{ "PROTECTED", false },
	{ "INSTANCES", false },
	{ "CLASS", false },
	{},
};

/* How many of its owners have a standby with a whole copy of their state: "2/2"; "-": not protected. */
static void protected_cell(struct table *table, const json_t *service)
{
	const json_t *protect = json_object_get(service, "protect");
	uint64_t owners = field_count(protect, "owners");
	uint64_t safe = field_count(protect, "protected");

	if (json_is_object(protect))
		table_cell(table, safe < owners ? COLOUR_RED : COLOUR_NONE, "%" PRIu64 "/%" PRIu64,
			   safe, owners);
	else
		table_cell(table, COLOUR_NONE, "-");
}

static void service_row(struct table *table, const json_t *service)
{
	_cleanup_free_ char *instances = field_names(service, "instances");
	const char *class = field_text(service, "class");

	table_cell(table, COLOUR_BOLD, "%s", field_text(service, "name"));
	table_cell(table, COLOUR_NONE, "%s", field_text(service, "nf"));
	table_cell(table, COLOUR_NONE, "%s", field_text(service, "slots"));
	table_cell(table, COLOUR_NONE, "%s", field_text(service, "pins"));
	table_cell(table, COLOUR_NONE, "%zu", json_array_size(json_object_get(service, "rules")));
	table_cell(table, COLOUR_NONE, "%s", field_text(service, "table_version"));
	table_cell(table, COLOUR_NONE, "%s", field_text(service, "policy"));
	protected_cell(table, service);
	table_cell(table, COLOUR_NONE, "%s", *instances ? instances : "-");
	table_cell(table, COLOUR_NONE, "%s", strcmp(class, "-") == 0 ? "all traffic" : class);
}

static int services_run(struct call *call)
{
	_cleanup_json_ json_t *reply = NULL;
	const json_t *service;
	struct table table;
	size_t i;
	int r;

	r = remote_get(call, "/v1/services", &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	table_init(&table, services_columns);
	json_array_foreach(json_object_get(reply, "services"), i, service)
		service_row(&table, service);
	table_print(&table, stdout);
	if (!table.n_cells)
		fputs("no services yet; `flowferry help service` says how to add one\n", stderr);
	table_done(&table);
	return CLI_DONE;
}

static const struct example services_examples[] = {
	{ "services", "All services:" },
	{ "services -o json | jq -r '.services[].name'", "Only their names:" },
	{},
};

const struct command command_services = {
	.name = "services",
	.summary = "the services, their slots and instances",
	.run = services_run,
	.examples = services_examples,
	.remote = true,
};

/* ---- service show -------------------------------------------------------------------------- */

/* GET of one answers either the object itself or a list of one. */
static const json_t *service_unwrap(const json_t *reply)
{
	const json_t *list = json_object_get(reply, "services");

	return list ? json_array_get(list, 0) : reply;
}

static int show_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s", call->args[0]);
	_cleanup_free_ char *instances = NULL;
	_cleanup_json_ json_t *reply = NULL;
	const json_t *service, *protect, *policy;
	struct table table;
	const char *class;
	int r;

	r = remote_get(call, path, &reply);
	if (r)
		return r;
	service = service_unwrap(reply);
	policy = json_object_get(service, "policy");
	protect = json_object_get(service, "protect");
	if (call_json(call)) {
		json_print(service);
		return CLI_DONE;
	}
	class = field_text(service, "class");
	instances = field_names(service, "instances");
	table_init(&table, NULL);
	table_pair(&table, "service", "%s", field_text(service, "name"));
	table_pair(&table, "NF", "%s", field_text(service, "nf"));
	table_pair(&table, "class", "%s", strcmp(class, "-") == 0 ? "all traffic" : class);
	table_pair(&table, "number", "%s", field_text(service, "id"));
	table_pair(&table, "slots", "%s", field_text(service, "slots"));
	table_pair(&table, "instances", "%s", *instances ? instances : "-");
	table_pair(&table, "pins", "%s", field_text(service, "pins"));
	table_pair(&table, "policy", "%s",
		   json_is_string(policy) ? json_string_value(policy) :
					    "none, it is left to people");
	if (json_is_object(protect))
		table_pair(&table, "protected", "%s of %s owners, copies at most %s ms old",
			   field_text(protect, "protected"), field_text(protect, "owners"),
			   field_text(protect, "lag_ms"));
	if (json_is_integer(json_object_get(service, "lease_ms")))
		table_pair(&table, "lease", "%s ms", field_text(service, "lease_ms"));
	table_pair(&table, "table version", "%s", field_text(service, "table_version"));
	table_print(&table, stdout);
	table_done(&table);
	rules_print(json_object_get(service, "rules"));
	return CLI_DONE;
}

static const struct argument service_arguments[] = {
	{ .name = "SERVICE", .complete = COMPLETE_SERVICE },
	{},
};

static const struct command show_command = {
	.name = "show",
	.summary = "one service",
	.description = "Shows a service's parts, and the rules that moves by filter have left.",
	.run = show_run,
	.arguments = service_arguments,
	.remote = true,
};

/* ---- service add --------------------------------------------------------------------------- */

struct add_options {
	const char *nf;
	uint64_t slots;
	const char *class;
	const char *config;
	uint64_t capacity;
	struct text_list instances;
};

static const struct option_spec add_specs[] = {
	{ .name = "nf",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct add_options, nf),
	  .value = "NAME",
	  .required = true,
	  .help = "the NF that its instances run: firewall, monitor, or one of your own" },
	{ .name = "instance",
	  .kind = OPTION_LIST,
	  .offset = offsetof(struct add_options, instances),
	  .value = "NAME@HOST",
	  .help = "a first instance; given several times, the slots are spread evenly" },
	{ .name = "slots",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct add_options, slots),
	  .value = "N",
	  .min = 1,
	  .max = FF_SLOTS_MAX,
	  .help = "how many hash classes its flows fall into, a power of two; 4096 by default" },
	{ .name = "class",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct add_options, class),
	  .value = "EXPR",
	  .help = "which traffic is the service's, a conjunction in pcap-filter(7)'s language; all "
		  "by default" },
	{ .name = "config",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct add_options, config),
	  .value = "JSON|@FILE",
	  .help = "the NF's configuration, an object; or the file that holds it (@- is standard "
		  "input)" },
	{ .name = "capacity",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct add_options, capacity),
	  .value = "N",
	  .min = 1,
	  .max = UINT32_MAX,
	  .help = "flows that an instance takes before it refuses new ones; 1048576 by default" },
	{},
};

static int config_parse(const char *text, json_t **ret, struct ff_error *err)
{
	_cleanup_free_ char *file = NULL;
	json_error_t why;
	json_t *config;
	size_t len;
	int r;

	r = *text == '@' ? config_read(text + 1, &file, &len, err) : 0;
	if (r < 0)
		return r;
	config = file ? json_loadb(file, len, JSON_REJECT_DUPLICATES, &why) :
			json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (!config)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "give a JSON object, or @ and the name of a file that holds one",
				 "--config %s: %s (line %d, column %d)", text, why.text, why.line,
				 why.column);
	if (!json_is_object(config)) {
		json_decref(config);
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "write {\"field\": value, ...}",
				 "--config is JSON, but no object");
	}
	*ret = config;
	return 0;
}

/* "fw-1@nf1" -> {"name","host"} */
static int instances_pack(const struct text_list *list, json_t *body, struct ff_error *err)
{
	json_t *array = json_array();

	if (json_put(body, "instances", array) < 0)
		return error_nomem(err);
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i], *at = strchr(text, '@');

		if (!at || at == text || !at[1] || strchr(at + 1, '@'))
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "write NAME@HOST, for example fw-1@nf1",
					 "--instance can't be '%s'", text);
		if (json_array_append_new(array, json_pack("{s:s%,s:s}", "name", text,
							   (size_t)(at - text), "host", at + 1)) <
		    0)
			return error_nomem(err);
	}
	return 0;
}

static int add_pack(const char *name, const struct add_options *o, json_t **ret,
		    struct ff_error *err)
{
	_cleanup_json_ json_t *body = json_object();
	json_t *config = NULL;
	int r = 0;

	if (o->slots & (o->slots - 1))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "give a power of two",
				 "--slots can't be %" PRIu64, o->slots);
	if (o->config)
		r = config_parse(o->config, &config, err);
	if (r < 0)
		return r;
	if ((config && json_put(body, "config", config) < 0) ||
	    json_put_str(body, "name", name) < 0 || json_put_str(body, "nf", o->nf) < 0 ||
	    (o->slots && json_put_uint(body, "slots", o->slots) < 0) ||
	    (o->class && json_put_str(body, "class", o->class) < 0) ||
	    (o->capacity && json_put_uint(body, "capacity", o->capacity) < 0))
		return error_nomem(err);
	r = instances_pack(&o->instances, body, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(body);
	return 0;
}

static int add_run(struct call *call)
{
	const struct add_options *o = call->options;
	_cleanup_json_ json_t *body = NULL, *reply = NULL;
	struct ff_error err = {};
	int r;

	if (add_pack(call->args[0], o, &body, &err) < 0)
		return call_usage(call, &err);
	r = remote_call(call, "POST", "/v1/services", body, &reply);
	if (r)
		return r;
	if (call_json(call))
		json_print(reply);
	else if (o->instances.count)
		printf("added service %s: %s on %zu instance%s\n", call->args[0], o->nf,
		       o->instances.count, o->instances.count > 1 ? "s" : "");
	else
		printf("added service %s: %s, without instances yet (flowferry instance add)\n",
		       call->args[0], o->nf);
	return CLI_DONE;
}

static const struct argument add_arguments[] = {
	{ .name = "NAME" },
	{},
};

static const struct command add_command = {
	.name = "add",
	.summary = "add a service",
	.description =
		"Adds a service NAME, and the instances named; its slots are spread over them "
		"evenly. It takes traffic as soon as it has an instance.",
	.run = add_run,
	.options = add_specs,
	.options_size = sizeof(struct add_options),
	.arguments = add_arguments,
	.remote = true,
};

/* ---- service remove ------------------------------------------------------------------------ */

static int remove_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s", call->args[0]);

	return removal_run(call, path, "service");
}

static const struct command remove_command = {
	.name = "remove",
	.summary = "remove a service and its instances",
	.description =
		"Removes a service, its instances and all their state: its traffic is from then "
		"on forwarded past the NF, or not at all, as the hosts' routes say. Refused "
		"while an operation on it runs.",
	.run = remove_run,
	.arguments = service_arguments,
	.remote = true,
};

/* ---- service upgrade ----------------------------------------------------------------------- */

struct upgrade_options {
	const char *nf;
	bool no_wait;
};

static const struct option_spec upgrade_specs[] = {
	{ .name = "nf",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct upgrade_options, nf),
	  .value = "NAME",
	  .required = true,
	  .help = "the new version: NAME.bpf.o among the hosts' NF objects; the service's own name "
		  "if that file has been replaced" },
	{ .name = "no-wait",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct upgrade_options, no_wait),
	  .help = "print the operation's id and leave; `flowferry operations --follow ID` waits" },
	{},
};

static int upgrade_run(struct call *call)
{
	const struct upgrade_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/services/%s/upgrade", call->args[0]);
	_cleanup_json_ json_t *body = json_pack("{s:s}", "nf", o->nf), *accepted = NULL;
	int r;

	if (!o->no_wait)
		progress_interrupts_catch();
	r = remote_call(call, "POST", path, body, &accepted);
	return r ? r : operation_end(call, accepted, o->no_wait);
}

static const struct command upgrade_command = {
	.name = "upgrade",
	.summary = "move a service to another version of its NF, instance by instance",
	.description =
		"Makes a successor of each instance in turn, on the same host, from the NF's new "
		"object; moves to it all that the old instance owns, preserving order; and retires "
		"the old one. The state of flows is converted field by field, by name: a field that is "
		"new begins at zero; one that the new version lacks, or can't hold, is refused, and "
		"the instance stays as it is. State of other scopes begins anew.\n\n"
		"Cancelled (Ctrl-C) or failed, it leaves each instance wholly of one version or of the "
		"other; another upgrade brings the rest. No plan is made for the service meanwhile. A "
		"restarted orchestrator goes on with it.",
	.run = upgrade_run,
	.options = upgrade_specs,
	.options_size = sizeof(struct upgrade_options),
	.arguments = service_arguments,
	.remote = true,
};

static const struct command *const service_subs[] = {
	&add_command, &remove_command, &show_command, &upgrade_command, NULL,
};

static const struct example service_examples[] = {
	{ "service add fw --nf firewall --instance fw-1@nf1 --instance fw-2@nf2",
	  "A firewall for all traffic, on two hosts:" },
	{ "service add web --nf monitor --class 'tcp and port 80' --instance web-1@nf3",
	  "Watch web traffic only:" },
	{ "service add fw --nf firewall --config @firewall.json --instance fw-1@nf1",
	  "With rules from a file:" },
	{ "service show fw", "Its parts and rules:" },
	{ "service upgrade fw --nf firewall2",
	  "To a new version of its NF, while traffic goes on:" },
	{ "service remove fw", "Remove it, its instances and their state:" },
	{},
};

const struct command command_service = {
	.name = "service",
	.summary = "add, remove, show or upgrade a service",
	.description =
		"A service is a set of NF instances of one type behind one class of traffic.",
	.examples = service_examples,
	.subs = service_subs,
	.remote = true,
};
