/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/bare.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "tests/bench/bare.skel.h"
#include "lib/cleanup.h"
#include "lib/netlink.h"
#include "lib/netns.h"

enum { TO_NF, TO_SERVER }; /* as in bare.bpf.c */

/* A link of the chain, and what happens to packets that come in there. */
struct hop {
	const char *host, *link;
	struct netlink_link found;
};

enum { CLIENT_SIDE, FABRIC_SIDE, SERVER_SIDE, NF, SERVER, HOPS };

static const struct hop hops_planned[HOPS] = {
	[CLIENT_SIDE] = { .host = "gw", .link = "c0" },
	[FABRIC_SIDE] = { .host = "gw", .link = "f0" },
	[SERVER_SIDE] = { .host = "gw", .link = "s0" },
	[NF] = { .host = "nf1", .link = "f0" },
	[SERVER] = { .host = "server", .link = "gw" },
};

static int netns_of(const struct lab *lab, const char *name)
{
	const struct lab_host *host = lab_host_find((struct lab *)lab, name);

	return host ? netns_open(host->netns) : -ENOENT;
}

static int hop_find(const struct lab *lab, struct hop *hop)
{
	_cleanup_close_ int netns_fd = netns_of(lab, hop->host);
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	int r = netns_fd < 0 ? netns_fd : netlink_open_in(netns_fd, &nl);

	return r ?: netlink_link_get(nl, hop->link, 0, &hop->found);
}

struct attach {
	const struct bpf_program *program;
	const struct bpf_map *ports;
	uint32_t port;
	unsigned int ifindex, to;
};

/* A devmap takes an ifindex in the namespace of its caller. */
static int attach_here(void *arg)
{
	const struct attach *a = arg;
	int r = 0;

	if (a->to)
		r = bpf_map__update_elem(a->ports, &a->port, sizeof(a->port), &a->to, sizeof(a->to),
					 BPF_ANY);
	return r     ?:
		       bpf_xdp_attach((int)a->ifindex, bpf_program__fd(a->program),
				      XDP_FLAGS_DRV_MODE, NULL);
}

static int hop_attach(const struct lab *lab, const struct hop *hop, struct attach *attach)
{
	_cleanup_close_ int netns_fd = netns_of(lab, hop->host);

	attach->ifindex = hop->found.ifindex;
	return netns_fd < 0 ? netns_fd : netns_call(netns_fd, attach_here, attach);
}

static int chain_attach(const struct lab *lab, const struct bare_bpf *bare, const struct hop *hops)
{
	struct attach to_nf = { .program = bare->progs.bare_to_nf,
				.ports = bare->maps.bare_ports,
				.port = TO_NF,
				.to = hops[FABRIC_SIDE].found.ifindex };
	struct attach back = { .program = bare->progs.bare_back };
	struct attach to_server = { .program = bare->progs.bare_to_server,
				    .ports = bare->maps.bare_ports,
				    .port = TO_SERVER,
				    .to = hops[SERVER_SIDE].found.ifindex };
	int r = hop_attach(lab, &hops[NF], &back);

	if (!r)
		r = hop_attach(lab, &hops[FABRIC_SIDE], &to_server);
	return r ?: hop_attach(lab, &hops[CLIENT_SIDE], &to_nf);
}

int bare_attach(const struct lab *lab, struct bare_bpf **ret, struct ff_error *err)
{
	struct bare_bpf *bare = bare_bpf__open();
	struct hop hops[HOPS];
	int r = bare ? 0 : -errno;

	memcpy(hops, hops_planned, sizeof(hops));
	for (size_t i = 0; i < HOPS && !r; i++)
		r = hop_find(lab, &hops[i]);
	if (!r) {
		memcpy(bare->rodata->bare_to[TO_NF], hops[NF].found.mac, NETLINK_MAC_LEN);
		memcpy(bare->rodata->bare_from[TO_NF], hops[FABRIC_SIDE].found.mac,
		       NETLINK_MAC_LEN);
		memcpy(bare->rodata->bare_to[TO_SERVER], hops[SERVER].found.mac, NETLINK_MAC_LEN);
		memcpy(bare->rodata->bare_from[TO_SERVER], hops[SERVER_SIDE].found.mac,
		       NETLINK_MAC_LEN);
		r = bare_bpf__load(bare);
	}
	if (!r)
		r = chain_attach(lab, bare, hops);
	if (r) {
		bare_bpf__destroy(bare);
		return error_set(err, r, FF_CODE_INTERNAL, NULL,
				 "can't attach the bare redirects: %s", strerror(-r));
	}
	*ret = bare;
	return 0;
}

void bare_free(struct bare_bpf *bare)
{
	bare_bpf__destroy(bare); /* takes NULL */
}
