/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writing per-flow state; deleting it is in state_delete.c. Both by BPF programs, one at a time.
 */
#include <bpf/bpf.h>
#include <inttypes.h>
#include <string.h>

#include "agent/state.h"
#include "agent/state_staging.h"
#include "lib/cleanup.h"
#include "lib/flow.h"

int state_program_run(const struct state *state, int fd, const char *name, void *context,
		      uint32_t size, struct ff_error *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = context, .ctx_size_in = size);
	int r = bpf_prog_test_run_opts(fd, &opts);

	if (r < 0)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL,
				 "program %s of instance %s doesn't run: %s", name, state->instance,
				 strerror(-r));
	return 0;
}

int state_program_free(struct state *state, int fd, const char *name, void *context, uint32_t size,
		       struct ff_error *err)
{
	int r;

	atomic_fetch_add(&state->frees, 1);
	r = state_program_run(state, fd, name, context, size, err);
	atomic_fetch_add(&state->frees, 1);
	return r;
}

/* ---- where records come from --------------------------------------------------------------- */

void state_header_fill(const struct state *state, uint64_t now_ns, struct stream_header *ret_header)
{
	*ret_header = (struct stream_header){
		.service = state->service,
		.key_size = state->schema->key_size,
		.value_size = state->schema->value_size,
		.clock_ns = now_ns,
		.schema_hash = state->schema->hash,
		.schema = state->schema->text,
	};
}

int state_origin_new(const struct state *state, const struct stream_header *header, uint64_t now_ns,
		     struct state_origin *ret_origin, struct ff_error *err)
{
	struct state_origin origin = {
		.token = header->token,
		.clock_delta_ns = (int64_t)(now_ns - header->clock_ns),
		.from_size = header->value_size,
	};
	struct schema from = { 0 };
	int r;

	if (header->service != state->service)
		return error_set(err, EPROTO, FF_CODE_REFUSED, NULL,
				 "state of service %u sent to instance %s of service %u",
				 header->service, state->instance, state->service);
	r = schema_parse(header->schema, &from, err);
	if (r < 0)
		return r;
	if (from.hash != header->schema_hash || from.value_size != header->value_size ||
	    from.key_size != header->key_size)
		r = error_set(err, EPROTO, FF_CODE_BAD_REQUEST,
			      "the sender is broken: check the versions of both agents",
			      "state stream whose schema isn't of its hash or its sizes");
	else
		r = schema_plan_new(&from, state->schema, &origin.plan, err);
	schema_done(&from);
	if (r < 0)
		return r;
	*ret_origin = origin;
	return 0;
}

void state_origin_done(struct state_origin *origin)
{
	schema_plan_done(&origin->plan);
}

/* ---- restore ------------------------------------------------------------------------------- */

static int key_check(const struct state *state, const struct ff_flow_key *key, struct ff_error *err)
{
	struct ff_flow_key canonical = *key;
	char text[FLOW_TEXT_MAX];

	if (key->service != state->service)
		return error_set(err, EPROTO, FF_CODE_REFUSED, NULL,
				 "flow %s of service %u sent to instance %s of service %u",
				 flow_format(key, text), key->service, state->instance,
				 state->service);
	if (key->pad || flow_canonicalize(&canonical) || !flow_proto_name(key->proto))
		return error_set(err, EPROTO, FF_CODE_BAD_REQUEST, NULL,
				 "malformed flow key in a state stream: %s",
				 flow_format(key, text));
	return 0;
}

static int record_stage(const struct state *state, const struct state_origin *origin,
			const struct stream_record *from, struct ff_record *to,
			struct ff_error *err)
{
	struct ff_head *head = (struct ff_head *)(to + 1);
	uint32_t slot;
	int r;

	memcpy(&to->key, from->key, sizeof(to->key));
	r = key_check(state, &to->key, err);
	if (r < 0)
		return r;
	slot = state_slot(state, &to->key);
	to->group = slot >> state->group_shift;
	to->kind = from->kind == STREAM_DELETE ? FF_RECORD_DELETE : FF_RECORD_UPSERT;
	if (from->kind == STREAM_DELETE)
		return 0;
	schema_plan_apply(&origin->plan, from->value, origin->clock_delta_ns, head);
	head->round = 0;
	head->moves++;
	head->moved_by = origin->token;
	head->slot = (uint16_t)slot;
	head->handed = (uint16_t)state->hints[slot].handed;
	return 0;
}

static int put_failed(const struct state *state, const struct ff_state_io *io, struct ff_error *err)
{
	char text[FLOW_TEXT_MAX];
	const struct ff_record *record = state_record(state, io->done);

	if (io->error == -ENOSPC)
		return error_set(err, ENOSPC, FF_CODE_REFUSED,
				 "raise its capacity, or move fewer flows",
				 "instance %s is full: %" PRIu64 " flows, its capacity is %" PRIu64,
				 state->instance, state_flows(state),
				 (uint64_t)state->control->capacity);
	if (io->error == -E2BIG)
		return error_set(err, ENOSPC, FF_CODE_REFUSED,
				 "raise the instance's capacity: a slot's share grows with it",
				 "group %u of instance %s (slots %u-%u) is full", record->group,
				 state->instance, record->group << state->group_shift,
				 ((record->group + 1) << state->group_shift) - 1);
	return error_set(err, -io->error, FF_CODE_INTERNAL, NULL,
			 "can't write flow %s into instance %s: %s",
			 flow_format(&record->key, text), state->instance, strerror(-io->error));
}

int state_put_run(struct state *state, uint32_t count, struct state_counts *ret_counts,
		  struct ff_error *err)
{
	struct ff_state_io io = { .count = count };
	int r = state_program_free(state, state->put_fd, "put", &io, sizeof(io), err);

	if (r < 0)
		return r;
	ret_counts->added += io.added;
	ret_counts->replaced += io.replaced;
	ret_counts->deleted += io.deleted;
	return io.error ? put_failed(state, &io, err) : 0;
}

int state_restore(struct state *state, const struct state_origin *origin,
		  const struct stream_record *records, size_t count,
		  struct state_counts *ret_counts, struct ff_error *err)
{
	uint32_t staged = 0;
	int r = 0;

	pthread_mutex_lock(&state->lock);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = record_stage(state, origin, &records[i], state_record(state, staged), err);
		if (r < 0)
			break;
		staged++;
		if (staged == FF_STAGING_RECORDS || i + 1 == count) {
			r = state_put_run(state, staged, ret_counts, err);
			staged = 0;
		}
	}
	pthread_mutex_unlock(&state->lock);
	return r;
}

size_t state_stage_size(const struct state *state, size_t count)
{
	return count * state->record_size;
}

int state_stage(const struct state *state, const struct state_origin *origin,
		const struct stream_record *records, size_t count, void *ret_staged,
		struct ff_error *err)
{
	uint8_t *to = ret_staged;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++, to += state->record_size)
		r = record_stage(state, origin, &records[i], (struct ff_record *)to, err);
	return r;
}

/* Others get at the lock between two runs. */
int state_put_staged(struct state *state, const void *staged, size_t count,
		     struct state_counts *ret_counts, struct ff_error *err)
{
	const uint8_t *from = staged;
	int r = 0;

	while (count && r == 0) {
		uint32_t part = (uint32_t)MIN(count, (size_t)FF_STAGING_RECORDS);

		pthread_mutex_lock(&state->lock);
		memcpy(state->staging, from, part * state->record_size);
		r = state_put_run(state, part, ret_counts, err);
		pthread_mutex_unlock(&state->lock);
		from += part * state->record_size;
		count -= part;
	}
	return r;
}
