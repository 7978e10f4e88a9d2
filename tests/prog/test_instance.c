/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Loading, refusing, configuring, adopting and removing NF instances.
 */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "bpf/state_abi.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/prog/foreign.h"
#include "tests/prog/state_rig.h"

TestSuite(instance, .init = state_rig_init);

static bool pinned(const struct instance *instance, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	return access(path, F_OK) == 0;
}

Test(instance, loads_pins_and_says_what_it_is)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	static const char *const pins[] = {
		"nf",  "control", "config", "counter_flows", "counter_offers", "counter_totals",
		"get", "put",	  "sweep",  "forget",	     "about"
	};

	cr_assert_str_eq(fw->name, "fw-1");
	cr_assert_str_eq(fw->nf, "counter");
	cr_assert_eq(fw->id, 5);
	cr_assert_eq(fw->service, RIG_SERVICE_NO);
	cr_assert(fw->prog_fd >= 0 && fw->prog_id);
	cr_assert_eq(fw->state.groups, 512);
	cr_assert_eq(fw->state.group_shift, 3);
	cr_assert_eq(fw->state.control->capacity, 200000);
	for (size_t i = 0; i < ARRAY_SIZE(pins); i++)
		cr_assert(pinned(fw, pins[i]), "%s isn't pinned", pins[i]);
	cr_assert_not(pinned(fw, "scratch"), "the data path's map pinned as the instance's");
	instance_free(fw);
}

Test(instance, schema_has_fields_kinds_and_tags)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5);

	cr_assert_str_eq(fw->state.schema->text, "per-flow counter_flows key 40 value 96 state 32\n"
						 "packets 32 8 2 unsigned sum\n"
						 "first_ns 48 8 1 unsigned min clock\n"
						 "hits 56 4 1 unsigned sum\n"
						 "mode 60 4 1 unsigned\n"
						 "peer[0].seq 64 4 1 unsigned last\n"
						 "peer[0].scale 68 1 1 unsigned\n"
						 "peer[1].seq 72 4 1 unsigned last\n"
						 "peer[1].scale 76 1 1 unsigned\n"
						 "port 80 2 1 network\n"
						 "mac 82 1 6 bytes\n"
						 "balance 88 4 1 signed\n");
	cr_assert_eq(fw->schemas.count, 3);
	instance_free(fw);
}

/* What can't be loaded leaves nothing behind, and the message names the thing and the mend. */
Test(instance, bad_objects_are_refused)
{
	static const struct {
		const char *nf;
		int err;
		const char *says;
	} cases[] = {
		{ "absent", ENOENT, "can't find" },
		{ "garbage", ENOEXEC, "no BPF object" },
		{ "huge", EFBIG, "the limit is" },
		{ "../counter", EINVAL, "no name of an NF" },
		{ "stateless", EINVAL, "declares no per-flow state" },
		{ "sections", EINVAL, "program stranger is in section \"tc\"" },
		{ "noentry", EINVAL, "no entry program" },
		{ "bitfield", EINVAL, "bitfield" },
	};
	struct instance_spec spec = state_rig_spec("fw-1", "", 5);
	char dir[] = "/tmp/ff-nf-XXXXXX", path[128];
	int fd;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/garbage.bpf.o", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "not an ELF file", 15), 15);
	close(fd);
	snprintf(path, sizeof(path), "%s/huge.bpf.o", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, INSTANCE_OBJECT_MAX + 1), 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct instance *fw = NULL;
		struct ff_error err = { 0 };
		char **names;

		spec.nf = cases[i].nf;
		if (strcmp(spec.nf, "garbage") == 0 || strcmp(spec.nf, "huge") == 0)
			spec.nf_dir = dir;
		else
			spec.nf_dir = state_rig_spec("", "", 0).nf_dir;
		cr_assert_eq(instance_load(&spec, &fw, &err), -cases[i].err, "%s: %s", cases[i].nf,
			     err.message);
		cr_assert(strstr(err.message, cases[i].says), "%s: %s", cases[i].nf, err.message);
		cr_assert_null(fw);
		cr_assert_eq(instance_list(spec.pin_dir, &names, NULL), 0);
		cr_assert_null(names[0], "%s left pins behind", cases[i].nf);
		instance_names_free(names);
	}
	unlink(path);
	snprintf(path, sizeof(path), "%s/garbage.bpf.o", dir);
	unlink(path);
	rmdir(dir);
}

Test(instance, adoption_finds_everything_again)
{
	struct instance *before = state_rig_load("fw-1", "counter", 5), *after;
	uint64_t later = 3600ull * 1000000000;
	uint32_t prog_id = before->prog_id;

	state_rig_fill(before, 0, 100, UINT64_MAX / 2);
	instance_free(before);
	after = state_rig_adopt("fw-1");
	cr_assert_eq(after->prog_id, prog_id);
	cr_assert_eq(after->id, 5);
	cr_assert_str_eq(after->nf, "counter");
	cr_assert_eq(state_flows(&after->state), 100);
	cr_assert_eq(state_rig_entries(after), 100);
	cr_assert_eq(state_sweep(&after->state, later, NULL, NULL, NULL), 0);
	instance_free(after);
}

Test(instance, half_pinned_is_not_adopted_but_replaced)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5), *again = NULL;
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct ff_error err = { 0 };
	char path[512];

	cr_assert_eq(instance_load(&spec, &again, &err), -EEXIST);
	snprintf(path, sizeof(path), "%s/get", fw->pin_dir);
	unlink(path);
	cr_assert_eq(instance_adopt(&spec, &again, &err), -EINVAL);
	cr_assert(strstr(err.message, "in part only"), "%s", err.message);
	snprintf(path, sizeof(path), "%s/about", fw->pin_dir);
	unlink(path);
	cr_assert_eq(instance_adopt(&spec, &again, &err), -ENOENT);
	instance_free(fw);
	fw = state_rig_load("fw-1", "counter", 5);
	instance_free(fw);
}

/* Its packets go on; what is where in its maps is for the agent to know that pinned them. */
Test(instance, of_another_version_is_left_alone)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5), *again = NULL;
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct ff_error err = { 0 };
	struct ff_about about;
	uint32_t zero = 0;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/about", fw->pin_dir);
	fd = bpf_obj_get(path);
	cr_assert_eq(bpf_map_lookup_elem(fd, &zero, &about), 0);
	about.version--;
	cr_assert_eq(bpf_map_update_elem(fd, &zero, &about, BPF_ANY), 0);
	close(fd);
	cr_assert_eq(instance_adopt(&spec, &again, &err), -EPROTO, "neither half nor gone");
	cr_expect(strstr(err.message, "another version"), "%s", err.message);
	cr_expect(strstr(err.mend, "the agent of before"), "%s", err.mend);
	cr_expect_null(instance_pins_fault(fw));
	instance_free(fw);
}

/* Of the same size: only its types tell. */
Test(instance, of_another_layout_is_left_alone)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5), *again = NULL;
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct ff_error err = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/about", fw->pin_dir);
	foreign_pin(path, "ff_about");
	cr_assert_eq(instance_adopt(&spec, &again, &err), -EPROTO, "%s", err.message);
	cr_expect(strstr(err.message, "another version"), "%s", err.message);
	cr_expect_null(instance_pins_fault(fw));
	instance_free(fw);
}

Test(instance, an_nf_of_other_headers_is_refused)
{
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct instance *fw = NULL;
	struct ff_error err = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/scratch", spec.maps_dir);
	foreign_pin(path, "ff_pkt");
	cr_assert_eq(instance_load(&spec, &fw, &err), -EINVAL);
	cr_expect(strstr(err.message, "struct ff_pkt"), "%s", err.message);
	cr_expect(strstr(err.mend, "bpf/nf.h"), "%s", err.mend);
}

/* The data path's maps were made anew while no agent ran: the old program must not be taken up. */
Test(instance, of_another_data_path_is_not_adopted)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5), *again = NULL;
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct ff_error err = { 0 };
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/scratch", spec.maps_dir);
	unlink(path);
	cr_assert_eq(instance_adopt(&spec, &again, &err), -EINVAL);
	fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "scratch", 4, 96, 1, NULL);
	cr_assert_eq(bpf_obj_pin(fd, path), 0);
	cr_assert_eq(instance_adopt(&spec, &again, &err), -EINVAL);
	cr_assert(strstr(err.message, "data path that is gone"), "%s", err.message);
	close(fd);
	instance_free(fw);
}

Test(instance, remove_leaves_nothing)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	char **names;

	cr_assert_eq(instance_list(spec.pin_dir, &names, NULL), 0);
	cr_assert_str_eq(names[0], "fw-1");
	instance_names_free(names);
	cr_assert_eq(instance_remove(fw, NULL), 0);
	cr_assert_eq(instance_remove(fw, NULL), 0, "twice must do");
	cr_assert_not(access(fw->pin_dir, F_OK) == 0);
	instance_free(fw);
}

/* ---- configuration ------------------------------------------------------------------------- */

static json_t *config_shown(const struct instance *fw)
{
	_cleanup_json_ json_t *state = NULL;

	cr_assert_eq(instance_state_json(fw, 10, &state, NULL), 0);
	return json_incref(json_object_get(state, "config"));
}

Test(instance, configuration_goes_in_and_comes_out)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	const char *text =
		"{\"rules\":[{\"match\":\"tcp and src net 198.18.1.0/24 and dst port 80\","
		"\"mode\":\"busy\"}],\"mac\":\"02:00:00:00:00:01\",\"window\":65535,"
		"\"offset\":-128,\"gateway_ip\":\"198.18.1.1\",\"server\":\"2001:db8::1\","
		"\"title\":\"edge\",\"lifetime_ns\":5}";
	_cleanup_json_ json_t *config = json_loads(text, 0, NULL), *shown = NULL;
	struct ff_error err = { 0 };

	cr_assert(config);
	cr_assert_eq(instance_configure(fw, config, &err), 0, "%s", err.message);
	shown = config_shown(fw);
	cr_assert_eq(json_integer_value(json_object_get(shown, "rules_count")), 1);
	cr_assert_eq(json_integer_value(json_object_get(shown, "offset")), -128);
	cr_assert_str_eq(json_string_value(json_object_get(shown, "mac")), "02:00:00:00:00:01");
	cr_assert_str_eq(json_string_value(json_object_get(shown, "server")), "2001:db8::1");
	cr_assert_str_eq(json_string_value(json_object_get(shown, "gateway_ip")), "198.18.1.1");
	cr_assert_str_eq(json_string_value(json_object_get(shown, "title")), "edge");
	/* what is shown can be put in again, and means the same */
	cr_assert_eq(json_array_size(json_object_get(shown, "rules")), 1);
	cr_assert_eq(instance_configure(fw, shown, &err), 0, "%s", err.message);
	instance_free(fw);
}

Test(instance, bad_configuration_is_refused_and_changes_nothing)
{
	static const struct {
		const char *json;
		const char *says;
	} cases[] = {
		{ "{\"windw\":1}", "has no field windw" },
		{ "{\"window\":65536}", "window is 65536, out of range: 0 to 65535" },
		{ "{\"window\":-1}", "out of range" },
		{ "{\"window\":\"1\"}", "window is text where a number is due" },
		{ "{\"window\":1.5}", "window" },
		{ "{\"offset\":128}", "offset is 128, out of range: -128 to 127" },
		{ "{\"mac\":\"02:00:00:00:00\"}", "no MAC address" },
		{ "{\"mac\":\"02:00:00:00:00:01x\"}", "no MAC address" },
		{ "{\"gateway_ip\":\"198.18.1.256\"}", "no IPv4 address" },
		{ "{\"server\":\"nowhere\"}", "no address" },
		{ "{\"title\":\"too long a title\"}", "title is longer than 7" },
		{ "{\"rules\":{}}", "rules is an object where an array is due" },
		{ "{\"rules\":[{},{},{}]}", "rules has 3 entries, the limit is 2" },
		{ "{\"rules\":[{\"mode\":\"sleepy\"}]}", "rules[0].mode" },
		{ "{\"rules\":[{},{\"match\":\"tcp and or\"}]}", "rules[1].match" },
		{ "{\"rules\":[{\"match\":\"tcp or udp\"}]}", "rules[0].match is too rich" },
		{ "{\"rules\":[{\"match\":7}]}", "rules[0].match is a number" },
		{ "{\"pad\":[1]}", "has no field pad" },
		{ "[]", "an array where an object is due" },
	};
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	_cleanup_json_ json_t *good = json_loads("{\"window\":7}", 0, NULL);

	cr_assert_eq(instance_configure(fw, good, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *config = json_loads(cases[i].json, 0, NULL), *shown = NULL;
		struct ff_error err = { 0 };

		cr_assert(config, "%s", cases[i].json);
		cr_assert_eq(instance_configure(fw, config, &err), -EINVAL, "%s", cases[i].json);
		cr_assert(strstr(err.message, cases[i].says), "%s: %s", cases[i].json, err.message);
		shown = config_shown(fw);
		cr_assert_eq(json_integer_value(json_object_get(shown, "window")), 7, "%s",
			     cases[i].json);
	}
	instance_free(fw);
}

Test(instance, bad_configuration_stops_the_load)
{
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	_cleanup_json_ json_t *config = json_loads("{\"window\":99999}", 0, NULL);
	struct instance *fw = NULL;
	char **names;

	spec.config = config;
	cr_assert_eq(instance_load(&spec, &fw, NULL), -EINVAL);
	cr_assert_eq(instance_list(spec.pin_dir, &names, NULL), 0);
	cr_assert_null(names[0]);
	instance_names_free(names);
}

/* ---- programs that are gone ---------------------------------------------------------------------- */

static void pin_remove(const struct instance *instance, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	cr_assert_eq(unlink(path), 0, "%s: %s", path, strerror(errno));
}

/* Its state outlives its programs; they are loaded over it, and see it. */
Test(instance, programs_are_loaded_over_its_state)
{
	static const char *const programs[] = { "nf", "get", "put", "sweep", "forget" };
	struct instance_spec spec = state_rig_spec("fw-1", "counter", 5);
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	struct ff_flow_key key = state_rig_key(3);
	struct ff_error err = { 0 };
	uint8_t value[1024];

	state_rig_fill(fw, 0, 100, UINT64_MAX / 2);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		pin_remove(fw, programs[i]);
	cr_assert_str_eq(instance_pins_fault(fw), "its programs are not pinned any more");
	instance_free(fw);
	cr_assert_eq(instance_adopt(&spec, &fw, &err), -EINVAL);
	err = (struct ff_error){ 0 };
	cr_assert_eq(instance_reload(&spec, &fw, &err), 0, "%s", err.message);
	cr_assert_null(instance_pins_fault(fw));
	state_rig_agree(fw, 100);
	state_rig_packet(fw, &key, clock_ns());
	cr_assert_eq(state_lookup(&fw->state, &key, value), 0);
	cr_assert_eq(state_rig_get(fw, value, "packets", 0), 5, "4, and the packet");
	instance_free(fw);
	fw = state_rig_adopt("fw-1");
	state_rig_agree(fw, 100);
	instance_free(fw);
}

/* Maps that are missing, or that another version's program wouldn't understand, are no base. */
Test(instance, programs_are_not_loaded_over_other_state)
{
	struct instance_spec spec = state_rig_spec("fw-1", "counter2", 5);
	struct instance *fw = state_rig_load("fw-1", "counter", 5), *none = NULL;
	struct ff_error err = { 0 };

	pin_remove(fw, "nf");
	cr_expect_eq(instance_reload(&spec, &none, &err), -EINVAL);
	cr_expect(strstr(err.message, "other types"), "%s", err.message);
	spec.nf = "counter";
	pin_remove(fw, "counter_offers");
	cr_expect_eq(instance_reload(&spec, &none, &err), -EINVAL);
	cr_expect(strstr(err.message, "counter_offers isn't pinned"), "%s", err.message);
	cr_expect_null(none);
	cr_expect_not(pinned(fw, "nf"));
	instance_free(fw);
}

/* What the agent that runs can put back by itself: its programs, which it holds. */
Test(instance, programs_are_pinned_again)
{
	struct instance *fw = state_rig_load("fw-1", "counter", 5);
	struct ff_error err = { 0 };

	pin_remove(fw, "nf");
	pin_remove(fw, "sweep");
	cr_assert_eq(instance_programs_pin(fw, &err), 0, "%s", err.message);
	cr_assert_null(instance_pins_fault(fw));
	pin_remove(fw, "control");
	cr_assert_str_eq(instance_pins_fault(fw), "its maps are not pinned any more");
	instance_free(fw);
}
