/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From method and path to a route. A dozen or two of routes: a walk through the table is enough. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/http_server_internal.h"

#define ALLOW_MAX 64 /* "GET, HEAD, POST, PUT, DELETE" */

/*
 * Matches segment by segment, and notes the parameters in order. Returns how many there are, -1 if
 * the path is another. Parameters are never empty.
 */
static int pattern_match(const char *pattern, const char *path, struct http_param *params)
{
	int n = 0;

	while (*pattern == '/' && *path == '/') {
		size_t want = strcspn(++pattern, "/"), have = strcspn(++path, "/");

		if (pattern[0] == ':' && have > 0) {
			assert(n < HTTP_PARAMS_MAX);
			params[n++] = (struct http_param){ .name = pattern + 1,
							   .name_len = want - 1,
							   .value = (char *)path };
		} else if (want != have || memcmp(pattern, path, want) != 0) {
			return -1;
		}
		pattern += want;
		path += have;
	}
	return *pattern == '\0' && *path == '\0' ? n : -1;
}

static bool method_serves(const char *route_method, const char *method)
{
	return strcmp(route_method, method) == 0 ||
	       (strcmp(route_method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The parameters point into req->path; their values want a NUL behind, so cut a copy. */
static int params_take(struct http_request *req, const struct http_param *params, int n)
{
	req->segments = strdup(req->path);
	if (!req->segments)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		req->params[i] = params[i];
		req->params[i].value = req->segments + (params[i].value - req->path);
		req->params[i].value[strcspn(req->params[i].value, "/")] = '\0';
	}
	req->params_n = (unsigned int)n;
	return 0;
}

static void allow_add(char allow[ALLOW_MAX], const char *method)
{
	if (strstr(allow, method)) /* no method's name is part of another's */
		return;
	if (allow[0])
		strncat(allow, ", ", ALLOW_MAX - strlen(allow) - 1);
	strncat(allow, method, ALLOW_MAX - strlen(allow) - 1);
	if (strcmp(method, "GET") == 0)
		allow_add(allow, "HEAD");
}

static int refuse(struct http_request *req, const char *allow)
{
	struct ff_error err;

	if (!allow[0])
		return error_set(resp_err(&req->resp), ENOENT, FF_CODE_NOT_FOUND,
				 "check the path, and that client and server are of one version",
				 "there is no %s", req->path);
	error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, "use one of the methods in `Allow`",
		  "%s does not take %s, only %s", req->path, req->method, allow);
	resp_header(&req->resp, "Allow", allow);
	resp_error(&req->resp, MHD_HTTP_METHOD_NOT_ALLOWED, &err);
	return -EINVAL;
}

int http_route_find(struct http_request *req)
{
	struct http_param best_params[HTTP_PARAMS_MAX], params[HTTP_PARAMS_MAX];
	const struct http_route *best = NULL;
	char allow[ALLOW_MAX] = "";
	int best_n = 0, r;

	for (const struct http_route *route = req->server->routes; route->method; route++) {
		int n = pattern_match(route->pattern, req->path, params);

		if (n < 0)
			continue;
		allow_add(allow, route->method);
		if (!method_serves(route->method, req->method) || (best && n >= best_n))
			continue;
		best = route;
		best_n = n;
		memcpy(best_params, params, sizeof(params));
	}
	if (!best)
		return refuse(req, allow);
	r = params_take(req, best_params, best_n);
	if (r < 0)
		return error_nomem(resp_err(&req->resp));
	req->route = best;
	return 0;
}
