/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_datapath.c - ns per packet of the programs that packets meet, by BPF_PROG_TEST_RUN.
 *
 * 64-byte TCP segments of established connections, of one flow or of 100,000 in random order, on
 * one CPU. drive.bpf.c tells how they are made and judged. Beside the programs run two floors, over
 * the same packets (floor.bpf.c). A sample is the least of some short runs, because a disturbance
 * only ever adds, less the least of as many of the driver alone, one of either in turn. A shared
 * machine is slower by half for seconds, but for some milliseconds now and then: so runs are short
 * and many, and spread over some visits, between which all other programs have theirs. A figure of
 * which the data path's own counters tell another story, or whose packets come out otherwise than
 * due, has failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "agent/lane.h"
#include "agent/routes.h"
#include "tests/bench/bench.h"
#include "tests/bench/drive.h"
#include "tests/bench/frame.h"
#include "tests/bench/host.h"
/* after what declares the types of their variables */
#include "bpf/datapath.skel.h"
#include "tests/bench/floor.skel.h"

#define VISITS	6	    /* to each program, for one sample */
#define TURNS	24	    /* in a visit */
#define PACKETS 2500	    /* in a turn: some 0.2 to 2 ms */
#define SEED	2463534243u /* odd: with even steps it is never 0 */

#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* What `steer` may cost of the first floor, and `fabric` with the firewall of the second. */
#define STEER_LIMIT    2.0
#define FIREWALL_LIMIT 1.3
/* "The same" with 1 flow and with 100,000: steering looks no flow up. */
#define SAME 1.1

static const struct shape {
	const char *name, *what;
	uint32_t flows;
} shapes[] = {
	{ "flows1", "1 flow", 1 },
	{ "flows100k", "100,000 flows", DRIVE_FLOWS_MAX },
};
#define SHAPES ARRAY_SIZE(shapes)

enum {
	ALONE,
	ALONE_TUNNELLED,
	FLOOR_1,
	FLOOR_2,
	STEER,
	LOCAL,
	FIREWALL,
	PROTECTED,
	MONITOR,
	PROGRAMS
};

static const struct about {
	const char *id, *what;
	uint8_t vni;	/* of the tunnel packets that it gets; 0: frames as clients send them */
	int growth;	/* of the frame */
	uint16_t owner; /* of service 1 meanwhile; 0: any */
	uint16_t nf;	/* instance that counts the packets; 0: none */
	int base;	/* the driver alone, with the same frames */
	bool opens;	/* connections, before anything is measured */
	bool remembers; /* flows: each is shown to it first */
	bool logs;	/* changes, as for a standby: each turn is a round */
} abouts[PROGRAMS] = {
	[ALONE] = { "driver", "the driver alone", .base = -1 },
	[ALONE_TUNNELLED] = { "driver_tunnelled", "the driver alone, tunnel packets",
			      HOST_SERVICE_FIREWALL, .base = -1 },
	[FLOOR_1] = { "floor1", "floor 1: parse, encapsulate", 0, FF_ENCAP_V4, .base = ALONE },
	[FLOOR_2] = { "floor2", "floor 2: parse, look up, count, encapsulate", 0, FF_ENCAP_V4,
		      .base = ALONE, .remembers = true },
	[STEER] = { "steer", "steering, encapsulation", 0, FF_ENCAP_V4, HOST_FAR, .base = ALONE },
	[LOCAL] = { "local", "steering, firewall here, forwarding", 0, 0, HOST_NEAR, HOST_NEAR,
		    ALONE, .opens = true },
	[FIREWALL] = { "decap_firewall", "decapsulation, firewall, forwarding",
		       HOST_SERVICE_FIREWALL, -FF_ENCAP_V4, HOST_NEAR, HOST_NEAR, ALONE_TUNNELLED,
		       .opens = true },
	[PROTECTED] = { "decap_protected", "decapsulation, protected firewall, forwarding",
			HOST_SERVICE_FIREWALL, -FF_ENCAP_V4, HOST_NEAR, HOST_NEAR, ALONE_TUNNELLED,
			.opens = true, .logs = true },
	[MONITOR] = { "decap_monitor", "decapsulation, monitor, forwarding", HOST_SERVICE_MONITOR,
		      -FF_ENCAP_V4, HOST_NEAR, HOST_MONITOR, ALONE_TUNNELLED, .opens = true },
};

/* What a sample is made of, so far; 0: nothing yet. */
struct least {
	double ns, base_ns;
	struct ff_error err; /* it failed */
};

struct program {
	struct frame frame;
	struct figure *figures[SHAPES];
	struct least least[SHAPES];
};

struct rig {
	struct bench *bench;
	struct host *host;
	struct floor_bpf *floor;
	struct drive *drives[2]; /* of clients' frames, of tunnel packets */
	struct program programs[PROGRAMS];
	uint32_t random;
	uint16_t owner; /* of service 1 now */
	struct lane lane;
	bool logging; /* of service 1 now */
};

/* ---- programs -------------------------------------------------------------------------------- */

static int program_fd(const struct rig *rig, int number)
{
	const struct datapath_bpf *dp = rig->host->agent.dp->skel;

	switch (number) {
	case FLOOR_1:
		return bpf_program__fd(rig->floor->progs.floor_send);
	case FLOOR_2:
		return bpf_program__fd(rig->floor->progs.floor_count_send);
	case STEER:
	case LOCAL:
		return bpf_program__fd(dp->progs.steer);
	case FIREWALL:
	case PROTECTED:
	case MONITOR:
		return bpf_program__fd(dp->progs.fabric);
	default:
		return -1;
	}
}

static int floor_load(struct rig *rig, struct ff_error *err)
{
	const struct datapath_bpf *dp = rig->host->agent.dp->skel;
	int r;

	rig->floor = floor_bpf__open();
	if (!rig->floor)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't open the floors: %s",
				 strerror(errno));
	r = bpf_map__reuse_fd(rig->floor->maps.tx_ports, bpf_map__fd(dp->maps.tx_ports));
	if (!r)
		r = floor_bpf__load(rig->floor);
	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "can't load the floors: %s",
				 strerror(-r));
	rig->floor->bss->peer = *host_peer(rig->host);
	return 0;
}

static int drives_make(struct rig *rig, struct ff_error *err)
{
	const struct ff_service *service = &rig->host->agent.dp->services[HOST_SERVICE_FIREWALL];
	struct drive_spec spec = { .slot_mask = service->slot_mask, .slot_keys = service->keys };
	int r = 0;

	memcpy(spec.mac, HOST_CLIENT_MAC, sizeof(spec.mac));
	for (int tunnelled = 0; tunnelled < 2 && !r; tunnelled++) {
		spec.link = tunnelled ? HOST_FABRIC_LINK "-far" : HOST_CLIENT_LINK "-far";
		spec.tunnelled = tunnelled;
		r = drive_new(&spec, &rig->drives[tunnelled], err);
	}
	for (int number = 0; number < PROGRAMS && !r; number++)
		frame_make(host_peer(rig->host), abouts[number].vni, &rig->programs[number].frame);
	return r;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* What the data path has counted. */
struct counts {
	uint64_t reasons[FF_REASON_MAX];
	struct ff_instance_stats stats;
};

static int counts_read(const struct rig *rig, uint16_t instance, struct counts *ret,
		       struct ff_error *err)
{
	int r = datapath_reasons(rig->host->agent.dp, ret->reasons);

	ret->stats = (struct ff_instance_stats){};
	if (!r && instance)
		ret->stats = meters_stats(&rig->host->agent.instances[instance]->meters);
	return r ? error_set(err, r, FF_CODE_INTERNAL, NULL, "can't read counters: %s",
			     strerror(-r)) :
		   0;
}

/* No packet took an unusual turn, and the NF has seen each of them. */
static int counts_judge(const struct counts *before, const struct counts *after, uint64_t packets,
			struct ff_error *err)
{
	uint64_t seen = after->stats.packets - before->stats.packets;

	for (uint32_t i = 0; i < FF_REASON_MAX; i++)
		if (after->reasons[i] != before->reasons[i])
			return error_set(err, EIO, FF_CODE_INTERNAL, NULL,
					 "%" PRIu64 " packets went another way: %s",
					 after->reasons[i] - before->reasons[i], reason_name(i));
	if (seen != packets)
		return error_set(err, EIO, FF_CODE_INTERNAL, NULL,
				 "the NF has counted %" PRIu64 " of %" PRIu64 " packets", seen,
				 packets);
	return 0;
}

/* Its flows are followed as those of an instance with a standby, or not. */
static int logging_set(struct rig *rig, bool on, struct ff_error *err)
{
	struct agent *agent = &rig->host->agent;
	int r;

	if (on == rig->logging)
		return 0;
	r = on ? table_watch(agent->table, HOST_SERVICE_FIREWALL, HOST_NEAR,
			     (uint8_t)rig->lane.number, err) :
		 table_unwatch(agent->table, HOST_NEAR, err);
	if (!r)
		rig->logging = on;
	return r;
}

/* Makes a program the driver's target, in a network where its flows are its own. */
static int program_choose(struct rig *rig, int number, struct ff_error *err)
{
	const struct about *about = &abouts[number];
	int r = 0;

	routes_vouch(&rig->host->agent); /* what the agent does once a second */
	if (about->owner && about->owner != rig->owner) {
		r = host_owner_set(rig->host, about->owner, err);
		if (r)
			return r;
		rig->owner = about->owner;
	}
	r = logging_set(rig, about->logs, err);
	return r ? r : drive_target(rig->drives[!!about->vni], program_fd(rig, number), err);
}

static int program_run(struct rig *rig, int number, const struct drive_plan *plan, uint32_t packets,
		       double *ret_ns, struct ff_error *err)
{
	const struct about *about = &abouts[number];
	const struct frame *frame = &rig->programs[number].frame;
	struct drive_run run = {
		.plan = *plan,
		.frame = frame->bytes,
		.len = frame->len,
		.ifindex = if_nametoindex(about->vni ? HOST_FABRIC_LINK : HOST_CLIENT_LINK),
		.packets = packets,
	};
	struct counts before, after;
	int r = counts_read(rig, about->nf, &before, err);

	run.plan.verdict = about->base < 0 ? XDP_ABORTED : XDP_REDIRECT;
	run.plan.growth = about->growth;
	if (!r)
		r = drive_run(rig->drives[!!about->vni], &run, ret_ns, err);
	if (!r)
		r = counts_read(rig, about->nf, &after, err);
	return r ? r : counts_judge(&before, &after, about->nf ? packets : 0, err);
}

/* Each flow's handshake, or only its first segment. */
static int flows_open(struct rig *rig, int number, struct ff_error *err)
{
	const struct drive_plan handshake[] = {
		{ .tcp_flags = TCP_SYN, .seq = 1000 },
		{ .tcp_flags = TCP_SYN | TCP_ACK, .seq = 5000, .ack = 1001, .reverse = 1 },
		{ .tcp_flags = TCP_ACK, .seq = 1001, .ack = 5001 },
	};
	int r = program_choose(rig, number, err);

	for (size_t i = abouts[number].opens ? 0 : 2; i < ARRAY_SIZE(handshake) && !r; i++) {
		struct drive_plan plan = handshake[i];

		plan.flows = DRIVE_FLOWS_MAX;
		r = program_run(rig, number, &plan, DRIVE_FLOWS_MAX, NULL, err);
	}
	return r;
}

static int turn_take(struct rig *rig, int number, const struct drive_plan *plan, double *least,
		     struct ff_error *err)
{
	double ns;
	int r = drive_target(rig->drives[!!abouts[number].vni], program_fd(rig, number), err);

	if (!r)
		r = program_run(rig, number, plan, PACKETS, &ns, err);
	if (!r && (!*least || ns < *least))
		*least = ns;
	return r;
}

/* A new round: each flow's first packet is noted. */
static void log_take(struct rig *rig)
{
	const struct ff_flow_key *keys;
	size_t count;
	bool full;

	lane_round(&rig->lane, &keys, &count, &full);
}

/* First all flows once, so that what they need is in the caches as usual. */
static int visit(struct rig *rig, int number, size_t shape, struct ff_error *err)
{
	struct drive_plan plan = {
		.flows = shapes[shape].flows, .tcp_flags = TCP_ACK, .seq = 1001, .ack = 5001
	};
	struct least *least = &rig->programs[number].least[shape];
	int r = program_choose(rig, number, err);

	if (!r)
		r = program_run(rig, number, &plan, plan.flows, NULL, err);
	for (int turn = 0; turn < TURNS && !r; turn++) {
		plan.random = rig->random += 2;
		if (abouts[number].logs)
			log_take(rig);
		r = turn_take(rig, number, &plan, &least->ns, err);
		if (!r && abouts[number].base >= 0)
			r = turn_take(rig, abouts[number].base, &plan, &least->base_ns, err);
	}
	return r;
}

/* ---- samples --------------------------------------------------------------------------------- */

static void round_visit(struct rig *rig)
{
	for (int number = 0; number < PROGRAMS; number++) {
		for (size_t shape = 0; shape < SHAPES; shape++) {
			struct ff_error *err = &rig->programs[number].least[shape].err;

			if (!err->err)
				visit(rig, number, shape, err);
		}
	}
}

static void round_sample(struct rig *rig)
{
	for (int number = 0; number < PROGRAMS; number++) {
		struct program *program = &rig->programs[number];

		for (size_t shape = 0; shape < SHAPES; shape++) {
			struct least *least = &program->least[shape];

			if (least->err.err)
				figure_failed(program->figures[shape], "%s", least->err.message);
			else
				figure_sample(program->figures[shape], least->ns - least->base_ns);
			*least = (struct least){};
		}
	}
}

static void targets_set(struct rig *rig)
{
	struct program *p = rig->programs;

	figure_target(p[STEER].figures[0], BOUND_AT_MOST, STEER_LIMIT, p[FLOOR_1].figures[0]);
	figure_target(p[STEER].figures[1], BOUND_AT_MOST, SAME, p[STEER].figures[0]);
	figure_target(p[FIREWALL].figures[1], BOUND_AT_MOST, FIREWALL_LIMIT, p[FLOOR_2].figures[1]);
	figure_beside(p[STEER].figures[1], p[FLOOR_1].figures[1]);
	figure_beside(p[FIREWALL].figures[0], p[FLOOR_2].figures[0]);
	for (size_t shape = 0; shape < SHAPES; shape++) {
		figure_beside(p[LOCAL].figures[shape], p[FLOOR_2].figures[shape]);
		figure_beside(p[PROTECTED].figures[shape], p[FIREWALL].figures[shape]);
		figure_beside(p[MONITOR].figures[shape], p[FLOOR_2].figures[shape]);
	}
}

static void figures_begin(struct rig *rig)
{
	for (int number = 0; number < PROGRAMS; number++) {
		for (size_t shape = 0; shape < SHAPES; shape++) {
			char id[64], what[128];

			snprintf(id, sizeof(id), "datapath.%s.%s", abouts[number].id,
				 shapes[shape].name);
			snprintf(what, sizeof(what), "%s, %s", abouts[number].what,
				 shapes[shape].what);
			rig->programs[number].figures[shape] =
				bench_figure(rig->bench, id, "ns", what);
		}
	}
	targets_set(rig);
}

static int rig_init(struct rig *rig, struct ff_error *err)
{
	const struct lane_spec spec = { .op = "bench", .token = 1, .log = true };
	cpu_set_t cpus;
	int r = host_new(&rig->host, err);

	if (!r)
		r = floor_load(rig, err);
	if (!r)
		r = lane_open(rig->host->agent.dp, rig->host->agent.cpus, &spec, &rig->lane, err);
	if (!r)
		r = drives_make(rig, err);
	/* after the agent has started its threads, which are on CPUs of their own */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (!r && sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
		r = error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't stay on a CPU: %s",
			      strerror(errno));
	return r;
}

static void rig_done(struct rig *rig)
{
	drive_free(rig->drives[0]);
	drive_free(rig->drives[1]);
	floor_bpf__destroy(rig->floor);
	host_free(rig->host);
}

static int datapath_run(struct bench *bench, struct ff_error *err)
{
	struct rig rig = { .bench = bench, .random = SEED, .owner = HOST_NEAR };
	int r;

	figures_begin(&rig);
	r = rig_init(&rig, err);
	for (int number = 0; number < PROGRAMS && !r; number++)
		if (abouts[number].opens || abouts[number].remembers)
			r = flows_open(&rig, number, err);
	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		bench_progress(bench, "round %d of %d", run + 1, bench_runs(bench));
		for (int i = 0; i < VISITS; i++)
			round_visit(&rig);
		round_sample(&rig);
	}
	rig_done(&rig);
	return r;
}

const struct bench_suite suite_datapath = {
	.name = "datapath",
	.about = "ns per packet of the programs that packets meet, beside two floors",
	.run = datapath_run,
};
