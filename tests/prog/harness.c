/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* harness.c - the host of the tests and its data path. */
#include "tests/prog/harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/flow.h"
#include "tests/prog/harness_internal.h"
#include "bpf/datapath.skel.h" /* after what declares the types of its variables */

#define HOST_SELF 1
#define HOST_PEER 2

const __u64 RIG_SEED[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };

struct rig *rig;

static const char *const PORT_NAMES[RIG_PORTS] = { "c0", "s0", "f0" };

/* ---- the host ------------------------------------------------------------------------------ */

static void shell(const char *command)
{
	cr_assert_eq(system(command), 0, "%s failed", command);
}

static void file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) > 0, "%s: %s", path, strerror(errno));
	close(fd);
}

static void namespace_init(void)
{
	cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0,
		     "unshare: %s: tests/prog needs root: sudo make prog", strerror(errno));
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0, "%s", strerror(errno));
	cr_assert_eq(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL), 0, "bpffs: %s", strerror(errno));
	file_write("/proc/sys/net/ipv4/conf/all/forwarding", "1");
	file_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	/* far ends are mute: a router solicitation of theirs would be counted as a test's packet */
	file_write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

/* Port `no` is on networks 198.18.NET.0/24 and 2001:db8:NET::/64; .2 and ::2 are behind it. */
static void port_init(enum rig_port port, int net)
{
	const char *name = PORT_NAMES[port];
	char batch[1024], path[64];

	snprintf(batch, sizeof(batch),
		 "ip link add %1$s mtu %2$d numrxqueues 1 numtxqueues 1 "
		 "type veth peer name %1$s-far mtu %2$d numrxqueues 1 numtxqueues 1",
		 name, RIG_MTU);
	shell(batch);
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	file_write(path, "0");
	snprintf(
		batch, sizeof(batch),
		"ip -batch - <<'END'\n"
		"link set %1$s address 02:00:00:00:00:02 up\n" /* PACKET_MAC_DST */
		"link set %1$s-far address 02:00:00:00:%2$02d:02 up\n"
		"address add 198.18.%2$d.1/24 dev %1$s\n"
		"address add 2001:db8:%2$d::1/64 dev %1$s nodad\n"
		"neighbour add 198.18.%2$d.2 lladdr 02:00:00:00:%2$02d:02 dev %1$s nud permanent\n"
		"neighbour add 2001:db8:%2$d::2 lladdr 02:00:00:00:%2$02d:02 dev %1$s nud permanent\n"
		"END",
		name, net);
	shell(batch);
	rig->ifindex[port] = if_nametoindex(name);
	cr_assert(rig->ifindex[port]);
}

/* ---- the data path's maps ------------------------------------------------------------------ */

/* An element of a map that is a section of data. NULL: that's no name of one. */
static void *section_at(const char *name, const void *key, size_t *ret_size)
{
	const struct datapath_bpf *dp = rig->datapath;
	const struct {
		const char *name;
		void *start;
		size_t size;
	} all[] = {
		{ "host_info", dp->data_host_info, sizeof(struct ff_host_info) },
		{ "services", dp->data_services, sizeof(struct ff_service) },
		{ "instances", dp->data_instances, sizeof(struct ff_instance) },
		{ "peers", dp->data_peers, sizeof(struct ff_peer) },
		{ "peer_sent", dp->data_peer_sent, sizeof(struct ff_sent) },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		if (!strcmp(all[i].name, name)) {
			*ret_size = all[i].size;
			return (uint8_t *)all[i].start + *(const uint32_t *)key * all[i].size;
		}
	}
	return NULL;
}

static struct bpf_map *map_find(const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(rig->datapath->obj, name);
	char section[32];

	snprintf(section, sizeof(section), ".data.%s", name);
	if (!map)
		map = bpf_object__find_map_by_name(rig->datapath->obj, section);

	if (!map && rig->nf)
		map = nf_map_find(rig->nf, name);
	cr_assert(map, "no map %s", name);
	return map;
}

int rig_map(const char *name)
{
	return bpf_map__fd(map_find(name));
}

void rig_map_set(const char *name, const void *key, const void *value)
{
	size_t size;
	void *at = section_at(name, key, &size);

	if (at)
		memcpy(at, value, size);
	else
		cr_assert_eq(bpf_map_update_elem(rig_map(name), key, value, BPF_ANY), 0,
			     "map %s: %s", name, strerror(errno));
}

void rig_map_get(const char *name, const void *key, void *ret_value)
{
	size_t size;
	const void *at = section_at(name, key, &size);

	if (at)
		memcpy(ret_value, at, size);
	else
		cr_assert_eq(bpf_map_lookup_elem(rig_map(name), key, ret_value), 0, "map %s: %s",
			     name, strerror(errno));
}

bool rig_map_has(const char *name, const void *key)
{
	uint8_t value[8192];

	return !bpf_map_lookup_elem(rig_map(name), key, value);
}

static void map_set_at(const char *name, uint32_t index, const void *value)
{
	rig_map_set(name, &index, value);
}

void rig_owner_set(uint16_t slot, const struct ff_steer *steer)
{
	struct ff_service service;
	struct ff_slot entry = { .steer = *steer };
	uint32_t number = RIG_SERVICE;

	rig_map_get("services", &number, &service);
	map_set_at("table", FF_TABLE_INDEX(RIG_SERVICE, service.active, slot), &entry);
}

void rig_owner_set_all(const struct ff_steer *steer)
{
	for (uint16_t slot = 0; slot < RIG_SLOTS; slot++)
		rig_owner_set(slot, steer);
}

static void iface_set(enum rig_port port, int net, uint32_t role)
{
	struct ff_iface iface = {
		.role = role,
		.mtu = RIG_MTU,
		.ipv4 = { 198, 18, (uint8_t)net, 1 },
		.ipv6 = { 0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)net, [15] = 1 },
	};
	struct ff_addr address = { .word[2] = htonl(0xffff) };
	uint32_t one = 1;

	memcpy(iface.mac, PACKET_MAC_DST, sizeof(iface.mac));
	memcpy(&address.word[3], iface.ipv4, 4);
	rig_map_set("ifaces", &rig->ifindex[port], &iface);
	rig_map_set("tx_ports", &rig->ifindex[port], &rig->ifindex[port]);
	rig_map_set("local_addrs", &address, &one);
	memcpy(&address, iface.ipv6, 16);
	rig_map_set("local_addrs", &address, &one);
}

/* Host 2 on the fabric, as the agent would prepare it, over IPv4. */
static void peer_set(void)
{
	struct packet outer = {
		.dst_mac = { 2, 0, 0, 0, 8, 2 },
		.src_mac = { 2, 0, 0, 0, 0, 2 },
		.src = "198.18.8.1",
		.dst = "198.18.8.2",
		.proto = IPPROTO_UDP,
		.dport = FF_GENEVE_PORT,
		.tunnel = GENEVE(.vni = 0),
	};
	struct ff_peer peer = {
		.ready = 1,
		.ifindex = rig->ifindex[RIG_FABRIC],
		.encap_len = FF_ENCAP_V4,
		.mtu = RIG_MTU,
	};
	struct ff_addr address = { .word = { 0, 0, htonl(0xffff), inet_addr("198.18.8.2") } };
	uint32_t host = HOST_PEER;
	struct frame frame;

	packet_build(&outer, &frame);
	cr_assert_eq(frame.len, FF_ENCAP_V4);
	memset(frame.data + 14 + 2, 0, 2);   /* total length */
	memset(frame.data + 14 + 10, 0, 2);  /* checksum */
	memset(frame.data + 34, 0, 2);	     /* UDP source port */
	memset(frame.data + 34 + 4, 0, 4);   /* length and checksum */
	memset(frame.data + 34 + 20, 0, 12); /* what the option says of a packet */
	memcpy(peer.header, frame.data, frame.len);
	for (int i = 0; i < 20; i += 2)
		peer.csum += *(uint16_t *)(frame.data + 14 + i);
	map_set_at("peers", HOST_PEER, &peer);
	rig_map_set("peer_addrs", &address, &host);
}

static void maps_init(void)
{
	struct ff_service service = {
		.used = 1,
		.any = 1,
		.slot_mask = RIG_SLOTS - 1,
		.group_shift = RIG_GROUP_SHIFT,
		.seed = { RIG_SEED[0], RIG_SEED[1] },
		.version = 1,
		.epoch = 1,
	};
	struct ff_instance instance = { .service = RIG_SERVICE };
	struct ff_steer here = { .owner = RIG_HERE, .here = RIG_HERE };
	struct ff_host_info host = { .host = HOST_SELF };

	ff_slot_keys_make(service.seed, &service.keys);
	memset(host.local, 0xff, sizeof(host.local)); /* any address may be its own */
	map_set_at("host_info", 0, &host);
	map_set_at("services", RIG_SERVICE, &service);
	for (uint16_t number = RIG_HERE; number <= RIG_NOWHERE; number++) {
		instance.host = number; /* instance n is on host n */
		map_set_at("instances", number, &instance);
	}
	rig_owner_set_all(&here);
	iface_set(RIG_CLIENT, 1, FF_IFACE_STEERING);
	iface_set(RIG_SERVER, 2, FF_IFACE_STEERING);
	iface_set(RIG_FABRIC, 8, FF_IFACE_FABRIC);
	peer_set();
}

static void program_register(uint32_t index, const struct bpf_program *prog)
{
	int fd = bpf_program__fd(prog);

	map_set_at("progs", index, &fd);
}

static void programs_init(enum rig_parts parts)
{
	struct datapath_bpf *dp = rig->datapath;
	int steer = bpf_program__fd(dp->progs.steer), fabric = bpf_program__fd(dp->progs.fabric);

	program_register(FF_PROG_FORWARD, dp->progs.forward);
	if (parts == RIG_ALL) {
		program_register(FF_PROG_TOO_BIG, dp->progs.too_big);
		program_register(FF_PROG_FENCE, dp->progs.fence);
		program_register(FF_PROG_RELEASE, dp->progs.release);
	}
	/* native: an attached program is also what makes a veth fit for BPF_PROG_TEST_RUN */
	for (int port = 0; port < RIG_PORTS; port++) {
		int prog = port == RIG_FABRIC ? fabric : steer;

		if (prog < 0)
			continue;
		cr_assert_eq(bpf_xdp_attach((int)rig->ifindex[port], prog, XDP_FLAGS_DRV_MODE,
					    NULL),
			     0, "XDP on %s: %s", PORT_NAMES[port], strerror(errno));
	}
}

static void datapath_load(enum rig_parts parts)
{
	struct datapath_bpf *dp = datapath_bpf__open();

	cr_assert(dp, "data path: %s", strerror(errno));
	bpf_program__set_autoload(dp->progs.fabric, parts == RIG_ALL);
	bpf_program__set_autoload(dp->progs.too_big, parts == RIG_ALL);
	bpf_program__set_autoload(dp->progs.release, parts == RIG_ALL);
	bpf_program__set_autoload(dp->progs.fence, parts == RIG_ALL);
	cr_assert_eq(datapath_bpf__load(dp), 0, "data path: %s", strerror(errno));
	rig->datapath = dp;
}

void rig_init(const char *nf, enum rig_parts parts)
{
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	rig = calloc(1, sizeof(*rig));
	cr_assert(rig);
	namespace_init();
	port_init(RIG_CLIENT, 1);
	port_init(RIG_SERVER, 2);
	port_init(RIG_FABRIC, 8);
	datapath_load(parts);
	maps_init();
	programs_init(parts);
	if (nf) {
		int prog;

		rig->nf = nf_load(nf, rig->datapath->obj);
		prog = nf_program(rig->nf);
		map_set_at("nfs", RIG_HERE, &prog);
		rig_capacity_set(RIG_CAPACITY);
	}
}

struct nf *rig_nf(void)
{
	cr_assert(rig->nf, "the test has no NF");
	return rig->nf;
}

struct ff_instance_stats rig_stats(void)
{
	uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();
	struct ff_instance_stats sum = {};
	struct ff_meter meter;

	for (uint32_t cpu = 0; cpu < cpus; cpu++) {
		rig_map_get("meter", &cpu, &meter);
		sum.packets += meter.stats.packets;
		sum.bytes += meter.stats.bytes;
		sum.dropped += meter.stats.dropped;
		sum.flows_new += meter.stats.flows_new;
		sum.flows_refused += meter.stats.flows_refused;
	}
	return sum;
}

uint16_t rig_slot(const struct ff_flow_key *key)
{
	return (uint16_t)(ff_slot_hash(key, RIG_SEED) & (RIG_SLOTS - 1));
}

struct ff_flow_key rig_key(const char *flow)
{
	struct ff_flow_key key;

	cr_assert_eq(flow_parse(flow, &key), 0, "no flow: %s", flow);
	key.service = RIG_SERVICE;
	return key;
}
