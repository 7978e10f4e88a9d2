/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "bpf/lab.skel.h"
#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/lab.h"

/* Never generic mode as a silent fallback, and never in another program's place. */
#define XDP_FLAGS (XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST)

int lab_xdp_init(struct lab_xdp *xdp, struct ff_error *err)
{
	xdp->skeleton = lab_bpf__open_and_load();
	if (!xdp->skeleton)
		return error_set(err, errno, FF_CODE_INTERNAL,
				 errno == EPERM ? "run it as root" : NULL,
				 "can't load the lab's XDP programs: %m");
	return 0;
}

void lab_xdp_done(struct lab_xdp *xdp)
{
	lab_bpf__destroy(xdp->skeleton); /* takes NULL; attached programs stay, with their maps */
	xdp->skeleton = NULL;
}

struct attach {
	struct lab_bpf *skeleton;
	const struct bpf_program *program;
	unsigned int ifindex;
	const unsigned int *port; /* NULL: not a port of the switch */
};

/* A devmap and an attachment take the ifindex in the namespace of their caller. */
static int attach_here(void *arg)
{
	const struct attach *a = arg;
	int r;

	if (a->port) {
		r = bpf_map__update_elem(a->skeleton->maps.lab_ports, a->port, sizeof(*a->port),
					 &a->ifindex, sizeof(a->ifindex), BPF_ANY);
		if (r)
			return r;
	}
	return bpf_xdp_attach((int)a->ifindex, bpf_program__fd(a->program), XDP_FLAGS, NULL);
}

int lab_xdp_pass(struct lab_xdp *xdp, int netns_fd, unsigned int ifindex)
{
	struct attach a = { .program = xdp->skeleton->progs.lab_pass, .ifindex = ifindex };

	return netns_call(netns_fd, attach_here, &a);
}

int lab_xdp_port(struct lab_xdp *xdp, int netns_fd, unsigned int ifindex, unsigned int port,
		 const uint8_t mac[6])
{
	struct attach a = {
		.skeleton = xdp->skeleton,
		.program = xdp->skeleton->progs.lab_switch,
		.ifindex = ifindex,
		.port = &port,
	};
	uint8_t key[8] = {};
	int r;

	memcpy(key, mac, 6);
	r = bpf_map__update_elem(xdp->skeleton->maps.lab_macs, key, sizeof(key), &port,
				 sizeof(port), BPF_ANY);
	return r ? r : netns_call(netns_fd, attach_here, &a);
}

/* ---- bpffs ------------------------------------------------------------------------------------- */

bool lab_bpffs_is_mounted(void)
{
	struct statfs fs;

	return statfs(LAB_BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

int lab_bpffs_mount(bool *ret_mounted, struct ff_error *err)
{
	*ret_mounted = false;
	if (lab_bpffs_is_mounted())
		return 0;
	if (mount("bpffs", LAB_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return error_set(err, errno, FF_CODE_INTERNAL,
				 errno == EPERM ? "run it as root" : NULL,
				 "can't mount bpffs on %s: %m", LAB_BPFFS);
	*ret_mounted = true;
	return 0;
}
