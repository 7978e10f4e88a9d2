/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Schemas as text and as conversion plans. Reading them from BTF is in schema_btf.c.
 */
#include <inttypes.h>
#include <string.h>

#include "agent/schema.h"
#include "agent/schema_names.h"
#include "lib/cleanup.h"
#include "lib/stream.h"

const char *const schema_scope_names[] = { "per-flow", "multi-flow", "all-flows", NULL };
const char *const schema_kind_names[] = { "unsigned", "signed", "network", "bytes", NULL };
const char *const schema_merge_names[] = { "none", "sum", "max", "min", "last", "or", NULL };

int schema_name_find(const char *const *names, const char *name)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -ENOENT;
}

static uint64_t text_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
	return hash;
}

static void field_print(FILE *out, const struct schema_field *field)
{
	fprintf(out, "%s %u %u %u %s", field->name, field->offset, field->size, field->count,
		schema_kind_names[field->kind]);
	if (field->merge != SCHEMA_MERGE_NONE)
		fprintf(out, " %s", schema_merge_names[field->merge]);
	fprintf(out, "%s\n", field->clock ? " clock" : "");
}

int schema_finish(struct schema *schema, struct ff_error *err)
{
	size_t len = 0;
	FILE *out;

	free(schema->text);
	schema->text = NULL;
	out = open_memstream(&schema->text, &len);
	if (!out)
		return error_nomem(err);
	fprintf(out, "%s %s key %u value %u state %u\n", schema_scope_names[schema->scope],
		schema->name, schema->key_size, schema->value_size, schema->state_offset);
	for (uint32_t i = 0; i < schema->fields_count; i++)
		field_print(out, &schema->fields[i]);
	if (fclose(out))
		return error_nomem(err);
	if (len >= STREAM_SCHEMA_MAX)
		return error_set(err, EINVAL, FF_CODE_REFUSED, "shorten the names of its fields",
				 "the schema of %s is %zu characters long, the limit is %u",
				 schema->name, len, STREAM_SCHEMA_MAX - 1);
	schema->hash = text_hash(schema->text);
	return 0;
}

void schema_done(struct schema *schema)
{
	free(schema->fields);
	free(schema->text);
	*schema = (struct schema){ 0 };
}

/* ---- from text ----------------------------------------------------------------------------- */

#define MEND_TEXT "the sender's schema is malformed: check the versions of both agents"

static int bad_line(struct ff_error *err, const char *line)
{
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, MEND_TEXT,
			 "bad line in a schema: %.100s", line);
}

static int title_parse(const char *line, struct schema *schema, struct ff_error *err)
{
	char scope[16], name[FF_NAME_MAX];
	int end = 0, found;

	if (sscanf(line, "%15s %31s key %" SCNu32 " value %" SCNu32 " state %" SCNu32 "%n", scope,
		   name, &schema->key_size, &schema->value_size, &schema->state_offset, &end) < 5 ||
	    line[end])
		return bad_line(err, line);
	found = schema_name_find(schema_scope_names, scope);
	if (found < 0 || schema->key_size > STREAM_KEY_MAX ||
	    schema->value_size > STREAM_VALUE_MAX || schema->state_offset > schema->value_size)
		return bad_line(err, line);
	schema->scope = (enum schema_scope)found;
	memcpy(schema->name, name, sizeof(name));
	return 0;
}

static int tags_parse(char *tags, struct schema_field *field)
{
	char *save = NULL;

	for (char *tag = strtok_r(tags, " ", &save); tag; tag = strtok_r(NULL, " ", &save)) {
		int found = schema_name_find(schema_merge_names, tag);

		if (found > 0)
			field->merge = (uint8_t)found;
		else if (!strcmp(tag, "clock"))
			field->clock = true;
		else
			return -EINVAL;
	}
	return 0;
}

/* A field must lie in the value's part behind the head, whatever the numbers: no overflow. */
static bool field_is_sane(const struct schema *schema, const struct schema_field *field)
{
	uint64_t end = (uint64_t)field->offset + (uint64_t)field->size * field->count;

	if (!field->size || !field->count || field->count > STREAM_VALUE_MAX)
		return false;
	if (field->offset < schema->state_offset || end > schema->value_size)
		return false;
	return !field->clock || field->size == 8;
}

static int field_parse(char *line, struct schema *schema, struct ff_error *err)
{
	struct schema_field *field = &schema->fields[schema->fields_count];
	char kind[16];
	int end = 0, found;

	*field = (struct schema_field){ 0 };
	if (sscanf(line, "%63s %" SCNu32 " %" SCNu32 " %" SCNu32 " %15s%n", field->name,
		   &field->offset, &field->size, &field->count, kind, &end) < 5)
		return bad_line(err, line);
	found = schema_name_find(schema_kind_names, kind);
	if (found < 0)
		return bad_line(err, line);
	field->kind = (uint8_t)found;
	if (tags_parse(line + end, field) < 0 || !field_is_sane(schema, field))
		return bad_line(err, line);
	schema->fields_count++;
	return 0;
}

static int lines_parse(char *text, struct schema *schema, struct ff_error *err)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	int r;

	r = line ? title_parse(line, schema, err) : bad_line(err, "");
	while (r == 0 && (line = strtok_r(NULL, "\n", &save))) {
		if (schema->fields_count == SCHEMA_FIELDS_MAX)
			return bad_line(err, line);
		r = field_parse(line, schema, err);
	}
	return r;
}

int schema_parse(const char *text, struct schema *ret_schema, struct ff_error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	struct schema schema = { 0 };
	int r;

	schema.fields = calloc(SCHEMA_FIELDS_MAX, sizeof(*schema.fields));
	if (!copy || !schema.fields)
		r = error_nomem(err);
	else
		r = lines_parse(copy, &schema, err);
	if (r == 0)
		r = schema_finish(&schema, err);
	if (r < 0) {
		schema_done(&schema);
		return r;
	}
	*ret_schema = schema;
	return 0;
}

/* ---- conversion ---------------------------------------------------------------------------- */

static const struct schema_field *field_find(const struct schema *schema, const char *name)
{
	for (uint32_t i = 0; i < schema->fields_count; i++)
		if (!strcmp(schema->fields[i].name, name))
			return &schema->fields[i];
	return NULL;
}

static int refuse(struct ff_error *err, const struct schema *from, const struct schema_field *field,
		  const char *why)
{
	return error_set(err, EPROTOTYPE, FF_CODE_REFUSED,
			 "run the same version of the NF at both ends, or one that has the field",
			 "state of %s can't be converted: field %s %s", from->name, field->name,
			 why);
}

static int step_add(struct schema_plan *plan, const struct schema *from,
		    const struct schema_field *source, const struct schema_field *target,
		    struct ff_error *err)
{
	bool widen = source->kind == SCHEMA_UNSIGNED && source->size < target->size &&
		     target->size <= 8;

	if (source->kind != target->kind)
		return refuse(err, from, source, "is of another kind at the target");
	if (source->size != target->size && !widen)
		return refuse(err, from, source, "is of another size at the target");
	if (source->count > target->count)
		return refuse(err, from, source, "has fewer elements at the target");
	if (source->clock != target->clock)
		return refuse(err, from, source, "is a clock time at one end only");
	plan->steps[plan->steps_count++] = (struct schema_step){
		.from = source->offset,
		.to = target->offset,
		.from_size = source->size,
		.to_size = target->size,
		.count = source->count,
	};
	return 0;
}

/* The clocks are the target's: those of fields that the source lacks are 0, and stay so. */
static int clocks_add(struct schema_plan *plan, const struct schema *to)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < to->fields_count; i++)
		count += to->fields[i].clock ? to->fields[i].count : 0;
	plan->clocks = calloc(count ? count : 1, sizeof(*plan->clocks));
	if (!plan->clocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < to->fields_count; i++)
		for (uint32_t n = 0; to->fields[i].clock && n < to->fields[i].count; n++)
			plan->clocks[plan->clocks_count++] = to->fields[i].offset + n * 8;
	return 0;
}

static int steps_add(struct schema_plan *plan, const struct schema *from, const struct schema *to,
		     struct ff_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < from->fields_count && r == 0; i++) {
		const struct schema_field *source = &from->fields[i];
		const struct schema_field *target = field_find(to, source->name);

		r = target ? step_add(plan, from, source, target, err) :
			     refuse(err, from, source, "doesn't exist at the target");
	}
	return r;
}

int schema_plan_new(const struct schema *from, const struct schema *to,
		    struct schema_plan *ret_plan, struct ff_error *err)
{
	struct schema_plan plan = {
		.from_size = from->value_size,
		.to_size = to->value_size,
		.identical = from->hash == to->hash && !strcmp(from->text, to->text),
	};
	int r;

	if (from->key_size != to->key_size || from->scope != to->scope)
		return error_set(
			err, EPROTOTYPE, FF_CODE_REFUSED, "move between instances of one NF only",
			"%s state %s of %u-byte keys doesn't fit %s state %s of %u-byte keys",
			schema_scope_names[from->scope], from->name, from->key_size,
			schema_scope_names[to->scope], to->name, to->key_size);
	if (from->state_offset < sizeof(struct ff_head) ||
	    to->state_offset < sizeof(struct ff_head))
		return error_set(err, EPROTOTYPE, FF_CODE_REFUSED, NULL,
				 "state %s has no room for its head", from->name);
	plan.steps = calloc(from->fields_count ? from->fields_count : 1, sizeof(*plan.steps));
	r = plan.steps ? 0 : -ENOMEM;
	if (r == 0)
		r = clocks_add(&plan, to);
	if (r < 0)
		error_nomem(err);
	if (r == 0 && !plan.identical)
		r = steps_add(&plan, from, to, err);
	if (r < 0) {
		schema_plan_done(&plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

void schema_plan_done(struct schema_plan *plan)
{
	free(plan->steps);
	free(plan->clocks);
	*plan = (struct schema_plan){ 0 };
}

static uint64_t load_unsigned(const uint8_t *from, uint32_t size)
{
	uint64_t u64 = 0;
	uint32_t u32;
	uint16_t u16;

	switch (size) {
	case 1:
		return *from;
	case 2:
		return memcpy(&u16, from, 2), u16;
	case 4:
		return memcpy(&u32, from, 4), u32;
	default:
		return memcpy(&u64, from, MIN(size, (uint32_t)sizeof(u64))), u64;
	}
}

static void store_unsigned(uint8_t *to, uint32_t size, uint64_t value)
{
	uint32_t u32 = (uint32_t)value;
	uint16_t u16 = (uint16_t)value;

	if (size == 2)
		memcpy(to, &u16, 2);
	else if (size == 4)
		memcpy(to, &u32, 4);
	else
		memcpy(to, &value, 8);
}

static void step_apply(const struct schema_step *step, const uint8_t *from, uint8_t *to)
{
	from += step->from;
	to += step->to;
	if (step->from_size == step->to_size) {
		memcpy(to, from, (size_t)step->from_size * step->count);
		return;
	}
	for (size_t i = 0; i < step->count; i++)
		store_unsigned(to + i * step->to_size, step->to_size,
			       load_unsigned(from + i * step->from_size, step->from_size));
}

/* 0 means "never" in a clock field, and FF_DEAD in expires_ns. */
static void clock_rebase(uint8_t *place, int64_t delta_ns)
{
	uint64_t ns;

	memcpy(&ns, place, sizeof(ns));
	if (!ns)
		return;
	/* an uptime shorter than the field's age: before this host's boot; 1 is the oldest time */
	if (delta_ns < 0 && ns <= (uint64_t)-delta_ns)
		ns = 1;
	else
		ns += (uint64_t)delta_ns;
	memcpy(place, &ns, sizeof(ns));
}

/* An age, in units of 2^20 ns; the difference of two clocks that say milliseconds is no finer. */
static void born_rebase(struct ff_head *head, int64_t delta_ns)
{
	if (head->born)
		head->born = (head->born + (__u32)(delta_ns >> FF_BORN_SHIFT)) ?: 1;
}

void schema_plan_apply(const struct schema_plan *plan, const void *from, int64_t clock_delta_ns,
		       void *ret_to)
{
	if (plan->identical) {
		memcpy(ret_to, from, plan->to_size);
	} else {
		memset(ret_to, 0, plan->to_size);
		memcpy(ret_to, from, sizeof(struct ff_head));
		for (uint32_t i = 0; i < plan->steps_count; i++)
			step_apply(&plan->steps[i], from, ret_to);
	}
	clock_rebase((uint8_t *)ret_to + offsetof(struct ff_head, expires_ns), clock_delta_ns);
	born_rebase(ret_to, clock_delta_ns);
	for (uint32_t i = 0; i < plan->clocks_count; i++)
		clock_rebase((uint8_t *)ret_to + plan->clocks[i], clock_delta_ns);
}
