/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_links.c - the host's fabric and steering interfaces: state and counters. */
#include <string.h>

#include "agent/agent.h"
#include "agent/probe.h"
#include "lib/clock.h"
#include "lib/netlink_watch.h"

#define LINKS_MAX     33 /* the fabric's, and as many steering ones as the configuration may name */
#define SPEED_FRESH_S 10 /* some drivers ask their hardware */

struct links {
	struct nl_sock *nl;
	uint64_t speed_ns;		/* when they were asked */
	uint64_t bits_per_s[LINKS_MAX]; /* 0: not known */
};

static int links_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	_cleanup_free_ struct links *links = calloc(1, sizeof(*links));
	int r;

	(void)agent;
	if (!links)
		return error_nomem(err);
	r = netlink_open(&links->nl);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't open netlink: %s",
				 strerror(-r));
	*ret_state = TAKE_PTR(links);
	return 0;
}

static void links_close(void *state)
{
	struct links *links = state;

	netlink_close(links->nl);
	free(links);
}

static void link_put(struct json_text *out, const struct netlink_counters *c, uint64_t bits_per_s)
{
	json_text_uint(out, "ifindex", c->ifindex);
	json_text_bool(out, "up", c->up);
	json_text_bool(out, "carrier", c->carrier);
	json_text_uint(out, "mtu", c->mtu);
	json_text_uint(out, "rx_packets", c->rx_packets);
	json_text_uint(out, "rx_bytes", c->rx_bytes);
	json_text_uint(out, "rx_errors", c->rx_errors);
	json_text_uint(out, "rx_dropped", c->rx_dropped);
	json_text_uint(out, "tx_packets", c->tx_packets);
	json_text_uint(out, "tx_bytes", c->tx_bytes);
	json_text_uint(out, "tx_errors", c->tx_errors);
	json_text_uint(out, "tx_dropped", c->tx_dropped);
	if (bits_per_s)
		json_text_uint(out, "bits_per_s", bits_per_s);
}

/* A link that is gone is in the list as well, without counters, and says why. */
static int links_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		      struct ff_error *err)
{
	const struct agent_config *config = agent->config;
	struct links *links = state;
	bool ask = !links->speed_ns || now_ns - links->speed_ns > SPEED_FRESH_S * NSEC_PER_SEC;

	(void)err;
	json_text_open(out, NULL, '[');
	for (unsigned int i = 0; i <= config->steering_count && i < LINKS_MAX; i++) {
		const char *name = i ? config->steering[i - 1] : config->fabric->interface;
		struct netlink_counters counters;
		int r = netlink_link_counters(links->nl, name, &counters);

		if (!r && ask && netlink_link_speed(name, &links->bits_per_s[i]))
			links->bits_per_s[i] = 0;
		json_text_open(out, NULL, '{');
		json_text_str(out, "interface", name);
		json_text_str(out, "role", i ? "steering" : "fabric");
		if (r)
			json_text_str(out, "missing", strerror(-r));
		else
			link_put(out, &counters, links->bits_per_s[i]);
		json_text_close(out, '}');
	}
	json_text_close(out, ']');
	if (ask)
		links->speed_ns = now_ns;
	return 0;
}

/* Each costs 0.1 ms, and what matters most, the carrier, is heard at once. */
#define LINKS_PERIOD_MS 500

const struct probe probe_links = { "links", LINKS_PERIOD_MS, links_open, links_read, links_close };
