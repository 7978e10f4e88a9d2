/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/neighbours.h"

#include <string.h>

/* Under agent.moves_lock. */
static struct http_client *known(struct agent *agent, const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent->neighbours.clients); i++) {
		struct http_client *client = agent->neighbours.clients[i];

		if (client && !strcmp(http_client_base(client), url))
			return http_client_ref(client);
	}
	return NULL;
}

/* It takes the place of the one that has been kept for longest. */
static struct http_client *keep(struct agent *agent, struct http_client *client)
{
	struct agent_neighbours *n = &agent->neighbours;
	size_t place = n->next++ % ARRAY_SIZE(n->clients);
	struct http_client *old = n->clients[place];

	n->clients[place] = http_client_ref(client);
	return old;
}

int neighbour_get(struct agent *agent, const char *url, struct http_client **ret,
		  struct ff_error *err)
{
	const struct agent_tls *own = agent->config->tls;
	struct tls_files tls = {};
	struct http_client *client, *fresh, *extra;
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
	r = http_client_new(url, own ? &tls : NULL, &fresh, err); /* reads files: not locked */
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
	for (size_t i = 0; i < ARRAY_SIZE(agent->neighbours.clients); i++)
		http_client_free(TAKE_PTR(agent->neighbours.clients[i]));
}
