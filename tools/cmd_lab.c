/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_lab.c - lab status, exec, restart; up and down are in cmd_lab_up.c. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/cmd.h"
#include "tools/cmd_lab.h"
#include "tools/lab.h"
#include "tools/output.h"

#define EXIT_NOT_FOUND 127 /* the shell's, for `lab exec` */
#define EXIT_NOT_RUN   126

/* ---- status ------------------------------------------------------------------------------------ */

static json_t *host_instances(const json_t *instances, const struct lab_host *host)
{
	json_t *names = json_array(), *instance;
	const char *on;
	size_t i;

	json_array_foreach(instances, i, instance)
		if (json_get_str(instance, "host", &on, NULL) == 0 && !strcmp(on, host->name))
			json_array_append(names, json_object_get(instance, "name"));
	return names;
}

static json_t *host_processes(const struct lab_host *host)
{
	json_t *processes = json_array(), *process;

	if (!host->pid)
		return processes;
	process = json_object();
	json_put_str(process, "name", lab_proc_name(host));
	json_put_int(process, "pid", host->pid);
	json_put_bool(process, "alive", lab_proc_alive(host));
	json_array_append_new(processes, process);
	return processes;
}

static json_t *host_status(const struct lab_host *host, const json_t *instances)
{
	json_t *obj = json_object(), *addresses = NULL;

	if (lab_net_addresses(host, &addresses))
		addresses = json_array();
	json_put_str(obj, "name", host->name);
	json_put_str(obj, "namespace", host->netns);
	json_put_str(obj, "role", lab_role_name(host->role));
	json_put(obj, "addresses", addresses);
	json_put(obj, "instances", host_instances(instances, host));
	json_put(obj, "processes", host_processes(host));
	return obj;
}

static json_t *lab_status(const struct lab *lab)
{
	_cleanup_json_ json_t *instances = lab->options.no_daemons ? NULL : lab_instances();
	json_t *obj = json_object(), *hosts = json_array();

	json_put_bool(obj, "up", true);
	json_put_bool(obj, "complete", lab->complete);
	json_put_bool(obj, "daemons", !lab->options.no_daemons);
	json_put_bool(obj, "orchestrator_answers", instances != NULL);
	json_put_str(obj, "service", lab->options.no_daemons ? NULL : lab_service_name(lab));
	json_put_str(obj, "nf", lab->options.nf);
	json_put_int(obj, "slots", lab->options.slots);
	json_put_int(obj, "gateways", lab->options.gateways);
	json_put_int(obj, "fabric_mtu", lab->options.fabric_mtu);
	json_put_str(obj, "socket", LAB_SOCKET);
	json_put_str(obj, "logs", LAB_DIR);
	for (size_t i = 0; i < lab->n_hosts; i++)
		json_array_append_new(hosts, host_status(&lab->hosts[i], instances));
	json_put(obj, "hosts", hosts);
	return obj;
}

static void status_table(const struct lab *lab, const json_t *status)
{
	static const struct column columns[] = {
		{ .title = "HOST" },
		{ .title = "NAMESPACE" },
		{ .title = "PID", .right = true },
		{ .title = "INSTANCES" },
		{ .title = "ADDRESSES" },
		{},
	};
	const json_t *host;
	struct table table;
	size_t i;

	table_init(&table, columns);
	json_array_foreach(json_object_get(status, "hosts"), i, host) {
		const struct lab_host *known = &lab->hosts[i];
		_cleanup_free_ char *instances = field_names(host, "instances");
		_cleanup_free_ char *addresses = field_names(host, "addresses");

		table_cell(&table, COLOUR_BOLD, "%s", known->name);
		table_cell(&table, COLOUR_NONE, "%s", known->netns);
		if (!known->pid)
			table_cell(&table, COLOUR_NONE, "-");
		else if (lab_proc_alive(known))
			table_cell(&table, COLOUR_NONE, "%d", known->pid);
		else
			table_cell(&table, COLOUR_RED, "dead");
		table_cell(&table, COLOUR_NONE, "%s", instances);
		table_cell(&table, COLOUR_NONE, "%s", addresses);
	}
	table_print(&table, stdout);
	table_done(&table);
	if (!lab->complete)
		printf("The lab did not come up to its end: flowferry lab down\n");
	else if (!lab->options.no_daemons &&
		 !json_is_true(json_object_get(status, "orchestrator_answers")))
		printf("The orchestrator doesn't answer, so no instances are shown: "
		       "flowferry lab restart orchestrator\n");
}

int lab_status_show(const struct call *call)
{
	struct lab lab = { .lock_fd = -1 };
	struct ff_error err = {};
	int r = lab_load(&lab, &err);

	if (r == -ENOENT && call_json(call)) {
		_cleanup_json_ json_t *none = json_pack("{s:b}", "up", false);

		json_print(none);
		return CLI_FAILED;
	}
	if (r) {
		call_error(call, &err);
		return CLI_FAILED;
	}

	_cleanup_json_ json_t *status = lab_status(&lab);

	if (call_json(call))
		json_print(status);
	else
		status_table(&lab, status);
	return CLI_DONE;
}

static int status_run(struct call *call)
{
	return lab_status_show(call);
}

static const struct command command_lab_status = {
	.name = "status",
	.summary = "show the lab's hosts, addresses, instances and processes",
	.description = "Shows each host with its namespace, the pid of its daemon, the instances "
		       "that it runs and its addresses. Exits 1 if no lab is up.",
	.run = status_run,
};

/* ---- exec, restart ----------------------------------------------------------------------------- */

/* The host that the first argument names; NULL: reported, *ret_status is what to exit with. */
static struct lab_host *host_argument(struct call *call, struct lab *lab, int *ret_status)
{
	struct lab_host *host;
	struct ff_error err = {};

	if (lab_load(lab, &err)) {
		*ret_status = lab_fail(call, &err);
		return NULL;
	}
	host = lab_host_find(lab, call->args[0]);
	if (!host) {
		error_set(&err, ENOENT, FF_CODE_NOT_FOUND, "see 'flowferry lab status'",
			  "the lab has no host '%s'", call->args[0]);
		call_error(call, &err);
		*ret_status = CLI_USAGE;
	}
	return host;
}

static int exec_run(struct call *call)
{
	_cleanup_close_ int netns_fd = -1;
	struct lab lab = { .lock_fd = -1 };
	struct ff_error err = {};
	struct lab_host *host;
	char **command = call->args + 1;
	int status, r;

	if (strcmp(*command, "--") == 0)
		command++;
	if (!*command) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "COMMAND is missing");
		return call_usage(call, &err);
	}
	host = host_argument(call, &lab, &status);
	if (!host)
		return status;
	netns_fd = netns_open(host->netns);
	r = netns_fd < 0 ? netns_fd : netns_enter(netns_fd);
	if (r) {
		error_set(&err, r, error_code(r), r == -EPERM ? "run it as root" : NULL,
			  "can't enter %s: %s", host->netns, strerror(-r));
		return lab_fail(call, &err);
	}
	execvp(*command, command);
	status = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
	error_set(&err, errno, error_code(errno), NULL, "can't run %s: %m", *command);
	call_error(call, &err);
	return status;
}

static const struct command command_lab_exec = {
	.name = "exec",
	.summary = "run a command on a host of the lab",
	.description =
		"Runs a command in a host's network namespace, and in that only: it sees the "
		"files, processes and bpffs of this machine. What stands behind HOST is the "
		"command's, its options too. Exits with the command's status.",
	.run = exec_run,
	.wraps = true,
	.arguments =
		(const struct argument[]){
			{ .name = "HOST" },
			{ .name = "COMMAND", .many = true },
			{},
		},
	.examples =
		(const struct example[]){
			{ "lab exec client -- ping -c 3 198.18.2.2", "through the NFs" },
			{ "lab exec nf1 -- ip -s link", "what one host has received" },
			{},
		},
};

static int restart_end(const struct call *call, const struct lab_host *host)
{
	_cleanup_json_ json_t *answer = json_pack("{ss ss si}", "host", host->name, "name",
						  lab_proc_name(host), "pid", (int)host->pid);

	if (call_json(call))
		json_print(answer);
	return CLI_DONE;
}

static int restart_run(struct call *call)
{
	struct lab lab = { .lock_fd = -1 };
	struct ff_error err = {};
	struct lab_host *host;
	int r, status;

	r = lab_root_check(call);
	if (r)
		return r;
	lab_signals_catch();
	r = lab_lock(&lab, false, &err);
	if (r)
		return lab_fail(call, &err);
	host = host_argument(call, &lab, &status);
	if (!host)
		goto out;
	if (!lab_host_has_daemon(host) || lab.options.no_daemons) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s runs no daemon", host->name);
		status = call_usage(call, &err);
		goto out;
	}
	lab_proc_stop(&lab, host);
	r = lab_proc_start(&lab, host, &err);
	if (!r)
		r = lab_wait_ready(host, &err);
	status = r ? lab_fail(call, &err) : restart_end(call, host);
out:
	lab_unlock(&lab);
	return status;
}

static const struct command command_lab_restart = {
	.name = "restart",
	.summary = "restart the daemon of a host",
	.description = "Ends a host's agent, or the orchestrator, if it still runs, and starts it "
		       "again; returns when it answers. Traffic goes on meanwhile.",
	.run = restart_run,
	.arguments = (const struct argument[]){ { .name = "HOST|orchestrator" }, {} },
};

const struct command command_lab = {
	.name = "lab",
	.summary = "a network of namespaces to try everything in",
	.description =
		"One machine, a client, a server, gateways, NF hosts and an orchestrator, each "
		"in a network namespace of its own: what the demo, the tests and first tries "
		"run in.",
	.subs = (const struct command *const[]){ &command_lab_up, &command_lab_down,
						 &command_lab_status, &command_lab_exec,
						 &command_lab_restart, NULL },
	.examples =
		(const struct example[]){
			{ "lab up", "A gateway, three NF hosts, the firewall:" },
			{ "lab status", "Who is in it, and where:" },
			{ "lab exec client -- ping -c 3 198.18.2.2", "Through the NFs:" },
			{ "lab restart nf1", "End an agent and start it again, under traffic:" },
			{ "lab down", "Leave nothing behind:" },
			{},
		},
};
