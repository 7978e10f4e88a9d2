/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/desired.h"

#include <stdlib.h>
#include <string.h>

#include "agent/desired_table.h"
#include "lib/json.h"
#include "lib/match.h"

#define CAPACITY_DEFAULT (1u << 20)

void desired_free(struct desired *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < FF_SERVICES_MAX; i++) {
		json_decref(d->services[i].config);
		desired_table_done(&d->services[i]);
	}
	free(d);
}

static int twice(const char *what, int64_t id, struct ff_error *err)
{
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s %d is there twice", what,
			 (int)id);
}

/* ---- hosts ------------------------------------------------------------------------------------- */

static int address_read(const json_t *item, const char *key, struct ff_addr *ret,
			struct ff_error *err)
{
	const char *text = NULL;
	int r = json_opt_str(item, key, &text, err);

	if (r || !text || !*text)
		return r;
	return addr_parse(text, ret) ? error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
						 "%s: `%s` is no address", key, text) :
				       0;
}

static int host_read(const json_t *item, struct desired *d, struct ff_error *err)
{
	struct desired_host *host;
	const char *url = "";
	int64_t id;
	int r = json_get_range(item, "id", 1, FF_HOSTS_MAX - 1, &id, err);

	if (r)
		return r;
	host = &d->hosts[id];
	if (host->known)
		return twice("host", id, err);
	host->known = true;
	r = json_get_text(item, "name", host->name, FF_NAME_MAX, err);
	if (!r)
		r = json_opt_str(item, "url", &url, err);
	if (!r)
		r = address_read(item, "ipv4", &host->ipv4, err);
	if (!r)
		r = address_read(item, "ipv6", &host->ipv6, err);
	if (!r && strlen(url) >= sizeof(host->url))
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "host %s: url is too long",
			      host->name);
	if (!r)
		strcpy(host->url, url);
	return r;
}

/* ---- services ---------------------------------------------------------------------------------- */

static int seed_read(const char *text, __u64 ret[2], struct ff_error *err)
{
	char half[17] = {};
	char *end;

	if (strlen(text) != 32)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "seed: 32 hexadecimal digits, not `%s`", text);
	for (int i = 0; i < 2; i++) {
		memcpy(half, text + 16 * i, 16);
		ret[i] = strtoull(half, &end, 16);
		if (*end)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "seed: 32 hexadecimal digits, not `%s`", text);
	}
	return 0;
}

/* Absent or 0: none. */
static int bounded_read(const json_t *item, const char *key, uint32_t min, uint32_t max,
			uint32_t *ret, struct ff_error *err)
{
	uint64_t value = 0;
	int r = json_opt_uint(item, key, &value, err);

	if (r)
		return r;
	if (value && (value < min || value > max))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s: %llu; 0, or %u to %u",
				 key, (unsigned long long)value, min, max);
	*ret = (uint32_t)value;
	return 0;
}

static int service_fields(const json_t *item, struct desired_service *s, struct ff_error *err)
{
	const char *seed, *class = "";
	bool exact = false;
	int64_t slots;
	int r = json_get_text(item, "name", s->name, FF_NAME_MAX, err);

	if (!r)
		r = json_get_text(item, "nf", s->nf, FF_NAME_MAX, err);
	if (!r)
		r = json_get_range(item, "slots", 1, FF_SLOTS_MAX, &slots, err);
	if (!r)
		r = json_get_str(item, "seed", &seed, err);
	if (!r)
		r = json_opt_str(item, "class", &class, err);
	if (!r)
		r = seed_read(seed, s->seed, err);
	if (!r)
		r = match_from_text(class, &s->class, &exact, err);
	if (r)
		return r;
	if (!exact || (slots & (slots - 1)))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "a class is a conjunction, slots a power of two",
				 "service %s: class `%s`, %d slots", s->name, class, (int)slots);
	r = bounded_read(item, "lag_ms", LAG_MS_MIN, LAG_MS_MAX, &s->lag_ms, err);
	if (!r)
		r = bounded_read(item, "lease_ms", LEASE_MS_MIN, LEASE_MS_MAX, &s->lease_ms, err);
	if (r)
		return r;
	s->slots = (uint32_t)slots;
	s->any = !*class;
	s->config = json_incref(json_object_get(item, "config"));
	return 0;
}

static int service_read(const json_t *item, struct desired *d, struct ff_error *err)
{
	struct desired_service *s;
	int64_t id;
	int r = json_get_range(item, "id", 1, FF_SERVICES_MAX - 1, &id, err);

	if (r)
		return r;
	s = &d->services[id];
	if (s->is)
		return twice("service", id, err);
	s->is = true;
	r = service_fields(item, s, err);
	return r ? r : desired_table_read(item, (uint16_t)id, s, err);
}

/* ---- instances --------------------------------------------------------------------------------- */

static int instance_read(const json_t *item, struct desired *d, struct ff_error *err)
{
	struct desired_instance *w;
	int64_t id, service, host;
	uint64_t standby_of = 0;
	int r = json_get_range(item, "id", 1, FF_INSTANCES_MAX - 1, &id, err);

	if (!r)
		r = json_get_range(item, "service", 1, FF_SERVICES_MAX - 1, &service, err);
	if (!r)
		r = json_get_range(item, "host", 1, FF_HOSTS_MAX - 1, &host, err);
	if (r)
		return r;
	w = &d->instances[id];
	if (w->is)
		return twice("instance", id, err);
	w->is = true;
	w->service = (uint16_t)service;
	w->host = (uint16_t)host;
	w->capacity = CAPACITY_DEFAULT;
	r = json_opt_uint(item, "capacity", &w->capacity, err);
	if (!r)
		r = json_opt_uint(item, "standby_of", &standby_of, err);
	if (!r && standby_of >= FF_INSTANCES_MAX)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "standby_of: %llu",
			      (unsigned long long)standby_of);
	w->standby_of = (uint16_t)standby_of;
	if (!r)
		r = json_get_text(item, "name", w->name, FF_NAME_MAX, err);
	if (!r && !d->services[service].is)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			      "instance %s is of service %d, which isn't there", w->name,
			      (int)service);
	if (r)
		return r;
	memcpy(w->nf, d->services[service].nf, sizeof(w->nf));
	return json_object_get(item, "nf") ? json_get_text(item, "nf", w->nf, FF_NAME_MAX, err) : 0;
}

static int standby_bad(const struct desired_instance *standby, const char *what,
		       struct ff_error *err)
{
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "instance %s, standby of %u: %s",
			 standby->name, standby->standby_of, what);
}

/* A standby owns nothing: what an owner has and what it is sent never mix. */
static int standby_idle_check(const struct desired *d, const struct desired_service *s,
			      struct ff_error *err)
{
	for (size_t i = 0; i < s->table.owners_count; i++)
		if (d->instances[s->owners[i].owner].standby_of)
			return standby_bad(&d->instances[s->owners[i].owner], "it owns slots", err);
	for (size_t i = 0; i < s->table.pins_count; i++)
		if (s->pin_owners[i] < FF_INSTANCES_MAX &&
		    d->instances[s->pin_owners[i]].standby_of)
			return standby_bad(&d->instances[s->pin_owners[i]], "it owns pins", err);
	for (size_t i = 0; i < s->table.rules_count; i++)
		if (s->rule_owners[i] < FF_INSTANCES_MAX &&
		    d->instances[s->rule_owners[i]].standby_of)
			return standby_bad(&d->instances[s->rule_owners[i]], "it owns rules", err);
	return 0;
}

static int standbys_check(const struct desired *d, struct ff_error *err)
{
	bool has[FF_INSTANCES_MAX] = {};
	int r = 0;

	for (size_t id = 1; id < FF_INSTANCES_MAX; id++) {
		const struct desired_instance *w = &d->instances[id];
		const struct desired_instance *of = &d->instances[w->standby_of];

		if (!w->standby_of)
			continue;
		if (!of->is || of->service != w->service)
			return standby_bad(w, "its service has no such instance", err);
		if (of->standby_of)
			return standby_bad(w, "that is a standby itself", err);
		if (of->host == w->host)
			return standby_bad(w, "both are on one host", err);
		if (has[w->standby_of])
			return standby_bad(w, "that has one already", err);
		has[w->standby_of] = true;
	}
	for (size_t i = 1; i < FF_SERVICES_MAX && !r; i++)
		r = standby_idle_check(d, &d->services[i], err);
	return r;
}

/* ---- all --------------------------------------------------------------------------------------- */

static int list_read(const json_t *config, const char *key, struct desired *d,
		     int (*read)(const json_t *item, struct desired *d, struct ff_error *err),
		     struct ff_error *err)
{
	json_t *list, *item;
	size_t i;
	int r = json_get_array(config, key, &list, err);

	if (r)
		return r;
	json_array_foreach(list, i, item) {
		r = read(item, d, err);
		if (r)
			return r;
	}
	return 0;
}

int desired_read(const json_t *config, struct desired **ret, struct ff_error *err)
{
	_cleanup_desired_ struct desired *d = calloc(1, sizeof(*d));
	int64_t own;
	int r;

	if (!d)
		return error_nomem(err);
	r = json_get_range(config, "host_id", 1, FF_HOSTS_MAX - 1, &own, err);
	if (!r)
		r = json_opt_uint(config, "version", &d->version, err);
	if (!r)
		r = bounded_read(config, "failure_ms", FAILURE_MS_MIN, FAILURE_MS_MAX,
				 &d->failure_ms, err);
	if (!r)
		r = list_read(config, "hosts", d, host_read, err);
	if (!r)
		r = list_read(config, "services", d, service_read, err);
	if (!r)
		r = list_read(config, "instances", d, instance_read, err);
	if (!r)
		r = standbys_check(d, err);
	if (r)
		return r;
	d->host = (uint16_t)own;
	*ret = TAKE_PTR(d);
	return 0;
}

int desired_check(const struct desired *d, const struct ff_service *running, struct ff_error *err)
{
	for (size_t i = 1; i < FF_SERVICES_MAX; i++) {
		const struct desired_service *s = &d->services[i];
		const struct ff_service *r = &running[i];
		const char *other = NULL;

		if (!s->is || !r->used)
			continue;
		if (r->slot_mask != s->slots - 1)
			other = "number of slots";
		else if (memcmp(r->seed, s->seed, sizeof(s->seed)))
			other = "seed";
		/* a packet may be reading it */
		else if (r->any != s->any || memcmp(&r->class, &s->class, sizeof(s->class)))
			other = "class";
		if (other)
			return error_set(err, EEXIST, FF_CODE_REFUSED,
					 "remove the service and make a new one",
					 "service %s runs with another %s", s->name, other);
	}
	return 0;
}
