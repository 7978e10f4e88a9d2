/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/slotset.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

#define WORDS	   ARRAY_SIZE(((struct slotset *)NULL)->bits)
#define WORD(slot) ((slot) / 64u)
#define BIT(slot)  (1ull << ((slot) % 64u))

#define SLOTS_MEND "write slots like 0-99,200"
#define QUOTE_MAX  40 /* of a user's text in a message */

void slotset_set(struct slotset *set, unsigned int slot)
{
	assert(slot < FF_SLOTS_MAX);
	set->bits[WORD(slot)] |= BIT(slot);
}

void slotset_unset(struct slotset *set, unsigned int slot)
{
	assert(slot < FF_SLOTS_MAX);
	set->bits[WORD(slot)] &= ~BIT(slot);
}

void slotset_set_range(struct slotset *set, unsigned int first, unsigned int last)
{
	assert(first <= last && last < FF_SLOTS_MAX);
	for (unsigned int slot = first; slot <= last; slot++)
		slotset_set(set, slot);
}

void slotset_clear(struct slotset *set)
{
	memset(set, 0, sizeof(*set));
}

bool slotset_test(const struct slotset *set, unsigned int slot)
{
	return slot < FF_SLOTS_MAX && (set->bits[WORD(slot)] & BIT(slot));
}

unsigned int slotset_count(const struct slotset *set)
{
	unsigned int count = 0;

	for (size_t i = 0; i < WORDS; i++)
		count += (unsigned int)__builtin_popcountll(set->bits[i]);
	return count;
}

bool slotset_is_empty(const struct slotset *set)
{
	return slotset_next(set, 0) == FF_SLOTS_MAX;
}

bool slotset_equal(const struct slotset *x, const struct slotset *y)
{
	return !memcmp(x, y, sizeof(*x));
}

bool slotset_intersects(const struct slotset *x, const struct slotset *y)
{
	for (size_t i = 0; i < WORDS; i++)
		if (x->bits[i] & y->bits[i])
			return true;
	return false;
}

bool slotset_contains(const struct slotset *outer, const struct slotset *inner)
{
	for (size_t i = 0; i < WORDS; i++)
		if (inner->bits[i] & ~outer->bits[i])
			return false;
	return true;
}

void slotset_union(struct slotset *set, const struct slotset *other)
{
	for (size_t i = 0; i < WORDS; i++)
		set->bits[i] |= other->bits[i];
}

void slotset_intersect(struct slotset *set, const struct slotset *other)
{
	for (size_t i = 0; i < WORDS; i++)
		set->bits[i] &= other->bits[i];
}

void slotset_subtract(struct slotset *set, const struct slotset *other)
{
	for (size_t i = 0; i < WORDS; i++)
		set->bits[i] &= ~other->bits[i];
}

unsigned int slotset_next(const struct slotset *set, unsigned int from)
{
	if (from >= FF_SLOTS_MAX)
		return FF_SLOTS_MAX;
	for (size_t i = WORD(from); i < WORDS; i++) {
		uint64_t word = set->bits[i];

		if (i == WORD(from))
			word &= ~0ull << (from % 64u);
		if (word)
			return (unsigned int)i * 64u + (unsigned int)__builtin_ctzll(word);
	}
	return FF_SLOTS_MAX;
}

/* The end of the run of slots that begins at @first: the last slot in it. */
static unsigned int run_last(const struct slotset *set, unsigned int first)
{
	while (slotset_test(set, first + 1))
		first++;
	return first;
}

int slotset_format(const struct slotset *set, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	unsigned int slot, last;
	size_t size;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;
	for (slot = slotset_next(set, 0); slot < FF_SLOTS_MAX; slot = slotset_next(set, last + 1)) {
		const char *comma = ftell(out) ? "," : "";

		last = run_last(set, slot);
		if (slot == last)
			fprintf(out, "%s%u", comma, slot);
		else
			fprintf(out, "%s%u-%u", comma, slot, last);
	}
	if (fclose(out))
		return -ENOMEM;
	*ret_text = TAKE_PTR(text);
	return 0;
}

/* ---- text ---------------------------------------------------------------------------------- */

static const char *skip_spaces(const char *at)
{
	return at + strspn(at, " \t");
}

/* Reads digits at *at and moves behind them. A number too large for a slot stays too large. */
static int number_read(const char **at, unsigned int *ret_number)
{
	unsigned int number = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++)
		if (number < 10 * FF_SLOTS_MAX)
			number = number * 10 + (unsigned int)(**at - '0');
	*ret_number = number;
	return 0;
}

/* Reads `N` or `N-M` with spaces around it, up to a comma or the end. */
static int range_read(const char **at, unsigned int *ret_first, unsigned int *ret_last)
{
	*at = skip_spaces(*at);
	if (number_read(at, ret_first))
		return -EINVAL;
	*ret_last = *ret_first;
	*at = skip_spaces(*at);
	if (**at == '-') {
		*at = skip_spaces(*at + 1);
		if (number_read(at, ret_last))
			return -EINVAL;
		*at = skip_spaces(*at);
	}
	return **at && **at != ',' ? -EINVAL : 0;
}

static int part_refuse(struct ff_error *err, const char *part, const char *why)
{
	int len = (int)strcspn(part, ",");

	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, SLOTS_MEND, "slot list: \"%.*s\" is %s",
			 MIN(len, QUOTE_MAX), part, why);
}

int slotset_parse(const char *text, unsigned int slots, struct slotset *ret_set,
		  struct ff_error *err)
{
	struct slotset set = {};
	const char *at = skip_spaces(text);

	assert(slots <= FF_SLOTS_MAX);
	if (!*at) {
		*ret_set = set;
		return 0;
	}
	do {
		const char *part = at;
		unsigned int first, last;

		if (range_read(&at, &first, &last))
			return part_refuse(err, part, "neither a slot nor a range of slots");
		if (first > last)
			return part_refuse(err, part, "a range that ends before it begins");
		if (last >= slots)
			return error_set(err, ERANGE, FF_CODE_BAD_REQUEST, SLOTS_MEND,
					 "slot list: \"%.*s\" is beyond the last slot, %d",
					 (int)MIN(at - part, QUOTE_MAX), part, (int)slots - 1);
		slotset_set_range(&set, first, last);
	} while (*at++ == ',');
	*ret_set = set;
	return 0;
}
