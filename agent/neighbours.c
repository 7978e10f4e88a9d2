/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/neighbours.h"

#include <string.h>

/* Under agent.moves_lock. A reference, or NULL. */
static struct http_client *known(struct agent *agent, const char *url)
{
	const struct agent_neighbours *n = &agent->neighbours;

	for (size_t i = 0; i < ARRAY_SIZE(n->list); i++)
		if (n->list[i] && !strcmp(http_client_base(n->list[i]), url))
			return http_client_ref(n->list[i]);
	return NULL;
}

/* Likewise. It takes the place of the one kept for longest, which is returned. */
static struct http_client *keep(struct agent *agent, struct http_client *client)
{
	struct agent_neighbours *n = &agent->neighbours;
	struct http_client **place = &n->list[n->next++ % ARRAY_SIZE(n->list)];
	struct http_client *old = *place;

	*place = http_client_ref(client);
	return old;
}

int neighbour_get(struct agent *agent, const char *url, struct http_client **ret,
		  struct ff_error *err)
{
	const struct agent_tls *own = agent->config->tls;
	struct http_client *client, *fresh, *extra;
	struct tls_files tls = {};
	int r;

	pthread_mutex_lock(&agent->moves_lock);
	client = known(agent, url);
	pthread_mutex_unlock(&agent->moves_lock);
	if (client) {
		*ret = client;
		return 0;
	}
	if (own)
		tls = (struct tls_files){ own->ca, own->cert, own->key };
	r = http_client_new(url, own ? &tls : NULL, &fresh, err); /* may read files: not locked */
	if (r)
		return r;
	pthread_mutex_lock(&agent->moves_lock);
	client = known(agent, url);
	extra = client ? fresh : keep(agent, fresh);
	pthread_mutex_unlock(&agent->moves_lock);
	http_client_free(extra);
	*ret = client ?: fresh;
	return 0;
}

void neighbours_done(struct agent *agent)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent->neighbours.list); i++)
		http_client_free(TAKE_PTR(agent->neighbours.list[i]));
}
