/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/idle_flows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/flow.h"

#define FILL	4096u /* records put in at once */
#define FOREVER (UINT64_MAX / 2)
#define SERVICE 1

/* ---- the instances --------------------------------------------------------------------------- */

/* The services are one section of data. */
static int service_read(const char *maps_dir, struct ff_service *ret, struct ff_error *err)
{
	_cleanup_free_ struct ff_service *services = NULL;
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), section = 0;
	char path[256];

	snprintf(path, sizeof(path), "%s/services", maps_dir);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length))
		goto failed;
	services = calloc(1, info.value_size);
	if (!services)
		return error_nomem(err);
	if (info.value_size < (SERVICE + 1) * sizeof(*services))
		errno = EPROTO;
	else if (!bpf_map_lookup_elem(fd, &section, services)) {
		*ret = services[SERVICE];
		return 0;
	}
failed:
	return error_set(err, errno, FF_CODE_INTERNAL, NULL, "%s: %s", path, strerror(errno));
}

int idle_instance_take(const struct lab_host *host, const char *name, struct instance **ret,
		       struct ff_error *err)
{
	char pin_dir[128], maps_dir[160];
	struct instance_spec spec = { .name = name, .pin_dir = pin_dir, .maps_dir = maps_dir };
	struct ff_service service = {};
	int r;

	snprintf(pin_dir, sizeof(pin_dir), LAB_PIN_DIR "/%s", host->name);
	snprintf(maps_dir, sizeof(maps_dir), "%s/maps", pin_dir);
	r = service_read(maps_dir, &service, err);
	if (r)
		return r;
	spec.slots = service.slot_mask + 1;
	memcpy(spec.seed, service.seed, sizeof(spec.seed));
	return instance_adopt(&spec, ret, err);
}

/* ---- flows ----------------------------------------------------------------------------------- */

/* As packets of UDP flow number i would make it. */
static void key_make(uint32_t i, struct ff_flow_key *ret)
{
	uint32_t addr[2] = { htonl(0xc6130000u + (i >> 8)), htonl(0xc6120202u) };

	*ret = (struct ff_flow_key){ .proto = IPPROTO_UDP, .service = SERVICE };
	for (int end = 0; end < 2; end++) {
		ret->addr[end][10] = ret->addr[end][11] = 0xff;
		memcpy(&ret->addr[end][12], &addr[end], sizeof(addr[end]));
	}
	ret->port[0] = htons((uint16_t)(1024 + (i & 255)));
	ret->port[1] = htons(53);
	flow_canonicalize(ret);
}

/* What an established TCP connection has in the firewall's state: what differs between flows. */
static const struct {
	const char *name;
	unsigned int bits;
	uint64_t least;
} fields[] = {
	{ "packets", 16, 4 }, { "bytes", 24, 208 },  { "opened_ns", 42, 1 }, { "end", 32, 0 },
	{ "acked", 32, 0 },   { "max_end", 32, 0 },  { "max_win", 20, 0 },   { "state", 0, 4 },
	{ "scale", 0, 7 },    { "has_scale", 0, 1 },
};

static const struct schema_field *field_find(const struct schema *schema, const char *name)
{
	for (uint32_t i = 0; i < schema->fields_count; i++)
		if (!strcmp(schema->fields[i].name, name))
			return &schema->fields[i];
	return NULL;
}

/* SplitMix64 (Steele, Lea, Flood): the same for a flow each time. */
static uint64_t scatter(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void value_make(const struct schema *schema, uint32_t flow, void *value)
{
	struct ff_head *head = value;

	head->expires_ns = FOREVER + (scatter(flow) >> 24);
	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		const struct schema_field *field = field_find(schema, fields[f].name);

		for (uint32_t n = 0; field && n < field->count; n++) {
			uint64_t number = scatter((uint64_t)flow << 8 | f << 4 | n);

			number = (number & ((1ull << fields[f].bits) - 1)) + fields[f].least;
			memcpy((uint8_t *)value + field->offset + n * field->size, &number,
			       field->size);
		}
	}
}

void idle_batch_done(struct idle_batch *batch)
{
	free(batch->keys);
	free(batch->values);
	free(batch->records);
}

int idle_batch_make(struct idle_batch *batch, uint32_t first, uint32_t count,
		    const struct schema *schema)
{
	uint32_t value_size = schema->value_size;

	batch->keys = calloc(count, sizeof(*batch->keys));
	batch->values = calloc(count, value_size);
	batch->records = calloc(count, sizeof(*batch->records));
	if (!batch->keys || !batch->values || !batch->records)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *value = batch->values + (size_t)i * value_size;

		key_make(first + i, &batch->keys[i]);
		value_make(schema, first + i, value);
		batch->records[i] = (struct stream_record){ STREAM_UPSERT, &batch->keys[i], value };
	}
	return 0;
}

int idle_flows_put(struct instance *instance, uint32_t flows, uint64_t *ret_ns,
		   struct ff_error *err)
{
	struct state_origin origin;
	struct stream_header header;
	int r;

	*ret_ns = 0;
	state_header_fill(&instance->state, clock_ns(), &header);
	r = state_origin_new(&instance->state, &header, header.clock_ns, &origin, err);
	if (r)
		return r;
	for (uint32_t at = 0; at < flows && !r; at += FILL) {
		_cleanup_(idle_batch_done) struct idle_batch batch = {};
		uint32_t count = MIN(FILL, flows - at);
		struct state_counts counts = {};
		uint64_t begun;

		r = idle_batch_make(&batch, at, count, instance->state.schema);
		if (r)
			r = error_nomem(err);
		begun = clock_ns();
		if (!r)
			r = state_restore(&instance->state, &origin, batch.records, count, &counts,
					  err);
		*ret_ns += clock_ns() - begun;
	}
	state_origin_done(&origin);
	return r;
}
