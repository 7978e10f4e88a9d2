/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/drive.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/drive.skel.h"

struct drive {
	struct drive_bpf *skel;
	struct bpf_link *link;
};
DEFINE_CLEANUP(struct drive *, drive_free);

static int driver_load(struct drive *drive, const struct drive_spec *spec, struct ff_error *err)
{
	int r;

	drive->skel = drive_bpf__open();
	if (!drive->skel)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't open the driver: %s",
				 strerror(errno));
	drive->skel->rodata->tunnelled = spec->tunnelled;
	drive->skel->rodata->slot_mask = spec->slot_mask;
	memcpy(drive->skel->rodata->mac, spec->mac, sizeof(spec->mac));
	drive->skel->bss->slot_keys = spec->slot_keys;
	r = drive_bpf__load(drive->skel);
	return r ? error_set(err, r, FF_CODE_INTERNAL, NULL, "can't load the driver: %s",
			     strerror(-r)) :
		   0;
}

int drive_new(const struct drive_spec *spec, struct drive **ret, struct ff_error *err)
{
	_cleanup_(drive_freep) struct drive *drive = calloc(1, sizeof(*drive));
	int r;

	if (!drive)
		return error_nomem(err);
	r = driver_load(drive, spec, err);
	if (r)
		return r;
	drive->link =
		bpf_program__attach_xdp(drive->skel->progs.drive, (int)if_nametoindex(spec->link));
	if (!drive->link)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL,
				 "can't put the driver on %s: %s", spec->link, strerror(errno));
	*ret = TAKE_PTR(drive);
	return 0;
}

void drive_free(struct drive *drive)
{
	if (!drive)
		return;
	bpf_link__destroy(drive->link);
	drive_bpf__destroy(drive->skel);
	free(drive);
}

int drive_target(struct drive *drive, int prog_fd, struct ff_error *err)
{
	int fd = prog_fd < 0 ? bpf_program__fd(drive->skel->progs.nothing) : prog_fd;
	uint32_t zero = 0;

	if (bpf_map_update_elem(bpf_map__fd(drive->skel->maps.target), &zero, &fd, BPF_ANY))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL,
				 "the program can't be entered by a tail call: %s",
				 strerror(errno));
	return 0;
}

int drive_run(struct drive *drive, const struct drive_run *run, double *ret_ns,
	      struct ff_error *err)
{
	struct xdp_md ctx = { .data_end = (uint32_t)run->len, .ingress_ifindex = run->ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = run->frame,
		    .data_size_in = (uint32_t)run->len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .repeat = (int)run->packets);
	const struct drive_score *score = &drive->skel->bss->score;
	int r;

	drive->skel->bss->plan = run->plan;
	drive->skel->bss->score = (struct drive_score){};
	r = bpf_prog_test_run_opts(bpf_program__fd(drive->skel->progs.drive), &opts);
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "the program can't be run: %s",
				 strerror(-r));
	if (score->packets != run->packets || score->wrong)
		return error_set(err, EIO, FF_CODE_INTERNAL, NULL,
				 "%" PRIu64 " of %u packets ran, %" PRIu64
				 " did not come out as due, the last one with verdict %u",
				 (uint64_t)score->packets, run->packets, (uint64_t)score->wrong,
				 opts.retval);
	if (ret_ns)
		*ret_ns = opts.duration;
	return 0;
}
