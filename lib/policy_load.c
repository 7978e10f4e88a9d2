/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * policy_load.c - a policy's YAML, or JSON, which is YAML too.
 *
 * libcyaml reads it into a draft, in which a number is a pointer: NULL where the text leaves it out
 * and the default stays. The draft becomes a policy after the bounds of each number were checked.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/policy_internal.h"

/* ---- the draft and its schema -------------------------------------------------------------- */

#define MEMBER(section, name, ...) uint32_t *name;
#define FIELD(section, name, ...)                                                                  \
	CYAML_FIELD_UINT_PTR(#name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,                      \
			     struct draft_##section, name),

/* A section that holds nothing but numbers. */
#define SECTION(section, NUMBERS)                                                                  \
	struct draft_##section {                                                                   \
		NUMBERS(MEMBER)                                                                    \
	};                                                                                         \
	static const cyaml_schema_field_t section##_fields[] = { NUMBERS(FIELD) CYAML_FIELD_END }

SECTION(utilisation, POLICY_UTILISATION);
SECTION(sla, POLICY_SLA);
SECTION(instances, POLICY_INSTANCES);
SECTION(capacity, POLICY_CAPACITY);
SECTION(moves, POLICY_MOVES);
SECTION(scale_in, POLICY_SCALE_IN);
SECTION(stability, POLICY_STABILITY);

struct draft_protect {
	POLICY_PROTECT(MEMBER)
	bool enabled;
};

static const cyaml_schema_field_t protect_fields[] = {
	POLICY_PROTECT(FIELD)
		CONFIG_FIELD_BOOL("enabled", CYAML_FLAG_OPTIONAL, struct draft_protect, enabled),
	CYAML_FIELD_END,
};

static const cyaml_strval_t partition_names[] = {
	{ "keep-forwarding", POLICY_KEEP_FORWARDING },
	{ "fence", POLICY_FENCE },
};

struct draft_partition {
	POLICY_PARTITION(MEMBER)
	enum policy_partition mode;
};

static const cyaml_schema_field_t partition_fields[] = {
	POLICY_PARTITION(FIELD) CYAML_FIELD_ENUM("mode", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
						 struct draft_partition, mode, partition_names,
						 ARRAY_SIZE(partition_names)),
	CYAML_FIELD_END,
};

struct draft_placement {
	bool *spread;
	char **hosts;
	unsigned int hosts_count;
};

static const cyaml_schema_value_t host_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, FF_NAME_MAX - 1),
};

static const cyaml_schema_field_t placement_fields[] = {
	CYAML_FIELD_ENUM_PTR("spread", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT,
			     struct draft_placement, spread, config_bool_names, 2),
	CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct draft_placement, hosts, &host_schema, 0, FF_HOSTS_MAX - 1),
	CYAML_FIELD_END,
};

struct draft_quiet {
	char *from, *to;
	uint32_t days;
};

static const cyaml_strval_t day_flags[] = {
	{ "mon", 1 << 0 }, { "tue", 1 << 1 }, { "wed", 1 << 2 }, { "thu", 1 << 3 },
	{ "fri", 1 << 4 }, { "sat", 1 << 5 }, { "sun", 1 << 6 },
};

static const cyaml_schema_field_t quiet_fields[] = {
	CYAML_FIELD_STRING_PTR("from", CYAML_FLAG_POINTER, struct draft_quiet, from, 1, 5),
	CYAML_FIELD_STRING_PTR("to", CYAML_FLAG_POINTER, struct draft_quiet, to, 1, 5),
	CYAML_FIELD_FLAGS("days", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct draft_quiet, days,
			  day_flags, ARRAY_SIZE(day_flags)),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t quiet_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct draft_quiet, quiet_fields),
};

static const cyaml_schema_value_t together_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, POLICY_FILTER_MAX - 1),
};

static const cyaml_strval_t mode_names[] = {
	{ "act", POLICY_ACT },
	{ "observe", POLICY_OBSERVE },
};

struct draft {
	enum policy_mode mode;
	struct draft_utilisation *utilisation;
	struct draft_sla *sla;
	struct draft_instances *instances;
	struct draft_capacity *capacity;
	struct draft_moves *moves;
	struct draft_scale_in *scale_in;
	struct draft_stability *stability;
	struct draft_protect *protect;
	struct draft_partition *partition;
	struct draft_placement *placement;
	struct draft_quiet *quiet_hours;
	unsigned int quiet_hours_count;
	char **together;
	unsigned int together_count;
};

#define SECTION_FIELD(section)                                                                     \
	CYAML_FIELD_MAPPING_PTR(#section, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct draft,  \
				section, section##_fields)

static const cyaml_schema_field_t draft_fields[] = {
	CYAML_FIELD_ENUM("mode", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct draft, mode,
			 mode_names, ARRAY_SIZE(mode_names)),
	SECTION_FIELD(utilisation),
	SECTION_FIELD(sla),
	SECTION_FIELD(instances),
	SECTION_FIELD(capacity),
	SECTION_FIELD(moves),
	SECTION_FIELD(scale_in),
	SECTION_FIELD(stability),
	SECTION_FIELD(protect),
	SECTION_FIELD(partition),
	SECTION_FIELD(placement),
	CYAML_FIELD_SEQUENCE("quiet_hours", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct draft,
			     quiet_hours, &quiet_schema, 0, POLICY_QUIET_MAX),
	CYAML_FIELD_SEQUENCE("together", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct draft,
			     together, &together_schema, 0, POLICY_TOGETHER_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t draft_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct draft, draft_fields),
};

static void draft_free(struct draft *draft)
{
	config_free(&draft_schema, draft);
}
DEFINE_CLEANUP(struct draft *, draft_free);

/* ---- from the draft to the policy ---------------------------------------------------------- */

int policy_refuse(const struct policy_source *source, const char *path, const char *other,
		  struct ff_error *err, const char *mend, const char *fmt, ...)
{
	unsigned int line, column;
	char message[sizeof(err->message)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	if (source->text &&
	    (config_place(source->text, source->len, path, &line, &column) ||
	     (other && config_place(source->text, source->len, other, &line, &column))))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, mend, "%s:%u:%u: %s",
				 source->name, line, column, message);
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, mend, "%s: %s", source->name, message);
}

#define TAKE(section, name, ...)                                                                   \
	if (draft->section && draft->section->name)                                                \
		policy->section.name = *draft->section->name;

static int numbers_take(const struct draft *draft, const struct policy_source *source,
			struct policy *policy, struct ff_error *err)
{
	POLICY_NUMBERS(TAKE)
	for (size_t i = 0; i < policy_numbers_n; i++) {
		const struct policy_number *number = &policy_numbers[i];
		uint32_t value = *(const uint32_t *)((const char *)policy + number->offset);
		char path[64], mend[64];

		if (value >= number->least && value <= number->most)
			continue;
		snprintf(path, sizeof(path), "%s.%s", number->section, number->name);
		snprintf(mend, sizeof(mend), "give %u to %u", number->least, number->most);
		return policy_refuse(source, path, NULL, err, mend, "%s: %u is out of range", path,
				     value);
	}
	return 0;
}

/* "06:30", up to @last; "24:00" is the day's end. */
static int time_read(const char *text, unsigned int last, uint16_t *ret_minute)
{
	size_t digits = strspn(text, "0123456789");
	unsigned int hour, minute;

	if (!digits || text[digits] != ':' || strspn(text + digits + 1, "0123456789") != 2 ||
	    text[digits + 3] || sscanf(text, "%u:%u", &hour, &minute) != 2 || minute > 59 ||
	    hour * 60 + minute > last)
		return -EINVAL;
	*ret_minute = (uint16_t)(hour * 60 + minute);
	return 0;
}

static int quiet_take(const struct draft *draft, const struct policy_source *source,
		      struct policy *policy, struct ff_error *err)
{
	policy->quiet_count = draft->quiet_hours_count;
	for (unsigned int i = 0; i < draft->quiet_hours_count; i++) {
		const struct draft_quiet *from = &draft->quiet_hours[i];
		struct policy_quiet *quiet = &policy->quiet_hours[i];
		char path[32];

		quiet->days = from->days ? (uint8_t)from->days : POLICY_EVERY_DAY;
		snprintf(path, sizeof(path), "quiet_hours[%u].from", i);
		if (time_read(from->from, POLICY_DAY_MINUTES - 1, &quiet->from_minute))
			return policy_refuse(source, path, NULL, err, "e.g. from: \"22:00\"",
					     "%s: '%s' is no time of day", path, from->from);
		snprintf(path, sizeof(path), "quiet_hours[%u].to", i);
		if (time_read(from->to, POLICY_DAY_MINUTES, &quiet->to_minute))
			return policy_refuse(source, path, NULL, err, "e.g. to: \"06:00\"",
					     "%s: '%s' is no time of day", path, from->to);
	}
	return 0;
}

static void rest_take(const struct draft *draft, struct policy *policy)
{
	const struct draft_placement *placement = draft->placement;

	policy->mode = (uint8_t)draft->mode;
	if (draft->protect)
		policy->protect.enabled = draft->protect->enabled;
	if (draft->partition)
		policy->partition.mode = (uint8_t)draft->partition->mode;
	if (placement && placement->spread)
		policy->placement.spread = *placement->spread;
	for (unsigned int i = 0; placement && i < placement->hosts_count; i++)
		snprintf(policy->placement.hosts[i], FF_NAME_MAX, "%s", placement->hosts[i]);
	policy->placement.hosts_count = placement ? placement->hosts_count : 0;
	for (unsigned int i = 0; i < draft->together_count; i++)
		snprintf(policy->together[i], POLICY_FILTER_MAX, "%s", draft->together[i]);
	policy->together_count = draft->together_count;
}

static int source_load(const struct policy_source *source, const char *text, size_t len,
		       struct policy *ret_policy, struct ff_error *err)
{
	_cleanup_(draft_freep) struct draft *draft = NULL;
	struct policy policy;
	int r;

	r = config_load_text(source->name, text, len, &draft_schema, (void **)&draft, err);
	if (r < 0)
		return r;
	policy_init(&policy);
	rest_take(draft, &policy);
	r = numbers_take(draft, source, &policy, err);
	if (r < 0)
		return r;
	r = quiet_take(draft, source, &policy, err);
	if (r < 0)
		return r;
	r = policy_check(&policy, source, err);
	if (r < 0)
		return r;
	*ret_policy = policy;
	return 0;
}

int policy_load_text(const char *name, const char *text, size_t len, struct policy *ret_policy,
		     struct ff_error *err)
{
	struct policy_source source = { .name = name, .text = text, .len = len };

	return source_load(&source, text, len, ret_policy, err);
}

int policy_load(const char *path, struct policy *ret_policy, struct ff_error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = config_read(path, &text, &len, err);
	if (r < 0)
		return r;
	return policy_load_text(path, text, len, ret_policy, err);
}

int policy_from_json(const json_t *json, struct policy *ret_policy, struct ff_error *err)
{
	static const struct policy_source source = { .name = "policy" };
	_cleanup_free_ char *text = json_dumps(json, 0);
	unsigned int line, column;
	int r, end = 0;

	if (!text)
		return error_nomem(err);
	r = source_load(&source, text, strlen(text), ret_policy, err);
	/* the place in a text that nobody has seen */
	if (r < 0 && err && sscanf(err->message, "policy:%u:%u%n", &line, &column, &end) == 2)
		error_set(err, err->err, err->code, err->mend, "policy%s", err->message + end);
	return r;
}
