/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_programs.c - how long the data path's programs run, by the kernel's own measurement: all of a
 * packet's way, tail calls included, also on a host without an NF.
 *
 * The kernel measures while somebody asks it to (BPF_ENABLE_STATS), and each packet pays some tens of
 * nanoseconds for it; so we ask in windows of one period of sampling. What is told are sums over the windows so far.
 */
#include <bpf/bpf.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/probe.h"
#include "lib/clock.h"
#include "lib/json.h"

struct programs {
	int stats_fd; /* -1: the window is closed */
	uint64_t closed_ns;
	struct program {
		uint32_t id;
		uint64_t ns, runs;	       /* in all windows */
		uint64_t begin_ns, begin_runs; /* when this one was opened */
	} programs[DATAPATH_PROGRAMS];
};

static int programs_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	struct programs *programs;

	if (!*agent->config->monitor->run_time_every_s)
		return error_set(err, ENOTSUP, FF_CODE_INTERNAL, NULL,
				 "switched off in the configuration");
	programs = calloc(1, sizeof(*programs));
	if (!programs)
		return error_nomem(err);
	programs->stats_fd = -1;
	*ret_state = programs;
	return 0;
}

static void window_close(struct programs *programs)
{
	if (programs->stats_fd >= 0)
		close(programs->stats_fd);
	programs->stats_fd = -1;
}

static void programs_close(void *state)
{
	window_close(state);
	free(state);
}

/* Opens the window, or takes in what was measured in it. */
static int program_read(struct program *program, int fd, bool begin, struct ff_error *err)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't ask for a program: %s",
				 strerror(errno));
	if (begin) {
		program->id = info.id;
		program->begin_ns = info.run_time_ns;
		program->begin_runs = info.run_cnt;
		return 0;
	}
	program->ns += info.run_time_ns - program->begin_ns;
	program->runs += info.run_cnt - program->begin_runs;
	return 0;
}

static int programs_read(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
			 struct ff_error *err)
{
	struct datapath_program list[DATAPATH_PROGRAMS];
	struct programs *programs = state;
	bool begin = programs->stats_fd < 0;
	_cleanup_json_ json_t *json = NULL;
	int r = 0;

	if (begin && programs->closed_ns &&
	    now_ns - programs->closed_ns < *agent->config->monitor->run_time_every_s * NSEC_PER_SEC)
		return 0;
	if (begin) {
		programs->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		if (programs->stats_fd < 0)
			return error_set(err, errno, FF_CODE_INTERNAL, NULL,
					 "the kernel doesn't measure programs: %s",
					 strerror(errno));
	}
	datapath_programs(agent->dp, list);
	for (size_t i = 0; i < DATAPATH_PROGRAMS && !r; i++)
		r = program_read(&programs->programs[i], list[i].fd, begin, err);
	if (r || begin)
		return r;
	window_close(programs);
	programs->closed_ns = now_ns;
	json = json_array();
	for (size_t i = 0; i < DATAPATH_PROGRAMS; i++)
		json_array_append_new(json,
				      json_pack("{ss si sI sI}", "program", list[i].name, "id",
						(int)programs->programs[i].id, "runs",
						(json_int_t)programs->programs[i].runs, "run_ns",
						(json_int_t)programs->programs[i].ns));
	*ret = TAKE_PTR(json);
	return 0;
}

const struct probe probe_programs = { "programs", 0, programs_open, programs_read, programs_close };
