/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_conntrackd.c - a peer: conntrackd (conntrack-tools) moves the kernel's connection tracking
 * entries from one namespace to another, over a veth, as two firewalls would.
 *
 * There are as many entries as the kernel allows in a namespace (nf_conntrack_max). The backup asks
 * for all (conntrackd -n) until its external cache holds them, and then commits them to its kernel
 * (-c): both are needed before it could take the flows over. Its reliable mode (FTFW), its own
 * defaults but for buffers and hash tables that are large enough.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/netlink.h"
#include "lib/netns.h"
#include "tests/bench/bench.h"
#include "tests/bench/proc.h"

#define DIR	      "/run"
#define ENTRIES_FILE  DIR "/entries"
#define LOG	      DIR "/conntrackd.log"
#define CONNTRACK_MAX "/proc/sys/net/netfilter/nf_conntrack_max"
#define FILLED	      0.95    /* of what the kernel allows: a full table evicts */
#define ENTRIES_MAX   1000000 /* as in the state suite, where the kernel allows it */
#define READY_NS      (10 * NSEC_PER_SEC)
#define SYNC_NS	      (60 * NSEC_PER_SEC)
#define POLL_NS	      (20 * NSEC_PER_MSEC)

struct host {
	const char *name, *address, *peer;
	int netns_fd;
	char config[64];
};

enum { PRIMARY, BACKUP };

struct pair {
	struct host hosts[2];
	uint64_t entries;
};

/* ---- network and configuration --------------------------------------------------------------- */

static int netns_make(struct host *host)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	int r = netns_create(host->name);

	if (r)
		return r;
	host->netns_fd = netns_open(host->name);
	if (host->netns_fd < 0)
		return host->netns_fd;
	r = netlink_open_in(host->netns_fd, &nl);
	return r ?: netlink_link_up(nl, "lo");
}

static int link_make(struct pair *pair)
{
	struct netlink_veth_end ends[2];
	int r = 0;

	for (int i = 0; i < 2; i++)
		ends[i] = (struct netlink_veth_end){ .name = "sync",
						     .netns_fd = pair->hosts[i].netns_fd,
						     .mac = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) } };
	for (int i = 0; i < 2 && !r; i++) {
		_cleanup_netlink_ struct nl_sock *nl = NULL;
		char address[32];

		r = netlink_open_in(pair->hosts[i].netns_fd, &nl);
		if (!r && i == 0)
			r = netlink_veth_add(nl, ends, 1500);
		snprintf(address, sizeof(address), "%s/24", pair->hosts[i].address);
		if (!r)
			r = netlink_address_add(nl, "sync", address);
		if (!r)
			r = netlink_link_up(nl, "sync");
	}
	return r;
}

static int config_write(struct host *host, uint64_t entries)
{
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(host->config, sizeof(host->config), DIR "/%s.conf", host->name);
	file = fopen(host->config, "we");
	if (!file)
		return -errno;
	fprintf(file,
		"Sync {\n\tMode FTFW {\n\t\tResendQueueSize 131072\n\t\tPurgeTimeout 60\n\t}\n"
		"\tUDP {\n\t\tIPv4_address %s\n\t\tIPv4_Destination_Address %s\n\t\tPort 3780\n"
		"\t\tInterface sync\n\t\tSndSocketBuffer 67108864\n"
		"\t\tRcvSocketBuffer 67108864\n\t\tChecksum on\n\t}\n}\n",
		host->address, host->peer);
	fprintf(file,
		"General {\n\tHashSize %" PRIu64 "\n\tHashLimit %" PRIu64 "\n"
		"\tLockFile " DIR "/%s.lock\n\tUNIX {\n\t\tPath " DIR "/%s.ctl\n\t}\n"
		"\tNetlinkBufferSize 16777216\n\tNetlinkBufferSizeMaxGrowth 268435456\n}\n",
		2 * entries, 2 * entries, host->name, host->name);
	return ferror(file) ? -EIO : 0;
}

static int entries_write(uint64_t entries)
{
	_cleanup_fclose_ FILE *file = fopen(ENTRIES_FILE, "we");

	if (!file)
		return -errno;
	for (uint64_t i = 0; i < entries; i++)
		fprintf(file,
			"-A -s 10.1.%" PRIu64 ".%" PRIu64 " -d 10.2.0.1 -p udp --sport %" PRIu64
			" --dport 53 -t 600\n",
			i >> 16, i >> 8 & 255, 1024 + (i & 255));
	return ferror(file) ? -EIO : 0;
}

/* ---- conntrack ------------------------------------------------------------------------------- */

static int conntrack(const struct host *host, const char *option, const char *argument,
		     char **ret_output, struct ff_error *err)
{
	const char *const argv[] = { "conntrack", option, argument, NULL };

	return proc_run(host->netns_fd, argv, ret_output, err);
}

static int entries_count(const struct host *host, uint64_t *ret_count, struct ff_error *err)
{
	_cleanup_free_ char *output = NULL;
	int r = conntrack(host, "-C", NULL, &output, err);

	if (!r && sscanf(output, "%" SCNu64, ret_count) != 1)
		r = error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "conntrack -C: %.60s", output);
	return r;
}

static int entries_limit(uint64_t *ret_entries, struct ff_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(CONNTRACK_MAX, "re");
	uint64_t max;

	if (!file || fscanf(file, "%" SCNu64, &max) != 1)
		return error_set(err, ENOSYS, FF_CODE_INTERNAL, "load nf_conntrack",
				 "this kernel has no connection tracking");
	*ret_entries = MIN((uint64_t)(FILLED * (double)max), (uint64_t)ENTRIES_MAX);
	return 0;
}

/* ---- conntrackd ------------------------------------------------------------------------------ */

static int ctl(const struct host *host, const char *option, const char *argument, char **ret_output,
	       struct ff_error *err)
{
	const char *const argv[] = { "conntrackd", "-C", host->config, option, argument, NULL };

	return proc_run(host->netns_fd, argv, ret_output, err);
}

static int daemon_start(const struct host *host, struct ff_error *err)
{
	_cleanup_close_ int fd = open(LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	const char *const argv[] = { "conntrackd", "-C", host->config, NULL };
	uint64_t deadline = clock_ns() + READY_NS;
	pid_t pid;
	int r;

	if (fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, LOG ": %m");
	r = proc_start(host->netns_fd, argv, fd, &pid, err);
	while (!r && ctl(host, "-s", NULL, NULL, err)) {
		if (clock_ns() > deadline)
			return err->err;
		clock_sleep_ns(POLL_NS);
	}
	return r;
}

static int cache_count(const struct host *host, const char *cache, uint64_t *ret_count,
		       struct ff_error *err)
{
	_cleanup_free_ char *output = NULL;
	const char *line;
	char name[32];
	int r = ctl(host, "-s", "cache", &output, err);

	if (r)
		return r;
	snprintf(name, sizeof(name), "cache:%s", cache);
	line = strstr(output, name);
	if (!line || sscanf(line + strlen(name), " active objects: %" SCNu64, ret_count) != 1)
		return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL,
				 "conntrackd tells nothing of its %s cache", cache);
	return 0;
}

/* Waits until the cache of that name holds so many: all, or none. */
static int cache_wait(const struct host *host, const char *cache, uint64_t entries,
		      struct ff_error *err)
{
	uint64_t deadline = clock_ns() + SYNC_NS, there = 0;
	int r;

	for (;;) {
		r = cache_count(host, cache, &there, err);
		if (r || (entries ? there >= entries : !there))
			return r;
		if (clock_ns() > deadline)
			return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL,
					 "conntrackd's %s cache has %" PRIu64
					 " entries instead of %" PRIu64,
					 cache, there, entries);
		clock_sleep_ns(POLL_NS);
	}
}

/* ---- the suite ------------------------------------------------------------------------------- */

static int pair_start(struct bench *bench, struct pair *pair, struct ff_error *err)
{
	struct host *primary = &pair->hosts[PRIMARY], *backup = &pair->hosts[BACKUP];
	int r;

	bench_progress(bench, "two namespaces");
	r = netns_make(primary) ?: netns_make(backup) ?: link_make(pair);
	if (r)
		return error_set(err, r, error_code(r), NULL, "can't make the network: %s",
				 strerror(-r));
	r = conntrack(primary, "-F", NULL, NULL, err); /* loads the module where it is one */
	if (!r)
		r = entries_limit(&pair->entries, err);
	if (r)
		return r;
	bench_progress(bench, "%" PRIu64 " entries", pair->entries);
	r = entries_write(pair->entries)		 ?:
		    config_write(primary, pair->entries) ?:
							   config_write(backup, pair->entries);
	if (r)
		return error_set(err, r, error_code(r), NULL, "can't write to " DIR ": %s",
				 strerror(-r));
	r = conntrack(primary, "-R", ENTRIES_FILE, NULL, err);
	if (!r)
		r = daemon_start(primary, err);
	if (!r)
		r = cache_wait(primary, "internal", pair->entries, err);
	return r ?: daemon_start(backup, err);
}

static int sample(const struct pair *pair, struct figure *sync, struct figure *all,
		  struct ff_error *err)
{
	const struct host *backup = &pair->hosts[BACKUP];
	uint64_t begun, synced, count;
	int r;

	r = ctl(backup, "-f", "external", NULL, err);
	if (!r)
		r = cache_wait(backup, "external", 0, err);
	if (!r)
		r = conntrack(backup, "-F", NULL, NULL, err);
	begun = clock_ns();
	if (!r)
		r = ctl(backup, "-n", NULL, NULL, err);
	if (!r)
		r = cache_wait(backup, "external", pair->entries, err);
	synced = clock_ns();
	if (!r)
		r = ctl(backup, "-c", NULL, NULL, err);
	if (r)
		return r;
	figure_sample(sync, (double)pair->entries * NSEC_PER_SEC / (double)(synced - begun));
	figure_sample(all, (double)pair->entries * NSEC_PER_SEC / (double)(clock_ns() - begun));
	r = entries_count(backup, &count, err);
	if (!r && count < pair->entries)
		figure_failed(all, "the backup's kernel has %" PRIu64 " entries of %" PRIu64, count,
			      pair->entries);
	return r;
}

static int conntrackd_run(struct bench *bench, struct ff_error *err)
{
	struct pair pair = {
		.hosts = { { .name = "primary", .address = "198.18.9.1", .peer = "198.18.9.2" },
			   { .name = "backup", .address = "198.18.9.2", .peer = "198.18.9.1" } }
	};
	struct figure *sync, *all;
	int r;

	sync = bench_figure(bench, "conntrackd.sync", "entries/s",
			    "from kernel table to the backup's cache");
	all = bench_figure(bench, "conntrackd.all", "entries/s",
			   "and to the backup's kernel, so that it could take over");
	r = pair_start(bench, &pair, err);
	for (int i = 0; i < bench_runs(bench) && !r; i++) {
		bench_progress(bench, "%" PRIu64 " entries: %d of %d", pair.entries, i,
			       bench_runs(bench));
		r = sample(&pair, sync, all, err);
	}
	return r; /* daemons and namespaces end with this process's */
}

const struct bench_suite suite_conntrackd = {
	.name = "conntrackd",
	.about = "a peer: bulk sync of connection tracking entries between two namespaces",
	.run = conntrackd_run,
};
