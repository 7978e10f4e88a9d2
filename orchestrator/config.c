/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config.c - the schema of the configuration file, and what a schema can't say. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/config.h"
#include "orchestrator/config.h"
#include "orchestrator/model.h"

static const cyaml_schema_field_t listen_fields[] = {
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct orch_config_listen, address, 1,
			       64),
	CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct orch_config_listen, port),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tls_fields[] = {
	CYAML_FIELD_STRING_PTR("ca", CYAML_FLAG_POINTER, struct orch_config_tls, ca, 1, 4096),
	CYAML_FIELD_STRING_PTR("cert", CYAML_FLAG_POINTER, struct orch_config_tls, cert, 1, 4096),
	CYAML_FIELD_STRING_PTR("key", CYAML_FLAG_POINTER, struct orch_config_tls, key, 1, 4096),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t host_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct orch_config_host, name, 1,
			       FF_NAME_MAX - 1),
	CYAML_FIELD_STRING_PTR("url", CYAML_FLAG_POINTER, struct orch_config_host, url, 1, 255),
	CYAML_FIELD_STRING_PTR("ipv4", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct orch_config_host, ipv4, 1, INET_ADDRSTRLEN),
	CYAML_FIELD_STRING_PTR("ipv6", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct orch_config_host, ipv6, 1, INET6_ADDRSTRLEN),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t host_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct orch_config_host, host_fields),
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_STRING_PTR("socket", CYAML_FLAG_POINTER, struct orch_config, socket, 1, 107),
	CYAML_FIELD_MAPPING_PTR("listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				struct orch_config, listen, listen_fields),
	CYAML_FIELD_STRING_PTR("database", CYAML_FLAG_POINTER, struct orch_config, database, 1,
			       4096),
	CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct orch_config,
				tls, tls_fields),
	CYAML_FIELD_BOOL("insecure", CYAML_FLAG_OPTIONAL, struct orch_config, insecure),
	CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER, struct orch_config, hosts, &host_schema,
			     1, FF_HOSTS_MAX - 1),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct orch_config, config_fields),
};

static int host_check(const struct orch_config *config, const struct orch_config_host *host,
		      struct ff_error *err)
{
	unsigned char address[16];
	int r;

	r = name_check("host", host->name, err);
	if (r < 0)
		return r;
	for (const struct orch_config_host *other = config->hosts; other < host; other++)
		if (!strcmp(other->name, host->name) || !strcmp(other->url, host->url))
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "each host once, with its own name and url",
					 "hosts %s and %s have the same name or url", other->name,
					 host->name);
	if (!host->ipv4 && !host->ipv6)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "give its ipv4, ipv6 or both",
				 "host %s has no address on the fabric", host->name);
	if (host->ipv4 && inet_pton(AF_INET, host->ipv4, address) != 1)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "e.g. 198.18.8.3",
				 "host %s: ipv4 \"%s\" is no address", host->name, host->ipv4);
	if (host->ipv6 && inet_pton(AF_INET6, host->ipv6, address) != 1)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "e.g. 2001:db8:8::3",
				 "host %s: ipv6 \"%s\" is no address", host->name, host->ipv6);
	if (!strncmp(host->url, "https://", strlen("https://")) && !config->tls)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "add tls: { ca, cert, key }; `flowferry pki` makes them",
				 "host %s is spoken to by https, but there is no tls section",
				 host->name);
	return 0;
}

int orch_config_load(const char *path, struct orch_config **ret, struct ff_error *err)
{
	_cleanup_(orch_config_freep) struct orch_config *config = NULL;
	int r;

	r = config_load(path, &config_schema, (void **)&config, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < config->hosts_count; i++) {
		r = host_check(config, &config->hosts[i], err);
		if (r < 0) {
			error_prefix(err, "%s", path);
			return r;
		}
	}
	*ret = TAKE_PTR(config);
	return 0;
}

void orch_config_free(struct orch_config *config)
{
	if (config)
		config_free(&config_schema, config);
}
