/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flowferry-agent - one on each host: owns the data path, runs NF instances, moves their flows.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <poll.h>
#include <systemd/sd-daemon.h>

#include "agent/agent.h"
#include "agent/control.h"
#include "agent/heartbeat.h"
#include "agent/inventory.h"
#include "agent/lane.h"
#include "agent/monitor.h"
#include "agent/move.h"
#include "agent/neighbours.h"
#include "agent/online.h"
#include "agent/peers.h"
#include "agent/routes.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/version.h"

#define CONFIG_DEFAULT	"/etc/flowferry/agent.yaml"
#define HOUSEKEEPING_NS NSEC_PER_SEC /* neighbours, addresses, expired state */

static void help(void)
{
	puts("usage: flowferry-agent [--config FILE] [--log-level error|warn|info|debug]\n"
	     "\n"
	     "Runs a host's data path and its NF instances, and moves their flows. Packets go on\n"
	     "being forwarded while it isn't running; a new one takes up what it finds pinned.\n"
	     "\n"
	     "  -c, --config FILE   " CONFIG_DEFAULT " by default; agent.yaml among what\n"
	     "                      is installed in share/flowferry has every field\n"
	     "  -l, --log-level L   info by default\n"
	     "  -V, --version       print the version\n"
	     "  -h, --help          print this");
}

/* Old expired state goes; a sweep never delays packets, and only instances' removal waits for it. */
static void sweep(struct agent *agent)
{
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX; id++) {
		struct ff_error err = {};
		uint64_t swept;

		if (agent->instances[id] &&
		    state_sweep_part(&agent->instances[id]->state, clock_ns(), NULL, &swept, &err))
			log_warn("instance %s: sweep: %s", agent->instances[id]->name, err.message);
	}
	pthread_rwlock_unlock(&agent->instances_lock);
}

/* A CPU has come or gone: with all that knows how many there are, the agent starts anew. */
static void cpus_check(struct agent *agent)
{
	struct ff_error err = {};
	int count = online_count(&err);

	if (count == agent->dp->cpus) {
		atomic_store(&agent->cpus_unfit, false);
	} else if (count > 0) {
		log_warn("host %s has %d CPUs now, not %d: starting anew", agent->config->host,
			 count, agent->dp->cpus);
		atomic_store(&agent->again, true);
		kill(getpid(), SIGTERM);
	} else if (!atomic_exchange(&agent->cpus_unfit, true)) {
		log_error("%s; no move is begun; %s", err.message, err.mend);
	}
}

static void housekeep(struct agent *agent)
{
	struct ff_error err = {};

	watchdog_lock(agent);
	if (peers_self_refresh(agent, &err))
		log_warn("%s", err.message);
	peers_refresh(agent);
	routes_vouch(agent);
	if (agent->moves_waiting)
		move_adopt_all(agent, true, NULL);
	replicas_sync(agent);
	lanes_trim(agent->dp);
	pthread_mutex_unlock(&agent->lock);
	sweep(agent);
	cpus_check(agent);
}

static void *housekeeping(void *arg)
{
	struct agent *agent = arg;

	pthread_mutex_lock(&agent->stop_lock);
	while (!agent->stop) {
		pthread_mutex_unlock(&agent->stop_lock);
		housekeep(agent);
		watchdog_feed();
		pthread_mutex_lock(&agent->stop_lock);
		if (!agent->stop)
			clock_cond_wait(&agent->stopping, &agent->stop_lock,
					clock_ns() + HOUSEKEEPING_NS);
	}
	pthread_mutex_unlock(&agent->stop_lock);
	return NULL;
}

static int interfaces_attach(struct agent *agent, struct ff_error *err)
{
	int r = datapath_attach(agent->dp, agent->config->fabric->interface, FF_IFACE_FABRIC, err);

	for (unsigned int i = 0; !r && i < agent->config->steering_count; i++)
		r = datapath_attach(agent->dp, agent->config->steering[i], FF_IFACE_STEERING, err);
	return r ? r : peers_self_refresh(agent, err);
}

static void peer_tell(struct agent *agent, uint32_t host, bool silent, uint64_t age_ms)
{
	log_info("host %u is %s", host, silent ? "silent" : "heard again");
	monitor_event(agent->monitor, "peer",
		      json_pack("{si sb sI}", "host", (int)host, "silent", silent, "age_ms",
				(json_int_t)age_ms));
}

static int agent_start(struct agent *agent, struct ff_error *err)
{
	_cleanup_free_ char *pin_dir = NULL;
	int r;

	mkdir(agent->config->state_dir, 0700);
	if (asprintf(&pin_dir, "%s/%s", agent->config->bpffs, agent->config->host) < 0)
		return error_nomem(err);
	r = datapath_open(pin_dir, &agent->dp, err);
	if (!r)
		r = cpus_new(agent->dp->cpus, &agent->cpus, err);
	if (!r)
		r = table_new(agent->dp, agent->cpus, &agent->table, err);
	if (!r)
		r = heartbeat_new(agent, &agent->heartbeat, err);
	if (!r)
		r = inventory_adopt(agent, err);
	if (!r)
		r = replicas_clean(agent, err);
	if (!r)
		r = interfaces_attach(agent, err);
	if (!r)
		r = move_adopt_all(agent, false, err);
	if (!r)
		r = monitor_new(agent, &agent->monitor, err);
	if (!r)
		r = control_start(agent, err);
	if (!r)
		r = monitor_start(agent->monitor, err);
	return r ? r : heartbeat_start(agent->heartbeat, peer_tell, err);
}

static void agent_stop(struct agent *agent)
{
	struct move *moves[FF_LANES_MAX];

	move_all(agent, moves);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		if (moves[i])
			move_leave(moves[i]);
		move_put(moves[i]);
	}
	heartbeat_stop(agent->heartbeat);
	monitor_stop(agent->monitor);
	control_stop(agent);
	pthread_mutex_lock(&agent->lock);
	replicas_stop(agent);
	pthread_mutex_unlock(&agent->lock);
	monitor_free(agent->monitor);
	heartbeat_free(agent->heartbeat);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		if (agent->moves[i]) /* a late request may have started its threads again */
			move_leave(agent->moves[i]);
		move_put(agent->moves[i]);
	}
	moves_waiting_put(agent);
	neighbours_done(agent);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		instance_free(agent->instances[i]);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		free(agent->foreign[i]);
	for (size_t i = 0; i < FF_SERVICES_MAX; i++)
		json_decref(agent->services[i].config);
	table_free(agent->table);
	cpus_free(agent->cpus);
	if (agent->dp)
		lanes_unmap(agent->dp);
	datapath_close(agent->dp);
}

static int signals_block(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* *ret_again: to be run anew, as another process. */
static int run(const char *config, bool *ret_again, struct ff_error *err)
{
	struct agent agent = { .started_ns = clock_ns(),
			       .lock = PTHREAD_MUTEX_INITIALIZER,
			       .moves_lock = PTHREAD_MUTEX_INITIALIZER,
			       .instances_lock = PTHREAD_RWLOCK_INITIALIZER,
			       .replicas.lock = PTHREAD_MUTEX_INITIALIZER,
			       .standbys.lock = PTHREAD_MUTEX_INITIALIZER,
			       .stop_lock = PTHREAD_MUTEX_INITIALIZER };
	struct rlimit files = { 65536, 65536 };
	_cleanup_close_ int fd = signals_block();
	pthread_t keeper;
	bool keeping = false;
	int r;

	clock_cond_init(&agent.stopping);
	setrlimit(RLIMIT_NOFILE, &files);
	r = agent_config_load(config, &agent.config, err);
	if (r)
		return r;
	r = agent_start(&agent, err);
	if (!r) {
		struct signalfd_siginfo info;

		keeping = !pthread_create(&keeper, NULL, housekeeping, &agent);
		log_info("host %s: ready", agent.config->host);
		sd_notify(0, "READY=1");
		while (read(fd, &info, sizeof(info)) < 0 && errno == EINTR)
			;
		sd_notify(0, atomic_load(&agent.again) ? "RELOADING=1" : "STOPPING=1");
		log_info("host %s: stopping; packets go on", agent.config->host);
	}
	pthread_mutex_lock(&agent.stop_lock);
	agent.stop = true;
	pthread_cond_signal(&agent.stopping);
	pthread_mutex_unlock(&agent.stop_lock);
	if (keeping)
		pthread_join(keeper, NULL);
	agent_stop(&agent);
	agent_config_free(agent.config);
	*ret_again = atomic_load(&agent.again);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	enum log_level level = LOG_LEVEL_INFO;
	const char *config = CONFIG_DEFAULT;
	struct ff_error err = {};
	bool again = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:l:hV", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'l':
			if (!log_level_parse(optarg, &level))
				break;
			fprintf(stderr,
				"flowferry-agent: log level `%s`: error, warn, info or debug\n",
				optarg);
			return 2;
		case 'h':
			help();
			return 0;
		case 'V':
			puts("flowferry-agent " FF_VERSION);
			return 0;
		default:
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "flowferry-agent: %s: no such argument; see --help\n",
			argv[optind]);
		return 2;
	}
	log_init("flowferry-agent", level);
	if (run(config, &again, &err)) {
		log_error("%s%s%s", err.message, *err.mend ? "; mend: " : "", err.mend);
		return 1;
	}
	if (!again)
		return 0;
	execv("/proc/self/exe", argv);
	log_error("can't start anew: %s", strerror(errno));
	return 1;
}
