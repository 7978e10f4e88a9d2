/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_end.c - one side of the UDP traffic in BPF: loads generator and judge, puts the judge in
 * the place of whatever program the interfaces have, and puts that back.
 *
 * A process that dies leaves its judge attached, which passes all foreign packets on and so does no
 * harm. The next run finds a program of that name with nobody holding the interface's lock, takes
 * it over, and leaves traffic_pass behind, because what was there in the first place is gone.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bpf/traffic_abi.h" /* the skeleton needs it */
#include "bpf/traffic.skel.h"
#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/traffic.h"
#include "tools/traffic_socket.h"

#define PROGRAM_NAME   "traffic_end"
#define COLLECT_BATCH  4096
#define LIVE_BATCH_MAX 64 /* frames that the kernel sends at once; a veth's ring takes 256 */

/* ---- attaching ------------------------------------------------------------------------------ */

/*
 * One judge to an interface. An abstract socket is of its network namespace, as the interface is,
 * and goes with its process.
 */
static int link_lock(struct traffic_link *link)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "flowferry-traffic-%u",
			 link->ifindex);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
		return errno == EADDRINUSE ? -EBUSY : -errno;
	link->lock_fd = TAKE_FD(fd);
	return 0;
}

/* The program that is to come back when the judge goes; -1: none. */
static int old_program_get(const struct traffic_end *end, uint32_t id, int *ret_fd)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && strcmp(info.name, PROGRAM_NAME) == 0) {
		*ret_fd = dup(bpf_program__fd(end->bpf->progs.traffic_pass));
		return *ret_fd < 0 ? -errno : 0;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int link_attach(struct traffic_end *end, struct traffic_link *link)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	LIBBPF_OPTS(bpf_xdp_attach_opts, attach);
	uint32_t flags = XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST;
	_cleanup_close_ int current = -1;
	int r;

	r = link_lock(link);
	if (r < 0)
		return r;
	r = bpf_xdp_query((int)link->ifindex, 0, &query);
	if (r < 0)
		return r;
	if (query.skb_prog_id || query.hw_prog_id)
		return -EEXIST;
	if (query.drv_prog_id) {
		r = old_program_get(end, query.drv_prog_id, &link->old_prog_fd);
		if (r < 0)
			return r;
		current = bpf_prog_get_fd_by_id(query.drv_prog_id);
		if (current < 0)
			return current;
		attach.old_prog_fd = current;
		flags = XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE;
	}
	r = bpf_xdp_attach((int)link->ifindex, bpf_program__fd(end->bpf->progs.traffic_end), flags,
			   &attach);
	link->attached = r == 0;
	return r;
}

static int links_attach(void *arg)
{
	struct traffic_end *end = arg;
	int r;

	for (size_t i = 0; i < end->n_links; i++) {
		r = link_attach(end, &end->links[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int links_detach(void *arg)
{
	struct traffic_end *end = arg;

	for (size_t i = 0; i < end->n_links; i++) {
		LIBBPF_OPTS(bpf_xdp_attach_opts, attach,
			    .old_prog_fd = bpf_program__fd(end->bpf->progs.traffic_end));
		struct traffic_link *link = &end->links[i];

		if (link->attached && link->old_prog_fd >= 0)
			bpf_xdp_attach((int)link->ifindex, link->old_prog_fd,
				       XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &attach);
		else if (link->attached)
			bpf_xdp_detach((int)link->ifindex, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE,
				       &attach);
		link->attached = false;
		cleanup_close(&link->old_prog_fd);
		cleanup_close(&link->lock_fd);
		link->old_prog_fd = link->lock_fd = -1;
	}
	return 0;
}

void traffic_end_detach(struct traffic_end *end)
{
	if (end->bpf)
		netns_call(end->netns_fd, links_detach, end);
}

/* ---- maps ----------------------------------------------------------------------------------- */

/* A devmap takes an ifindex of the namespace of whoever fills it in. */
static int devices_fill(void *arg)
{
	struct traffic_end *end = arg;
	int fd = bpf_map__fd(end->bpf->maps.devices), r;

	for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
		for (uint32_t i = 0; i < end->config.hops[ipv6]; i++) {
			uint32_t key = TRAFFIC_HOP(ipv6, i);

			r = bpf_map_update_elem(fd, &key, &end->config.hop[ipv6][i].ifindex, 0);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int end_load(struct traffic_end *end)
{
	struct traffic_bpf *bpf = traffic_bpf__open();
	size_t size = (end->sends ? end->config.flows : 1) * sizeof(uint64_t);
	int r;

	if (!bpf)
		return -errno;
	end->bpf = bpf;
	/* writable until it is loaded; the skeleton declares it as BPF sees it */
	memcpy((void *)(uintptr_t)&bpf->rodata->config, &end->config, sizeof(end->config));
	bpf->bss->run_id = end->config.run;
	bpf_map__set_max_entries(bpf->maps.sent, end->sends ? end->config.flows : 1);
	bpf_map__set_max_entries(bpf->maps.flows, end->judges ? end->config.flows : 1);
	r = traffic_bpf__load(bpf);
	if (r < 0)
		return r;
	end->sent = mmap(NULL, size, PROT_READ, MAP_SHARED, bpf_map__fd(bpf->maps.sent), 0);
	if (end->sent == MAP_FAILED) {
		end->sent = NULL;
		return -errno;
	}
	end->sent_mapped = size;
	return 0;
}

static int bpf_open(struct traffic_end *end, struct ff_error *err)
{
	int r;

	r = end_load(end);
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, "run it as root, on Linux 6.1 or later",
				 "%s: generator and judge don't load: %s", end->name, strerror(-r));
	r = netns_call(end->netns_fd, devices_fill, end);
	if (r == 0)
		r = netns_call(end->netns_fd, links_attach, end);
	if (r == 0)
		return 0;
	traffic_end_detach(end);
	if (r == -EBUSY)
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for it to end, or stop it",
				 "%s: another flowferry traffic judges there", end->name);
	if (r == -EOPNOTSUPP || r == -EEXIST)
		return error_set(err, r, FF_CODE_REFUSED, "use --sockets",
				 "%s: its interface takes no native XDP program: %s", end->name,
				 strerror(-r));
	return error_set(err, r, FF_CODE_INTERNAL, NULL, "%s: can't attach the judge: %s",
			 end->name, strerror(-r));
}

int traffic_end_open(struct traffic_end *end, bool sockets, struct ff_error *err)
{
	int r;

	if (sockets) {
		r = traffic_sockets_open(end);
		if (r < 0)
			error_set(err, r, FF_CODE_INTERNAL,
				  "ports from 10000 and 20000 must be free",
				  "%s: can't open its sockets: %s", end->name, strerror(-r));
	} else {
		r = bpf_open(end, err);
	}
	if (r == 0)
		end->refused_before = traffic_end_refused(end);
	return r;
}

void traffic_end_done(struct traffic_end *end)
{
	traffic_end_detach(end);
	if (end->sent_mapped)
		munmap(end->sent, end->sent_mapped);
	else if (!end->sockets) /* whose they are */
		free(end->sent);
	if (!end->sockets)
		free(end->flows);
	traffic_sockets_free(end->sockets);
	traffic_bpf__destroy(end->bpf);
	end->sockets = NULL;
	end->bpf = NULL;
	end->sent = NULL;
	end->flows = NULL;
	end->sent_mapped = 0;
}

/* ---- while it runs -------------------------------------------------------------------------- */

static int bpf_send(struct traffic_end *end, uint32_t count)
{
	uint8_t frame[ETH_HLEN + TRAFFIC_SIZE_MAX] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = ETH_HLEN + end->config.size,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .repeat = (int)count,
		    .batch_size = LIVE_BATCH_MAX);
	uint64_t before = end->bpf->bss->sent_packets;
	int r = bpf_prog_test_run_opts(bpf_program__fd(end->bpf->progs.traffic_end), &opts);

	return r < 0 ? r : (int)(end->bpf->bss->sent_packets - before);
}

int traffic_end_send(struct traffic_end *end, uint32_t count)
{
	int r;

	count = MIN(count, (uint32_t)TRAFFIC_BURST_MAX);
	r = end->sockets ? traffic_sockets_send(end->sockets, count) : bpf_send(end, count);
	if (r > 0)
		atomic_fetch_add_explicit(&end->sent_packets, (uint64_t)r, memory_order_relaxed);
	return r;
}

int traffic_end_tally(const struct traffic_end *end, struct traffic_tally *ret_tally)
{
	int cpus = libbpf_num_possible_cpus(), r;
	_cleanup_free_ struct traffic_tally *each = NULL;
	uint32_t key = 0;

	if (end->sockets) {
		traffic_sockets_tally(end->sockets, ret_tally);
		return 0;
	}
	if (cpus < 0)
		return cpus;
	each = calloc((size_t)cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	r = bpf_map_lookup_elem(bpf_map__fd(end->bpf->maps.tally), &key, each);
	if (r < 0)
		return r;
	memset(ret_tally, 0, sizeof(*ret_tally));
	for (int i = 0; i < cpus; i++)
		traffic_tally_add(ret_tally, &each[i]);
	return 0;
}

/* A test run ends in local_bh_enable(), which does what softirqs are pending. */
void traffic_end_help(struct traffic_end *end)
{
	uint8_t frame[ETH_ZLEN] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));

	bpf_prog_test_run_opts(bpf_program__fd(end->bpf->progs.traffic_pass), &opts);
}

uint64_t traffic_end_judged(const struct traffic_end *end)
{
	return __atomic_load_n(&end->bpf->bss->judged_packets, __ATOMIC_RELAXED);
}

static int flows_collect(struct traffic_end *end)
{
	uint32_t total = end->judges ? end->config.flows : 0, done = 0, position = 0;
	_cleanup_free_ struct traffic_flow *flows = calloc(total ?: 1, sizeof(*flows));
	_cleanup_free_ uint32_t *keys = calloc(COLLECT_BATCH, sizeof(*keys));
	int r;

	if (!flows || !keys)
		return -ENOMEM;
	while (done < total) {
		uint32_t count = MIN(total - done, (uint32_t)COLLECT_BATCH);

		r = bpf_map_lookup_batch(bpf_map__fd(end->bpf->maps.flows), done ? &position : NULL,
					 &position, keys, flows + done, &count, NULL);
		if (r < 0 && r != -ENOENT) /* which says that this was the last batch */
			return r;
		if (!count)
			return -EIO;
		done += count;
	}
	free(end->flows);
	end->flows = TAKE_PTR(flows);
	return 0;
}

/* Two ends can compare times only if they read the same clock. */
static void clock_identify(struct traffic_end *end)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[40] = "";
	size_t n = 0;

	if (!file || !fgets(text, sizeof(text), file))
		return;
	for (const char *c = text; *c && n < 2 * sizeof(end->clock); c++)
		if (isxdigit((unsigned char)*c)) {
			uint8_t digit = (uint8_t)(isdigit((unsigned char)*c) ?
							  *c - '0' :
							  (*c | 32) - 'a' + 10);

			end->clock[n / 2] |= (uint8_t)(digit << (n % 2 ? 0 : 4));
			n++;
		}
}

int traffic_end_collect(struct traffic_end *end)
{
	int r = 0;

	clock_identify(end);
	end->refused = traffic_end_refused(end) - end->refused_before;
	if (end->sockets) {
		traffic_sockets_stop(end->sockets);
		end->overload = traffic_sockets_overload(end->sockets);
		end->config.run = traffic_sockets_run(end->sockets);
	} else if (end->bpf) {
		r = flows_collect(end);
		end->config.run = end->bpf->bss->run_id;
	}
	return r < 0 || !end->judges ? r : traffic_end_tally(end, &end->tally);
}
