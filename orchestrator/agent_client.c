/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent_client.c - requests to agents: paths, time limits, error texts. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/agent_client.h"

int agent_connect(const struct orchestrator *orch, struct host *host, struct ff_error *err)
{
	static const char unix_scheme[] = "unix:";
	const char *base = host->url;
	struct tls_files tls = { 0 };
	int r;

	if (orch->config->tls)
		tls = (struct tls_files){
			.ca = orch->config->tls->ca,
			.cert = orch->config->tls->cert,
			.key = orch->config->tls->key,
		};
	if (!strncmp(base, unix_scheme, strlen(unix_scheme)))
		base += strlen(unix_scheme);
	r = http_client_new(base, tls.ca ? &tls : NULL, &host->client, err);
	if (r < 0)
		error_prefix(err, "host %s", host->name);
	return r;
}

int agent_call(struct orchestrator *orch, struct host *host, const char *method, const char *path,
	       json_t *body, unsigned int timeout_ms, json_t **ret_reply, struct ff_error *err)
{
	int r;

	r = http_call(host->client, method, path, body, orch->headers, timeout_ms, NULL, ret_reply,
		      err);
	if (r < 0)
		error_prefix(err, "host %s", host->name);
	return r;
}

char *query_encode(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *encoded = malloc(strlen(text) * 3 + 1), *out = encoded;

	if (!encoded)
		return NULL;
	for (const unsigned char *in = (const unsigned char *)text; *in; in++) {
		if (isalnum(*in) || strchr("-_.~", *in)) {
			*out++ = (char)*in;
			continue;
		}
		*out++ = '%';
		*out++ = hex[*in >> 4];
		*out++ = hex[*in & 15];
	}
	*out = '\0';
	return encoded;
}

int agent_flows(struct orchestrator *orch, struct host *host, const char *instance,
		const char *filter, unsigned int limit, bool brief, json_t **ret_reply,
		struct ff_error *err)
{
	_cleanup_free_ char *encoded = query_encode(filter ?: ""), *path = NULL;

	if (!encoded || asprintf(&path, "/v1/flows?instance=%s&filter=%s&limit=%u&brief=%d",
				 instance, encoded, limit, brief) < 0)
		return error_nomem(err);
	return agent_call(orch, host, "GET", path, NULL, AGENT_SCAN_MS, ret_reply, err);
}

const char *agent_flow_text(const json_t *item)
{
	if (json_is_string(item))
		return json_string_value(item);
	return json_string_value(json_object_get(item, "flow"));
}

int agent_ages(struct orchestrator *orch, struct host *host, const char *instance,
	       unsigned int limit, json_t **ret_reply, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "/v1/flows?instance=%s&limit=%u&ages=1", instance, limit) < 0)
		return error_nomem(err);
	return agent_call(orch, host, "GET", path, NULL, AGENT_SCAN_MS, ret_reply, err);
}
