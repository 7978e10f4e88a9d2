/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flow filters: libpcap's compiler, and a packet made up from a flow's key.
 *
 * Three gates stand between a text and its use:
 *   1. its words: a name that is no word of the language would be looked up in the DNS, which
 *      takes seconds, differs from host to host, and is hardly ever meant. It is refused.
 *   2. pcap_compile() for raw IP.
 *   3. the compiled program's loads: each must read what a key determines. Else the filter would
 *      compare TTLs, flags or lengths that were invented here.
 */
#include "lib/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/icmp6.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/filter_check.h"
#include "lib/flow.h"

#define FILTER_MEND "see pcap-filter(7); for example: tcp and src net 198.18.1.0/24"
#define SNAPLEN	    262144
#define L4_LEN	    20 /* a TCP header without options; more than any other we make up */
#define IPV4_LEN    20
#define IPV6_LEN    40

struct filter {
	char *text;
	struct bpf_program program;
};

/* ---- life ---------------------------------------------------------------------------------- */

/* Gate 2. libpcap's parser is reentrant, the libc look-ups that it does for names are not. */
static int text_compile(const char *expr, struct bpf_program *ret_program, struct ff_error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pcap_t *pcap = pcap_open_dead(DLT_RAW, SNAPLEN);
	int r = 0;

	if (!pcap)
		return error_nomem(err);
	pthread_mutex_lock(&lock);
	if (pcap_compile(pcap, ret_program, expr, 1, PCAP_NETMASK_UNKNOWN) < 0)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, FILTER_MEND,
			      "filter \"%.200s\": %s", expr, pcap_geterr(pcap));
	pthread_mutex_unlock(&lock);
	pcap_close(pcap);
	return r;
}

int filter_new(const char *expr, struct filter **ret_filter, struct ff_error *err)
{
	_cleanup_filter_ struct filter *filter = NULL;
	int r;

	if (!expr)
		expr = "";
	if (strlen(expr) > FILTER_TEXT_MAX)
		return error_set(err, E2BIG, FF_CODE_BAD_REQUEST, "write a shorter filter",
				 "filter of %zu characters: the bound is %d", strlen(expr),
				 FILTER_TEXT_MAX);
	filter = calloc(1, sizeof(*filter));
	if (!filter)
		return error_nomem(err);
	filter->text = strdup(expr);
	if (!filter->text)
		return error_nomem(err);
	r = filter_check_words(expr, err);
	if (r)
		return r;
	r = text_compile(expr, &filter->program, err);
	if (r)
		return r;
	if (!filter_check_loads(&filter->program))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "use IP version, protocol, addresses and ports only",
				 "filter \"%.200s\" asks for what a flow's key doesn't hold", expr);
	*ret_filter = TAKE_PTR(filter);
	return 0;
}

void filter_free(struct filter *filter)
{
	if (!filter)
		return;
	pcap_freecode(&filter->program); /* takes an empty program */
	free(filter->text);
	free(filter);
}

const char *filter_text(const struct filter *filter)
{
	return filter->text;
}

/* ---- matching ------------------------------------------------------------------------------ */

/* Writes the headers of a packet from endpoint @source to the other. Returns their length. */
static unsigned int packet_make(const struct ff_flow_key *key, unsigned int source,
				__u8 packet[IPV6_LEN + L4_LEN])
{
	unsigned int dest = !source, l3_len;
	__be16 len;

	memset(packet, 0, IPV6_LEN + L4_LEN);
	if (flow_is_ipv4(key)) {
		l3_len = IPV4_LEN;
		len = htons(IPV4_LEN + L4_LEN);
		packet[0] = 0x45;
		memcpy(packet + 2, &len, sizeof(len));
		packet[9] = key->proto;
		memcpy(packet + 12, key->addr[source] + 12, 4);
		memcpy(packet + 16, key->addr[dest] + 12, 4);
	} else {
		l3_len = IPV6_LEN;
		len = htons(L4_LEN);
		packet[0] = 0x60;
		memcpy(packet + 4, &len, sizeof(len));
		packet[6] = key->proto;
		memcpy(packet + 8, key->addr[source], 16);
		memcpy(packet + 24, key->addr[dest], 16);
	}
	if (flow_proto_has_ports(key->proto)) {
		memcpy(packet + l3_len, &key->port[source], 2);
		memcpy(packet + l3_len + 2, &key->port[dest], 2);
	}
	return l3_len;
}

static bool packet_matches(const struct filter *filter, const __u8 *packet, unsigned int len)
{
	struct pcap_pkthdr header = { .caplen = len, .len = len };

	return pcap_offline_filter(&filter->program, &header, packet) != 0;
}

bool filter_matches(const struct filter *filter, const struct ff_flow_key *key)
{
	/* an echo flow holds requests and replies, and its key doesn't tell who asks */
	static const __u8 echo4[2] = { ICMP_ECHO, ICMP_ECHOREPLY };
	static const __u8 echo6[2] = { ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY };
	const __u8 *echo = key->proto == IPPROTO_ICMP	? echo4 :
			   key->proto == IPPROTO_ICMPV6 ? echo6 :
							  NULL;
	__u8 packet[IPV6_LEN + L4_LEN];

	for (unsigned int source = 0; source < 2; source++) {
		unsigned int l3_len = packet_make(key, source, packet);

		for (unsigned int i = 0; i < (echo ? 2 : 1); i++) {
			if (echo)
				packet[l3_len] = echo[i];
			if (packet_matches(filter, packet, l3_len + L4_LEN))
				return true;
		}
	}
	return false;
}
