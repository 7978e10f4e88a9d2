/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* migration_result.c - what an operation shows of its move: phases, times, counts, notes. */
#include <stdarg.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/migration_internal.h"

/* The calls whose failure a reader should know of, though the operation has ended well. */
static const struct {
	enum move_call call;
	const char *text;
} owed[] = {
	{ MOVE_CALL_FINISH, "has not cleaned up yet" },
	{ MOVE_CALL_ABORT, "has not forgotten the move yet" },
	{ MOVE_CALL_REVERT, "has not cleaned up yet" },
	{ MOVE_CALL_STAY, "may have switched late, so packets may be out of order" },
	{ MOVE_CALL_HOLD, "did not take its flows back in order" },
	{ MOVE_CALL_UNSWITCH, "still steers to the target, which forwards" },
	{ MOVE_CALL_RETURN, "did not return the packets that it had parked" },
	{ MOVE_CALL_RESUME, "did not confirm that it has resumed" },
};

/* Which of API.md's phases a phase of the machine is timed as; NULL: in none. */
static const char *phase_key(enum move_phase phase)
{
	switch (phase) {
	case MOVE_PREPARE:
		return "prepare";
	case MOVE_PRECOPY:
		return "precopy";
	case MOVE_SWITCH:
		return "switch";
	case MOVE_FINISH:
		return "clean";
	default:
		return NULL; /* fence, final and release are measured by the source */
	}
}

static void phase_timed(struct migration *migration)
{
	json_t *doc = migration->operation->doc;
	uint64_t now_ns = clock_ns();
	enum move_phase phase = MOVE_NEW;
	const char *name = json_string_value(json_object_get(doc, "phase"));
	json_t *phases_us = json_object_get(doc, "phases_us");
	uint64_t us = (now_ns - migration->phase_ns) / NSEC_PER_USEC;

	if (name && move_phase_parse(name, &phase) == 0 && phase_key(phase) &&
	    !migration->recovering) {
		/* the source copied while it was prepared, and says for how long */
		if (phase == MOVE_PREPARE)
			us -= MIN(us, (uint64_t)json_integer_value(
					      json_object_get(phases_us, "precopy")));
		json_put_uint(phases_us, phase_key(phase), us);
	}
	migration->phase_ns = now_ns;
}

void result_phase(struct migration *migration, enum move_phase phase)
{
	json_t *doc = migration->operation->doc;

	phase_timed(migration);
	if (phase == MOVE_SWITCH)
		migration->switch_ns = clock_ns();
	/* nobody measures a freeze that ends at the source: from our switch to its resuming */
	if (phase == MOVE_REVERT && migration->switch_ns)
		json_put_uint(doc, "freeze_us",
			      (clock_ns() - migration->switch_ns) / NSEC_PER_USEC);
	/* what a later run must know; shown as it is */
	if (migration->move.doubt)
		json_put_bool(doc, "doubt", true);
	json_put_str(doc, "state", "running");
	json_put_str(doc, "phase", move_phase_name(phase));
	migration->operation->can_cancel = move_can_cancel(&migration->move);
}

static void copy_number(json_t *doc, const char *to, const json_t *reply, const char *from)
{
	json_t *value = json_object_get(reply, from);

	if (json_is_integer(value))
		json_object_set(doc, to, value);
}

/* Source and target each know a part; what either doesn't know it says as 0. */
static void raise_number(json_t *doc, const char *to, const json_t *reply, const char *from)
{
	if (json_integer_value(json_object_get(reply, from)) >
	    json_integer_value(json_object_get(doc, to)))
		copy_number(doc, to, reply, from);
}

static void result_query(json_t *doc, const json_t *reply)
{
	raise_number(doc, "flows", reply, "flows");
	raise_number(doc, "bytes", reply, "bytes");
	raise_number(doc, "rounds", reply, "rounds");
	raise_number(doc, "packets_parked", reply, "parked");
	raise_number(doc, "packets_dropped", reply, "dropped");
}

static void add_number(json_t *doc, const char *to, const json_t *reply, const char *from)
{
	json_int_t sum = json_integer_value(json_object_get(doc, to));

	json_put_int(doc, to, sum + json_integer_value(json_object_get(reply, from)));
}

static void result_overflow(json_t *doc, const json_t *reply)
{
	json_int_t packets = json_integer_value(json_object_get(reply, "overflowed"));

	if (packets > 0)
		json_put(doc, "overflow",
			 json_pack("{sO sI}", "policy", json_object_get(doc, "on_overflow"),
				   "packets", packets));
}

void result_reply(struct migration *migration, enum move_call call, const json_t *reply)
{
	json_t *doc = migration->operation->doc;
	json_t *phases_us = json_object_get(reply, "phases_us");

	switch (call) {
	case MOVE_CALL_PREPARE:
		add_number(doc, "flows", reply, "flows"); /* only the source has any yet */
		if (!json_is_true(json_object_get(reply, "copied")))
			break;
		copy_number(doc, "bytes", reply, "bytes");
		copy_number(doc, "rounds", reply, "rounds");
		json_object_update(json_object_get(doc, "phases_us"), phases_us);
		break;
	case MOVE_CALL_QUERY:
		result_query(doc, reply);
		result_overflow(doc, reply);
		break;
	case MOVE_CALL_FINAL:
	case MOVE_CALL_PRECOPY:
		copy_number(doc, "flows", reply, "flows");
		copy_number(doc, "bytes", reply, "bytes");
		copy_number(doc, "rounds", reply, "rounds");
		if (call == MOVE_CALL_PRECOPY)
			break;
		copy_number(doc, "packets_parked", reply, "parked");
		copy_number(doc, "packets_dropped", reply, "dropped");
		copy_number(doc, "freeze_us", reply, "freeze_us");
		result_overflow(doc, reply);
		if (phases_us)
			json_object_update(json_object_get(doc, "phases_us"), phases_us);
		break;
	case MOVE_CALL_RETURN:
		raise_number(doc, "packets_parked", reply, "returned");
		raise_number(doc, "packets_dropped", reply, "dropped");
		break;
	case MOVE_CALL_RESUME:
		add_number(doc, "packets_parked", reply, "parked");
		add_number(doc, "packets_dropped", reply, "dropped");
		break;
	default:
		break;
	}
}

void result_error(struct migration *migration, const struct ff_error *err)
{
	_cleanup_json_ json_t *body = json_from_error(err);

	if (body)
		json_object_set(migration->operation->doc, "error", json_object_get(body, "error"));
}

static void note_add(json_t *doc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note_add(json_t *doc, const char *fmt, ...)
{
	const char *old = json_string_value(json_object_get(doc, "note"));
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (old)
		json_put_fmt(doc, "note", "%s; %s", old, text);
	else
		json_put_str(doc, "note", text);
}

static void result_notes(struct migration *migration)
{
	json_t *doc = migration->operation->doc;

	for (size_t i = 0; i < ARRAY_SIZE(owed); i++)
		for (unsigned int host = 0; host < migration->move.hosts; host++)
			if (migration->move.slots[host][owed[i].call].state == MOVE_SLOT_GIVEN_UP)
				note_add(doc, "host %s %s", migration->hosts[host]->name,
					 owed[i].text);
	if (migration->operation->from != migration_from(migration->operation))
		note_add(doc, "%s was lost: its flows are %s's",
			 json_string_value(json_object_get(doc, "from")),
			 model_instance_name(&migration->orch->model, migration->operation->from));
	if (migration->operation->to != migration_to(migration->operation))
		note_add(doc, "%s was lost: its flows are %s's",
			 json_string_value(json_object_get(doc, "to")),
			 model_instance_name(&migration->orch->model, migration->operation->to));
	if (migration->move.doubt)
		note_add(doc, "rolled back without the target's word: packets that it may have "
			      "processed are not in the state");
}

void result_end(struct migration *migration, enum move_outcome outcome)
{
	json_t *doc = migration->operation->doc;
	uint64_t now_ms = clock_wall_ms();
	json_int_t created_ms = json_integer_value(json_object_get(doc, "created"));

	phase_timed(migration);
	result_notes(migration);
	/* what went wrong on the way didn't matter in the end */
	if (outcome == MOVE_COMPLETED && json_is_object(json_object_get(doc, "error"))) {
		note_add(doc, "completed in spite of: %s",
			 json_string_value(
				 json_object_get(json_object_get(doc, "error"), "message")));
		json_object_set_new(doc, "error", json_null());
	}
	json_put_str(doc, "state", move_outcome_name(outcome));
	json_put_str(doc, "phase", "ended");
	json_put_uint(doc, "ended", now_ms);
	/* the monotonic clock of a run that is over says nothing to this one */
	json_put_uint(doc, "total_us",
		      migration->recovering ? (now_ms - created_ms) * USEC_PER_MSEC :
					      (clock_ns() - migration->started_ns) / NSEC_PER_USEC);
	migration->operation->can_cancel = false;
}
