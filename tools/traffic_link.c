/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_link.c - what an end's own interfaces refused to send.
 *
 * A frame that a veth's full queue refuses is lost, but not by the network under test. The driver
 * counts it, and nobody else: a redirect in XDP has no return value for it.
 */

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/traffic.h"

#define STATS_MAX   4096 /* counters of one interface; veth has a dozen for each queue */
#define REFUSED_END "_xdp_xmit_errors"

static int ethtool_call(int fd, const char *name, void *data)
{
	struct ifreq request = { .ifr_data = data };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

static int stats_count(int fd, const char *name, uint32_t *ret_count)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t count;
	} request = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_STATS } };
	int r = ethtool_call(fd, name, &request);

	if (r < 0)
		return r;
	if (!request.info.sset_mask || request.count > STATS_MAX)
		return -EOPNOTSUPP;
	*ret_count = request.count;
	return 0;
}

/* Sum of the counters whose names end in REFUSED_END. */
static int refused_read(int fd, const char *name, uint64_t *ret_count)
{
	_cleanup_free_ struct ethtool_gstrings *names = NULL;
	_cleanup_free_ struct ethtool_stats *stats = NULL;
	uint32_t count;
	int r;

	r = stats_count(fd, name, &count);
	if (r < 0)
		return r;
	names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	stats = calloc(1, sizeof(*stats) + (size_t)count * sizeof(stats->data[0]));
	if (!names || !stats)
		return -ENOMEM;
	*names = (struct ethtool_gstrings){ ETHTOOL_GSTRINGS, ETH_SS_STATS, count };
	*stats = (struct ethtool_stats){ ETHTOOL_GSTATS, count };
	r = ethtool_call(fd, name, names);
	if (r == 0)
		r = ethtool_call(fd, name, stats);
	if (r < 0)
		return r;
	*ret_count = 0;
	for (uint32_t i = 0; i < MIN(names->len, stats->n_stats); i++) {
		const char *text = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		size_t len = strnlen(text, ETH_GSTRING_LEN), end = strlen(REFUSED_END);

		if (len > end && memcmp(text + len - end, REFUSED_END, end) == 0)
			*ret_count += stats->data[i];
	}
	return 0;
}

struct refused_call {
	const struct traffic_end *end;
	uint64_t counts[TRAFFIC_LINKS_MAX];
};

static int refused_collect(void *arg)
{
	struct refused_call *call = arg;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[IF_NAMESIZE];

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < call->end->n_links; i++)
		if (if_indextoname(call->end->links[i].ifindex, name))
			refused_read(fd, name, &call->counts[i]);
	return 0;
}

uint64_t traffic_end_refused(const struct traffic_end *end)
{
	struct refused_call call = { .end = end };
	uint64_t refused = 0;

	netns_call(end->netns_fd, refused_collect, &call); /* drivers without it: nothing to say */
	for (size_t i = 0; i < end->n_links; i++)
		refused += call.counts[i];
	return refused;
}
