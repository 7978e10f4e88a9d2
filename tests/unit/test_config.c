/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Configuration files: what loads, and for each kind of mistake the place, the field and the mend.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/config.h"

struct fabric {
	char *interface;
	unsigned int mtu;
};

struct sample {
	char *name;
	struct fabric fabric;
	char **steering;
	unsigned int steering_count;
	int port;
	bool insecure;
};

static const cyaml_schema_field_t fabric_fields[] = {
	CYAML_FIELD_STRING_PTR("interface", CYAML_FLAG_POINTER, struct fabric, interface, 1, 15),
	CYAML_FIELD_UINT("mtu", CYAML_FLAG_OPTIONAL, struct fabric, mtu),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t interface_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 15),
};

static const cyaml_schema_field_t sample_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct sample, name, 1, 31),
	CYAML_FIELD_MAPPING("fabric", CYAML_FLAG_DEFAULT, struct sample, fabric, fabric_fields),
	CYAML_FIELD_SEQUENCE("steering", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sample,
			     steering, &interface_value, 0, 4),
	CYAML_FIELD_INT("port", CYAML_FLAG_OPTIONAL, struct sample, port),
	CONFIG_FIELD_BOOL("insecure", CYAML_FLAG_OPTIONAL, struct sample, insecure),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sample, sample_fields),
};

#define GOOD                                                                                       \
	"name: gw\n"                                                                               \
	"fabric: {interface: fab0, mtu: 1500}\n"

TestSuite(config);

Test(config, loads)
{
	static const char text[] = "# a host\n"
				   "name: gw\n"
				   "fabric:\n"
				   "  interface: fab0\n"
				   "steering: [c0, s0]\n"
				   "port: -7\n"
				   "insecure: true\n";
	struct ff_error err = {};
	struct sample *sample = NULL;

	cr_assert_eq(config_load_text("x", text, strlen(text), &schema, (void **)&sample, &err), 0,
		     "%s", err.message);
	cr_expect_str_eq(sample->name, "gw");
	cr_expect_str_eq(sample->fabric.interface, "fab0");
	cr_expect_eq(sample->fabric.mtu, 0);
	cr_assert_eq(sample->steering_count, 2);
	cr_expect_str_eq(sample->steering[1], "s0");
	cr_expect_eq(sample->port, -7);
	cr_expect(sample->insecure);
	config_free(&schema, sample);
	config_free(&schema, NULL);
}

Test(config, errors_name_place_field_and_mend)
{
	static const struct {
		const char *text, *message, *mend;
	} cases[] = {
		{ "", "a.yaml: is empty", "write its fields" },
		{ "# only a comment\n", "a.yaml: is empty", "write its fields" },
		{ "name: gw\nfabric:\n  interface: fab0\n  mtu: big\n",
		  "a.yaml:4:8: fabric.mtu: invalid uint64_t value: 'big'",
		  "a whole number from 0 to 4294967295" },
		{ "name: gw\nfabric:\n  interface: fab0\n  mut: 7\n",
		  "a.yaml:4:3: fabric: unexpected key: mut", "correct the key" },
		{ "nmae: gw\n", "a.yaml:1:1: unexpected key: nmae", "correct the key" },
		{ "Name: gw\n", "unexpected key: Name", "correct the key" },
		{ GOOD "colour: red\n", "a.yaml:3:1: unexpected key: colour", "correct the key" },
		{ "name: gw\n", "missing required mapping field: fabric", "add the field" },
		{ "name: gw\nfabric: {mtu: 1}\n",
		  "fabric: missing required mapping field: interface", "add the field" },
		{ "name: gw\nname: gw\n", "a.yaml:2:1: mapping field already seen: name",
		  "write the field once" },
		{ "name: ''\n", "a.yaml:1:7: name: STRING length < 1", "give more" },
		{ GOOD "steering: [a, b, 0123456789012345]\n",
		  "a.yaml:3:18: steering entry 3: STRING length > 15", "give less" },
		{ GOOD "steering: [a, b, c, d, e]\n", "steering entry 4: excessive entries (4 max)",
		  "give less" },
		{ GOOD "steering: a\n", "a.yaml:3:11: steering: ", "give a list" },
		{ GOOD "port: 99999999999\n", "a.yaml:3:7: port: invalid INT value",
		  "a whole number from -2147483648 to 2147483647" },
		{ GOOD "port: 1.5\n", "a.yaml:3:7: port: '1.5' is no whole number",
		  "without a unit" },
		{ GOOD "port: 8O\n", "a.yaml:3:7: port: '8O' is no whole number",
		  "without a unit" },
		{ GOOD "port: 010\n", "a.yaml:3:7: port: '010' is no whole number", "" },
		{ "name: gw\nfabric: {interface: fab0, mtu: 0x9}\n",
		  "a.yaml:2:32: fabric.mtu: '0x9' is no whole number", "" },
		{ GOOD "insecure: maybe\n", "a.yaml:3:11: insecure: invalid ENUM value: maybe",
		  "give false or true" },
		{ GOOD "insecure: yes\n", "invalid ENUM value: yes", "give false or true" },
		{ "- a\n", "a.yaml:1:1: expecting MAPPING", "give fields" },
		{ "name: gw\n\tport: 1\n", "a.yaml:2:1: no valid YAML: found", "not tabs" },
		{ "name: [gw\n", "a.yaml:2:1: no valid YAML: did not find", "correct the YAML" },
		{ "name: \xff\n", "no valid YAML", "correct the YAML" },
		{ "name: &n gw\nfabric: {interface: *n}\n", "interface: YAML alias",
		  "write the value itself" },
		{ GOOD "---\n" GOOD, "a.yaml:3:1: a second YAML document", "one document" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ff_error err = {};
		void *data = (void *)1;

		cr_expect_eq(config_load_text("a.yaml", cases[i].text, strlen(cases[i].text),
					      &schema, &data, &err),
			     -EINVAL, "%s", cases[i].text);
		cr_expect(strstr(err.message, cases[i].message), "%s says: %s", cases[i].text,
			  err.message);
		cr_expect(strstr(err.message, "a.yaml:") == err.message, "%s", err.message);
		cr_expect(strstr(err.mend, cases[i].mend), "%s mends: %s", cases[i].text, err.mend);
		cr_expect_eq(data, (void *)1, "touched by %s", cases[i].text);
	}
}

/* Text that was cut or changed anywhere loads or is refused, and leaks nothing (under ASan). */
Test(config, survives_damage)
{
	static const char good[] = GOOD "steering: [c0, s0]\nport: 1\ninsecure: false\n";

	for (size_t i = 0; i < 2 * strlen(good); i++) {
		char text[sizeof(good)];
		struct ff_error err = {};
		size_t len = strlen(good);
		void *data = NULL;

		memcpy(text, good, sizeof(good));
		if (i < strlen(good))
			len = i;
		else
			text[i - strlen(good)] = "\0\xff:[{*\t"[i % 8];
		if (config_load_text("x", text, len, &schema, &data, &err))
			cr_expect_str_not_empty(err.message);
		config_free(&schema, data);
	}
}

Test(config, loads_files)
{
	char path[] = "/tmp/flowferry-config-XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);
	struct sample *sample = NULL;
	struct ff_error err = {};
	void *none = NULL;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, GOOD, strlen(GOOD)), (ssize_t)strlen(GOOD));
	cr_expect_eq(config_load(path, &schema, (void **)&sample, &err), 0, "%s", err.message);
	cr_expect_str_eq(sample->name, "gw");
	config_free(&schema, sample);

	cr_assert_eq(ftruncate(fd, CONFIG_SIZE_MAX + 1), 0);
	cr_expect_eq(config_load(path, &schema, &none, &err), -EFBIG);
	cr_expect(strstr(err.message, path) && strstr(err.message, "too large"), "%s", err.message);
	unlink(path);
	cr_expect_eq(config_load(path, &schema, &none, &err), -ENOENT);
	cr_expect_str_eq(err.code, FF_CODE_NOT_FOUND);
	cr_expect(strstr(err.message, "No such file"), "%s", err.message);
	cr_expect(strstr(err.mend, "right path"), "%s", err.mend);
	cr_expect_eq(config_load("/", &schema, &none, &err), -EISDIR);
	cr_expect_eq(config_load("/dev/null", &schema, &none, &err), -EINVAL);
	cr_expect_null(none);
}

static bool parent_sleeps(void)
{
	_cleanup_fclose_ FILE *stat = NULL;
	char path[32], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", getppid());
	stat = fopen(path, "re");
	return stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1 && state == 'S';
}

/* `policy get fw | sed .. | policy set fw -`: however slow its writer is. */
Test(config, a_pipe_is_read_to_its_end)
{
	static const char words[] = "mode: act\n";
	_cleanup_free_ char *text = NULL;
	struct ff_error err = {};
	char path[32];
	size_t len;
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	if (fork() == 0) {
		close(ends[0]);
		while (!parent_sleeps())
			sched_yield();
		_exit(write(ends[1], words, strlen(words)) < 0);
	}
	close(ends[1]);
	cr_assert_eq(config_read(path, &text, &len, &err), 0, "%s", err.message);
	cr_expect_eq(len, strlen(words));
	cr_expect_eq(memcmp(text, words, len), 0);
	cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	free(TAKE_PTR(text));
	cr_assert_eq(config_read(CONFIG_INPUT, &text, &len, &err), 0, "%s", err.message);
	cr_expect_eq(len, 0);
	cr_expect_eq(config_read("/dev/null", &text, &len, &err), -EINVAL);
	cr_expect(strstr(err.message, "neither a file nor a pipe"));
}
