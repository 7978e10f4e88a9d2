/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/table_internal.h"

#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/match.h"

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < FF_SERVICES_MAX; i++)
		free(t->touched[i].keys);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		free(t->watches[i]);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint32_t bank_active(const struct table *t, uint16_t service)
{
	return __atomic_load_n(&t->dp->services[service].active, __ATOMIC_ACQUIRE) & 1;
}

static int touch(struct table *t, const struct ff_flow_key *key)
{
	struct touched *list = &t->touched[key->service];

	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct ff_flow_key *keys = realloc(list->keys, room * sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		list->keys = keys;
		list->room = room;
	}
	list->keys[list->count++] = *key;
	return 0;
}

/* Which pins an earlier agent touched last isn't known: any may differ between the banks. */
static int pins_adopt(struct table *t)
{
	struct ff_flow_key key, next, *prev = NULL;
	int r = 0;

	while (!r && !bpf_map_get_next_key(t->dp->pins_fd, prev, &next)) {
		key = next;
		prev = &key;
		if (key.service < FF_SERVICES_MAX)
			r = touch(t, &key);
	}
	return r;
}

int table_new(struct datapath *dp, struct cpus *cpus, struct table **ret, struct ff_error *err)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return error_nomem(err);
	pthread_mutex_init(&t->lock, NULL);
	t->dp = dp;
	t->cpus = cpus;
	if (pins_adopt(t)) {
		table_free(t);
		return error_nomem(err);
	}
	*ret = t;
	return 0;
}

int table_pin_write(struct table *t, const struct ff_flow_key *key, uint32_t bank,
		    const struct ff_steer *steer)
{
	struct ff_service *service = &t->dp->services[key->service];
	uint32_t slot = ff_slot_hash_keyed(key, &service->keys) & service->slot_mask;
	struct ff_pin pin = { .steer = { table_absent, table_absent } };
	struct ff_steer fresh = table_watched(t, *steer);
	bool was, is = !(steer->flags & FF_STEER_ABSENT);
	int r;

	bpf_map_lookup_elem(t->dp->pins_fd, key, &pin);
	was = !(pin.steer[bank].flags & FF_STEER_ABSENT);
	if (!was && !is)
		return 0;
	r = touch(t, key);
	if (r)
		return r;
	table_exception_changes(t, slot, &pin.steer[bank], &fresh,
				&t->dp->table[FF_TABLE_INDEX(key->service, bank, slot)].steer);
	pin.steer[bank] = fresh;
	pin.steer[0].mark = pin.steer[1].mark = ff_pin_mark(key);
	if (bpf_map_update_elem(t->dp->pins_fd, key, &pin, BPF_ANY))
		return -errno;
	service->pins[bank] += (uint32_t)is - (uint32_t)was;
	return 0;
}

uint32_t table_edit_begin(struct table *t, uint16_t number)
{
	struct ff_service *service = &t->dp->services[number];
	uint32_t active = bank_active(t, number), spare = !active;
	struct touched *list = &t->touched[number];

	cpus_quiesce_since(t->cpus, t->marks[number]);
	memcpy(&t->dp->table[FF_TABLE_INDEX(number, spare, 0)],
	       &t->dp->table[FF_TABLE_INDEX(number, active, 0)],
	       (service->slot_mask + 1) * sizeof(struct ff_slot));
	memcpy(&t->dp->rules[FF_RULES_INDEX(number, spare, 0)],
	       &t->dp->rules[FF_RULES_INDEX(number, active, 0)],
	       FF_RULES_MAX * sizeof(struct ff_rule));
	service->rules[spare] = service->rules[active];
	service->pins[spare] = service->pins[active];
	for (size_t i = 0; i < list->count; i++) {
		struct ff_pin pin;

		if (bpf_map_lookup_elem(t->dp->pins_fd, &list->keys[i], &pin))
			continue;
		if (pin.steer[active].flags & FF_STEER_ABSENT) {
			bpf_map_delete_elem(t->dp->pins_fd, &list->keys[i]);
			continue;
		}
		pin.steer[spare] = pin.steer[active];
		bpf_map_update_elem(t->dp->pins_fd, &list->keys[i], &pin, BPF_EXIST);
	}
	list->count = 0;
	return spare;
}

uint64_t table_edit_commit(struct table *t, uint16_t number, uint32_t spare)
{
	struct ff_service *service = &t->dp->services[number];
	uint64_t now;

	service->version++;
	now = clock_ns();
	__atomic_store_n(&service->active, spare, __ATOMIC_SEQ_CST);
	t->marks[number] = cpus_mark(t->cpus);
	return now;
}

int table_edit_fail(struct table *t, uint16_t number, int error, struct ff_error *err)
{
	uint32_t active = bank_active(t, number);
	struct touched *list = &t->touched[number];

	for (size_t i = 0; i < list->count; i++) {
		struct ff_pin pin;

		if (bpf_map_lookup_elem(t->dp->pins_fd, &list->keys[i], &pin))
			continue;
		pin.steer[!active] = pin.steer[active];
		if (pin.steer[active].flags & FF_STEER_ABSENT)
			bpf_map_delete_elem(t->dp->pins_fd, &list->keys[i]);
		else
			bpf_map_update_elem(t->dp->pins_fd, &list->keys[i], &pin, BPF_EXIST);
	}
	list->count = 0;
	return error_set(err, error, FF_CODE_REFUSED, "move fewer flows one by one, or whole slots",
			 "can't write a pin: %s",
			 error == -E2BIG ? "the table of pins is full" : strerror(-error));
}

static void rule_write(struct table *t, uint16_t service, uint32_t bank,
		       const struct subject_rule *rule, const struct ff_steer *steer)
{
	struct ff_rule *entry = &t->dp->rules[FF_RULES_INDEX(service, bank, rule->index)];
	struct ff_slot *slots = &t->dp->table[FF_TABLE_INDEX(service, bank, 0)];
	uint32_t count = 0, slot_count = t->dp->services[service].slot_mask + 1;
	bool is = !(steer->flags & FF_STEER_ABSENT);
	struct ff_steer none = {}, fresh = table_watched(t, *steer);
	struct ff_rule old = *entry;
	bool other;

	if (!is && !(old.match.flags & FF_MATCH_USED))
		return; /* no slot names it */
	memset(entry, 0, sizeof(*entry));
	if (is) {
		entry->match = rule->match;
		entry->steer = fresh;
	}
	other = memcmp(&old.match, &entry->match, sizeof(old.match)) != 0;
	for (uint32_t s = 0; s < slot_count; s++) {
		bool was = slots[s].rules & (1u << rule->index);
		bool will = is && slotset_test(&rule->slots, s);

		slots[s].rules &= ~(1u << rule->index);
		if (will)
			slots[s].rules |= 1u << rule->index;
		if (was && (!will || other)) /* as if it went, and came */
			table_exception_changes(t, s, &old.steer, &none, &slots[s].steer);
		if (will)
			table_exception_changes(t, s, was && !other ? &old.steer : &none,
						&entry->steer, &slots[s].steer);
	}
	for (uint32_t i = 0; i < FF_RULES_MAX; i++)
		if (t->dp->rules[FF_RULES_INDEX(service, bank, i)].match.flags & FF_MATCH_USED)
			count = i + 1;
	t->dp->services[service].rules[bank] = count;
}

static struct ff_steer steer_of(const struct table_entry *entry)
{
	return (struct ff_steer){ .owner = entry->owner,
				  .here = entry->here,
				  .flags = entry->flags,
				  .lane = entry->lane };
}

static void slot_write(struct table *t, struct ff_slot *slots, uint32_t slot,
		       const struct ff_steer *steer)
{
	struct ff_steer fresh = table_watched(t, *steer);

	table_slot_changes(t, slot, &slots[slot].steer, &fresh);
	slots[slot].steer = fresh;
}

static void slots_write(struct table *t, const struct subject *subject, uint32_t bank,
			const struct ff_steer *steer)
{
	struct ff_slot *slots = &t->dp->table[FF_TABLE_INDEX(subject->service, bank, 0)];
	unsigned int slot;

	slotset_foreach(slot, &subject->slots)
		slot_write(t, slots, slot, steer);
}

static bool subject_has_rule(const struct subject *subject, uint32_t index)
{
	for (size_t i = 0; i < subject->rules_count; i++)
		if (subject->rules[i].index == index)
			return true;
	return false;
}

/* Pins and rules that aren't in `keep` are taken away. */
static int edit(struct table *t, const struct subject *subject, const struct subject *keep,
		const struct table_entry *entry, uint64_t *ret_switched_ns, struct ff_error *err)
{
	struct ff_steer steer = steer_of(entry);
	uint16_t service = subject->service;
	uint32_t spare;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	spare = table_edit_begin(t, service);
	slots_write(t, subject, spare, &steer);
	for (size_t i = 0; i < subject->keys_count && !r; i++) {
		const struct ff_flow_key *key = &subject->keys[i];

		r = table_pin_write(t, key, spare,
				    subject_has_key(keep, key) ? &steer : &table_absent);
	}
	if (r) {
		r = table_edit_fail(t, service, r, err);
		pthread_mutex_unlock(&t->lock);
		return r;
	}
	for (size_t i = 0; i < subject->rules_count; i++) {
		const struct subject_rule *rule = &subject->rules[i];

		rule_write(t, service, spare, rule,
			   subject_has_rule(keep, rule->index) ? &steer : &table_absent);
	}
	*ret_switched_ns = table_edit_commit(t, service, spare);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

int table_edit(struct table *t, const struct subject *subject, const struct table_entry *entry,
	       uint64_t *ret_switched_ns, struct ff_error *err)
{
	uint64_t unused;

	return edit(t, subject, subject, entry, ret_switched_ns ? ret_switched_ns : &unused, err);
}

int table_revert(struct table *t, const struct subject *subject, const struct subject *keep,
		 const struct table_entry *entry, uint64_t *ret_switched_ns, struct ff_error *err)
{
	uint64_t unused;

	return edit(t, subject, keep, entry, ret_switched_ns ? ret_switched_ns : &unused, err);
}

int table_existing(struct table *t, const struct subject *subject, struct subject *ret,
		   struct ff_error *err)
{
	struct subject s = { .service = subject->service,
			     .slots_count = subject->slots_count,
			     .seed = { subject->seed[0], subject->seed[1] },
			     .slot_keys = subject->slot_keys };
	uint32_t active;

	s.keys = calloc(subject->keys_count + 1, sizeof(*s.keys));
	s.rules = calloc(subject->rules_count + 1, sizeof(*s.rules));
	if (!s.keys || !s.rules) {
		subject_done(&s);
		return error_nomem(err);
	}
	pthread_mutex_lock(&t->lock);
	active = bank_active(t, subject->service);
	for (size_t i = 0; i < subject->keys_count; i++) {
		struct ff_pin pin;

		if (!bpf_map_lookup_elem(t->dp->pins_fd, &subject->keys[i], &pin) &&
		    !(pin.steer[active].flags & FF_STEER_ABSENT))
			s.keys[s.keys_count++] = subject->keys[i];
	}
	for (size_t i = 0; i < subject->rules_count; i++) {
		uint32_t index = FF_RULES_INDEX(subject->service, active, subject->rules[i].index);

		if (t->dp->rules[index].match.flags & FF_MATCH_USED)
			s.rules[s.rules_count++] = subject->rules[i];
	}
	pthread_mutex_unlock(&t->lock);
	*ret = s;
	return 0;
}

/* ---- the orchestrator's table ------------------------------------------------------------------ */

static struct ff_steer steer_plain(const struct table *t, uint16_t owner)
{
	bool local = owner && owner < FF_INSTANCES_MAX &&
		     t->dp->instances[owner].host == t->dp->host->host;

	return (struct ff_steer){ .owner = owner, .here = local ? owner : 0 };
}

static bool is_busy(const struct table_desired *d, const struct ff_flow_key *key, uint32_t slot,
		    int rule)
{
	return d->busy && d->busy(d->ctx, key, slot, rule);
}

static void sync_slots(struct table *t, const struct table_desired *d, uint32_t spare)
{
	struct ff_slot *slots = &t->dp->table[FF_TABLE_INDEX(d->service, spare, 0)];

	for (size_t i = 0; i < d->owners_count; i++)
		for (unsigned int s = d->owners[i].first; s <= d->owners[i].last; s++) {
			struct ff_steer steer = steer_plain(t, d->owners[i].owner);

			if (!is_busy(d, NULL, s, -1))
				slot_write(t, slots, s, &steer);
		}
}

static void sync_rules(struct table *t, const struct table_desired *d, uint32_t spare)
{
	for (uint32_t index = 0; index < FF_RULES_MAX; index++) {
		struct subject_rule none = { .index = index };
		bool found = false;

		if (is_busy(d, NULL, 0, (int)index))
			continue;
		for (size_t i = 0; i < d->rules_count && !found; i++) {
			struct ff_steer steer = steer_plain(t, d->rule_owners[i]);

			if (d->rules[i].index != index)
				continue;
			rule_write(t, d->service, spare, &d->rules[i], &steer);
			found = true;
		}
		if (!found)
			rule_write(t, d->service, spare, &none, &table_absent);
	}
}

static int key_order(const void *x, const void *y)
{
	return flow_cmp(x, y);
}

/* Removes pins of the service that aren't among the wanted ones. */
static int sync_pins_away(struct table *t, const struct table_desired *d, uint32_t spare)
{
	struct ff_flow_key key, *prev = NULL, next, *wanted;
	int r = 0;

	if (!t->dp->services[d->service].pins[spare])
		return 0;
	wanted = calloc(d->pins_count + 1, sizeof(*wanted));
	if (!wanted)
		return -ENOMEM;
	if (d->pins_count)
		memcpy(wanted, d->pins, d->pins_count * sizeof(*wanted));
	qsort(wanted, d->pins_count, sizeof(*wanted), key_order);
	while (!r && !bpf_map_get_next_key(t->dp->pins_fd, prev, &next)) {
		key = next;
		prev = &key;
		if (key.service != d->service || is_busy(d, &key, 0, -1) ||
		    (d->pins_count && bsearch(&key, wanted, d->pins_count, sizeof(key), key_order)))
			continue;
		r = table_pin_write(t, &key, spare, &table_absent);
	}
	free(wanted);
	return r;
}

int table_sync(struct table *t, const struct table_desired *d, struct ff_error *err)
{
	uint32_t spare;
	int r;

	pthread_mutex_lock(&t->lock);
	spare = table_edit_begin(t, d->service);
	r = sync_pins_away(t, d, spare);
	for (size_t i = 0; i < d->pins_count && !r; i++) {
		struct ff_steer steer = steer_plain(t, d->pin_owners[i]);

		if (!is_busy(d, &d->pins[i], 0, -1))
			r = table_pin_write(t, &d->pins[i], spare, &steer);
	}
	if (r) {
		r = table_edit_fail(t, d->service, r, err);
		pthread_mutex_unlock(&t->lock);
		return r;
	}
	sync_slots(t, d, spare);
	sync_rules(t, d, spare);
	table_edit_commit(t, d->service, spare);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void table_clear(struct table *t, uint16_t number)
{
	struct table_desired none = { .service = number };
	struct ff_service *service = &t->dp->services[number];

	service->used = 0;
	table_sync(t, &none, NULL);
	cpus_quiesce(t->cpus);
	pthread_mutex_lock(&t->lock);
	table_edit_begin(t, number);
	memset(&t->dp->table[FF_TABLE_INDEX(number, 0, 0)], 0,
	       2 * FF_SLOTS_MAX * sizeof(struct ff_slot));
	memset(service, 0, sizeof(*service));
	pthread_mutex_unlock(&t->lock);
}

struct ff_steer table_lookup(struct table *t, uint16_t number, const struct ff_flow_key *key,
			     const char **ret_how)
{
	struct ff_service *service = &t->dp->services[number];
	struct ff_slot *slot;
	struct ff_steer steer;
	struct ff_pin pin;
	uint32_t bank;

	pthread_mutex_lock(&t->lock);
	bank = bank_active(t, number);
	slot = &t->dp->table[FF_TABLE_INDEX(
		number, bank, ff_slot_hash_keyed(key, &service->keys) & service->slot_mask)];
	steer = slot->steer;
	*ret_how = "slot";
	for (uint32_t i = FF_RULES_MAX; i-- > 0;) {
		struct ff_rule *rule = &t->dp->rules[FF_RULES_INDEX(number, bank, i)];

		if ((slot->rules & (1u << i)) && match_test(&rule->match, key)) {
			steer = rule->steer;
			*ret_how = "rule";
		}
	}
	if (service->pins[bank] && !bpf_map_lookup_elem(t->dp->pins_fd, key, &pin) &&
	    !(pin.steer[bank].flags & FF_STEER_ABSENT)) {
		steer = pin.steer[bank];
		*ret_how = "pin";
	}
	pthread_mutex_unlock(&t->lock);
	return steer;
}
