/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sample_protect.c - what a sample tells of other hosts' data paths, of standbys and of failed instances. */
#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/sample.h"

#define COUNT_MAX ((int64_t)1 << 60)
#define AGE_MAX_MS                                                                                 \
	((int64_t)1 << 40) /* 35 years: a clock that is wrong, not a host that was quiet */

static const char *const states[] = { [STANDBY_NONE] = "none",
				      [STANDBY_COPYING] = "copying",
				      [STANDBY_SYNCED] = "synced",
				      [STANDBY_BROKEN] = "broken" };

const char *sample_standby_name(enum sample_standby_state state)
{
	return state < ARRAY_SIZE(states) ? states[state] : "?";
}

static int count_get(const json_t *json, const char *name, uint64_t *ret, struct ff_error *err)
{
	int64_t value = 0;
	int r = json_opt_range(json, name, 0, COUNT_MAX, &value, err);

	*ret = (uint64_t)value;
	return r;
}

static int age_get(const json_t *json, const char *name, bool *ret_known, uint64_t *ret_ms,
		   struct ff_error *err)
{
	int64_t age_ms = -1;
	int r = json_opt_range(json, name, 0, AGE_MAX_MS, &age_ms, err);

	*ret_known = age_ms >= 0;
	*ret_ms = (uint64_t)MAX(age_ms, 0);
	return r;
}

/* ---- peers ----------------------------------------------------------------------------------- */

static int peer_read(struct sample_peer *peer, const json_t *json, struct ff_error *err)
{
	int64_t host;
	int r = json_get_range(json, "host", 1, FF_HOSTS_MAX - 1, &host, err);

	if (!r)
		r = age_get(json, "heard_ms", &peer->heard, &peer->heard_ms, err);
	if (!r)
		r = count_get(json, "tx_packets", &peer->tx_packets, err);
	if (!r)
		r = count_get(json, "tx_unheard", &peer->tx_unheard, err);
	if (r)
		return r;
	peer->host = (uint16_t)host;
	if (peer->tx_unheard > peer->tx_packets)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "more packets were sent in vain than were sent");
	return 0;
}

int sample_peers_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	bool seen[FF_HOSTS_MAX] = { false };
	const json_t *item;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) >= FF_HOSTS_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "peers is no list, or too long");
	json_array_foreach(json, i, item) {
		struct sample_peer *peer = &sample->peers[i];
		int r = peer_read(peer, item, err);

		if (r)
			return r;
		if (seen[peer->host])
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "a peer is told twice");
		seen[peer->host] = true;
		sample->peers_n++;
	}
	return 0;
}

/* ---- an instance ----------------------------------------------------------------------------- */

static int state_get(const json_t *json, enum sample_standby_state *ret, struct ff_error *err)
{
	const char *text;
	int r = json_get_str(json, "state", &text, err);

	if (r)
		return r;
	for (size_t i = STANDBY_COPYING; i < ARRAY_SIZE(states); i++)
		if (!strcmp(states[i], text)) {
			*ret = i;
			return 0;
		}
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "a standby can't be \"%s\"", text);
}

static int standby_read(struct sample_standby *standby, const json_t *json, struct ff_error *err)
{
	struct {
		const char *name;
		uint64_t *value;
	} counts[] = { { "lag_ms", &standby->lag_ms },
		       { "rounds", &standby->rounds },
		       { "bytes", &standby->bytes },
		       { "flows", &standby->flows },
		       { "resends", &standby->resends } };
	const char *error = "";
	int64_t instance;
	int r = json_get_range(json, "instance", 1, FF_INSTANCES_MAX - 1, &instance, err);

	if (!r)
		r = state_get(json, &standby->state, err);
	for (size_t i = 0; i < ARRAY_SIZE(counts) && !r; i++)
		r = count_get(json, counts[i].name, counts[i].value, err);
	if (!r)
		r = json_opt_str(json, "error", &error, err);
	if (r)
		return r;
	standby->instance = (uint16_t)instance;
	snprintf(standby->error, sizeof(standby->error), "%s", error);
	return 0;
}

int sample_protect_read(struct sample_instance *instance, const json_t *json, struct ff_error *err)
{
	const char *failed = "";
	json_t *standby = NULL;
	int r = json_opt_object(json, "standby", &standby, err);

	if (!r && standby)
		r = standby_read(&instance->standby, standby, err);
	if (!r)
		r = json_opt_str(json, "failed", &failed, err);
	snprintf(instance->failed, sizeof(instance->failed), "%s", failed);
	return r;
}
