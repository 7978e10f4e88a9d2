/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sample_lives.c - what a sample says of how long flows have lived. */
#include <errno.h>
#include <stdlib.h>

#include "lib/json.h"
#include "orchestrator/sample.h"

#define COUNT_MAX ((int64_t)1 << 60)

static int absurd(struct ff_error *err, const char *what)
{
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s", what);
}

static int lives_one(struct sample_lives *lives, const json_t *json, struct ff_error *err)
{
	json_t *ended = NULL, *item;
	int64_t instance, began;
	size_t bin;
	int r = json_get_range(json, "instance", 1, FF_INSTANCES_MAX - 1, &instance, err);

	if (!r)
		r = json_get_range(json, "began", 0, COUNT_MAX, &began, err);
	if (!r)
		r = json_get_array(json, "ended", &ended, err);
	if (r)
		return r;
	if (json_array_size(ended) > FF_LIVES)
		return absurd(err, "flows lived longer than can be told");
	json_array_foreach(ended, bin, item) {
		json_int_t count = json_integer_value(item);

		if (!json_is_integer(item) || count < 0 || count > COUNT_MAX)
			return absurd(err, "a number of flows makes no sense");
		lives->ended[bin] = (uint64_t)count;
	}
	lives->instance = (uint16_t)instance;
	lives->began = (uint64_t)began;
	return 0;
}

int sample_lives_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	bool seen[FF_INSTANCES_MAX] = { false };
	const json_t *item;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) >= FF_INSTANCES_MAX)
		return absurd(err, "lives is no list, or too long");
	sample->lives = calloc(json_array_size(json) + 1, sizeof(*sample->lives));
	if (!sample->lives)
		return error_nomem(err);
	json_array_foreach(json, i, item) {
		int r = lives_one(&sample->lives[i], item, err);

		if (r)
			return r;
		if (seen[sample->lives[i].instance])
			return absurd(err, "an instance is told twice");
		seen[sample->lives[i].instance] = true;
		sample->lives_n++;
	}
	return 0;
}
