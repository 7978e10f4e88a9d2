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

static void programs_tell(const struct programs *programs, const struct datapath_program *list,
			  struct json_text *out)
{
	json_text_open(out, NULL, '[');
	for (size_t i = 0; i < DATAPATH_PROGRAMS; i++) {
		json_text_open(out, NULL, '{');
		json_text_str(out, "program", list[i].name);
		json_text_uint(out, "id", programs->programs[i].id);
		json_text_uint(out, "runs", programs->programs[i].runs);
		json_text_uint(out, "run_ns", programs->programs[i].ns);
		json_text_close(out, '}');
	}
	json_text_close(out, ']');
}

static int programs_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
			 struct ff_error *err)
{
	struct datapath_program list[DATAPATH_PROGRAMS];
	struct programs *programs = state;
	bool begin = programs->stats_fd < 0;
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
	programs_tell(programs, list, out);
	return 0;
}

const struct probe probe_programs = { "programs", 0, programs_open, programs_read, programs_close };
