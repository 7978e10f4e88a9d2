/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * load.c - puts every BPF program of flowferry before the verifier of the kernel that runs it.
 *
 *	load NF.bpf.o...
 *
 * Beside the NFs given, those built in are loaded as the programs load them: what is constant by
 * then is set, for the verifier never looks at what a constant rules out. One line a load; the
 * verifier's log of what it refuses. Exits 1 if anything was refused.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "bpf/state_abi.h"
#include "bpf/traffic_abi.h"

#include "bpf/datapath.skel.h"
#include "bpf/handover.skel.h"
#include "bpf/lab.skel.h"
#include "bpf/state.skel.h"
#include "bpf/traffic.skel.h" /* checks the sizes of traffic_abi.h's types */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/stream.h"

DEFINE_CLEANUP(struct bpf_object *, bpf_object__close);

static unsigned int passed, failed;

/* Programs with the number of instructions that the verifier walked through: its bound is 1 M. */
static void programs_print(const struct bpf_object *object)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, object) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) == 0)
			printf(" %s=%u", bpf_program__name(prog), info.verified_insns);
	}
}

static void object_load(struct bpf_object *object, const char *what)
{
	uint64_t start = clock_ns();
	int r = object ? bpf_object__load(object) : -errno;

	if (r < 0) {
		failed++;
		printf("refused  %s: %s\n", what, strerror(-r));
		return;
	}
	passed++;
	printf("loaded   %s, %.1f s:", what, (double)(clock_ns() - start) / NSEC_PER_SEC);
	programs_print(object);
	putchar('\n');
}

static void datapath_load(void)
{
	struct datapath_bpf *bpf = datapath_bpf__open();

	object_load(bpf ? bpf->obj : NULL, "datapath");
	datapath_bpf__destroy(bpf);
}

static void handover_load(void)
{
	struct handover_bpf *bpf = handover_bpf__open();

	object_load(bpf ? bpf->obj : NULL, "handover");
	handover_bpf__destroy(bpf);
}

static void lab_load(void)
{
	struct lab_bpf *bpf = lab_bpf__open();

	object_load(bpf ? bpf->obj : NULL, "lab");
	lab_bpf__destroy(bpf);
}

/* The agent's programs for per-flow state of `value_size` bytes an entry. */
static void state_load(const char *of, uint32_t value_size)
{
	struct state_bpf *bpf = state_bpf__open();
	int r = bpf ? 0 : -errno;
	char what[96];

	snprintf(what, sizeof(what), "state of %s, %" PRIu32 " bytes a flow", of, value_size);
	if (r == 0) {
		bpf->rodata->value_words = value_size / 8;
		r = bpf_map__set_value_size(bpf->maps.staging,
					    (uint32_t)sizeof(struct ff_record) + value_size);
	}
	if (r == 0)
		r = bpf_map__set_value_size(bpf->maps.dumped,
					    (uint32_t)sizeof(struct ff_record) + value_size);
	if (r == 0)
		r = bpf_map__set_value_size(bpf_map__inner_map(bpf->maps.flows), value_size);
	errno = -r;
	object_load(r == 0 ? bpf->obj : NULL, what);
	state_bpf__destroy(bpf);
}

static void traffic_load(uint8_t families, uint16_t size, uint8_t order)
{
	struct traffic_config config = {
		.addr4 = { { 198, 18, 1, 2 }, { 198, 18, 2, 2 } },
		.run = 1,
		.flows = 1000,
		.client_ports = TRAFFIC_CLIENT_PORTS,
		.client_port = 1024,
		.server_port = 5000,
		.size = size,
		.families = families,
		.order = order,
		.links = TRAFFIC_LINKS_MAX,
		.hops = { families & TRAFFIC_IPV4 ? TRAFFIC_LINKS_MAX : 0,
			  families & TRAFFIC_IPV6 ? TRAFFIC_LINKS_MAX : 0 },
	};
	struct traffic_bpf *bpf = traffic_bpf__open();
	char what[96];

	snprintf(what, sizeof(what), "traffic, IPv%s, %u bytes, %s",
		 families == TRAFFIC_IPV4 ? "4" :
		 families == TRAFFIC_IPV6 ? "6" :
					    "4 and 6",
		 size, order == TRAFFIC_RANDOM ? "random" : "round robin");
	inet_pton(AF_INET6, "2001:db8:1::2", config.addr6[0]);
	inet_pton(AF_INET6, "2001:db8:2::2", config.addr6[1]);
	if (bpf) {
		/* writable until it is loaded; the skeleton declares it as BPF sees it */
		memcpy((void *)(uintptr_t)&bpf->rodata->config, &config, sizeof(config));
		bpf_map__set_max_entries(bpf->maps.sent, config.flows);
		bpf_map__set_max_entries(bpf->maps.flows, config.flows);
	}
	object_load(bpf ? bpf->obj : NULL, what);
	traffic_bpf__destroy(bpf);
}

/* An NF, and the state programs that the agent loads beside it. */
static void nf_load(const char *path)
{
	_cleanup_(bpf_object__closep) struct bpf_object *object = bpf_object__open_file(path, NULL);
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	uint32_t value_size = 0;
	struct bpf_map *map;
	char what[96];

	snprintf(what, sizeof(what), "NF %s", name);
	if (object) {
		/* known until it is loaded */
		bpf_object__for_each_map(map, object)
			if (bpf_map__inner_map(map))
				value_size = bpf_map__value_size(bpf_map__inner_map(map));
	}
	object_load(object, what);
	if (value_size)
		state_load(name, value_size);
}

static int print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_WARN ? vprintf(fmt, args) : 0;
}

int main(int argc, char **argv)
{
	struct utsname kernel;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(print);
	if (uname(&kernel) == 0)
		printf("%s %s %s\n", kernel.sysname, kernel.release, kernel.version);
	datapath_load();
	handover_load();
	lab_load();
	for (int i = 1; i < argc; i++)
		nf_load(argv[i]);
	state_load("the largest that there may be", STREAM_VALUE_MAX);
	/*
	 * from the smallest packet with a payload to the largest that
	 * is odd, so that a tail remains
	 */
	traffic_load(TRAFFIC_IPV4, 68, TRAFFIC_ROUND_ROBIN);
	traffic_load(TRAFFIC_IPV6, 128, TRAFFIC_RANDOM);
	traffic_load(TRAFFIC_IPV4 | TRAFFIC_IPV6, TRAFFIC_SIZE_MAX - 1, TRAFFIC_RANDOM);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
