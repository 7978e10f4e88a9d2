/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "tools/cmd.h"
#include "tools/cmd_lab.h"
#include "tools/lab.h"
#include "tools/output.h"

int lab_fail(const struct call *call, const struct ff_error *err)
{
	call_error(call, err);
	if (call_json(call)) {
		_cleanup_json_ json_t *json = json_from_error(err);

		json_print(json);
	}
	return CLI_FAILED;
}

int lab_root_check(const struct call *call)
{
	struct ff_error err;

	if (geteuid() == 0)
		return 0;
	error_set(&err, EPERM, FF_CODE_REFUSED, "run it as root", "the lab needs root");
	return lab_fail(call, &err);
}

/* ---- up ---------------------------------------------------------------------------------------- */

struct up_options {
	uint64_t hosts;
	uint64_t gateways;
	uint64_t slots;
	uint64_t fabric_mtu;
	const char *nf;
	bool no_daemons;
	bool no_wait;
	bool keep_logs;
};

static const struct option_spec up_specs[] = {
	{ .name = "hosts",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct up_options, hosts),
	  .value = "N",
	  .help = "NF hosts (default 3)",
	  .min = 1,
	  .max = LAB_NF_HOSTS_MAX },
	{ .name = "gateways",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct up_options, gateways),
	  .value = "N",
	  .help = "gateways, 1 or 2, over which client and server spread their flows (default 1)",
	  .min = 1,
	  .max = LAB_GATEWAYS_MAX },
	{ .name = "nf",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct up_options, nf),
	  .value = "NAME",
	  .help = "NF type of the lab's service (default firewall)" },
	{ .name = "slots",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct up_options, slots),
	  .value = "K",
	  .help = "slots of the service (default 4096)",
	  .min = 1,
	  .max = FF_SLOTS_MAX },
	{ .name = "fabric-mtu",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct up_options, fabric_mtu),
	  .value = "BYTES",
	  .help = "MTU of the fabric (default 1600: a tunnelled packet of 1500 bytes fits)",
	  .min = LAB_FABRIC_MTU_MIN,
	  .max = LAB_FABRIC_MTU_MAX },
	{ .name = "no-daemons",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct up_options, no_daemons),
	  .help = "make the network only; the kernels of the gateways forward" },
	{ .name = "no-wait",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct up_options, no_wait),
	  .help = "don't wait until traffic flows" },
	{ .name = "keep-logs",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct up_options, keep_logs),
	  .help = "if it fails, leave the daemons' logs in " LAB_DIR },
	{},
};

static int up_run(struct call *call)
{
	const struct up_options *given = call->options;
	const char *nf = given->nf ?: LAB_NF_DEFAULT;
	struct lab_options options = {
		.hosts = (unsigned int)given->hosts ?: LAB_HOSTS_DEFAULT,
		.gateways = (unsigned int)given->gateways ?: LAB_GATEWAYS_DEFAULT,
		.slots = (unsigned int)given->slots ?: LAB_SLOTS_DEFAULT,
		.fabric_mtu = (unsigned int)given->fabric_mtu ?: LAB_FABRIC_MTU,
		.no_daemons = given->no_daemons,
		.no_wait = given->no_wait,
		.keep_logs = given->keep_logs,
	};
	struct ff_error err = {};
	int r;

	if (strlen(nf) >= sizeof(options.nf) || strchr(nf, '/')) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, "give the name of an object in bpf/nf",
			  "'%s' is no NF's name", nf);
		return call_usage(call, &err);
	}
	snprintf(options.nf, sizeof(options.nf), "%s", nf);
	if (options.slots & (options.slots - 1)) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, "give a power of two",
			  "--slots can't be %u", options.slots);
		return call_usage(call, &err);
	}
	r = lab_root_check(call);
	if (r)
		return r;
	r = lab_up(&options, &err);
	if (!r)
		return call_json(call) ? lab_status_show(call) : CLI_DONE;
	lab_fail(call, &err);
	/* a lab that is up already makes the command line wrong, not the lab */
	return r == -EEXIST || r == -EBUSY ? CLI_USAGE : CLI_FAILED;
}

const struct command command_lab_up = {
	.name = "up",
	.summary = "bring the lab up",
	.description =
		"Makes a network of namespaces on this machine: ff-client and ff-server, the gateway "
		"ff-gw between them, the NF hosts ff-nf1, ff-nf2 ... and the orchestrator in ff-orch "
		"on the fabric behind it. Starts an agent on each host and creates a service with "
		"an instance on every NF host.\n\n"
		"Returns when ff-client and ff-server reach each other through the NF. Whatever goes "
		"wrong, nothing is left behind.",
	.run = up_run,
	.options = up_specs,
	.options_size = sizeof(struct up_options),
	.examples =
		(const struct example[]){
			{ "lab up", "a gateway, three NF hosts, the firewall" },
			{ "lab up --hosts 2 --gateways 2 --nf monitor", "asymmetric paths" },
			{},
		},
};

/* ---- down -------------------------------------------------------------------------------------- */

struct down_options {
	bool keep_logs;
};

static const struct option_spec down_specs[] = {
	{ .name = "keep-logs",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct down_options, keep_logs),
	  .help = "leave the daemons' logs in " LAB_DIR },
	{},
};

static int down_end(const struct call *call)
{
	_cleanup_json_ json_t *none = json_pack("{s:b}", "up", false);

	if (call_json(call))
		json_print(none);
	return CLI_DONE;
}

static int down_run(struct call *call)
{
	const struct down_options *options = call->options;
	struct lab lab = { .lock_fd = -1 };
	struct ff_error err = {};
	int r;

	lab_signals_catch(); /* half-way is no place to stop */
	r = lab_lock(&lab, false, &err);
	if (!r)
		r = lab_load(&lab, &err);
	if (r) {
		lab_unlock(&lab);
		if (r != -ENOENT)
			return lab_fail(call, &err);
		fprintf(stderr, "flowferry lab down: no lab is up\n");
		return down_end(call); /* as asked for */
	}
	r = lab_root_check(call);
	if (r) {
		lab_unlock(&lab);
		return r;
	}
	lab.options.keep_logs = options->keep_logs;
	lab_clean(&lab);
	lab_unlock(&lab);
	return down_end(call);
}

const struct command command_lab_down = {
	.name = "down",
	.summary = "take the lab down",
	.description = "Ends the lab's daemons and removes its namespaces, links, pins and files, "
		       "however far it came up. Processes of others in its namespaces go on, "
		       "without a network.",
	.run = down_run,
	.options = down_specs,
	.options_size = sizeof(struct down_options),
};
