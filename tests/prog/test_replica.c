/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_replica.c - an instance and its standby, the rounds between them, and the table that tells which
 * flows are whose. Two agents in one process: what a packet finds is looked up in the table, so what
 * isn't flagged there isn't logged.
 */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/heir.h"
#include "agent/move.h"
#include "agent/replica_internal.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "tests/prog/state_rig.h"

#define OWNER	  1 /* instance of host 1 */
#define STANDBY	  2 /* of host 2 */
#define OTHER	  3 /* an owner elsewhere */
#define MOVE_LANE 7 /* another one than the replica's */
#define FLOWS	  500

static struct ff_host_info hosts[2] = { { .host = 1, .next_round = 1 }, { .host = 2 } };
static struct ff_service services[FF_SERVICES_MAX];
static struct ff_instance places[FF_INSTANCES_MAX] = { [OWNER] = { .host = 1 },
						       [STANDBY] = { .host = 2 },
						       [OTHER] = { .host = 3 } };
static struct ff_fences fences[FF_LANES_MAX];
static struct datapath dps[2];
static struct agent_config config = { .host = "h" };
static struct agent agents[2]; /* of the owner, of the standby */
static struct replica replica;
static struct ff_error err;

/* ---- the hosts --------------------------------------------------------------------------------- */

static unsigned int drops, drops_slots, drops_most; /* requests, and slots in them */

static int drop_counted(struct http_request *req, struct http_response *resp)
{
	const char *text = json_string_value(json_object_get(req_json(req), "slots"));
	struct slotset slots;
	unsigned int count;

	cr_assert_eq(slotset_parse(text, FF_SLOTS_MAX, &slots, NULL), 0);
	count = slotset_count(&slots);
	drops++;
	drops_slots += count;
	drops_most = MAX(drops_most, count);
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

/* What the standby's agent is told; `of` 0: it is none. */
static void standby_tell(uint16_t of, uint16_t owns)
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

static void owner_all(uint16_t owner)
{
	const struct table_owner all = { 0, RIG_SLOT_COUNT - 1, owner };
	const struct table_desired d = { .service = RIG_SERVICE_NO,
					 .owners = &all,
					 .owners_count = 1 };

	cr_assert_eq(table_sync(agents[0].table, &d, &err), 0, "%s", err.message);
}

static void replica_init(void)
{
	char dir[] = "/tmp/ff-replica-XXXXXX", socket[64];
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

	cr_assert(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/s", dir);
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

TestSuite(replica, .init = replica_init, .timeout = 60);

/* ---- packets and entries ----------------------------------------------------------------------- */

static struct ff_steer entry_of(uint32_t flow)
{
	struct ff_flow_key key = state_rig_key(flow);
	const char *how;

	return table_lookup(agents[0].table, RIG_SERVICE_NO, &key, &how);
}

/* Packets of these flows, as the table has them. */
static void packets(uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct ff_flow_key key = state_rig_key(i);
		struct ff_steer steer = entry_of(i);

		cr_assert_eq(steer.here, OWNER);
		state_rig_steer(&steer);
		state_rig_packet(replica.instance, &key, clock_ns());
	}
}

static struct subject slots_of(const char *slots)
{
	struct subject subject = { .service = RIG_SERVICE_NO, .slots_count = RIG_SLOT_COUNT };

	cr_assert_eq(slotset_parse(slots, RIG_SLOT_COUNT, &subject.slots, &err), 0);
	return subject;
}

static void edit(const struct subject *subject, uint16_t here, uint8_t flags)
{
	struct table_entry entry = {
		.owner = here ?: OTHER, .here = here, .flags = flags, .lane = flags ? MOVE_LANE : 0
	};

	cr_assert_eq(table_edit(agents[0].table, subject, &entry, NULL, &err), 0);
}

static void round_run(void)
{
	cr_assert_eq(replica_round(&replica, &err), 0, "%s", err.message);
}

/* ---- judging ----------------------------------------------------------------------------------- */

struct copy {
	uint64_t packets[FLOWS + 1]; /* 0: not there */
	uint32_t count;
};

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

static void copy_of(struct instance *instance, struct copy *ret)
{
	memset(ret, 0, sizeof(*ret));
	cr_assert_eq(state_dump(&instance->state, NULL, copy_visit, ret, NULL, &err), 0);
}

/* The standby has the flows of the owner's slots with the owner's figures, and no others. */
static void equal_expect(const char *when)
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

/* ---- rounds ------------------------------------------------------------------------------------ */

Test(replica, sends_all_and_then_what_changes)
{
	uint64_t bytes;

	packets(0, FLOWS);
	round_run();
	equal_expect("all");
	bytes = replica.bytes;
	packets(100, 3);
	packets(100, 3);
	replica.sent = 0;
	round_run();
	equal_expect("some changed");
	cr_expect_eq(replica.sent, 3);
	cr_expect_lt(replica.bytes - bytes, bytes / 10, "it costs what has changed");
	bytes = replica.bytes;
	round_run();
	cr_expect_eq(replica.bytes, bytes, "nothing changed");
}

Test(replica, what_is_gone_is_gone_there)
{
	struct ff_flow_key keys[2] = { state_rig_key(4), state_rig_key(5) };

	packets(0, 20);
	round_run();
	packets(4, 2);
	cr_assert_eq(state_forget_keys(&replica.instance->state, keys, 2, NULL, &err), 0);
	round_run();
	equal_expect("two deleted");
}

/* A log that is too small: anything may have changed. */
Test(replica, an_overflow_sends_all)
{
	packets(0, FLOWS);
	round_run();
	replica.lane.map->log_size = 10;
	packets(0, 50);
	round_run();
	equal_expect("overflow");
}

/* Flows come and go by moves: before, meanwhile and after, and back again when one is aborted. */
Test(replica, follows_moves)
{
	struct subject some = slots_of("0-1000");

	packets(0, FLOWS);
	round_run();
	/* a move takes hold: its own lane logs, and the standby keeps what it has */
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	round_run();
	edit(&some, OWNER, 0);
	round_run();
	equal_expect("a move was aborted");
	packets(0, FLOWS);
	round_run();
	equal_expect("changes after it");

	edit(&some, OWNER, FF_STEER_LOG);
	edit(&some, 0, 0);
	round_run();
	equal_expect("they are gone");

	edit(&some, OWNER, 0);
	packets(0, FLOWS);
	edit(&some, 0, 0);
	round_run();
	equal_expect("they are gone right after they have changed");

	edit(&some, OWNER, FF_STEER_PARK);
	round_run();
	edit(&some, OWNER, 0);
	packets(0, FLOWS);
	round_run();
	equal_expect("they have come back");
	packets(0, FLOWS);
	round_run();
	equal_expect("and go on");
}

/* As the agent lists it, from before its first entry until after its last. */
static struct move moving;

static void move_list(const struct subject *subject)
{
	moving = (struct move){ .is_source = true, .from = OWNER, .subject = *subject, .refs = 1 };
	agents[0].moves[3] = &moving;
}

/*
 * What a move holds isn't copied, and the copy isn't told to be newer than that; it is all that is left should the
 * source die, so it stays until the target is the owner.
 */
Test(replica, what_a_move_holds_stays_as_old_as_it_is)
{
	struct subject some = slots_of("0-1000");
	static struct copy copy;
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	synced_ns = replica.synced_ns;
	move_list(&some);
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	round_run();
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	edit(&some, 0, 0);
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	copy_of(agents[1].instances[STANDBY], &copy);
	cr_expect_eq(copy.count, FLOWS, "handed over, but nobody knows whether it has arrived");

	agents[0].moves[3] = NULL;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("it has");
}

/* All slots are held, and given up: that isn't what `all` means. */
Test(replica, a_move_of_everything)
{
	struct subject everything = slots_of("0-4095");
	static struct copy copy;
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	synced_ns = replica.synced_ns;
	move_list(&everything);
	edit(&everything, OWNER, FF_STEER_LOG);
	edit(&everything, 0, 0);
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	copy_of(agents[1].instances[STANDBY], &copy);
	cr_expect_eq(copy.count, FLOWS);
	edit(&everything, OWNER, 0); /* and taken back */
	packets(0, FLOWS);
	agents[0].moves[3] = NULL;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("back");
}

/* Once everything is sent, what a move holds is as new as the rest. */
Test(replica, everything_is_sent_under_a_move)
{
	struct subject some = slots_of("0-1000");
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	move_list(&some);
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	synced_ns = replica.synced_ns;
	replica.all = true;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("all");
	agents[0].moves[3] = NULL;
}

/* Each request has an end in sight, however much there is to look through. */
Test(replica, what_is_to_be_dropped_is_said_in_parts)
{
	packets(0, FLOWS);
	round_run();
	cr_expect_eq(drops_slots, RIG_SLOT_COUNT, "each slot once");
	cr_expect_leq(drops_most, 64);
	cr_expect_eq(drops, RIG_SLOT_COUNT / 64);
	equal_expect("all");
}

/* Pins and rules are exceptions from slots, and come and go likewise. */
Test(replica, follows_pins_and_rules)
{
	struct ff_flow_key key = state_rig_key(7);
	struct subject pin = { .service = RIG_SERVICE_NO,
			       .slots_count = RIG_SLOT_COUNT,
			       .seed = { 0x1234, 0x5678 },
			       .keys = &key,
			       .keys_count = 1 };
	struct subject_rule all = { .index = 2, .match = { .flags = FF_MATCH_USED } };
	struct subject rule = { .service = RIG_SERVICE_NO, .rules = &all, .rules_count = 1 };
	struct subject none = { 0 };
	struct subject everything = slots_of("0-4095");
	struct table_entry nothing = { 0 };

	slotset_set_range(&all.slots, 0, 99);
	packets(0, FLOWS);
	round_run();
	edit(&pin, 0, 0);
	round_run();
	equal_expect("a pin away");
	edit(&pin, OWNER, 0);
	round_run();
	equal_expect("a pin here");
	packets(7, 1);
	round_run();
	equal_expect("a pinned flow changes");
	edit(&pin, 0, 0);
	round_run();
	cr_assert_eq(table_revert(agents[0].table, &pin, &none, &nothing, NULL, &err), 0);
	round_run();
	equal_expect("the pin away is gone");
	edit(&everything, 0, 0);
	round_run();
	edit(&pin, OWNER, 0);
	round_run();
	equal_expect("a pin here, its slot elsewhere");
	edit(&pin, 0, 0);
	round_run();
	equal_expect("a pin away, like its slot");
	edit(&pin, OWNER, 0);
	edit(&everything, OWNER, 0);
	edit(&rule, 0, 0);
	round_run();
	equal_expect("a rule away");
	cr_assert_eq(table_revert(agents[0].table, &rule, &none, &nothing, NULL, &err), 0);
	packets(0, FLOWS);
	round_run();
	equal_expect("no rule");
	edit(&rule, OWNER, 0);
	packets(0, FLOWS);
	round_run();
	packets(0, FLOWS);
	round_run();
	equal_expect("a rule here");
}

/* ---- the standby's side ------------------------------------------------------------------------ */

static void refused_expect(const char *says)
{
	struct ff_error why = { 0 };

	cr_expect_lt(replica_round(&replica, &why), 0);
	cr_expect(strstr(why.message, says), "%s", why.message);
}

/* I1: whoever thinks that it still owns can't change what its standby, an owner now, has. */
Test(replica, a_stale_owner_is_refused)
{
	static struct copy before, after;

	packets(0, FLOWS);
	round_run();
	standby_tell(0, STANDBY);
	copy_of(agents[1].instances[STANDBY], &before);
	cr_expect_eq(before.count, FLOWS, "the state is there");
	packets(0, FLOWS);
	refused_expect("isn't the standby");
	replica.all = true;
	refused_expect("isn't the standby");
	copy_of(agents[1].instances[STANDBY], &after);
	cr_expect_arr_eq(&after, &before, sizeof(after));
}

/* State that nobody owns would be found by flows that come there some day. */
Test(replica, a_standby_no_more_that_owns_nothing_forgets)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, OWNER);
	state_rig_agree(agents[1].instances[STANDBY], 0);
}

/* One that was made anew answers as if nothing had been: it is sent all. */
Test(replica, a_standby_begun_anew_gets_all)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, OWNER);
	standby_tell(OWNER, OWNER);
	packets(0, 3);
	refused_expect("begun anew");
	replica.all = true;
	replica.life = 0;
	round_run();
	equal_expect("all again");
}

/* Of another instance's leftovers nothing stays. */
Test(replica, the_first_round_replaces_what_was_there)
{
	state_rig_fill(agents[1].instances[STANDBY], 400, 50, UINT64_MAX / 2);
	packets(0, 100);
	round_run();
	equal_expect("all");
}

/* ---- an heir ----------------------------------------------------------------------------------- */

/* The standby owns all but slots 0 - 1000, which a move has taken from its owner before that died. */
static struct table_owner inherited[] = { { 0, 1000, OTHER },
					  { 1001, RIG_SLOT_COUNT - 1, STANDBY } };

static void take_over(void)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, STANDBY);
	places[STANDBY].host = 1; /* the owner's table is that of the standby's host from here on */
	agents[1].table = agents[0].table;
	agents[1].cpus = agents[0].cpus;
}

/* A configuration: its tables, and what follows them. */
static void configure(struct table_desired *desired)
{
	desired->service = RIG_SERVICE_NO;
	desired->owners = inherited;
	desired->owners_count = ARRAY_SIZE(inherited);
	cr_assert_eq(table_sync(agents[1].table, desired, &err), 0, "%s", err.message);
	heirs_trim(&agents[1]);
}

/* It has the flows that a packet would find with it, and counts no others. */
static void heir_expect(const char *when)
{
	static struct copy copy;
	uint32_t owned = 0;

	copy_of(agents[1].instances[STANDBY], &copy);
	for (uint32_t i = 0; i < FLOWS; i++) {
		bool due = entry_of(i).here == STANDBY;

		owned += due;
		cr_expect_eq(copy.packets[i] != 0, due, "%s: flow %u", when, i);
	}
	cr_expect(owned > 0 && owned < FLOWS);
	state_rig_agree(agents[1].instances[STANDBY], owned);
}

Test(replica, an_heir_keeps_what_it_owns)
{
	take_over();
	configure(&(struct table_desired){});
	heir_expect("moved before the takeover");
}

/* The target had committed, and nobody knew: that comes out after the takeover. */
Test(replica, an_heir_loses_what_a_move_had_taken)
{
	take_over();
	owner_all(STANDBY);
	heirs_trim(&agents[1]);
	state_rig_agree(agents[1].instances[STANDBY], FLOWS);
	configure(&(struct table_desired){});
	heir_expect("moved after the takeover");
}

Test(replica, an_heir_keeps_pins_and_rules)
{
	struct ff_flow_key pins[2] = {};
	uint16_t pin_owners[2] = { STANDBY, OTHER };

	take_over();
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct ff_flow_key key = state_rig_key(i);
		bool moved = state_slot(&agents[1].instances[STANDBY]->state, &key) <= 1000;

		pins[!moved] = key; /* against its slot */
	}
	configure(
		&(struct table_desired){ .pins = pins, .pin_owners = pin_owners, .pins_count = 2 });
	heir_expect("a pin from it, and one to it");
}

/* Whether its flows come back, or stay, isn't known before its end. */
Test(replica, an_heir_waits_for_moves)
{
	struct subject some = slots_of("0-1000");
	struct table_desired none = {};

	take_over();
	move_list(&some);
	agents[1].moves[3] = &moving; /* as one of its steering hosts */
	configure(&none);
	state_rig_agree(agents[1].instances[STANDBY], FLOWS);
	agents[1].moves[3] = NULL;
	heirs_trim(&agents[1]);
	heir_expect("the move has ended");
}

/* ---- the table --------------------------------------------------------------------------------- */

static void logs_expect(uint32_t flow, bool due, uint8_t lane, const char *when)
{
	struct ff_steer steer = entry_of(flow);

	cr_expect_eq(!!(steer.flags & FF_STEER_LOG), due, "%s", when);
	cr_expect_eq(steer.lane, due ? lane : 0, "%s", when);
}

Test(replica, an_unchanged_configuration_changes_nothing)
{
	struct slotset changed;

	owner_all(OWNER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect(slotset_is_empty(&changed));
	logs_expect(1, true, (uint8_t)replica.lane.number, "synced");
	owner_all(OTHER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect_eq(slotset_count(&changed), RIG_SLOT_COUNT);
	logs_expect(1, false, 0, "elsewhere");
	owner_all(OWNER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect_eq(slotset_count(&changed), RIG_SLOT_COUNT);
	logs_expect(1, true, (uint8_t)replica.lane.number, "here again");
}

Test(replica, its_end_leaves_no_flag)
{
	struct subject slot = slots_of("0-4095"), held = slots_of("0-99");
	struct ff_flow_key key = state_rig_key(7);
	uint8_t lane = (uint8_t)replica.lane.number;

	slot.keys = &key;
	slot.keys_count = 1;
	slot.seed[0] = 0x1234, slot.seed[1] = 0x5678;
	edit(&slot, OWNER, 0);
	edit(&held, OWNER, FF_STEER_LOG);
	logs_expect(7, true, lane, "pinned");
	cr_assert_eq(table_unwatch(agents[0].table, OWNER, &err), 0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct ff_flow_key flow = state_rig_key(i);
		bool of_move = i != 7 && state_slot(&replica.instance->state, &flow) < 100;

		logs_expect(i, of_move, MOVE_LANE, "unwatched");
	}
	edit(&slot, OWNER, 0);
	logs_expect(7, false, 0, "written again");
}
