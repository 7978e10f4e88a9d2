/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Makes the lab's kernels behave as hosts and routers of a real network would: sysctls, offloads. */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/lab.h"

struct sysctl {
	const char *path; /* below /proc/sys/net */
	const char *value;
};

/* `default` comes before the links are made and holds for them; `all` covers what exists. */
static const struct sysctl common_sysctls[] = {
	{ "ipv4/conf/all/rp_filter", "0" },
	{ "ipv4/conf/default/rp_filter", "0" },
	/* a packet leaves an NF host by the link that it came in on; that is no mistake to report */
	{ "ipv4/conf/all/send_redirects", "0" },
	{ "ipv4/conf/default/send_redirects", "0" },
	{ "ipv4/conf/all/accept_redirects", "0" },
	{ "ipv4/conf/default/accept_redirects", "0" },
	{ "ipv4/fib_multipath_hash_policy", "1" }, /* ports too, else all flows take one gateway */
	{ "ipv4/ping_group_range", "0 2147483647" },
	{ "ipv6/conf/default/accept_dad", "0" }, /* addresses serve at once */
	{ "ipv6/conf/default/dad_transmits", "0" },
	{ "ipv6/conf/default/accept_ra", "0" },
	{ "ipv6/conf/default/router_solicitations", "0" },
	{ "ipv6/conf/default/accept_redirects", "0" },
	{ "ipv6/fib_multipath_hash_policy", "1" },
	{},
};

static const struct sysctl router_sysctls[] = {
	{ "ipv4/ip_forward", "1" },
	{ "ipv6/conf/all/forwarding", "1" },
	{ "ipv6/conf/default/forwarding", "1" },
	{},
};

static const struct sysctl switch_sysctls[] = {
	{ "ipv6/conf/default/disable_ipv6", "1" }, /* it is no host: it sends nothing by itself */
	{},
};

static int sysctls_write(void *arg)
{
	const struct sysctl *sysctl = arg;
	char path[128];

	for (; sysctl->path; sysctl++) {
		_cleanup_close_ int fd = -1;

		snprintf(path, sizeof(path), "/proc/sys/net/%s", sysctl->path);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, sysctl->value, strlen(sysctl->value)) < 0)
			return -errno;
	}
	return 0;
}

/*
 * What a local stack sends into a veth carries partial checksums and oversized segments, which a
 * frame that XDP redirects can't make good any more. GRO would make such segments on reception.
 */
static int offloads_off(void *arg)
{
	static const unsigned int commands[] = {
		ETHTOOL_STXCSUM,
		ETHTOOL_STSO,
		ETHTOOL_SGSO,
		ETHTOOL_SGRO,
	};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};

	if (fd < 0)
		return -errno;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", (const char *)arg);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct ethtool_value value = { .cmd = commands[i], .data = 0 };

		req.ifr_data = (char *)&value;
		/* EOPNOTSUPP: it is off already, since there is XDP at the link's other end */
		if (ioctl(fd, SIOCETHTOOL, &req) < 0 && errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

int lab_sysctls_write(const struct lab_host *host, int netns_fd)
{
	int r = netns_call(netns_fd, sysctls_write, (void *)common_sysctls);

	if (!r && host->role == LAB_FABRIC)
		r = netns_call(netns_fd, sysctls_write, (void *)switch_sysctls);
	if (!r && lab_host_has_agent(host))
		r = netns_call(netns_fd, sysctls_write, (void *)router_sysctls);
	return r;
}

int lab_offloads_off(int netns_fd, const char *link)
{
	return netns_call(netns_fd, offloads_off, (void *)link);
}
