/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/datapath.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "agent/abi.h"
#include "agent/online.h"
#include "bpf/datapath.skel.h"
#include "lib/addr.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/netlink.h"

#define FF_X(sym, name, text) [FF_REASON_##sym] = { name, text },
static const struct {
	const char *name;
	const char *text;
} reasons[FF_REASON_MAX] = { FF_REASONS(FF_X) };
#undef FF_X

const char *reason_name(uint32_t reason)
{
	return reason < FF_REASON_MAX ? reasons[reason].name : "unknown";
}

const char *reason_text(uint32_t reason)
{
	return reason < FF_REASON_MAX ? reasons[reason].text : "unknown";
}

static int dir_make(const char *path, struct ff_error *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, FF_CODE_INTERNAL,
				 "mount one: mount -t bpf bpf /sys/fs/bpf", "can't create %s: %s",
				 path, strerror(errno));
	return 0;
}

/* Makes pin_dir with its parent, and checks that it is on a bpffs. */
static int pin_dirs_make(struct datapath *dp, struct ff_error *err)
{
	_cleanup_free_ char *parent = strdup(dp->pin_dir);
	_cleanup_free_ char *links = NULL;
	struct statfs fs;
	char *slash;
	int r;

	if (!parent || asprintf(&links, "%s/links", dp->pin_dir) < 0)
		return error_nomem(err);
	slash = strrchr(parent, '/');
	if (slash && slash != parent)
		*slash = '\0';
	r = dir_make(parent, err);
	if (!r)
		r = dir_make(dp->pin_dir, err);
	if (r)
		return r;
	if (statfs(dp->pin_dir, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		return error_set(err, ENOTSUP, FF_CODE_INTERNAL,
				 "mount one: mount -t bpf bpf /sys/fs/bpf", "%s is not on a bpffs",
				 dp->pin_dir);
	r = dir_make(dp->maps_dir, err);
	return r ? r : dir_make(links, err);
}

/*
 * The kernel adds BPF_F_RDONLY_PROG to a devmap's flags, for which libbpf before 1.5 takes the pinned
 * one for another map; so it gets the map itself. -ENOENT: nothing is pinned yet.
 */
static int devmap_reuse(struct bpf_map *map, const char *path)
{
	_cleanup_close_ int fd = bpf_obj_get(path);

	return fd < 0 ? fd : bpf_map__reuse_fd(map, fd);
}

/* Of sections that are maps, which a bpffs doesn't take as a name. */
#define DATA ".data."

/* Every map of ours is pinned by its own name; libbpf then takes up what is there already. */
static int pin_paths_set(struct datapath *dp, struct ff_error *err)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, dp->skel->obj) {
		const char *name = bpf_map__name(map);
		_cleanup_free_ char *path = NULL;
		int r;

		if (!strncmp(name, DATA, strlen(DATA)))
			name += strlen(DATA);
		else if (bpf_map__is_internal(map))
			continue;
		if (asprintf(&path, "%s/%s", dp->maps_dir, name) < 0)
			return error_nomem(err);
		if (bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP_HASH && !devmap_reuse(map, path))
			continue;
		r = bpf_map__set_pin_path(map, path);
		if (r)
			return error_set(err, -r, FF_CODE_INTERNAL, NULL, "pin path %s: %s", path,
					 strerror(-r));
	}
	return 0;
}

#define MAPPINGS 6
struct mapping {
	const struct bpf_map *map;
	void **mem;
};

static size_t mapping_size(const struct bpf_map *map)
{
	size_t size = (size_t)((bpf_map__value_size(map) + 7) / 8 * 8) * bpf_map__max_entries(map);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

static size_t mappings_of(struct datapath *dp, struct mapping ret[MAPPINGS])
{
	const struct mapping all[] = {
		{ dp->skel->maps.table, (void **)&dp->table },
		{ dp->skel->maps.rules, (void **)&dp->rules },
		{ dp->skel->maps.lanes, (void **)&dp->lanes },
		{ dp->skel->maps.fences, (void **)&dp->fences },
		{ dp->skel->maps.jobs, (void **)&dp->jobs },
		{ dp->skel->maps.peer_heard, (void **)&dp->heard },
	};

	_Static_assert(ARRAY_SIZE(all) == MAPPINGS, "mappings");
	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static int maps_open(struct datapath *dp, struct ff_error *err)
{
	struct mapping all[MAPPINGS];
	size_t n = mappings_of(dp, all);

	for (size_t i = 0; i < n; i++) {
		void *mem = mmap(NULL, mapping_size(all[i].map), PROT_READ | PROT_WRITE, MAP_SHARED,
				 bpf_map__fd(all[i].map), 0);

		if (mem == MAP_FAILED)
			return error_set(err, errno, FF_CODE_INTERNAL, NULL,
					 "can't map %s into memory: %s", bpf_map__name(all[i].map),
					 strerror(errno));
		*all[i].mem = mem;
	}
	/* these libbpf has mapped */
	dp->host = &dp->skel->data_host_info->host_info;
	dp->services = dp->skel->data_services->services;
	dp->instances = dp->skel->data_instances->instances;
	dp->peers = dp->skel->data_peers->peers;
	dp->sent = dp->skel->data_peer_sent->peer_sent;
	dp->pins_fd = bpf_map__fd(dp->skel->maps.pins);
	dp->nfs_fd = bpf_map__fd(dp->skel->maps.nfs);
	dp->park_rings_fd = bpf_map__fd(dp->skel->maps.park_rings);
	dp->log_rings_fd = bpf_map__fd(dp->skel->maps.log_rings);
	dp->peer_addrs_fd = bpf_map__fd(dp->skel->maps.peer_addrs);
	dp->local_addrs_fd = bpf_map__fd(dp->skel->maps.local_addrs);
	dp->ifaces_fd = bpf_map__fd(dp->skel->maps.ifaces);
	dp->reasons_fd = bpf_map__fd(dp->skel->maps.reasons);
	dp->fabric_fd = bpf_program__fd(dp->skel->progs.fabric);
	dp->pins_max = bpf_map__max_entries(dp->skel->maps.pins);
	return 0;
}

/* The programs that others tail-call: of this agent's version from here on. */
static int progs_set(struct datapath *dp, struct ff_error *err)
{
	const struct {
		uint32_t key;
		const struct bpf_program *prog;
	} all[] = {
		{ FF_PROG_FORWARD, dp->skel->progs.forward },
		{ FF_PROG_TOO_BIG, dp->skel->progs.too_big },
		{ FF_PROG_RELEASE, dp->skel->progs.release },
		{ FF_PROG_FENCE, dp->skel->progs.fence },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int fd = bpf_program__fd(all[i].prog);

		if (bpf_map_update_elem(bpf_map__fd(dp->skel->maps.progs), &all[i].key, &fd, 0))
			return error_set(err, errno, FF_CODE_INTERNAL, NULL,
					 "can't install program %s: %s",
					 bpf_program__name(all[i].prog), strerror(errno));
	}
	return 0;
}

/* The programs that are there know what is in these maps, and go on; this agent doesn't. */
#define MEND_OTHER                                                                                  \
	"start the agent of before again, empty the host with `flowferry drain`, then stop it and " \
	"rm -r PIN_DIR, which ends forwarding, and upgrade"

static int foreign(const struct datapath *dp, struct ff_error *err)
{
	return error_set(err, EPROTO, FF_CODE_REFUSED, MEND_OTHER,
			 "%s was pinned by another version of the agent: %u, this is %u",
			 dp->pin_dir, dp->host->abi, FF_ABI_VERSION);
}

/* Before anything is exchanged there. */
static int pins_check(struct datapath *dp, struct ff_error *err)
{
	int r = abi_check_dir(dp->maps_dir, bpf_object__btf(dp->skel->obj), err);

	if (r == -EPROTO)
		snprintf(err->mend, sizeof(err->mend), "%s", MEND_OTHER);
	return r;
}

static int libbpf_log(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[1024];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

int datapath_open(const char *pin_dir, struct datapath **ret, struct ff_error *err)
{
	_cleanup_datapath_ struct datapath *dp = calloc(1, sizeof(*dp));
	int r;

	if (!dp)
		return error_nomem(err);
	dp->owner_fd = -1;
	if (!(dp->pin_dir = strdup(pin_dir)) || asprintf(&dp->maps_dir, "%s/maps", pin_dir) < 0)
		return error_nomem(err);
	dp->cpus = online_count(err);
	if (dp->cpus < 0)
		return dp->cpus;
	r = pin_dirs_make(dp, err);
	if (!r)
		r = lock_take(pin_dir, O_RDONLY | O_DIRECTORY, "the data path in", &dp->owner_fd,
			      err);
	if (r)
		return r;
	libbpf_set_print(libbpf_log);
	dp->skel = datapath_bpf__open();
	if (!dp->skel)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't read the data path: %s",
				 strerror(errno));
	r = pins_check(dp, err);
	if (!r)
		r = pin_paths_set(dp, err);
	if (r)
		return r;
	r = datapath_bpf__load(dp->skel);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL,
				 "log_level debug shows why; maps of another version are "
				 "removed with: rm -r PIN_DIR, which ends forwarding",
				 "can't load the data path, pins in %s: %s", pin_dir, strerror(-r));
	r = maps_open(dp, err);
	if (!r && dp->host->abi != FF_ABI_VERSION)
		r = foreign(dp, err);
	if (!r)
		r = progs_set(dp, err);
	if (r)
		return r;
	if (!dp->host->next_round)
		dp->host->next_round = 1;
	*ret = TAKE_PTR(dp);
	return 0;
}

void datapath_close(struct datapath *dp)
{
	struct mapping all[MAPPINGS];

	if (!dp)
		return;
	if (dp->skel) {
		size_t n = mappings_of(dp, all);

		for (size_t i = 0; i < n; i++)
			if (*all[i].mem)
				munmap(*all[i].mem, mapping_size(all[i].map));
		datapath_bpf__destroy(dp->skel);
	}
	if (dp->owner_fd >= 0)
		close(dp->owner_fd);
	free(dp->pin_dir);
	free(dp->maps_dir);
	free(dp);
}

/* Exchanges the program on a link that an earlier agent pinned. -ENOENT: there's none. */
static int link_adopt(const char *path, unsigned int ifindex, struct bpf_program *prog)
{
	struct bpf_link *link = bpf_link__open(path);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int r;

	if (!link)
		return -ENOENT;
	r = bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &len);
	if (!r && info.xdp.ifindex != ifindex)
		r = -ENOENT; /* of an interface that has gone: the name was given to another */
	if (!r)
		r = bpf_link__update_program(link, prog);
	if (r == -ENOENT || r == -ENOLINK) {
		unlink(path);
		r = -ENOENT;
	}
	bpf_link__destroy(link);
	return r;
}

int datapath_attach(struct datapath *dp, const char *ifname, uint32_t role, struct ff_error *err)
{
	struct bpf_program *prog = role == FF_IFACE_FABRIC ? dp->skel->progs.fabric :
							     dp->skel->progs.steer;
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	_cleanup_free_ char *path = NULL;
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	_cleanup_close_ int fd = -1;
	struct netlink_link info;
	struct ff_iface iface;
	__u32 key;
	int r;

	r = netlink_open(&nl);
	if (!r)
		r = netlink_link_get(nl, ifname, 0, &info);
	if (r)
		return error_set(err, -r, FF_CODE_NOT_FOUND, "see: ip link", "interface %s: %s",
				 ifname, strerror(-r));
	if (asprintf(&path, "%s/links/%s", dp->pin_dir, ifname) < 0)
		return error_nomem(err);
	key = info.ifindex;
	/* an earlier agent's entry keeps its addresses: by them tunnel packets are known as such */
	if (bpf_map_lookup_elem(dp->ifaces_fd, &key, &iface))
		memset(&iface, 0, sizeof(iface));
	iface.role = role;
	iface.mtu = info.mtu;
	memcpy(iface.mac, info.mac, sizeof(iface.mac));
	if (bpf_map_update_elem(dp->ifaces_fd, &key, &iface, 0) ||
	    bpf_map_update_elem(bpf_map__fd(dp->skel->maps.tx_ports), &key, &key, 0))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "interface %s: %s", ifname,
				 strerror(errno));
	if (role == FF_IFACE_FABRIC)
		dp->fabric_ifindex = info.ifindex;
	r = link_adopt(path, info.ifindex, prog);
	if (r != -ENOENT)
		return r ? error_set(err, -r, FF_CODE_INTERNAL, NULL,
				     "can't exchange the program on %s: %s", ifname, strerror(-r)) :
			   0;
	fd = bpf_link_create(bpf_program__fd(prog), (int)info.ifindex, BPF_XDP, &opts);
	if (fd < 0)
		return error_set(err, -fd, FF_CODE_REFUSED,
				 fd == -EBUSY ? "another XDP program is there: ip link show" :
						"the driver must support native XDP at this MTU",
				 "can't attach native XDP to %s: %s", ifname, strerror(-fd));
	if (bpf_obj_pin(fd, path))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't pin %s: %s", path,
				 strerror(errno));
	return 0;
}

/* Makes the keys of a set map equal to `addrs`. */
static int address_set_sync(int fd, const struct ff_addr *addrs, size_t count)
{
	struct ff_addr key, next;
	struct ff_addr *prev = NULL;
	__u32 one = 1;

	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, &addrs[i], &one, 0))
			return -errno;
	while (!bpf_map_get_next_key(fd, prev, &next)) {
		bool known = false;

		for (size_t i = 0; i < count && !known; i++)
			known = !memcmp(&addrs[i], &next, sizeof(next));
		if (known) {
			key = next;
			prev = &key;
		} else {
			bpf_map_delete_elem(fd, &next);
			prev = NULL;
		}
	}
	return 0;
}

void datapath_iface_addresses(struct ff_iface *iface, uint32_t ifindex,
			      const struct netlink_address *list, size_t count,
			      const struct ff_addr preferred[2])
{
	bool found[2] = {};

	memset(iface->ipv4, 0, sizeof(iface->ipv4));
	memset(iface->ipv6, 0, sizeof(iface->ipv6));
	for (size_t i = 0; i < count; i++) {
		int family, which;
		const void *bytes = addr_bytes(&list[i].addr, &family);
		bool wanted;

		if (list[i].ifindex != ifindex || list[i].scope != 0)
			continue;
		which = family != AF_INET;
		wanted = !memcmp(&list[i].addr, &preferred[which], sizeof(preferred[which]));
		if (found[which] && !wanted)
			continue;
		found[which] = true;
		if (family == AF_INET)
			memcpy(iface->ipv4, bytes, 4);
		else
			memcpy(iface->ipv6, bytes, 16);
	}
}

/* Word by word: an address that stays keeps its bit. */
static void local_classes_set(struct ff_host_info *host, const struct ff_addr *addrs, size_t count)
{
	__u64 local[ARRAY_SIZE(host->local)] = {};

	for (size_t i = 0; i < count; i++) {
		uint32_t class = FF_LOCAL_CLASS(addrs[i].word);

		local[class / 64] |= 1ull << (class % 64);
	}
	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		__atomic_store_n(&host->local[i], local[i], __ATOMIC_RELAXED);
}

int datapath_addresses_refresh(struct datapath *dp, const struct ff_addr own[2],
			       struct ff_error *err)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	_cleanup_free_ struct netlink_address *list = NULL;
	_cleanup_free_ struct ff_addr *addrs = NULL;
	const struct ff_addr none[2] = {};
	struct ff_iface iface, before;
	size_t count = 0;
	__u32 key, *prev = NULL, next;
	int r;

	r = netlink_open(&nl);
	if (!r)
		r = netlink_address_list(nl, 0, &list, &count);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't list addresses: %s",
				 strerror(-r));
	addrs = calloc(count + 1, sizeof(*addrs));
	if (!addrs)
		return error_nomem(err);
	for (size_t i = 0; i < count; i++)
		addrs[i] = list[i].addr;
	r = address_set_sync(dp->local_addrs_fd, addrs, count);
	if (!r)
		local_classes_set(dp->host, addrs, count);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "map local_addrs: %s",
				 strerror(-r));
	while (!bpf_map_get_next_key(dp->ifaces_fd, prev, &next)) {
		struct netlink_link link;

		key = next;
		prev = &key;
		if (bpf_map_lookup_elem(dp->ifaces_fd, &key, &iface))
			continue;
		before = iface;
		datapath_iface_addresses(&iface, key, list, count,
					 key == dp->fabric_ifindex ? own : none);
		if (!netlink_link_get(nl, NULL, key, &link)) {
			iface.mtu = link.mtu;
			memcpy(iface.mac, link.mac, sizeof(iface.mac));
		}
		if (memcmp(&before, &iface, sizeof(iface)))
			bpf_map_update_elem(dp->ifaces_fd, &key, &iface, 0);
	}
	return 0;
}

/* All in one system call: the monitor asks ten times a second. */
int datapath_reasons(const struct datapath *dp, uint64_t ret_counts[FF_REASON_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *values = NULL;
	__u32 keys[FF_REASON_MAX], next, count = FF_REASON_MAX;

	if (cpus < 1)
		return -EINVAL;
	values = calloc((size_t)cpus * FF_REASON_MAX, sizeof(*values));
	if (!values)
		return -ENOMEM;
	/* an array is read in the order of its indices; ENOENT says that this was all of it */
	if (bpf_map_lookup_batch(dp->reasons_fd, NULL, &next, keys, values, &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	memset(ret_counts, 0, FF_REASON_MAX * sizeof(*ret_counts));
	for (__u32 i = 0; i < count; i++)
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_counts[i] += values[(size_t)i * (size_t)cpus + (size_t)cpu];
	return 0;
}

void datapath_programs(const struct datapath *dp,
		       struct datapath_program ret_programs[DATAPATH_PROGRAMS])
{
	ret_programs[0] =
		(struct datapath_program){ "steer", bpf_program__fd(dp->skel->progs.steer) };
	ret_programs[1] =
		(struct datapath_program){ "fabric", bpf_program__fd(dp->skel->progs.fabric) };
}

uint64_t datapath_sent(const struct datapath *dp, uint32_t host)
{
	uint64_t sum = 0;

	for (int cpu = 0; cpu < dp->cpus; cpu++)
		sum += __atomic_load_n(&dp->sent[cpu].packets[host], __ATOMIC_RELAXED);
	return sum;
}

int datapath_nf_set(struct datapath *dp, uint32_t instance, int prog_fd)
{
	if (prog_fd < 0)
		return bpf_map_delete_elem(dp->nfs_fd, &instance) && errno != ENOENT ? -errno : 0;
	return bpf_map_update_elem(dp->nfs_fd, &instance, &prog_fd, 0) ? -errno : 0;
}

int datapath_nf_get(const struct datapath *dp, uint32_t instance, uint32_t *ret_prog_id)
{
	return bpf_map_lookup_elem(dp->nfs_fd, &instance, ret_prog_id) ? -errno : 0;
}
