/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_move.c - flowferry move: flows, with their state, from one instance to another. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/slotset.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/remote.h"
#include "tools/tables.h"

#define MOVE_FLOWS_MAX	    1000000000 /* more than all hosts together hold */
#define MOVE_PARK_LIMIT_MAX 16777216   /* 2^24 cells: far beyond any host's memory */

enum { GROUP_SUBJECT = 1 };

struct move_options {
	const char *service, *from, *to;
	const char *filter, *slots;
	uint64_t flows;
	struct text_list flow;
	const char *guarantee, *on_overflow;
	uint64_t park_limit;
	bool no_precopy, no_wait;
};

static const char *const guarantees[] = { "none", "loss-free", "order-preserving", NULL };
static const char *const overflows[] = { "abort", "drop", "reorder", NULL };

#define MOVE_OPTION(member) .offset = offsetof(struct move_options, member)

static const struct option_spec move_specs[] = {
	{ .name = "service",
	  .kind = OPTION_TEXT,
	  MOVE_OPTION(service),
	  .value = "NAME",
	  .complete = COMPLETE_SERVICE,
	  .required = true,
	  .help = "the service whose flows move" },
	{ .name = "from",
	  .kind = OPTION_TEXT,
	  MOVE_OPTION(from),
	  .value = "INSTANCE",
	  .complete = COMPLETE_INSTANCE,
	  .required = true,
	  .help = "the instance that owns them" },
	{ .name = "to",
	  .kind = OPTION_TEXT,
	  MOVE_OPTION(to),
	  .value = "INSTANCE",
	  .complete = COMPLETE_INSTANCE,
	  .required = true,
	  .help = "the instance that takes them over" },
	{ .name = "filter",
	  .kind = OPTION_TEXT,
	  MOVE_OPTION(filter),
	  .value = "EXPR",
	  .group = GROUP_SUBJECT,
	  .help = "flows that match, in pcap-filter(7)'s language" },
	{ .name = "slots",
	  .kind = OPTION_TEXT,
	  MOVE_OPTION(slots),
	  .value = "LIST",
	  .group = GROUP_SUBJECT,
	  .help = "whole slots, such as 0-99,200" },
	{ .name = "flows",
	  .kind = OPTION_NUMBER,
	  MOVE_OPTION(flows),
	  .value = "N",
	  .min = 1,
	  .max = MOVE_FLOWS_MAX,
	  .group = GROUP_SUBJECT,
	  .help = "about so many flows, whichever they are" },
	{ .name = "flow",
	  .kind = OPTION_LIST,
	  MOVE_OPTION(flow),
	  .value = "FLOW",
	  .group = GROUP_SUBJECT,
	  .help = "one flow, such as 'tcp 198.18.1.2:1234 198.18.2.2:80'; may be given again" },
	{ .name = "guarantee",
	  .kind = OPTION_CHOICE,
	  MOVE_OPTION(guarantee),
	  .value = "WHICH",
	  .choices = guarantees,
	  .help = "what the move promises; order-preserving by default" },
	{ .name = "on-overflow",
	  .kind = OPTION_CHOICE,
	  MOVE_OPTION(on_overflow),
	  .value = "WHAT",
	  .choices = overflows,
	  .help = "what goes when more packets come than can be parked: the move itself (abort, "
		  "the default), packets (drop), or their order (reorder)" },
	{ .name = "park-limit",
	  .kind = OPTION_NUMBER,
	  MOVE_OPTION(park_limit),
	  .value = "N",
	  .min = 1,
	  .max = MOVE_PARK_LIMIT_MAX,
	  .help = "packets that may be parked at once" },
	{ .name = "no-precopy",
	  .kind = OPTION_FLAG,
	  MOVE_OPTION(no_precopy),
	  .help = "copy all state at the end, while the flows wait; only good to compare with" },
	{ .name = "no-wait",
	  .kind = OPTION_FLAG,
	  MOVE_OPTION(no_wait),
	  .help = "print the operation's id and leave; `flowferry operations --follow ID` waits" },
	{},
};

/* Seen here, before anything is asked: what can't be right on any orchestrator. */
static int subject_check(const struct move_options *o, struct ff_error *err)
{
	_cleanup_filter_ struct filter *filter = NULL;
	struct ff_flow_key key;
	struct slotset slots;
	int r = 0;

	if (strcmp(o->from, o->to) == 0)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "name two instances",
				 "--from and --to are both %s", o->from);
	if (o->slots)
		r = slotset_parse(o->slots, FF_SLOTS_MAX, &slots, err);
	if (r == 0 && o->slots && slotset_is_empty(&slots))
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "write a list such as 0-99,200",
			      "--slots names none");
	if (r == 0 && o->filter)
		r = filter_new(o->filter, &filter, err);
	for (size_t i = 0; r == 0 && i < o->flow.count; i++)
		r = flow_read(o->flow.items[i], &key, err);
	return r;
}

static json_t *flows_pack(const struct text_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static int body_pack(const struct move_options *o, json_t **ret, struct ff_error *err)
{
	_cleanup_json_ json_t *body = json_object();

	if (json_put_str(body, "service", o->service) < 0 ||
	    json_put_str(body, "from", o->from) < 0 || json_put_str(body, "to", o->to) < 0 ||
	    (o->filter && json_put_str(body, "filter", o->filter) < 0) ||
	    (o->slots && json_put_str(body, "slots", o->slots) < 0) ||
	    (o->flows && json_put_uint(body, "flows", o->flows) < 0) ||
	    (o->flow.count && json_put(body, "flow", flows_pack(&o->flow)) < 0) ||
	    (o->guarantee && json_put_str(body, "guarantee", o->guarantee) < 0) ||
	    (o->on_overflow && json_put_str(body, "on_overflow", o->on_overflow) < 0) ||
	    (o->park_limit && json_put_uint(body, "park_limit", o->park_limit) < 0) ||
	    (o->no_precopy && json_put_bool(body, "precopy", false) < 0))
		return error_set(err, ENOMEM, FF_CODE_INTERNAL, "write it in UTF-8",
				 "the request can't be put into JSON");
	*ret = TAKE_PTR(body);
	return 0;
}

static int move_run(struct call *call)
{
	const struct move_options *o = call->options;
	_cleanup_json_ json_t *body = NULL, *accepted = NULL;
	struct ff_error err = {};
	int r;

	if (subject_check(o, &err) < 0 || body_pack(o, &body, &err) < 0)
		return call_usage(call, &err);
	if (!o->no_wait)
		progress_interrupts_catch();
	r = remote_call(call, "POST", "/v1/moves", body, &accepted);
	if (r)
		return r;
	return operation_end(call, accepted, o->no_wait);
}

static const struct example move_examples[] = {
	{ "move --service fw --from fw-1 --to fw-2", "Everything that an instance owns:" },
	{ "move --service fw --from fw-1 --to fw-2 --slots 0-99,200", "Some slots:" },
	{ "move --service fw --from fw-1 --to fw-2 --filter 'tcp and src net 198.18.1.0/24'",
	  "The flows of one network, those that begin later too:" },
	{ "move --service fw --from fw-1 --to fw-2 --flow 'tcp 198.18.1.2:1234 198.18.2.2:80'",
	  "One flow:" },
	{ "move --service fw --from fw-1 --to fw-2 --flows 1000 --no-wait",
	  "About a thousand flows, without waiting for the end:" },
	{ "move --service fw --from fw-1 --to fw-2 -o json | jq .freeze_us",
	  "How long packets were held, in microseconds:" },
	{},
};

const struct command command_move = {
	.name = "move",
	.summary = "move flows, with their state, to another instance",
	.description =
		"Moves live flows of one service, and the state that the NF keeps for them, from "
		"one instance to another, on the same host or a different one. Without a filter, "
		"slots, flows or a number of them, everything moves that --from owns.\n\n"
		"By default a move preserves order, which includes that it loses nothing: while "
		"state changes hands, packets of those flows are parked and then handled in the "
		"order in which they came. `loss-free` may reorder; `none` parks nothing.\n\n"
		"A filter that is a conjunction of prefixes, protocol and ports also takes flows "
		"that begin during and after the move. A richer one takes the existing flows "
		"only, and the answer says so in a note.\n\n"
		"On a terminal a line shows how far it is. Ctrl-C (or SIGTERM) asks to cancel: "
		"the move is rolled back unless it is past its final step, and its end is shown. "
		"Ctrl-C again leaves it to itself. The figures at the end: flows and bytes of "
		"state moved, rounds of copying, packets parked and dropped, the freeze (from the "
		"first moment at which a packet would be parked until the flows were released), "
		"and the time that it took in all.",
	.run = move_run,
	.options = move_specs,
	.options_size = sizeof(struct move_options),
	.examples = move_examples,
	.remote = true,
};
