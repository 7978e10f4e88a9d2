/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_subject.c - from requests to change sets; what is refused, and in which words. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/operation.h"
#include "orchestrator/subject.h"

#define SLOTS 64u

static struct model model;
static struct service *service;
static uint16_t a, b;
static struct ff_error err;
static char note[REQUEST_NOTE_MAX];

static void setup(void)
{
	struct instance *instance;

	cr_assert_eq(model_init(&model), 0);
	cr_assert_eq(model_add_service(&model, "fw", SLOTS, &service, &err), 0);
	cr_assert_eq(model_add_instance(&model, "fw-1", service->id, 1, &instance, &err), 0);
	a = instance->id;
	cr_assert_eq(model_add_instance(&model, "fw-2", service->id, 2, &instance, &err), 0);
	b = instance->id;
	owners_spread(&service->table, (uint16_t[]){ a, b }, 2);
}

static void teardown(void)
{
	model_done(&model);
}

TestSuite(subject, .init = setup, .fini = teardown);

/* A request from fw-1 to fw-2 with one more field, as JSON text. Kept until the test ends. */
static int parse(const char *more, struct move_request *ret)
{
	static json_t *body;
	char text[1024];

	json_decref(body);
	snprintf(text, sizeof(text), "{\"service\":\"fw\",\"from\":\"fw-1\",\"to\":\"fw-2\"%s%s}",
		 more[0] ? "," : "", more);
	body = json_loads(text, 0, NULL);
	cr_assert_not_null(body, "%s", text);
	memset(&err, 0, sizeof(err));
	return request_parse(body, ret, &err);
}

static int resolve_from(const char *more, uint16_t from, const struct request_flows *flows,
			struct change **ret)
{
	struct move_request request;

	cr_assert_eq(parse(more, &request), 0, "%s", err.message);
	return request_resolve(&request, &model, service, from, flows,
			       request_rules_taken(&model, service), ret, note, &err);
}

static int resolve(const char *more, struct change **ret)
{
	return resolve_from(more, a, NULL, ret);
}

/* The n-th flow that the table gives to @owner. */
static void flow_of(uint16_t owner, unsigned int n, const char *proto, char text[FLOW_TEXT_MAX])
{
	for (int port = 1; port < 65536; port++) {
		struct ff_flow_key key;

		snprintf(text, FLOW_TEXT_MAX, "%s 198.18.1.2:%d 198.18.2.2:80", proto, port);
		cr_assert_eq(flow_parse(text, &key), 0);
		if (owners_find(&service->table, &key, NULL, NULL) == owner && n-- == 0)
			return;
	}
}

static void move_applied(const char *more, uint16_t from, uint16_t to)
{
	_cleanup_change_ struct change *change = NULL;

	cr_assert_eq(resolve_from(more, from, NULL, &change), 0, "%s", err.message);
	cr_assert_eq(owners_apply(&service->table, change, to), 0);
}

/* ---- parsing --------------------------------------------------------------------------------- */

Test(subject, defaults)
{
	struct move_request request;

	cr_assert_eq(parse("", &request), 0);
	cr_assert_str_eq(request.guarantee, "order-preserving");
	cr_assert_str_eq(request.on_overflow, "abort");
	cr_assert_eq(request.park_limit, REQUEST_PARK_LIMIT_DEFAULT);
	cr_assert_eq(request.what, REQUEST_INSTANCE);
	cr_assert(!request.no_precopy);
}

Test(subject, bad_requests)
{
	static const struct {
		const char *more;
		const char *message; /* a part of it */
	} cases[] = {
		{ "\"guarantee\":\"best\"", "guarantee" },
		{ "\"on_overflow\":\"pray\"", "on_overflow" },
		{ "\"park_limit\":0", "park_limit" },
		{ "\"park_limit\":\"many\"", "park_limit" },
		{ "\"precopy\":1", "precopy" },
		{ "\"slots\":\"0-9\",\"flows\":3", "named twice" },
		{ "\"flows\":0", "flows" },
		{ "\"flows\":-1", "flows" },
		{ "\"flow\":[]", "no flow" },
		{ "\"flow\":\"tcp 1.2.3.4:1 5.6.7.8:2\"", "flow" },
		{ "\"filter\":\"\"", "empty" },
		{ "\"filter\":\"tcp and\"", "" },
		{ "\"filter\":7", "filter" },
		{ "\"slot\":\"0-9\"", "slot" },
	};
	struct move_request request;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_lt(parse(cases[i].more, &request), 0, "%s", cases[i].more);
		cr_assert_str_eq(err.code, "bad-request", "%s: %s", cases[i].more, err.message);
		cr_assert(strstr(err.message, cases[i].message), "%s: %s", cases[i].more,
			  err.message);
	}
	cr_assert_lt(parse("\"to\":\"fw-1\"", &request), 0);
}

/* ---- the whole instance, slots, flows -------------------------------------------------------- */

Test(subject, whole_instance_takes_everything)
{
	_cleanup_change_ struct change *change = NULL;
	char text[FLOW_TEXT_MAX], more[200];

	flow_of(b, 0, "udp", text);
	snprintf(more, sizeof(more), "\"flow\":[\"%s\"]", text);
	move_applied(more, b, a);
	move_applied("\"filter\":\"tcp and dst port 80\"", b, a);
	cr_assert_eq(resolve("", &change), 0, "%s", err.message);
	cr_assert_eq(slotset_count(&change->slots), SLOTS / 2);
	cr_assert_eq(change->flows_n, 1);
	cr_assert_eq(change->rules_n, 1);
	cr_assert_str_empty(note);
}

Test(subject, nothing_owned_is_refused)
{
	_cleanup_change_ struct change *change = NULL;

	move_applied("", a, b);
	cr_assert_lt(resolve("", &change), 0);
	cr_assert_str_eq(err.code, "refused");
	cr_assert(strstr(err.message, "fw-1"));
}

Test(subject, slots_must_be_owned)
{
	_cleanup_change_ struct change *change = NULL;

	cr_assert_lt(resolve("\"slots\":\"30-40\"", &change), 0);
	cr_assert_str_eq(err.code, "refused");
	cr_assert_str_eq(err.message, "slot 32 of fw is owned by fw-2, not by fw-1");
	cr_assert_lt(resolve("\"slots\":\"64\"", &change), 0);
	cr_assert_lt(resolve("\"slots\":\"\"", &change), 0);
	cr_assert_lt(resolve("\"slots\":\"a-b\"", &change), 0);
	cr_assert_eq(resolve("\"slots\":\"0-3,31\"", &change), 0);
	cr_assert_eq(slotset_count(&change->slots), 5);
}

Test(subject, flows_must_be_owned)
{
	_cleanup_change_ struct change *change = NULL;
	char text[FLOW_TEXT_MAX], more[400];

	flow_of(b, 0, "tcp", text);
	snprintf(more, sizeof(more), "\"flow\":[\"%s\"]", text);
	cr_assert_lt(resolve(more, &change), 0);
	cr_assert(strstr(err.message, "owned by fw-2"), "%s", err.message);
	cr_assert_lt(resolve("\"flow\":[\"tcp here there\"]", &change), 0);
	cr_assert_lt(resolve("\"flow\":[7]", &change), 0);
	flow_of(a, 0, "tcp", text);
	snprintf(more, sizeof(more), "\"flow\":[\"%s\",\"%s\"]", text, text);
	cr_assert_eq(resolve(more, &change), 0, "%s", err.message);
	cr_assert_eq(change->flows_n, 1, "named twice, moved once");
}

Test(subject, a_number_of_flows)
{
	_cleanup_change_ struct change *change = NULL;
	_cleanup_json_ json_t *list = json_array();
	struct request_flows flows = { .list = list };
	struct move_request request;
	char text[FLOW_TEXT_MAX];
	const char *filter;
	unsigned int limit;

	cr_assert_eq(parse("\"flows\":3", &request), 0);
	cr_assert(request_wants_flows(&request, &service->table, a, &filter, &limit));
	cr_assert(!filter && limit == 3);
	cr_assert_lt(resolve_from("\"flows\":3", a, &flows, &change), 0, "it has none");
	flow_of(a, 0, "tcp", text);
	json_array_append_new(list, json_pack("{ss}", "flow", text));
	flow_of(b, 0, "tcp", text); /* a leftover that isn't its any more */
	json_array_append_new(list, json_string(text));
	cr_assert_eq(resolve_from("\"flows\":3", a, &flows, &change), 0);
	cr_assert_eq(change->flows_n, 1);
	cr_assert(strstr(note, "only 1"), "%s", note);
}

/* ---- filters --------------------------------------------------------------------------------- */

#define EXACT "\"filter\":\"tcp and dst port 80\""
#define RICH  "\"filter\":\"tcp port 80 or udp\""

Test(subject, exact_filter_makes_a_rule)
{
	_cleanup_change_ struct change *change = NULL;
	struct move_request request;
	const char *filter;
	unsigned int limit;

	cr_assert_eq(parse(EXACT, &request), 0);
	cr_assert(!request_wants_flows(&request, &service->table, a, &filter, &limit));
	cr_assert_eq(resolve(EXACT, &change), 0, "%s", err.message);
	cr_assert_eq(change->rules_n, 1);
	cr_assert_eq(slotset_count(&change->rules[0].slots), SLOTS / 2);
	cr_assert_eq(change->flows_n, 0);
	cr_assert_str_empty(note);
}

Test(subject, exact_filter_takes_matching_pins)
{
	_cleanup_change_ struct change *change = NULL;
	char tcp[FLOW_TEXT_MAX], udp[FLOW_TEXT_MAX], more[400];

	flow_of(b, 0, "tcp", tcp);
	flow_of(b, 0, "udp", udp);
	snprintf(more, sizeof(more), "\"flow\":[\"%s\",\"%s\"]", tcp, udp);
	move_applied(more, b, a);
	cr_assert_eq(resolve(EXACT, &change), 0);
	cr_assert_eq(change->flows_n, 1);
	cr_assert_eq(change->flows[0].proto, 6);
}

/* To and fro, again and again: the rules must not pile up. */
Test(subject, filter_to_and_fro)
{
	for (int i = 0; i < 3 * FF_RULES_MAX; i++) {
		unsigned int used = 0;

		move_applied(EXACT, i % 2 ? b : a, i % 2 ? a : b);
		for (unsigned int k = 0; k < FF_RULES_MAX; k++)
			used += service->table.rules[k].used;
		cr_assert_leq(used, 1, "after %d moves there are %u rules", i + 1, used);
	}
}

Test(subject, later_rules_go_behind_earlier_ones)
{
	_cleanup_change_ struct change *change = NULL;

	move_applied("\"filter\":\"tcp and dst port 80\"", a, b);
	cr_assert_eq(resolve("\"filter\":\"tcp\"", &change), 0, "%s", err.message);
	cr_assert_eq(change->rules[0].index, 1);
}

Test(subject, rules_run_out)
{
	_cleanup_change_ struct change *change = NULL;

	for (int i = 0; i < FF_RULES_MAX; i++) {
		char more[64];

		snprintf(more, sizeof(more), "\"filter\":\"tcp and dst port %d\"", 100 + i);
		move_applied(more, a, b);
	}
	cr_assert_lt(resolve("\"filter\":\"udp\"", &change), 0);
	cr_assert_eq(err.err, -ENOSPC);
	cr_assert(strstr(err.message, "no rule left"), "%s", err.message);
}

Test(subject, rich_filter_takes_existing_flows_and_says_so)
{
	_cleanup_change_ struct change *change = NULL;
	_cleanup_json_ json_t *list = json_array();
	struct request_flows flows = { .list = list };
	struct move_request request;
	char text[FLOW_TEXT_MAX];
	const char *filter;
	unsigned int limit;

	cr_assert_eq(parse(RICH, &request), 0);
	cr_assert(!request.exact);
	cr_assert(request_wants_flows(&request, &service->table, a, &filter, &limit));
	cr_assert_str_eq(filter, "tcp port 80 or udp");
	cr_assert_lt(resolve_from(RICH, a, &flows, &change), 0);
	for (unsigned int i = 0; i < 5; i++) {
		flow_of(a, i, "udp", text);
		json_array_append_new(list, json_pack("{ss}", "flow", text));
	}
	cr_assert_eq(resolve_from(RICH, a, &flows, &change), 0, "%s", err.message);
	cr_assert_eq(change->flows_n, 5);
	cr_assert_eq(change->rules_n, 0);
	cr_assert(strstr(note, "begin later are not"), "%s", note);
	flows.truncated = true;
	cr_assert_lt(resolve_from(RICH, a, &flows, &(struct change *){ NULL }), 0);
	cr_assert_eq(err.err, -E2BIG);
}

/* What `from` owns by rules of other filters can't be one rule: existing flows, and a note. */
Test(subject, flows_behind_other_rules)
{
	_cleanup_change_ struct change *change = NULL;
	_cleanup_json_ json_t *list = json_array();
	struct request_flows flows = { .list = list };
	struct move_request request;
	char text[FLOW_TEXT_MAX];
	const char *filter;
	unsigned int limit;

	flow_of(b, 0, "tcp", text);
	move_applied("\"filter\":\"tcp\"", b, a);
	cr_assert_eq(parse(EXACT, &request), 0);
	cr_assert(request_wants_flows(&request, &service->table, a, &filter, &limit));
	json_array_append_new(list, json_string(text));
	cr_assert_eq(resolve_from(EXACT, a, &flows, &change), 0, "%s", err.message);
	cr_assert_eq(change->flows_n, 1);
	cr_assert_eq(change->rules_n, 1, "and the rule for its own slots");
	cr_assert(strstr(note, "other filters"), "%s", note);
}

/* ---- overlap --------------------------------------------------------------------------------- */

Test(subject, overlap_names_the_one_in_the_way)
{
	_cleanup_change_ struct change *change = NULL;
	struct operation *operation = operation_new("move");

	operation->service = service->id;
	operation->from = a;
	operation->to = b;
	cr_assert_eq(resolve("\"slots\":\"0-9\"", &operation->subject), 0);
	operation_link(&model, operation);
	cr_assert_eq(resolve("\"slots\":\"9-12\"", &change), 0);
	cr_assert_eq(request_check_overlap(&model, service, change, &err), -EBUSY);
	cr_assert_str_eq(err.code, "overlap");
	cr_assert(strstr(err.message, operation->id), "%s", err.message);
	change_free(TAKE_PTR(change));
	cr_assert_eq(resolve("\"slots\":\"10-12\"", &change), 0);
	cr_assert_eq(request_check_overlap(&model, service, change, &err), 0);
}

/* Two filters on their way at once must not both take rule 0. */
Test(subject, rules_of_running_operations_are_taken)
{
	_cleanup_change_ struct change *change = NULL;
	struct operation *operation = operation_new("move");

	operation->service = service->id;
	cr_assert_eq(resolve(EXACT, &operation->subject), 0);
	operation_link(&model, operation);
	cr_assert_eq(resolve_from(EXACT, b, NULL, &change), 0);
	cr_assert_neq(change->rules[0].index, operation->subject->rules[0].index);
}
