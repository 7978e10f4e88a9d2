/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* replica_rig.c - see replica_rig.h. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "lib/clock.h"
#include "lib/flow.h"
#include "tests/prog/replica_rig.h"

struct ff_instance places[FF_INSTANCES_MAX] = { [OWNER] = { .host = 1 },
						[STANDBY] = { .host = 2 },
						[OTHER] = { .host = 3 } };
struct agent agents[2];
struct replica replica;
struct move moving;
struct drops drops;

static struct ff_host_info hosts[2] = { { .host = 1, .next_round = 1 }, { .host = 2 } };
static struct ff_service services[FF_SERVICES_MAX];
static struct ff_fences fences[FF_LANES_MAX];
static struct datapath dps[2];
static struct agent_config config = { .host = "h" };
static struct ff_error err;

/* ---- the hosts ------------------------------------------------------------------------------- */

static int drop_counted(struct http_request *req, struct http_response *resp)
{
	const char *text = json_string_value(json_object_get(req_json(req), "slots"));
	struct slotset slots;
	unsigned int count;

	cr_assert_eq(slotset_parse(text, FF_SLOTS_MAX, &slots, NULL), 0);
	count = slotset_count(&slots);
	drops.requests++;
	drops.slots += count;
	drops.most = MAX(drops.most, count);
	return standby_drop(req, resp);
}

static const struct http_route routes[] = {
	{ "POST", "/v1/replicas/:name/state", NULL, &standby_state_upload, 0 },
	{ "POST", "/v1/replicas/:name/drop", drop_counted, NULL, HTTP_BODY_REQUIRED },
	{ NULL, NULL, NULL, NULL, 0 },
};

static void datapath_init(void)
{
	int lanes_fd = bpf_obj_get("/sys/fs/bpf/host/maps/lanes");
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);

	services[RIG_SERVICE_NO] = (struct ff_service){ .used = 1,
							.slot_mask = RIG_SLOT_COUNT - 1,
							.seed = { 0x1234, 0x5678 } };
	ff_slot_keys_make(services[RIG_SERVICE_NO].seed, &services[RIG_SERVICE_NO].keys);
	dps[0] = (struct datapath){
		.cpus = 2,
		.host = &hosts[0],
		.services = services,
		.table = calloc(FF_SERVICES_MAX * 2 * FF_SLOTS_MAX, sizeof(struct ff_slot)),
		.rules = calloc(FF_SERVICES_MAX * 2 * FF_RULES_MAX, sizeof(struct ff_rule)),
		.instances = places,
		.lanes = mmap(NULL, FF_LANES_MAX * sizeof(struct ff_lane), PROT_READ | PROT_WRITE,
			      MAP_SHARED, lanes_fd, 0),
		.fences = fences,
		.log_rings_fd = bpf_obj_get("/sys/fs/bpf/host/maps/log_rings"),
		.pins_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "pins", sizeof(struct ff_flow_key),
					  sizeof(struct ff_pin), 1000, &opts),
	};
	cr_assert_neq(dps[0].lanes, MAP_FAILED);
	cr_assert(dps[0].log_rings_fd >= 0 && dps[0].pins_fd >= 0);
	dps[1] = (struct datapath){ .host = &hosts[1] };
}

void standby_tell(uint16_t of, uint16_t owns)
{
	static struct desired d;
	static struct table_owner all = { 0, RIG_SLOT_COUNT - 1, 0 };

	d = (struct desired){ .host = 2 };
	d.instances[OWNER] =
		(struct desired_instance){ .is = true, .service = RIG_SERVICE_NO, .host = 1 };
	d.instances[STANDBY] = (struct desired_instance){
		.is = true, .service = RIG_SERVICE_NO, .host = 2, .standby_of = of
	};
	all.owner = owns;
	d.services[RIG_SERVICE_NO].owners = &all;
	d.services[RIG_SERVICE_NO].table.owners_count = 1;
	standby_apply(&agents[1], &d);
}

void owner_all(uint16_t owner)
{
	const struct table_owner all = { 0, RIG_SLOT_COUNT - 1, owner };
	const struct table_desired d = { .service = RIG_SERVICE_NO,
					 .owners = &all,
					 .owners_count = 1 };

	cr_assert_eq(table_sync(agents[0].table, &d, &err), 0, "%s", err.message);
}

void replica_rig_init(void)
{
	static const char socket[] = "/run/standby"; /* which goes with the test's mounts */
	struct lane_spec spec = { .op = REPLICA_LANE "1", .token = 77, .log = true };

	state_rig_init();
	datapath_init();
	for (int i = 0; i < 2; i++) {
		agents[i].config = &config;
		agents[i].dp = &dps[i];
		pthread_mutex_init(&agents[i].standbys.lock, NULL);
	}
	cr_assert_eq(cpus_new(2, &agents[0].cpus, &err), 0, "%s", err.message);
	cr_assert_eq(table_new(&dps[0], agents[0].cpus, &agents[0].table, &err), 0);
	owner_all(OWNER);
	agents[0].instances[OWNER] = state_rig_load("owner", "counter", OWNER);
	agents[1].instances[STANDBY] = state_rig_load("standby", "counter", STANDBY);
	standby_tell(OWNER, OWNER);

	cr_assert_eq(mount("none", "/run", "tmpfs", 0, NULL), 0);
	cr_assert_eq(http_server_new(routes, &agents[1], &agents[1].server, &err), 0);
	cr_assert_eq(http_server_listen_unix(agents[1].server, socket, &err), 0);
	replica = (struct replica){ .agent = &agents[0],
				    .spec = { .from = OWNER,
					      .to = STANDBY,
					      .service = RIG_SERVICE_NO,
					      .lag_ms = 100,
					      .name = "standby" },
				    .instance = agents[0].instances[OWNER],
				    .lock = PTHREAD_MUTEX_INITIALIZER };
	cr_assert_eq(http_client_new(socket, NULL, &replica.standby, &err), 0);
	cr_assert_eq(lane_open(&dps[0], agents[0].cpus, &spec, &replica.lane, &err), 0, "%s",
		     err.message);
	replica.all = true;
	cr_assert_eq(table_watch(agents[0].table, RIG_SERVICE_NO, OWNER,
				 (uint8_t)replica.lane.number, &err),
		     0, "%s", err.message);
}

/* ---- packets and entries --------------------------------------------------------------------- */

struct ff_steer entry_of(uint32_t flow)
{
	struct ff_flow_key key = state_rig_key(flow);
	const char *how;

	return table_lookup(agents[0].table, RIG_SERVICE_NO, &key, &how);
}

void packets(uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct ff_flow_key key = state_rig_key(i);
		struct ff_steer steer = entry_of(i);

		cr_assert_eq(steer.here, OWNER);
		state_rig_steer(&steer);
		state_rig_packet(replica.instance, &key, clock_ns());
	}
}

struct subject slots_of(const char *slots)
{
	struct subject subject = { .service = RIG_SERVICE_NO, .slots_count = RIG_SLOT_COUNT };

	cr_assert_eq(slotset_parse(slots, RIG_SLOT_COUNT, &subject.slots, &err), 0);
	return subject;
}

void edit(const struct subject *subject, uint16_t here, uint8_t flags)
{
	struct table_entry entry = {
		.owner = here ?: OTHER, .here = here, .flags = flags, .lane = flags ? MOVE_LANE : 0
	};

	cr_assert_eq(table_edit(agents[0].table, subject, &entry, NULL, &err), 0);
}

void move_list(const struct subject *subject)
{
	moving = (struct move){ .is_source = true, .from = OWNER, .subject = *subject, .refs = 1 };
	agents[0].moves[3] = &moving;
}

void round_run(void)
{
	cr_assert_eq(replica_round(&replica, &err), 0, "%s", err.message);
}

/* ---- judging --------------------------------------------------------------------------------- */

static int copy_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct copy *copy = ctx;
	uint32_t number = state_rig_number(key);

	cr_assert_leq(number, FLOWS);
	copy->packets[number] = state_rig_get(replica.instance, value, "packets", 0) +
				state_rig_get(replica.instance, value, "packets", 1);
	copy->count++;
	return 0;
}

void copy_of(struct instance *instance, struct copy *ret)
{
	memset(ret, 0, sizeof(*ret));
	cr_assert_eq(state_dump(&instance->state, NULL, copy_visit, ret, NULL, &err), 0);
}

void equal_expect(const char *when)
{
	static struct copy owner, standby;
	uint32_t owned = 0;

	copy_of(replica.instance, &owner);
	copy_of(agents[1].instances[STANDBY], &standby);
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint64_t due = entry_of(i).here == OWNER ? owner.packets[i] : 0;

		owned += due != 0;
		cr_expect_eq(standby.packets[i], due, "%s: flow %u: %llu packets, not %llu", when,
			     i, (unsigned long long)standby.packets[i], (unsigned long long)due);
	}
	cr_expect_eq(standby.count, owned, "%s", when);
	state_rig_agree(agents[1].instances[STANDBY], owned);
}
