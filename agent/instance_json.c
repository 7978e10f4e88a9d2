/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Instances and flows as the API shows them.
 */
#include <bpf/bpf.h>
#include <inttypes.h>
#include <string.h>

#include "agent/btf_json.h"
#include "agent/instance.h"
#include "agent/instance_pins.h"
#include "agent/schema_names.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"

json_t *instance_flow_json(const struct instance *instance, const struct ff_flow_key *key,
			   const void *value, uint64_t now_ns)
{
	const struct schema *schema = instance->state.schema;
	_cleanup_json_ json_t *flow = json_object();
	const struct ff_head *head = value;
	uint64_t left_ns = head->expires_ns > now_ns ? head->expires_ns - now_ns : 0;
	char text[FLOW_TEXT_MAX];
	json_t *state = NULL;
	int r;

	if (btf_to_json(instance->btf, schema->state_type,
			(const uint8_t *)value + schema->state_offset, &state) < 0)
		state = json_null();
	r = json_put_str(flow, "flow", flow_format(key, text));
	r |= json_put_str(flow, "instance", instance->name);
	r |= json_put_uint(flow, "slot", head->slot);
	r |= json_put_uint(flow, "expires_ms", left_ns / NSEC_PER_MSEC);
	if (head->born)
		r |= json_put_uint(flow, "age_ms", state_age_ms(head, now_ns));
	else
		r |= json_put_str(flow, "age_ms", NULL);
	r |= json_put_uint(flow, "moves", head->moves);
	if (head->moved_by)
		r |= json_put_fmt(flow, "moved_by", "%016" PRIx64, (uint64_t)head->moved_by);
	else
		r |= json_put_str(flow, "moved_by", NULL);
	r |= json_put(flow, "state", state);
	return r ? NULL : json_incref(flow);
}

/* ---- declared states ----------------------------------------------------------------------- */

static int field_put(json_t *fields, const struct schema_field *field)
{
	json_t *object = json_object();
	int r = json_put_str(object, "name", field->name);

	r |= json_put_uint(object, "offset", field->offset);
	r |= json_put_uint(object, "size", field->size);
	r |= json_put_uint(object, "count", field->count);
	r |= json_put_str(object, "kind", schema_kind_names[field->kind]);
	r |= json_put_str(object, "merge", schema_merge_names[field->merge]);
	r |= json_put_bool(object, "clock", field->clock);
	if (r) {
		json_decref(object);
		return -ENOMEM;
	}
	return json_array_append_new(fields, object) ? -ENOMEM : 0;
}

/* An entry whose type has no JSON is shown as null: the state is still told. */
static int entry_put(const struct instance *instance, const struct schema *schema, const void *key,
		     const void *value, json_t *entries)
{
	json_t *object = json_object(), *shown;
	int r;

	if (btf_to_json(instance->btf, schema->key_type, key, &shown) < 0)
		shown = json_null();
	r = json_put(object, "key", shown);
	if (btf_to_json(instance->btf, schema->value_type, value, &shown) < 0)
		shown = json_null();
	r |= json_put(object, "value", shown);
	if (r) {
		json_decref(object);
		return -ENOMEM;
	}
	return json_array_append_new(entries, object) ? -ENOMEM : 0;
}

/*
 * Walks a plain hash or array by its keys, for people: a key deleted under way starts the walk anew,
 * so the number of steps is bounded, too.
 */
static int entries_put(const struct instance *instance, const struct schema *schema, int fd,
		       size_t limit, json_t *entries, bool *ret_truncated)
{
	_cleanup_free_ uint8_t *key = malloc(schema->key_size);
	_cleanup_free_ uint8_t *next = malloc(schema->key_size);
	_cleanup_free_ uint8_t *value = malloc(schema->value_size);
	bool more;

	if (!key || !next || !value)
		return -ENOMEM;
	*ret_truncated = false;
	more = bpf_map_get_next_key(fd, NULL, next) == 0;
	for (size_t steps = 0; more; steps++) {
		if (steps == limit) {
			*ret_truncated = true;
			break;
		}
		memcpy(key, next, schema->key_size);
		if (bpf_map_lookup_elem(fd, key, value) == 0 &&
		    entry_put(instance, schema, key, value, entries) < 0)
			return -ENOMEM;
		more = bpf_map_get_next_key(fd, key, next) == 0;
	}
	return 0;
}

static int state_entries_put(const struct instance *instance, const struct schema *schema,
			     size_t limit, json_t *object, struct ff_error *err)
{
	json_t *entries = json_array();
	_cleanup_close_ int fd = -1;
	bool truncated;
	int r = json_put(object, "entries", entries); /* object holds it now */

	if (r == 0)
		r = pin_open(instance->pin_dir, schema->name, &fd, err);
	if (r == -ENOENT)
		return error_set(err, EINVAL, FF_CODE_INTERNAL, NULL, "%s/%s is gone",
				 instance->pin_dir, schema->name);
	if (r == 0)
		r = entries_put(instance, schema, fd, limit, entries, &truncated);
	if (r == 0)
		r = json_put_bool(object, "truncated", truncated);
	return r == -ENOMEM ? error_nomem(err) : r;
}

static int state_put(const struct instance *instance, const struct schema *schema, size_t limit,
		     json_t *states, struct ff_error *err)
{
	json_t *object = json_object(), *fields = json_array();
	int r = json_array_append_new(states, object);

	r |= json_put_str(object, "name", schema->name);
	r |= json_put_str(object, "scope", schema_scope_names[schema->scope]);
	r |= json_put_uint(object, "key_size", schema->key_size);
	r |= json_put_uint(object, "value_size", schema->value_size);
	r |= json_put_fmt(object, "schema_hash", "%016" PRIx64, schema->hash);
	r |= json_put(object, "fields", fields);
	for (uint32_t i = 0; i < schema->fields_count && !r; i++)
		r = field_put(fields, &schema->fields[i]);
	if (r)
		return error_nomem(err);
	if (schema->scope == SCHEMA_PER_FLOW) /* they are flows: GET /v1/flows */
		return 0;
	return state_entries_put(instance, schema, limit, object, err);
}

static int config_get(const struct instance *instance, json_t **ret_config, struct ff_error *err)
{
	const struct schema_set *set = &instance->schemas;
	_cleanup_free_ void *value = NULL;
	_cleanup_close_ int fd = -1;
	uint32_t zero = 0;
	int r;

	if (!set->config_type) {
		*ret_config = json_null();
		return 0;
	}
	value = malloc(set->config_size);
	if (!value)
		return error_nomem(err);
	r = pin_open(instance->pin_dir, PIN_CONFIG, &fd, err);
	if (r == 0)
		r = bpf_map_lookup_elem(fd, &zero, value);
	if (r < 0)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL,
				 "can't read the configuration of instance %s: %s", instance->name,
				 strerror(-r));
	if (btf_to_json(instance->btf, set->config_type, value, ret_config) < 0)
		*ret_config = json_null();
	return 0;
}

int instance_state_json(const struct instance *instance, size_t limit, json_t **ret_json,
			struct ff_error *err)
{
	_cleanup_json_ json_t *answer = json_object();
	json_t *states = json_array(), *config = NULL;
	int r = json_put(answer, "states", states);

	if (r < 0)
		return error_nomem(err);
	for (unsigned int i = 0; i < instance->schemas.count && r == 0; i++)
		r = state_put(instance, &instance->schemas.states[i], limit, states, err);
	if (r == 0)
		r = config_get(instance, &config, err);
	if (r < 0)
		return r;
	if (json_put(answer, "config", config) < 0)
		return error_nomem(err);
	*ret_json = TAKE_PTR(answer);
	return 0;
}
