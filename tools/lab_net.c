/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Makes the lab's network as planned. One netlink socket for each namespace does most of it; only
 * sysctls and offloads (lab_tune.c) and XDP (lab_bpf.c) need a visit to the namespace.
 */
#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "lib/netlink.h"
#include "lib/netns.h"
#include "tools/lab.h"

#define FABRIC_LINK "f0" /* a host's end of its fabric link; the switch's is named after the host */
#define CLIENT_LINK                                                                                \
	"c0" /* a gateway's end to the client; the client's is named after the gateway */
#define SERVER_LINK "s0"

/* What all sockets of a host may have under way; their own buffers bound them before this does. */
#define QUEUE_PACKETS 10000

#define ADDRESS_MAX   (INET6_ADDRSTRLEN + 4)

/* A namespace while the network is made. */
struct site {
	const struct lab_host *host;
	int netns_fd;
	struct nl_sock *nl;
};

struct net {
	const struct lab *lab;
	struct lab_xdp xdp;
	struct site sites[LAB_HOSTS_MAX]; /* as lab->hosts */
};

static int net_fail(struct ff_error *err, int r, const struct lab_host *host, const char *what)
{
	return error_set(err, r, FF_CODE_INTERNAL, r == -EPERM ? "run it as root" : NULL,
			 "namespace %s: %s: %s", host->netns, what, strerror(-r));
}

/* Of a role that every lab has. */
static struct site *site_find(struct net *net, enum lab_role role)
{
	size_t i = 0;

	while (net->sites[i].host->role != role) {
		i++;
		assert(i < net->lab->n_hosts);
	}
	return &net->sites[i];
}

/* ---- namespaces ---------------------------------------------------------------------------------- */

static int site_open(struct site *site, struct ff_error *err)
{
	int r;

	r = netns_create(site->host->netns);
	if (r)
		return net_fail(err, r, site->host, "can't be made");
	site->netns_fd = netns_open(site->host->netns);
	if (site->netns_fd < 0)
		return net_fail(err, site->netns_fd, site->host, "can't be opened");
	r = netlink_open_in(site->netns_fd, &site->nl);
	if (r)
		return net_fail(err, r, site->host, "no netlink socket");
	r = lab_sysctls_write(site->host, site->netns_fd);
	if (r)
		return net_fail(err, r, site->host, "can't set its sysctls");
	r = netlink_link_up(site->nl, "lo");
	return r ? net_fail(err, r, site->host, "can't set lo up") : 0;
}

/* ---- links ------------------------------------------------------------------------------------- */

/* One end of a link. */
struct end {
	struct site *site;
	const char *link;
	const char *ipv4; /* with prefix length; NULL: none */
	const char *ipv6;
};

/* Locally administered; the octets say whose it is, for people who read a capture. */
static void mac_make(uint8_t mac[NETLINK_MAC_LEN], const struct end *end, const struct end *other)
{
	const uint8_t made[NETLINK_MAC_LEN] = {
		0x02,
		0xff,
		(uint8_t)end->site->host->role,
		(uint8_t)end->site->host->number,
		(uint8_t)other->site->host->role,
		(uint8_t)other->site->host->number,
	};

	memcpy(mac, made, sizeof(made));
}

/* An agent attaches its own program; everybody else who receives frames needs one that passes. */
static int end_attach(struct net *net, const struct end *end, const struct end *other)
{
	const struct lab_host *host = end->site->host;
	uint8_t mac[NETLINK_MAC_LEN];
	unsigned int ifindex;
	int r;

	r = netlink_link_index(end->site->nl, end->link, &ifindex);
	if (r)
		return r;
	if (host->role == LAB_FABRIC) {
		mac_make(mac, other, end);
		return lab_xdp_port(&net->xdp, end->site->netns_fd, ifindex,
				    (unsigned int)(other->site - net->sites), mac);
	}
	r = lab_offloads_off(end->site->netns_fd, end->link);
	if (!r)
		r = netlink_qdisc_fifo(end->site->nl, end->link, QUEUE_PACKETS);
	if (r)
		return r;
	if (lab_host_has_agent(host) && !net->lab->options.no_daemons)
		return 0;
	return lab_xdp_pass(&net->xdp, end->site->netns_fd, ifindex);
}

static int end_up(struct net *net, const struct end *end, const struct end *other)
{
	int r = end_attach(net, end, other);

	if (!r)
		r = netlink_link_up(end->site->nl, end->link);
	if (!r && end->ipv4)
		r = netlink_address_add(end->site->nl, end->link, end->ipv4);
	if (!r && end->ipv6)
		r = netlink_address_add(end->site->nl, end->link, end->ipv6);
	return r;
}

static int wire(struct net *net, const struct end *a, const struct end *b, unsigned int mtu,
		struct ff_error *err)
{
	struct netlink_veth_end ends[2] = {
		{ .name = a->link, .netns_fd = a->site->netns_fd },
		{ .name = b->link, .netns_fd = b->site->netns_fd },
	};
	int r;

	mac_make(ends[0].mac, a, b);
	mac_make(ends[1].mac, b, a);
	r = netlink_veth_add(a->site->nl, ends, mtu);
	if (r)
		return net_fail(err, r, a->site->host, "can't make its link");
	r = end_up(net, a, b);
	if (r)
		return net_fail(err, r, a->site->host, "can't set its link up");
	r = end_up(net, b, a);
	return r ? net_fail(err, r, b->site->host, "can't set its link up") : 0;
}

/* A host on the fabric and its port of the switch. */
static int fabric_wire(struct net *net, struct site *site, struct ff_error *err)
{
	char ipv4[ADDRESS_MAX], ipv6[ADDRESS_MAX];
	struct end host = { site, FABRIC_LINK, ipv4, ipv6 };
	struct end port = { site_find(net, LAB_FABRIC), site->host->name, NULL, NULL };

	snprintf(ipv4, sizeof(ipv4), "%s/24", site->host->ipv4);
	snprintf(ipv6, sizeof(ipv6), "%s/64", site->host->ipv6);
	return wire(net, &port, &host, net->lab->options.fabric_mtu, err);
}

/* The gateways are .1 and .3: .2 is the end host. */
static unsigned int gateway_octet(const struct lab_host *gateway)
{
	return 2 * gateway->number - 1;
}

/*
 * A gateway's link to the client (net 1) or the server (net 2). An end host has its address on every
 * link, as /24 on the first one alone, and a host route to each further gateway.
 */
static int access_wire(struct net *net, struct site *gateway, struct site *end_site,
		       unsigned int number, const char *link, struct ff_error *err)
{
	char gw4[ADDRESS_MAX], gw6[ADDRESS_MAX], end4[ADDRESS_MAX], end6[ADDRESS_MAX];
	bool first = gateway->host->number == 1;
	struct end gw = { gateway, link, gw4, gw6 };
	struct end end = { end_site, gateway->host->name, end4, end6 };
	const struct netlink_via on_link = { NULL, gateway->host->name };
	int r;

	snprintf(gw4, sizeof(gw4), "198.18.%u.%u/24", number, gateway_octet(gateway->host));
	snprintf(gw6, sizeof(gw6), "2001:db8:%u::%u/64", number, gateway_octet(gateway->host));
	snprintf(end4, sizeof(end4), "%s/%d", end_site->host->ipv4, first ? 24 : 32);
	snprintf(end6, sizeof(end6), "%s/%d", end_site->host->ipv6, first ? 64 : 128);
	r = wire(net, &gw, &end, LAB_ACCESS_MTU, err);
	if (r || first)
		return r;
	*strchr(gw4, '/') = *strchr(gw6, '/') = '\0';
	r = netlink_route_add(end_site->nl, gw4, &on_link, 1);
	if (!r)
		r = netlink_route_add(end_site->nl, gw6, &on_link, 1);
	return r ? net_fail(err, r, end_site->host, "can't add the route to its gateway") : 0;
}

/* ---- routes ------------------------------------------------------------------------------------ */

/* The default routes of a host, through every gateway: 198.18.NET.x on the link named for it. */
static int default_routes_add(struct net *net, struct site *site, unsigned int number,
			      struct ff_error *err)
{
	char addresses[2][LAB_GATEWAYS_MAX][ADDRESS_MAX];
	struct netlink_via via[2][LAB_GATEWAYS_MAX];
	unsigned int count = 0;
	int r;

	for (size_t i = 0; i < net->lab->n_hosts; i++) {
		const struct lab_host *gw = net->sites[i].host;
		bool fabric = site->host->role == LAB_NF_HOST;
		unsigned int octet = fabric ? gw->number : gateway_octet(gw);
		const char *link = fabric ? FABRIC_LINK : gw->name;

		if (gw->role != LAB_GATEWAY)
			continue;
		snprintf(addresses[0][count], ADDRESS_MAX, "198.18.%u.%u", number, octet);
		snprintf(addresses[1][count], ADDRESS_MAX, "2001:db8:%u::%u", number, octet);
		via[0][count] = (struct netlink_via){ addresses[0][count], link };
		via[1][count] = (struct netlink_via){ addresses[1][count], link };
		count++;
	}
	r = netlink_route_add(site->nl, "default", via[0], count);
	if (!r)
		r = netlink_route_add(site->nl, "default", via[1], count);
	return r ? net_fail(err, r, site->host, "can't add its default routes") : 0;
}

static int site_wire(struct net *net, struct site *site, struct ff_error *err)
{
	int r;

	if (*site->host->ipv4 && site->host->role != LAB_CLIENT && site->host->role != LAB_SERVER) {
		r = fabric_wire(net, site, err);
		if (r)
			return r;
	}
	switch (site->host->role) {
	case LAB_NF_HOST:
		return default_routes_add(net, site, 8, err);
	case LAB_GATEWAY:
		r = access_wire(net, site, site_find(net, LAB_CLIENT), 1, CLIENT_LINK, err);
		if (!r)
			r = access_wire(net, site, site_find(net, LAB_SERVER), 2, SERVER_LINK, err);
		return r;
	default:
		return 0;
	}
}

static int net_make(struct net *net, struct ff_error *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < net->lab->n_hosts; i++)
		r = site_open(&net->sites[i], err) ?: lab_check_interrupted(err);
	for (size_t i = 0; !r && i < net->lab->n_hosts; i++)
		r = site_wire(net, &net->sites[i], err) ?: lab_check_interrupted(err);
	for (size_t i = 0; !r && i < net->lab->n_hosts; i++) {
		r = lab_queues_pin(net->sites[i].netns_fd);
		if (r)
			net_fail(err, r, net->sites[i].host, "can't give each CPU its queue");
	}
	if (!r)
		r = default_routes_add(net, site_find(net, LAB_CLIENT), 1, err);
	if (!r)
		r = default_routes_add(net, site_find(net, LAB_SERVER), 2, err);
	return r;
}

int lab_net_up(const struct lab *lab, struct ff_error *err)
{
	_cleanup_free_ struct net *net = calloc(1, sizeof(*net)); /* too large for a stack */
	int r;

	if (!net)
		return error_nomem(err);
	net->lab = lab;
	for (size_t i = 0; i < lab->n_hosts; i++)
		net->sites[i] = (struct site){ .host = &lab->hosts[i], .netns_fd = -1 };
	r = lab_xdp_init(&net->xdp, err);
	if (!r)
		r = net_make(net, err);
	lab_xdp_done(&net->xdp);
	for (size_t i = 0; i < lab->n_hosts; i++) {
		netlink_close(net->sites[i].nl);
		if (net->sites[i].netns_fd >= 0)
			close(net->sites[i].netns_fd);
	}
	return r;
}

int lab_net_addresses(const struct lab_host *host, json_t **ret)
{
	_cleanup_free_ struct netlink_address *list = NULL;
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	_cleanup_close_ int netns_fd = netns_open(host->netns);
	_cleanup_json_ json_t *array = json_array();
	char text[ADDR_TEXT_MAX];
	size_t count;
	int r = netns_fd < 0 ? netns_fd : netlink_open_in(netns_fd, &nl);

	if (!r)
		r = netlink_address_list(nl, 0, &list, &count);
	for (size_t i = 0; !r && i < count; i++)
		if (list[i].scope == RT_SCOPE_UNIVERSE &&
		    json_array_append_new(array,
					  json_sprintf("%s/%u", addr_format(&list[i].addr, text),
						       list[i].prefix_len)))
			r = -ENOMEM;
	if (!r)
		*ret = TAKE_PTR(array);
	return r;
}
