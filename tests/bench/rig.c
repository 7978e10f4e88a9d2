/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/rig.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"

#define REQUEST_MS 10000 /* the orchestrator answers in a few milliseconds, or something is wrong */
#define MOVE_MS	   60000 /* of a million flows: some seconds */
#define POLL_NS	   (50 * NSEC_PER_MSEC)

int rig_up(struct rig *rig, unsigned int hosts, bool daemons, struct ff_error *err)
{
	const struct lab_options options = {
		.hosts = hosts,
		.gateways = LAB_GATEWAYS_DEFAULT,
		.slots = LAB_SLOTS_DEFAULT,
		.fabric_mtu = LAB_FABRIC_MTU,
		.nf = LAB_NF_DEFAULT,
		.no_daemons = !daemons,
	};
	int r;

	*rig = (struct rig){ .lab.lock_fd = -1 };
	r = lab_up(&options, err);
	if (!r)
		r = lab_load(&rig->lab, err);
	return r ?: http_client_new(LAB_SOCKET, NULL, &rig->orchestrator, err);
}

void rig_down(struct rig *rig)
{
	http_client_free(rig->orchestrator);
	rig->orchestrator = NULL;
	if (rig->lab.n_hosts)
		lab_clean(&rig->lab);
}

int rig_call(struct rig *rig, const char *method, const char *path, json_t *body,
	     json_t **ret_reply, struct ff_error *err)
{
	return http_call(rig->orchestrator, method, path, body, NULL, REQUEST_MS, NULL, ret_reply,
			 err);
}

int rig_instance_add(struct rig *rig, const char *name, const char *host, struct ff_error *err)
{
	_cleanup_json_ json_t *body = json_pack("{ss ss}", "name", name, "host", host);
	char path[128];

	snprintf(path, sizeof(path), "/v1/services/%s/instances", lab_service_name(&rig->lab));
	return rig_call(rig, "POST", path, body, NULL, err);
}

int rig_instance_remove(struct rig *rig, const char *name, struct ff_error *err)
{
	char path[128];

	snprintf(path, sizeof(path), "/v1/instances/%s", name);
	return rig_call(rig, "DELETE", path, NULL, NULL, err);
}

int rig_policy(struct rig *rig, const char *json, struct ff_error *err)
{
	_cleanup_json_ json_t *body = NULL;
	char path[128];
	int r = json_parse(json, strlen(json), &body, err);

	snprintf(path, sizeof(path), "/v1/services/%s/policy", lab_service_name(&rig->lab));
	return r ?: rig_call(rig, "PUT", path, body, NULL, err);
}

int rig_flows(struct rig *rig, uint64_t *ret_flows, struct ff_error *err)
{
	_cleanup_json_ json_t *reply = NULL;
	uint64_t flows = 0;
	json_t *instance;
	size_t i;
	int r;

	r = rig_call(rig, "GET", "/v1/instances", NULL, &reply, err);
	if (r)
		return r;
	json_array_foreach(json_object_get(reply, "instances"), i, instance)
		flows += (uint64_t)json_integer_value(json_object_get(instance, "flows"));
	*ret_flows = flows;
	return 0;
}

int rig_flows_wait(struct rig *rig, uint64_t flows, unsigned int timeout_ms, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + timeout_ms * NSEC_PER_MSEC, there = 0;
	int r;

	for (;;) {
		r = rig_flows(rig, &there, err);
		if (r || there >= flows)
			return r;
		if (clock_ns() > deadline)
			return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL,
					 "only %llu flows of %llu have begun",
					 (unsigned long long)there, (unsigned long long)flows);
		clock_sleep_ns(POLL_NS);
	}
}

static int move_check(const json_t *operation, struct ff_error *err)
{
	const char *state = "", *overflow = NULL, *why = "";
	uint64_t dropped = 0;

	json_opt_str(operation, "state", &state, NULL);
	json_opt_str(operation, "overflow", &overflow, NULL);
	json_opt_uint(operation, "packets_dropped", &dropped, NULL);
	json_opt_str(json_object_get(operation, "error"), "message", &why, NULL);
	if (strcmp(state, "completed"))
		return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "a move ended as %s: %s",
				 state, why);
	if (dropped || overflow)
		return error_set(err, ENOBUFS, FF_CODE_INTERNAL, NULL,
				 "a move gave %llu packets up (%s)", (unsigned long long)dropped,
				 overflow ?: "no overflow");
	return 0;
}

int rig_move(struct rig *rig, const char *from, const char *to, const json_t *options,
	     json_t **ret_operation, struct ff_error *err)
{
	_cleanup_json_ json_t *body = json_pack("{ss ss ss}", "service",
						lab_service_name(&rig->lab), "from", from, "to",
						to);
	_cleanup_json_ json_t *accepted = NULL, *operation = NULL;
	const char *id;
	char path[128];
	int r;

	if (options)
		json_object_update(body, (json_t *)options);
	r = rig_call(rig, "POST", "/v1/moves", body, &accepted, err);
	if (!r)
		r = json_get_str(accepted, "id", &id, err);
	if (r)
		return r;
	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d", id, MOVE_MS);
	r = http_call(rig->orchestrator, "GET", path, NULL, NULL, MOVE_MS + REQUEST_MS, NULL,
		      &operation, err);
	if (!r)
		r = move_check(operation, err);
	if (!r)
		*ret_operation = TAKE_PTR(operation);
	return r;
}

int rig_gather(struct rig *rig, struct ff_error *err)
{
	int r = 0;

	for (unsigned int i = 2; i <= rig->lab.options.hosts && !r; i++) {
		_cleanup_json_ json_t *operation = NULL;
		char name[LAB_NAME_MAX];

		snprintf(name, sizeof(name), "fw-%u", i);
		r = rig_move(rig, name, "fw-1", NULL, &operation, err);
		if (!r)
			r = rig_instance_remove(rig, name, err);
	}
	return r;
}
