/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lane_live.c - what a lane asks of the data path itself: live frames that send its fences, and that
 * release what is parked.
 */
#include "agent/lane.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/random.h>

#include <bpf/bpf.h>

#include "lib/clock.h"

/*
 * One call's frames: its pages are new and so all carry the cookie (the kernel doesn't restore what
 * a program wrote), and the call takes about 25 us.
 */
#define LIVE_BATCH 64
_Static_assert(FF_PATHS <= LIVE_BATCH, "all fences of a CPU go in one call");

/* Runs jobs[cpu] of this CPU's thread, `repeat` packets. */
static int live_run(struct datapath *dp, struct ff_job *job, uint32_t repeat)
{
	struct ff_job_frame frame = { .proto = htons(FF_ETH_P_FENCE) };
	struct xdp_md ctx = { .data_end = sizeof(frame), .ingress_ifindex = dp->fabric_ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)repeat,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = LIVE_BATCH);
	int r;

	if (getrandom(job->cookie, sizeof(job->cookie), 0) != sizeof(job->cookie))
		return -errno;
	memcpy(frame.cookie, job->cookie, sizeof(frame.cookie));
	r = bpf_prog_test_run_opts(dp->fabric_fd, &opts) ? -errno : 0;
	memset(job->cookie, 0, sizeof(job->cookie));
	return r;
}
/* ---- fences ------------------------------------------------------------------------------------ */

struct fence_run {
	struct datapath *dp;
	const struct lane_fence *fence;
	int errors[FF_CPUS_MAX];
};

static void fence_on_cpu(int cpu, void *arg)
{
	struct fence_run *run = arg;
	struct ff_job *job = &run->dp->jobs[cpu];
	uint32_t repeat = 0;

	job->token = run->fence->token;
	job->switched_ns = run->fence->switched_ns;
	job->host = run->fence->host;
	job->from = run->fence->from;
	job->service = run->fence->service;
	job->prog = FF_PROG_FENCE;
	for (size_t i = 0; i < FF_PATHS / 64; i++) {
		job->paths[i] = run->fence->paths[i];
		repeat += (uint32_t)__builtin_popcountll(job->paths[i]);
	}
	if (repeat)
		run->errors[cpu] = live_run(run->dp, job, repeat);
}

/* Source and steering host are one: when no program is under way any more, nothing is. */
static void fence_self(struct datapath *dp, struct cpus *cpus, const struct lane_fence *fence)
{
	cpus_quiesce(cpus);
	for (uint32_t i = 0; i < FF_LANES_MAX; i++) {
		if (dp->lanes[i].token != fence->token)
			continue;
		for (int cpu = 0; cpu < cpus_count(cpus); cpu++)
			for (size_t w = 0; w < FF_PATHS / 64; w++)
				__atomic_fetch_or(&dp->fences[i].seen[fence->from][cpu][w],
						  fence->paths[w], __ATOMIC_SEQ_CST);
		if (!dp->lanes[i].fence_origin_ns ||
		    dp->lanes[i].fence_origin_ns > fence->switched_ns)
			dp->lanes[i].fence_origin_ns = fence->switched_ns;
	}
}

int lane_fence_send(struct datapath *dp, struct cpus *cpus, const struct lane_fence *fence)
{
	struct fence_run run = { .dp = dp, .fence = fence };

	if (fence->host == dp->host->host) {
		fence_self(dp, cpus, fence);
		return 0;
	}
	if (fence->only_cpu)
		cpus_run_on(cpus, fence->cpu, fence_on_cpu, &run);
	else
		cpus_run(cpus, fence_on_cpu, &run);
	for (int cpu = 0; cpu < cpus_count(cpus); cpu++)
		if (run.errors[cpu])
			return run.errors[cpu];
	return 0;
}

bool lane_fences_complete(const struct lane *lane, const uint16_t cpus[FF_STEERING_MAX],
			  const uint64_t paths[FF_PATHS / 64])
{
	const struct ff_fences *board = &lane->dp->fences[lane->number];

	for (size_t from = 0; from < FF_STEERING_MAX; from++)
		for (size_t cpu = 0; cpu < cpus[from]; cpu++)
			for (size_t w = 0; w < FF_PATHS / 64; w++)
				if (paths[w] &
				    ~__atomic_load_n(&board->seen[from][cpu][w], __ATOMIC_ACQUIRE))
					return false;
	return true;
}

bool lane_fence_complete(const struct lane *lane, uint16_t from,
			 const uint64_t paths[FF_PATHS / 64])
{
	const struct ff_fences *board = &lane->dp->fences[lane->number];

	for (size_t cpu = 0; cpu < FF_CPUS_MAX; cpu++) {
		uint64_t missing = 0;

		for (size_t w = 0; w < FF_PATHS / 64; w++)
			missing |= paths[w] &
				   ~__atomic_load_n(&board->seen[from][cpu][w], __ATOMIC_ACQUIRE);
		if (!missing)
			return true;
	}
	return false;
}

void lane_fences_clear(struct lane *lane)
{
	memset(&lane->dp->fences[lane->number], 0, sizeof(struct ff_fences));
	lane->map->fence_origin_ns = 0;
}

/* ---- release ----------------------------------------------------------------------------------- */

#define RELEASE_CALL 4096u /* packets, and then a look whether it's stuck */
#define RELEASE_SPARE                                                                              \
	8u /* frames for packets that are parked while those before them are released */

struct release_run {
	struct lane *lane;
	uint16_t instance;
	uint32_t host;
	bool open; /* nothing is parked any more, nor will be */
	int error;
};

/* Whether the ring is open: by us, if it's empty now, or by an agent that died right then. */
static bool ring_open(struct ff_lane *map)
{
	uint64_t head = __atomic_load_n(&map->park_head, __ATOMIC_ACQUIRE);
	uint64_t tail = __atomic_load_n(&map->park_tail, __ATOMIC_ACQUIRE);

	return (tail & FF_PARK_OPEN) ||
	       (head == tail &&
		__atomic_compare_exchange_n(&map->park_tail, &tail, FF_PARK_OPEN, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

/*
 * What comes between the end of a batch and the look whether the ring is empty has to be released, too;
 * so the one looks that has just released. Asking another thread would take ten times as long, and
 * with a few thousand packets a second the ring would be found empty by chance only.
 */
static void release_on_cpu(int cpu, void *arg)
{
	struct release_run *run = arg;
	struct ff_job *job = &run->lane->dp->jobs[cpu];
	struct ff_lane *map = run->lane->map;

	job->lane = run->lane->number;
	job->instance = run->instance;
	job->host = run->host;
	job->service = map->service;
	job->prog = FF_PROG_RELEASE;
	for (uint32_t done = 0; done < RELEASE_CALL && !run->error; done += LIVE_BATCH) {
		uint64_t left;

		run->open = ring_open(map);
		if (run->open)
			return;
		left = __atomic_load_n(&map->parked, __ATOMIC_RELAXED) - map->released;
		run->error = live_run(run->lane->dp, job,
				      (uint32_t)MIN(left + RELEASE_SPARE, (uint64_t)LIVE_BATCH));
	}
}

int lane_release_cpu(const struct lane *lane)
{
	uint32_t cpu = __atomic_load_n(&lane->map->park_cpu, __ATOMIC_RELAXED);

	return (int)cpu < cpus_count(lane->cpus) ? (int)cpu : 0;
}

/* A CPU that dies while it fills a cell can't be; one that is slow is a virtual CPU without its
 * host's time. */
#define RELEASE_STALL_NS (2 * NSEC_PER_SEC)

int lane_release(struct lane *lane, uint16_t instance, uint32_t host, uint64_t *ret_parked,
		 struct ff_error *err)
{
	struct release_run run = { .lane = lane, .instance = instance, .host = host };
	uint64_t stalled = 0;
	int cpu;

	if (!lane->map->park_size)
		return 0;
	cpu = lane_release_cpu(lane); /* one for all: or a flow would leave by two queues */
	while (!run.open) {
		uint64_t head = __atomic_load_n(&lane->map->park_head, __ATOMIC_ACQUIRE);

		cpus_run_on(lane->cpus, cpu, release_on_cpu, &run);
		if (run.error)
			return error_set(err, -run.error, FF_CODE_INTERNAL, NULL,
					 "can't release parked packets: %s", strerror(-run.error));
		if (__atomic_load_n(&lane->map->park_head, __ATOMIC_ACQUIRE) != head)
			stalled = 0;
		else if (!stalled)
			stalled = clock_ns();
		else if (clock_ns() - stalled > RELEASE_STALL_NS)
			return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL,
					 "parked packet %llu is never finished",
					 (unsigned long long)head);
	}
	if (ret_parked)
		*ret_parked = lane->map->parked;
	return 0;
}
