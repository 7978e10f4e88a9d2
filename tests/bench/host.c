/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/inventory.h"
#include "agent/peers.h"
#include "lib/install.h"
#include "lib/json.h"

#define PIN_DIR	  "/sys/fs/bpf/bench"
#define STATE_DIR "/run/flowferry-bench"
#define SEED	  "00112233445566778899aabbccddeeff"
#define HOST_PEER 2

const uint8_t HOST_CLIENT_MAC[6] = { 2, 0, 0, 0, 1, 1 };

/* ---- the network ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int net; /* 198.18.NET.0/24 */
	uint32_t role;
	const char *route; /* to what is behind .2 */
} links[] = {
	{ HOST_CLIENT_LINK, 1, FF_IFACE_STEERING, "198.19.0.0/16" },
	{ "s0", 2, FF_IFACE_STEERING, NULL },
	{ HOST_FABRIC_LINK, 8, FF_IFACE_FABRIC, NULL },
};

/* The far end is mute: it has no address. */
static int link_make(size_t i, struct ff_error *err)
{
	FILE *ip = popen("ip -batch -", "we");
	int status;

	if (!ip)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't run ip: %s",
				 strerror(errno));
	fprintf(ip,
		"link add %1$s address 02:00:00:00:%2$02d:01 type veth "
		"peer name %1$s-far address 02:00:00:00:%2$02d:02\n"
		"link set %1$s addrgenmode none up\n"
		"link set %1$s-far addrgenmode none up\n"
		"address add 198.18.%2$d.1/24 dev %1$s\n"
		"neighbour add 198.18.%2$d.2 lladdr 02:00:00:00:%2$02d:02 dev %1$s nud permanent\n",
		links[i].name, links[i].net);
	if (links[i].route)
		fprintf(ip, "route add %s via 198.18.%d.2\n", links[i].route, links[i].net);
	status = pclose(ip);
	if (status)
		return error_set(err, EIO, FF_CODE_INTERNAL, "install iproute2",
				 "can't make link %s: ip ended with status %d", links[i].name,
				 status);
	return 0;
}

static int forwarding_enable(struct ff_error *err)
{
	const char *path = "/proc/sys/net/ipv4/conf/all/forwarding";
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "%s: %s", path,
				 strerror(errno));
	return 0;
}

static int network_make(struct ff_error *err)
{
	int r = forwarding_enable(err);

	for (size_t i = 0; i < ARRAY_SIZE(links) && !r; i++)
		r = link_make(i, err);
	return r;
}

/* ---- the agent ------------------------------------------------------------------------------- */

int host_owner_set(struct host *host, uint16_t instance, struct ff_error *err)
{
	_cleanup_json_ json_t *hosts = json_pack("[{si ss ss} {si ss ss}]", "id", 1, "name",
						 "bench", "ipv4", "198.18.8.1", "id", HOST_PEER,
						 "name", "peer", "ipv4", "198.18.8.2");
	/* the monitor's class is of no packet: nobody has that address */
	_cleanup_json_ json_t *services =
		json_pack("[{si ss ss si ss s[[si]]} {si ss ss si ss ss s[[si]]}]", "id",
			  HOST_SERVICE_FIREWALL, "name", "firewall", "nf", "firewall", "slots",
			  4096, "seed", SEED, "owners", "0-4095", instance, "id",
			  HOST_SERVICE_MONITOR, "name", "monitor", "nf", "monitor", "slots", 4096,
			  "seed", SEED, "class", "host 198.18.255.1", "owners", "0-4095",
			  HOST_MONITOR);
	_cleanup_json_ json_t *instances =
		json_pack("[{si ss si si} {si ss si si} {si ss si si}]", "id", HOST_NEAR, "name",
			  "near", "service", HOST_SERVICE_FIREWALL, "host", 1, "id", HOST_FAR,
			  "name", "far", "service", HOST_SERVICE_FIREWALL, "host", HOST_PEER, "id",
			  HOST_MONITOR, "name", "monitor", "service", HOST_SERVICE_MONITOR, "host",
			  1);
	_cleanup_json_ json_t *config = json_pack("{si sO sO sO}", "host_id", 1, "hosts", hosts,
						  "services", services, "instances", instances);

	if (!config)
		return error_nomem(err);
	return inventory_apply(&host->agent, config, 0, err);
}

static int agent_start(struct agent *agent, struct ff_error *err)
{
	int r = datapath_open(PIN_DIR, &agent->dp, err);

	if (!r)
		r = cpus_new(agent->dp->cpus, &agent->cpus, err);
	if (!r)
		r = table_new(agent->dp, agent->cpus, &agent->table, err);
	for (size_t i = 0; i < ARRAY_SIZE(links) && !r; i++)
		r = datapath_attach(agent->dp, links[i].name, links[i].role, err);
	return r;
}

/* What flowferry-agent reads from its file. */
static int config_fill(struct host *host)
{
	int r = install_nf_dir(host->nf_dir);

	host->fabric.interface = (char *)HOST_FABRIC_LINK;
	host->config = (struct agent_config){
		.host = (char *)"bench",
		.fabric = &host->fabric,
		.nf_dir = host->nf_dir,
		.state_dir = (char *)STATE_DIR,
	};
	return r;
}

int host_new(struct host **ret, struct ff_error *err)
{
	_cleanup_(host_freep) struct host *host = calloc(1, sizeof(*host));
	struct rlimit files = { 65536, 65536 };
	int r;

	if (!host)
		return error_nomem(err);
	setrlimit(RLIMIT_NOFILE, &files); /* a map for each group of slots */
	mkdir(STATE_DIR, 0700);
	r = config_fill(host);
	host->agent = (struct agent){ .config = &host->config,
				      .lock = PTHREAD_MUTEX_INITIALIZER,
				      .moves_lock = PTHREAD_MUTEX_INITIALIZER,
				      .instances_lock = PTHREAD_RWLOCK_INITIALIZER };
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't find the NF objects: %s",
				 strerror(-r));
	r = network_make(err);
	if (!r)
		r = agent_start(&host->agent, err);
	if (!r)
		r = host_owner_set(host, HOST_NEAR, err);
	if (!r)
		r = peers_self_refresh(&host->agent, err);
	if (r)
		return r;
	if (!host->agent.dp->peers[HOST_PEER].ready)
		return error_set(err, EHOSTUNREACH, FF_CODE_INTERNAL, NULL,
				 "the outer header to the other host isn't ready");
	*ret = TAKE_PTR(host);
	return 0;
}

void host_free(struct host *host)
{
	if (!host)
		return;
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		instance_free(host->agent.instances[i]);
	for (size_t i = 0; i < FF_SERVICES_MAX; i++)
		json_decref(host->agent.services[i].config);
	table_free(host->agent.table);
	cpus_free(host->agent.cpus);
	datapath_close(host->agent.dp);
	free(host);
}

const struct ff_peer *host_peer(const struct host *host)
{
	const struct ff_peer *first = &host->agent.dp->peers[HOST_PEER];

	return first->ready == FF_PEER_SECOND ? first + FF_HOSTS_MAX : first;
}
