/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/config.h"

#include "agent/monitor.h"

#include <libgen.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/install.h"

static const cyaml_schema_field_t fabric_fields[] = {
	CYAML_FIELD_STRING_PTR("interface", CYAML_FLAG_POINTER, struct agent_fabric, interface, 1,
			       15),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t listen_fields[] = {
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct agent_listen, address, 1, 45),
	CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct agent_listen, port),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tls_fields[] = {
	CYAML_FIELD_STRING_PTR("ca", CYAML_FLAG_POINTER, struct agent_tls, ca, 1, 4096),
	CYAML_FIELD_STRING_PTR("cert", CYAML_FLAG_POINTER, struct agent_tls, cert, 1, 4096),
	CYAML_FIELD_STRING_PTR("key", CYAML_FLAG_POINTER, struct agent_tls, key, 1, 4096),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t monitor_fields[] = {
	CYAML_FIELD_UINT("period_ms", CYAML_FLAG_OPTIONAL, struct agent_monitor, period_ms),
	CYAML_FIELD_UINT_PTR("run_time_every_s", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct agent_monitor, run_time_every_s),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t steering_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 15),
};

#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR("host", CYAML_FLAG_POINTER, struct agent_config, host, 1,
			       FF_NAME_MAX - 1),
	CYAML_FIELD_MAPPING_PTR("fabric", CYAML_FLAG_POINTER, struct agent_config, fabric,
				fabric_fields),
	CYAML_FIELD_SEQUENCE("steering", OPTIONAL, struct agent_config, steering, &steering_value,
			     0, 32),
	CYAML_FIELD_MAPPING_PTR("listen", OPTIONAL, struct agent_config, listen, listen_fields),
	CYAML_FIELD_STRING_PTR("socket", CYAML_FLAG_POINTER, struct agent_config, socket, 1, 107),
	CYAML_FIELD_MAPPING_PTR("tls", OPTIONAL, struct agent_config, tls, tls_fields),
	CYAML_FIELD_STRING_PTR("bpffs", OPTIONAL, struct agent_config, bpffs, 1, 4096),
	CYAML_FIELD_STRING_PTR("nf_dir", OPTIONAL, struct agent_config, nf_dir, 1, 4096),
	CYAML_FIELD_STRING_PTR("state_dir", OPTIONAL, struct agent_config, state_dir, 1, 4096),
	CONFIG_FIELD_BOOL("insecure", CYAML_FLAG_OPTIONAL, struct agent_config, insecure),
	CYAML_FIELD_MAPPING_PTR("monitor", OPTIONAL, struct agent_config, monitor, monitor_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct agent_config, fields),
};

#define MONITOR_PERIOD_MIN_MS 10    /* below, the monitor would be a load of its own */
#define MONITOR_PERIOD_MAX_MS 10000 /* above, nothing would be decided in time */

static int monitor_defaults_set(struct agent_config *config, const char *path, struct ff_error *err)
{
	struct agent_monitor *monitor = config->monitor;

	if (!monitor)
		monitor = config->monitor = calloc(1, sizeof(*monitor));
	if (monitor && !monitor->run_time_every_s) {
		monitor->run_time_every_s = malloc(sizeof(*monitor->run_time_every_s));
		if (monitor->run_time_every_s)
			*monitor->run_time_every_s = RUN_TIME_EVERY_S;
	}
	if (!monitor || !monitor->run_time_every_s)
		return error_nomem(err);
	if (!monitor->period_ms)
		monitor->period_ms = MONITOR_PERIOD_MS;
	if (monitor->period_ms < MONITOR_PERIOD_MIN_MS ||
	    monitor->period_ms > MONITOR_PERIOD_MAX_MS)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "leave it out for 100",
				 "%s: monitor: period_ms is %u, not %d to %d", path,
				 monitor->period_ms, MONITOR_PERIOD_MIN_MS, MONITOR_PERIOD_MAX_MS);
	return 0;
}

/* One interface has one role; the last would win, without a word. */
static int interfaces_check(const struct agent_config *config, const char *path,
			    struct ff_error *err)
{
	for (unsigned int i = 0; i < config->steering_count; i++) {
		const char *name = config->steering[i];
		bool fabric = strcmp(name, config->fabric->interface) == 0;

		for (unsigned int j = 0; j < i && !fabric; j++)
			if (strcmp(name, config->steering[j]) == 0)
				return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
						 "name each interface once",
						 "%s: steering: %s is there twice", path, name);
		if (fabric)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "give the fabric an interface of its own",
					 "%s: steering: %s is the fabric's interface", path, name);
	}
	return 0;
}

static int defaults_set(struct agent_config *config, struct ff_error *err)
{
	if (!config->bpffs)
		config->bpffs = strdup("/sys/fs/bpf/flowferry");
	if (!config->state_dir) {
		_cleanup_free_ char *copy = strdup(config->socket);

		config->state_dir = copy ? strdup(dirname(copy)) : NULL;
	}
	if (!config->nf_dir) {
		char nf_dir[PATH_MAX];
		int r = install_nf_dir(nf_dir);

		if (r)
			return error_set(err, -r, FF_CODE_INTERNAL,
					 "say nf_dir in the configuration",
					 "can't find the NF objects: %s", strerror(-r));
		config->nf_dir = strdup(nf_dir);
	}
	return config->bpffs && config->state_dir && config->nf_dir ? 0 : error_nomem(err);
}

int agent_config_load(const char *path, struct agent_config **ret, struct ff_error *err)
{
	void *data = NULL;
	struct agent_config *config;
	int r = config_load(path, &schema, &data, err);

	if (r)
		return r;
	config = data;
	r = defaults_set(config, err);
	if (!r)
		r = monitor_defaults_set(config, path, err);
	if (!r && config->listen && !config->tls && !config->insecure)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
			      "make certificates with: flowferry pki", "%s: listen without tls",
			      path);
	if (!r)
		r = interfaces_check(config, path, err);
	if (!r && strchr(config->host, '/'))
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			      "%s: host: no slash in a name", path);
	if (r) {
		agent_config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}

void agent_config_free(struct agent_config *config)
{
	config_free(&schema, config);
}
