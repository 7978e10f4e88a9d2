/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_abi.c - which changes of a struct another agent's pins tell of. */
#include <criterion/criterion.h>

#include "agent/abi.h"

/* struct ff_thing { __u32 a; __be16 b[4]; struct ff_part part; }, and how another version may differ. */
struct version {
	const char *name, *a, *b;
	unsigned int a_size, a_bit, b_count, b_bit, size;
	bool host_order;
	unsigned int part_size;
};

static const struct version base = {
	.name = "ff_thing",
	.a = "a",
	.b = "b",
	.a_size = 4,
	.b_count = 4,
	.b_bit = 32,
	.size = 16,
	.part_size = 4,
};

static int types_add(struct btf *btf, const struct version *v, int part)
{
	int u16 = btf__add_int(btf, "unsigned short", 2, 0);
	int be16 = btf__add_typedef(btf, v->host_order ? "__u16" : "__be16", u16);
	int index = btf__add_int(btf, "index", 4, 0);
	int array = btf__add_array(btf, index, be16, v->b_count);
	int a = btf__add_int(btf, "unsigned int", v->a_size, 0);
	int r;

	cr_assert(btf__add_struct(btf, v->name, v->size) > 0);
	r = btf__add_field(btf, v->a, a, v->a_bit, 0);
	r |= btf__add_field(btf, v->b, array, v->b_bit, 0);
	r |= btf__add_field(btf, "part", part, 96, 0);
	return r;
}

/* The numbers of types say nothing: other types come first in another object. */
static struct btf *version_make(const struct version *v, bool others_first)
{
	struct btf *btf = btf__new_empty();
	int word, part;

	cr_assert_not_null(btf);
	if (others_first)
		cr_assert(btf__add_struct(btf, "ff_other", 8) > 0);
	word = btf__add_int(btf, "int", v->part_size, BTF_INT_SIGNED);
	part = btf__add_struct(btf, "ff_part", 4);
	cr_assert_eq(btf__add_field(btf, "word", word, 0, 0), 0);
	cr_assert_eq(types_add(btf, v, part), 0);
	return btf;
}

static void differs_expect(const struct version *v, const char *name, const char *why)
{
	struct btf *ours = version_make(&base, false), *theirs = version_make(v, true);
	const char *found = abi_difference(ours, theirs);

	cr_expect_str_eq(found ?: "none", name, "%s", why);
	btf__free(ours);
	btf__free(theirs);
}

Test(abi, structs_that_are_alike)
{
	struct version v = base;

	differs_expect(&base, "none", "the same");
	v.name = "ff_unknown";
	v.a_size = 2;
	differs_expect(&v, "none", "not known to both");
}

Test(abi, structs_that_differ)
{
	struct version v = base;

	v.a = "b", v.b = "a";
	differs_expect(&v, "ff_thing", "names exchanged");
	v = base;
	v.size = 24;
	differs_expect(&v, "ff_thing", "longer");
	v = base;
	v.a_bit = 64, v.b_bit = 0;
	differs_expect(&v, "ff_thing", "of one size, fields exchanged");
	v = base;
	v.a_size = 2;
	differs_expect(&v, "ff_thing", "a shorter field in its place");
	v = base;
	v.b_count = 2;
	differs_expect(&v, "ff_thing", "a shorter array");
	v = base;
	v.host_order = true;
	differs_expect(&v, "ff_thing", "another byte order");
	v = base;
	v.part_size = 2;
	differs_expect(&v, "ff_part", "a part of it");
}
