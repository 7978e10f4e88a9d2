/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* netlink_plain.c - does anything but a packet's destination decide where it is sent? */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/rtnl.h>

#include "lib/netlink.h"

struct look {
	size_t left;	 /* how many more to look at */
	bool dependent;	 /* one depends on more than the destination */
	bool unfinished; /* there are more than asked for */
};

static bool family_is_ip(uint8_t family)
{
	return family == AF_INET || family == AF_INET6;
}

/* A rule without a selector decides nothing by itself; of what isn't known here, one can't say. */
static bool rule_is_plain(const struct nlmsghdr *header)
{
	const struct fib_rule_hdr *rule = nlmsg_data(header);
	struct nlattr *attr;
	int rest;

	if (!family_is_ip(rule->family))
		return true;
	if (rule->src_len || rule->dst_len || rule->tos || rule->action != FR_ACT_TO_TBL)
		return false;
	nlmsg_for_each_attr(attr, (struct nlmsghdr *)header, sizeof(*rule), rest)
	{
		switch (nla_type(attr)) {
		case FRA_TABLE:
		case FRA_PRIORITY:
		case FRA_PROTOCOL:
		case FRA_SUPPRESS_PREFIXLEN:
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool route_is_plain(const struct nlmsghdr *header)
{
	const struct rtmsg *route = nlmsg_data(header);

	if (!family_is_ip(route->rtm_family))
		return true;
	return !route->rtm_src_len && !route->rtm_tos &&
	       !nlmsg_find_attr((struct nlmsghdr *)header, sizeof(*route), RTA_MULTIPATH) &&
	       !nlmsg_find_attr((struct nlmsghdr *)header, sizeof(*route), RTA_NH_ID);
}

static int message_look(struct nl_msg *msg, void *ctx)
{
	const struct nlmsghdr *header = nlmsg_hdr(msg);
	struct look *look = ctx;

	if (!look->left--) {
		look->unfinished = true;
		return NL_STOP;
	}
	if (header->nlmsg_type == RTM_NEWRULE &&
	    nlmsg_valid_hdr(header, sizeof(struct fib_rule_hdr)))
		look->dependent = !rule_is_plain(header);
	else if (header->nlmsg_type == RTM_NEWROUTE &&
		 nlmsg_valid_hdr(header, sizeof(struct rtmsg)))
		look->dependent = !route_is_plain(header);
	return look->dependent ? NL_STOP : NL_OK;
}

/* A dump that is stopped early spoils its socket, so each has one of its own. */
static int dump_look(int type, struct look *look)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	int r = netlink_open(&nl), err;

	if (r)
		return r;
	err = nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, message_look, look);
	if (err >= 0)
		err = nl_rtgen_request(nl, type, AF_UNSPEC, NLM_F_DUMP);
	if (err >= 0)
		err = nl_recvmsgs_default(nl);
	return err < 0 ? netlink_errno(err) : 0;
}

int netlink_routes_plain(size_t most, bool *ret_plain)
{
	struct look look = { .left = most };
	int r = dump_look(RTM_GETRULE, &look);

	if (!r && !look.dependent && !look.unfinished)
		r = dump_look(RTM_GETROUTE, &look);
	if (r)
		return r;
	if (look.unfinished)
		return -E2BIG;
	*ret_plain = !look.dependent;
	return 0;
}
