/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/neighbours.h"

#include <string.h>

/* Under agent.moves_lock. */
static struct neighbour *find(struct agent_neighbours *n, const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(n->list); i++)
		if (n->list[i].client && !strcmp(http_client_base(n->list[i].client), url))
			return &n->list[i];
	return NULL;
}

/* Likewise. Its connections have shown the certificates of its time: after a renewal it is of no use. */
static struct http_client *known(struct agent *agent, const char *url,
				 const struct tls_stamp *stamp)
{
	const struct neighbour *neighbour = find(&agent->neighbours, url);

	return neighbour && !memcmp(&neighbour->stamp, stamp, sizeof(*stamp)) ?
		       http_client_ref(neighbour->client) :
		       NULL;
}

/* Likewise. It takes the place of an older one for the same host, or of the one kept for longest. */
static struct http_client *keep(struct agent *agent, struct http_client *client,
				const struct tls_stamp *stamp)
{
	struct agent_neighbours *n = &agent->neighbours;
	struct neighbour *place = find(n, http_client_base(client));
	struct http_client *old;

	if (!place)
		place = &n->list[n->next++ % ARRAY_SIZE(n->list)];
	old = place->client;
	*place = (struct neighbour){ .client = http_client_ref(client), .stamp = *stamp };
	return old;
}

int neighbour_get(struct agent *agent, const char *url, struct http_client **ret,
		  struct ff_error *err)
{
	const struct agent_tls *own = agent->config->tls;
	struct http_client *client, *fresh, *extra;
	struct tls_stamp stamp = {};
	struct tls_files tls = {};
	int r;

	if (own) {
		tls = (struct tls_files){ own->ca, own->cert, own->key };
		tls_stamp_take(&tls, &stamp); /* before they are read: never newer than what is */
	}
	pthread_mutex_lock(&agent->moves_lock);
	client = known(agent, url, &stamp);
	pthread_mutex_unlock(&agent->moves_lock);
	if (client) {
		*ret = client;
		return 0;
	}
	r = http_client_new(url, own ? &tls : NULL, &fresh, err); /* reads files: not locked */
	if (r)
		return r;
	pthread_mutex_lock(&agent->moves_lock);
	client = known(agent, url, &stamp);
	extra = client ? fresh : keep(agent, fresh, &stamp);
	pthread_mutex_unlock(&agent->moves_lock);
	http_client_free(extra);
	*ret = client ?: fresh;
	return 0;
}

void neighbours_done(struct agent *agent)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent->neighbours.list); i++)
		http_client_free(TAKE_PTR(agent->neighbours.list[i].client));
}
