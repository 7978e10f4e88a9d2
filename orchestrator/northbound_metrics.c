/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * northbound_metrics.c - GET /metrics, in Prometheus' text format (version 0.0.4): hosts, instances,
 * operations and plans, conditions, and how well plans predict. Names and labels never carry what comes from elsewhere
 * but names, which are harmless (lib/name.h).
 */
#include <errno.h>
#include <stdio.h>

#include "lib/json.h"
#include "orchestrator/drain.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/failover.h"
#include "orchestrator/loop.h"
#include "orchestrator/northbound.h"
#include "orchestrator/protection.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void hosts_write(FILE *out, struct orchestrator *orch)
{
	struct model *model = &orch->model;
	MODEL_LOCKED(model);

	head(out, "flowferry_host_up", "gauge", "Whether the host's agent answers.");
	for (size_t i = 0; i < model->hosts_n; i++)
		fprintf(out, "flowferry_host_up{host=\"%s\"} %d\n", model->hosts[i].name,
			model->hosts[i].up);
	head(out, "flowferry_host_drain_slots", "gauge",
	     "Slots that a host that is drained still owns.");
	for (size_t i = 0; i < model->hosts_n; i++) {
		struct drain_left left;

		if (!model->hosts[i].draining)
			continue;
		drain_count(model, &model->hosts[i], &left);
		fprintf(out, "flowferry_host_drain_slots{host=\"%s\"} %u\n", model->hosts[i].name,
			left.slots);
	}
}

/* What hosts have counted, by their last word; a host that is down goes on with its old one. */
static void reasons_write(FILE *out, struct orchestrator *orch)
{
	const struct model *model = &orch->model;
	MODEL_LOCKED(&orch->model);

	head(out, "flowferry_host_packets_total", "counter",
	     "Packets that were dropped or took an unusual turn, by reason.");
	for (size_t i = 0; i < model->hosts_n; i++) {
		const char *reason;
		json_t *count;

		json_object_foreach(json_object_get(model->hosts[i].report, "reasons"), reason,
				    count)
			fprintf(out,
				"flowferry_host_packets_total{host=\"%s\",reason=\"%s\"} "
				"%lld\n",
				model->hosts[i].name, reason, json_integer_value(count));
	}
}

static void instance_figure_write(FILE *out, const struct model *model, const char *key,
				  const char *name)
{
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const json_t *report = instance ? instance_report(model, instance) : NULL;
		const json_t *value = json_object_get(report, key);

		if (json_is_integer(value))
			fprintf(out, "%s{service=\"%s\",instance=\"%s\",host=\"%s\"} %lld\n", name,
				model_service(model, instance->service)->name, instance->name,
				model_host(model, instance->host)->name, json_integer_value(value));
	}
}

static void instances_write(FILE *out, struct orchestrator *orch)
{
	static const struct {
		const char *key, *name, *type, *help;
	} rows[] = {
		{ "flows", "flowferry_instance_flows", "gauge", "Flows whose state it holds." },
		{ "capacity", "flowferry_instance_capacity", "gauge", "Flows that it takes." },
		{ "packets", "flowferry_instance_packets_total", "counter",
		  "Packets that it has handled." },
		{ "bytes", "flowferry_instance_bytes_total", "counter", "Bytes of these." },
		{ "dropped", "flowferry_instance_dropped_total", "counter",
		  "Packets that it has dropped." },
		{ "flows_new", "flowferry_instance_flows_new_total", "counter",
		  "Flows that began on it." },
		{ "flows_refused", "flowferry_instance_flows_refused_total", "counter",
		  "Flows that found no room." },
	};
	MODEL_LOCKED(&orch->model);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		head(out, rows[i].name, rows[i].type, rows[i].help);
		instance_figure_write(out, &orch->model, rows[i].key, rows[i].name);
	}
}

static void standbys_write(FILE *out, struct orchestrator *orch)
{
	const struct model *model = &orch->model;
	MODEL_LOCKED(&orch->model);

	head(out, "flowferry_standby_synced", "gauge",
	     "Whether an instance's standby has a whole copy of its state.");
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		struct sample_standby told;

		if (model->instances[i] && protection_told(orch, model->instances[i], &told))
			fprintf(out, "flowferry_standby_synced{instance=\"%s\"} %d\n",
				model->instances[i]->name, told.state == STANDBY_SYNCED);
	}
	head(out, "flowferry_standby_lag_seconds", "gauge", "The age of that copy.");
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		struct sample_standby told;

		if (model->instances[i] && protection_told(orch, model->instances[i], &told) &&
		    told.state == STANDBY_SYNCED)
			fprintf(out, "flowferry_standby_lag_seconds{instance=\"%s\"} %.3f\n",
				model->instances[i]->name, (double)told.lag_ms / 1e3);
	}
}

static void recoveries_write(FILE *out, struct orchestrator *orch)
{
	struct failover_count count;
	{
		MODEL_LOCKED(&orch->model);

		count = failover_counts(orch);
	}
	const struct {
		const char *name, *help;
		uint64_t value;
	} rows[] = {
		{ "hosts_dead", "Times that a host was found dead.", count.hosts_dead },
		{ "recoveries", "Lost instances that standbys have taken over for.",
		  count.recovered },
		{ "recovered_flows", "Flows that were taken over.", count.flows },
		{ "recovery_lost_packets", "Packets that may have been lost by it, at most.",
		  count.packets_lost },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[64];

		snprintf(name, sizeof(name), "flowferry_%s_total", rows[i].name);
		head(out, name, "counter", rows[i].help);
		fprintf(out, "%s %llu\n", name, (unsigned long long)rows[i].value);
	}
}

static int operations_write(FILE *out, struct orchestrator *orch, struct ff_error *err)
{
	_cleanup_json_ json_t *tally = NULL;
	const json_t *row;
	size_t i;
	int r;

	r = store_operation_tally(orch->store, &tally, err);
	if (r < 0)
		return r;
	head(out, "flowferry_operations", "gauge", "Operations that the journal has.");
	json_array_foreach(tally, i, row)
		fprintf(out, "flowferry_operations{kind=\"%s\",state=\"%s\"} %lld\n",
			json_string_value(json_object_get(row, "kind")),
			json_string_value(json_object_get(row, "state")),
			json_integer_value(json_object_get(row, "count")));
	return 0;
}

static void conditions_write(FILE *out, const json_t *loop)
{
	const json_t *condition;
	size_t i;

	head(out, "flowferry_loop_paused", "gauge", "Whether the loop only plans.");
	fprintf(out, "flowferry_loop_paused %d\n", json_is_true(json_object_get(loop, "paused")));
	head(out, "flowferry_condition", "gauge", "A condition that holds now.");
	json_array_foreach(json_object_get(loop, "conditions"), i, condition)
		fprintf(out,
			"flowferry_condition{kind=\"%s\",about=\"%s\",name=\"%s\",forecast=\"%s\"} "
			"1\n",
			json_string_value(json_object_get(condition, "kind")),
			json_string_value(json_object_get(condition, "about")),
			json_string_value(json_object_get(condition, "name")) ?: "",
			json_is_true(json_object_get(condition, "forecast")) ? "true" : "false");
}

static void account_write(FILE *out, const char *nf, const char *what,
			  const struct elasticity_sum *sum)
{
	fprintf(out, "flowferry_plan_%s_total{nf=\"%s\",figure=\"predicted\"} %.9g\n", what, nf,
		sum->predicted);
	fprintf(out, "flowferry_plan_%s_total{nf=\"%s\",figure=\"measured\"} %.9g\n", what, nf,
		sum->measured);
}

/* Sums over all moves that plans have made since the daemon's start: their quotient tells. */
static void predictions_write(FILE *out, struct orchestrator *orch, const json_t *loop)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} sums[] = {
		{ "freeze_seconds", "Freezes of moves that plans made.",
		  offsetof(struct elasticity_account, freeze_s) },
		{ "move_seconds", "Duration of moves that plans made.",
		  offsetof(struct elasticity_account, total_s) },
		{ "state_bytes", "State sent by moves that plans made.",
		  offsetof(struct elasticity_account, bytes) },
		{ "parked_packets", "Packets parked by moves that plans made.",
		  offsetof(struct elasticity_account, parked) },
	};
	struct elasticity_account account;
	const char *nf;
	char name[64];
	json_t *cost;

	head(out, "flowferry_plan_moves_total", "counter", "Moves that plans have completed.");
	json_object_foreach(json_object_get(loop, "cost"), nf, cost) {
		elasticity_account(orch->elasticity, nf, &account);
		fprintf(out, "flowferry_plan_moves_total{nf=\"%s\"} %llu\n", nf,
			(unsigned long long)account.moves);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		snprintf(name, sizeof(name), "flowferry_plan_%s_total", sums[i].name);
		head(out, name, "counter", sums[i].help);
		json_object_foreach(json_object_get(loop, "cost"), nf, cost) {
			elasticity_account(orch->elasticity, nf, &account);
			account_write(out, nf, sums[i].name,
				      (const void *)((const char *)&account + sums[i].offset));
		}
	}
}

int metrics_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	_cleanup_json_ json_t *loop = loop_json(orch->loop);
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out || !loop) {
		if (out)
			fclose(out);
		return error_nomem(resp_err(resp));
	}
	hosts_write(out, orch);
	reasons_write(out, orch);
	instances_write(out, orch);
	standbys_write(out, orch);
	recoveries_write(out, orch);
	r = operations_write(out, orch, resp_err(resp));
	conditions_write(out, loop);
	predictions_write(out, orch, loop);
	if (fclose(out) != 0 && r == 0)
		r = error_nomem(resp_err(resp));
	return r < 0 ? r : resp_data(resp, 200, "text/plain; version=0.0.4", text, size);
}
