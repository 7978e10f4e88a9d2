/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* standby.c - see standby.h. */
#include "orchestrator/standby.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/cleanup.h"

/* The work: the input, and where the service's instances will be when all steps are done. */
struct planning {
	const struct standby_input *input;
	struct standby_step *steps;
	size_t n, max;
	unsigned int *burden; /* owners and standbys, by place of the host */
};

static const struct standby_host *host_of(const struct standby_input *input, uint16_t id)
{
	for (size_t i = 0; i < input->hosts_n; i++)
		if (input->hosts[i].id == id)
			return &input->hosts[i];
	return NULL;
}

static const struct standby_member *member_of(const struct standby_input *input, uint16_t id)
{
	for (size_t i = 0; i < input->members_n; i++)
		if (input->members[i].id == id)
			return &input->members[i];
	return NULL;
}

static void burden_add(struct planning *p, uint16_t host, int n)
{
	for (size_t i = 0; i < p->input->hosts_n; i++)
		if (p->input->hosts[i].id == host)
			p->burden[i] += (unsigned int)n;
}

static void step_add(struct planning *p, struct standby_step step)
{
	if (p->n < p->max)
		p->steps[p->n++] = step;
}

/* ---- where ----------------------------------------------------------------------------------- */

static bool is_better(const struct planning *p, size_t x, size_t y)
{
	const struct standby_host *a = &p->input->hosts[x], *b = &p->input->hosts[y];

	if (p->burden[x] != p->burden[y])
		return p->burden[x] < p->burden[y];
	if (a->used < b->used || a->used > b->used)
		return a->used < b->used;
	return a->id < b->id;
}

/* The best host for a standby of @owner; 0: there is none. */
static uint16_t place_find(const struct planning *p, const struct standby_member *owner)
{
	const struct standby_input *input = p->input;
	size_t best = input->hosts_n;

	for (size_t i = 0; i < input->hosts_n; i++)
		if (input->hosts[i].takes && input->hosts[i].id != owner->host &&
		    (best == input->hosts_n || is_better(p, i, best)))
			best = i;
	return best < input->hosts_n ? input->hosts[best].id : 0;
}

/* ---- what ------------------------------------------------------------------------------------ */

static void standby_remove(struct planning *p, const struct standby_member *standby,
			   const char *why)
{
	burden_add(p, standby->host, -1);
	step_add(p, (struct standby_step){ .kind = STANDBY_REMOVE,
					   .owner = standby->standby_of,
					   .standby = standby->id,
					   .why = why });
}

/* False: there is no place for one. */
static bool standby_add(struct planning *p, const struct standby_member *owner, uint16_t replaced,
			const char *why)
{
	uint16_t host = place_find(p, owner);

	if (!host)
		return false;
	burden_add(p, host, 1);
	step_add(p, (struct standby_step){ .kind = STANDBY_ADD,
					   .owner = owner->id,
					   .host = host,
					   .standby = replaced,
					   .why = why });
	return true;
}

/* Whether it stands by where it should; else *ret_why. */
static bool is_well_placed(const struct standby_input *input, const struct standby_member *owner,
			   const struct standby_member *standby, const char **ret_why)
{
	const struct standby_host *host = host_of(input, standby->host);

	if (standby->host == owner->host)
		*ret_why = "it is on its owner's host";
	else if (standby->failed)
		*ret_why = "it has failed";
	else if (!host || !host->stays)
		*ret_why = "its host is to be emptied, has failed, or isn't allowed";
	else
		return true;
	return false;
}

/*
 * A standby that is misplaced, but works, is better than none: it goes when there is another place. The
 * owner is known and wants one.
 */
static void standby_review(struct planning *p, const struct standby_member *owner,
			   const struct standby_member *standby)
{
	const char *why;

	if (is_well_placed(p->input, owner, standby, &why))
		return;
	if (standby_add(p, owner, standby->id, why))
		burden_add(p, standby->host, -1);
	else if (standby->failed)
		standby_remove(p, standby, why);
}

static void owner_review(struct planning *p, const struct standby_member *owner)
{
	const struct standby_input *input = p->input;
	const struct standby_member *kept = NULL;

	for (size_t i = 0; i < input->members_n; i++) {
		const struct standby_member *standby = &input->members[i];

		if (standby->standby_of != owner->id)
			continue;
		if (kept) {
			standby_remove(p, standby, "its owner has another one");
			continue;
		}
		kept = standby;
		/* of an owner that is dead it is all that is left: recovery will have it */
		if (!owner->failed)
			standby_review(p, owner, standby);
	}
	if (!kept && input->first && !owner->failed)
		standby_add(p, owner, 0, "its state should survive its host");
}

static bool wants_one(const struct standby_input *input, const struct standby_member *member)
{
	return input->protect && member && !member->standby_of && member->owns;
}

int standby_plan(const struct standby_input *input, struct standby_step *ret_steps, size_t max,
		 size_t *ret_n)
{
	_cleanup_free_ unsigned int *burden = calloc(input->hosts_n + 1, sizeof(*burden));
	struct planning p = { .input = input, .steps = ret_steps, .max = max, .burden = burden };

	if (!burden)
		return -ENOMEM;
	for (size_t i = 0; i < input->members_n; i++)
		burden_add(&p, input->members[i].host, 1);
	for (size_t i = 0; i < input->members_n; i++) {
		const struct standby_member *member = &input->members[i];

		if (member->standby_of && !wants_one(input, member_of(input, member->standby_of)))
			standby_remove(&p, member,
				       input->protect ? "its owner owns nothing" :
							"the service isn't protected");
	}
	for (size_t i = 0; i < input->members_n; i++)
		if (wants_one(input, &input->members[i]))
			owner_review(&p, &input->members[i]);
	*ret_n = p.n;
	return 0;
}
