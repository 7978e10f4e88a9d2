/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_setup.c - the ends of a run: namespaces, addresses, ways to each other. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/traffic_options.h"
#include "tools/traffic_socket.h"

static void address_store(struct traffic_config *config, unsigned int end,
			  const struct ff_addr *addr)
{
	int family;
	const void *bytes = addr_bytes(addr, &family);

	if (family == AF_INET)
		memcpy(config->addr4[end], bytes, 4);
	else
		memcpy(config->addr6[end], bytes, 16);
}

/* The address of one end in one family: from the options, or else the first that it has. */
static int address_find(const struct text_list *given, int netns_fd, const char *name, int family,
			struct ff_addr *ret_addr, struct ff_error *err)
{
	int r;

	for (size_t i = 0; i < given->count; i++) {
		if (addr_parse(given->items[i], ret_addr) < 0)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "'%s' is no IPv4 or IPv6 address", given->items[i]);
		if (addr_is_ipv4(ret_addr) == (family == AF_INET))
			return 0;
	}
	r = netns_fd < 0 ? -ENOENT : traffic_address(netns_fd, family, ret_addr);
	if (r == -ENOENT)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "name it with --from or --to",
				 "%s has no known %s address", name,
				 family == AF_INET ? "IPv4" : "IPv6");
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, "run it as root",
				 "%s: can't read its addresses: %s", name, strerror(-r));
	return 0;
}

static void config_init(const struct traffic_settings *s, struct traffic_config *config)
{
	*config = (struct traffic_config){
		.run = s->run,
		.flows = s->flows,
		.client_ports = s->sockets ? TRAFFIC_SOCKET_CLIENT_PORTS : TRAFFIC_CLIENT_PORTS,
		.client_port = s->client_port,
		.server_port = s->server_port,
		.size = (uint16_t)s->size,
		.families = s->families,
		.order = s->order,
		.elephants = s->elephants,
		.elephants_percent = s->elephants_percent,
	};
}

/* The addresses of both ends; one whose namespace isn't here must be named. */
static int addresses_fill(struct traffic_run *run, const struct traffic_options *o,
			  struct traffic_config *config, struct ff_error *err)
{
	const struct text_list *given[2] = { &o->from, &o->to };
	static const int families[] = { AF_INET, AF_INET6 };
	struct ff_addr addr;
	int r;

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		if (!(config->families & (f ? TRAFFIC_IPV6 : TRAFFIC_IPV4)))
			continue;
		for (unsigned int i = 0; i < ARRAY_SIZE(run->ends); i++) {
			r = address_find(given[i], run->ends[i].netns_fd,
					 run->ends[i].name ?: (i ? "the server" : "the client"),
					 families[f], &addr, err);
			if (r < 0)
				return r;
			address_store(config, i, &addr);
		}
	}
	return 0;
}

static int end_setup(struct traffic_run *run, unsigned int index,
		     const struct traffic_config *config, struct ff_error *err)
{
	const struct traffic_settings *s = &run->settings;
	struct traffic_end *end = &run->ends[index];

	end->config = *config;
	end->config.direction = (uint8_t)index;
	end->sends = s->udp && (index == TRAFFIC_FORWARD || s->bidirectional);
	end->judges = s->udp && (index == TRAFFIC_REVERSE || s->bidirectional);
	/* sockets too: while the kernel resolves a neighbour it drops what doesn't fit its queue */
	return s->udp ? traffic_end_route(end, err) : 0;
}

static int netns_find(struct traffic_end *end, const char *name, struct ff_error *err)
{
	end->name = name ?: "this host";
	end->netns_fd = name ? netns_open(name) : netns_open_current();
	if (end->netns_fd < 0)
		return error_set(err, end->netns_fd, FF_CODE_NOT_FOUND,
				 "start the lab (flowferry lab up), or name another",
				 "namespace %s: %s", end->name, strerror(-end->netns_fd));
	return 0;
}

int traffic_setup_both(struct traffic_run *run, const struct traffic_options *o,
		       struct ff_error *err)
{
	const char *names[2] = { o->from_ns ?: "ff-client", o->to_ns ?: "ff-server" };
	struct traffic_config config;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(run->ends) && r == 0; i++)
		r = netns_find(&run->ends[i], names[i], err);
	config_init(&run->settings, &config);
	if (r == 0)
		r = addresses_fill(run, o, &config, err);
	for (unsigned int i = 0; i < ARRAY_SIZE(run->ends) && r == 0; i++)
		r = end_setup(run, i, &config, err);
	return r;
}

int traffic_setup_half(struct traffic_run *run, const struct traffic_options *o, unsigned int index,
		       struct ff_error *err)
{
	struct traffic_config config;
	int r;

	run->half = true;
	r = netns_find(&run->ends[index], o->netns, err);
	config_init(&run->settings, &config);
	if (index == TRAFFIC_REVERSE)
		config.run = 0; /* that of the first packet that comes */
	if (r == 0)
		r = addresses_fill(run, o, &config, err);
	if (r == 0)
		r = end_setup(run, index, &config, err);
	run->ends[!index].config = run->ends[index].config; /* for the texts of flows */
	return r;
}

void traffic_setup_done(struct traffic_run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++)
		cleanup_close(&run->ends[i].netns_fd);
}
