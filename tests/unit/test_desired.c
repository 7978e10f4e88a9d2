/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_desired.c - the body of PUT /v1/config: read as a whole, or refused with a word on what. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/desired.h"
#include "lib/json.h"

#define SEED	 "\"seed\":\"00000000000000010000000000000002\""
#define SERVICE	 "{\"id\":1,\"name\":\"fw\",\"nf\":\"firewall\",\"slots\":16," SEED
#define HOST	 "{\"id\":2,\"name\":\"nf1\",\"ipv4\":\"198.18.8.11\"}"
#define INSTANCE "{\"id\":5,\"service\":1,\"host\":2,\"name\":\"fw-1\"}"

static struct ff_error err;

static int read_text(const char *hosts, const char *services, const char *instances,
		     struct desired **ret)
{
	_cleanup_json_ json_t *json = NULL;
	char text[4096];

	snprintf(
		text, sizeof(text),
		"{\"version\":9,\"failure_ms\":150,\"host_id\":2,\"hosts\":[%s],\"services\":[%s],\"instances\":[%s]}",
		hosts, services, instances);
	cr_assert_eq(json_parse(text, strlen(text), &json, &err), 0, "%s: %s", err.message, text);
	return desired_read(json, ret, &err);
}

Test(desired, whole)
{
	_cleanup_desired_ struct desired *d = NULL;

	cr_assert_eq(read_text(HOST,
			       SERVICE
			       ",\"class\":\"tcp\",\"config\":{\"a\":1},"
			       "\"owners\":[[\"0-7,9\",5],[\"8\",0]],"
			       "\"pins\":[{\"flow\":\"tcp 198.18.1.2:1 198.18.2.2:80\","
			       "\"instance\":5}],"
			       "\"rules\":[{\"index\":3,\"match\":\"udp\",\"slots\":\"1-2\","
			       "\"instance\":5}]}",
			       INSTANCE, &d),
		     0, "%s", err.message);
	cr_expect_eq(d->host, 2);
	cr_expect_eq(d->version, 9);
	cr_expect(d->hosts[2].known);
	cr_expect_str_eq(d->hosts[2].name, "nf1");
	cr_expect_eq(d->services[1].slots, 16);
	cr_expect_eq(d->services[1].seed[1], 2);
	cr_expect_not(d->services[1].any);
	cr_expect_eq(d->services[1].table.owners_count, 10);
	cr_expect_eq(d->services[1].table.owners[8].first, 9);
	cr_expect_eq(d->services[1].table.pins_count, 1);
	cr_expect_eq(d->services[1].table.pins[0].service, 1);
	cr_expect_eq(d->services[1].table.rules[0].index, 3);
	cr_expect(d->instances[5].is);
	cr_expect_eq(d->instances[5].capacity, 1u << 20);
	cr_expect_eq(d->failure_ms, 150);
	cr_expect_eq(d->services[1].lag_ms, 0);
	cr_expect_eq(d->services[1].lease_ms, 0);
	cr_expect_eq(d->instances[5].standby_of, 0);
	cr_expect_str_eq(d->instances[5].nf, "firewall");
}

/* In an upgrade: some instances of a service run another version of its NF. */
Test(desired, an_instance_may_have_an_nf_of_its_own)
{
	_cleanup_desired_ struct desired *d = NULL;

	cr_assert_eq(read_text(HOST, SERVICE "}",
			       INSTANCE ",{\"id\":6,\"service\":1,\"host\":2,\"name\":\"fw-2\","
					"\"nf\":\"firewall2\"}",
			       &d),
		     0, "%s", err.message);
	cr_expect_str_eq(d->instances[5].nf, "firewall");
	cr_expect_str_eq(d->instances[6].nf, "firewall2");
}

#define STANDBY(id, host, of)                                                                      \
	"{\"id\":" #id ",\"service\":1,\"host\":" #host ",\"name\":\"fw-" #id                      \
	"\",\"standby_of\":" #of "}"

Test(desired, protection)
{
	_cleanup_desired_ struct desired *d = NULL;

	cr_assert_eq(read_text(HOST,
			       SERVICE ",\"lag_ms\":100,\"lease_ms\":1000,\"owners\":[[\"0\",5]]}",
			       INSTANCE "," STANDBY(6, 3, 5), &d),
		     0, "%s", err.message);
	cr_expect_eq(d->services[1].lag_ms, 100);
	cr_expect_eq(d->services[1].lease_ms, 1000);
	cr_expect_eq(d->instances[6].standby_of, 5);
}

Test(desired, refused)
{
	static const struct {
		const char *hosts, *services, *instances, *says;
	} rows[] = {
		{ "{\"id\":0,\"name\":\"x\"}", "", "", "id" },
		{ HOST "," HOST, "", "", "host 2 is there twice" },
		{ "{\"id\":2,\"name\":\"x\",\"ipv6\":\"nowhere\"}", "", "", "nowhere" },
		{ HOST, SERVICE "}," SERVICE "}", "", "service 1 is there twice" },
		{ HOST,
		  "{\"id\":1,\"name\":\"fw\",\"nf\":\"firewall\",\"slots\":16,\"seed\":\"7\"}", "",
		  "seed" },
		{ HOST, "{\"id\":1,\"name\":\"fw\",\"nf\":\"firewall\",\"slots\":15," SEED "}", "",
		  "15 slots" },
		{ HOST, SERVICE ",\"class\":\"tcp or udp\"}", "", "class" },
		{ HOST, SERVICE ",\"owners\":[[\"0-16\",5]]}", "", "16" },
		{ HOST, SERVICE ",\"owners\":[[\"0-4\",5],[\"4\",6]]}", "", "slot 4 twice" },
		{ HOST, SERVICE ",\"owners\":[[\"0\",1024]]}", "", "owners[0]" },
		{ HOST, SERVICE ",\"owners\":7}", "", "owners" },
		{ HOST, SERVICE ",\"pins\":[{\"flow\":\"tcp here\",\"instance\":5}]}", "", "here" },
		{ HOST, SERVICE ",\"rules\":[{\"index\":32}]}", "", "index" },
		{ HOST, SERVICE "}", INSTANCE "," INSTANCE, "instance 5 is there twice" },
		{ HOST, "", INSTANCE, "service 1, which isn't there" },
		{ HOST, SERVICE ",\"lag_ms\":9}", "", "lag_ms" },
		{ HOST, SERVICE ",\"lag_ms\":60001}", "", "lag_ms" },
		{ HOST, SERVICE ",\"lease_ms\":99}", "", "lease_ms" },
		{ HOST, SERVICE "}", STANDBY(6, 3, 1024), "standby_of" },
		{ HOST, SERVICE "}", STANDBY(6, 3, 5), "no such instance" },
		{ HOST, SERVICE "}", STANDBY(6, 3, 6), "standby itself" },
		{ HOST, SERVICE "}", INSTANCE "," STANDBY(6, 2, 5), "on one host" },
		{ HOST, SERVICE "}", INSTANCE "," STANDBY(6, 3, 5) "," STANDBY(7, 4, 5),
		  "has one already" },
		{ HOST, SERVICE "}", INSTANCE "," STANDBY(6, 3, 5) "," STANDBY(7, 2, 6),
		  "standby itself" },
		{ HOST, SERVICE ",\"owners\":[[\"0\",6]]}", INSTANCE "," STANDBY(6, 3, 5),
		  "owns slots" },
		{ HOST,
		  SERVICE ",\"pins\":[{\"flow\":\"tcp 198.18.1.2:1 198.18.2.2:80\","
			  "\"instance\":6}]}",
		  INSTANCE "," STANDBY(6, 3, 5), "owns pins" },
		{ HOST,
		  SERVICE ",\"rules\":[{\"index\":3,\"match\":\"udp\",\"slots\":\"1-2\","
			  "\"instance\":6}]}",
		  INSTANCE "," STANDBY(6, 3, 5), "owns rules" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct desired *d = NULL;

		err = (struct ff_error){ 0 };
		cr_expect_lt(read_text(rows[i].hosts, rows[i].services, rows[i].instances, &d), 0,
			     "row %zu: %s", i, rows[i].says);
		cr_expect_str_eq(err.code, FF_CODE_BAD_REQUEST, "row %zu", i);
		cr_expect_null(d);
		cr_expect(strstr(err.message, rows[i].says), "row %zu: `%s` is not in `%s`", i,
			  rows[i].says, err.message);
	}
}

/* What steers packets already must not change under them. */
Test(desired, agrees_with_what_runs)
{
	static struct ff_service running[FF_SERVICES_MAX];
	_cleanup_desired_ struct desired *d = NULL;
	struct ff_service *s = &running[1];

	cr_assert_eq(read_text(HOST, SERVICE ",\"class\":\"tcp\"}", "", &d), 0);
	s->slot_mask = 31;
	cr_expect_eq(desired_check(d, running, &err), 0, "nothing runs");
	*s = (struct ff_service){ .used = 1,
				  .slot_mask = 15,
				  .seed = { 1, 2 },
				  .class = d->services[1].class };
	cr_expect_eq(desired_check(d, running, &err), 0, "%s", err.message);
	s->slot_mask = 31;
	cr_expect_eq(desired_check(d, running, &err), -EEXIST);
	cr_expect(strstr(err.message, "slots"), "%s", err.message);
	s->slot_mask = 15;
	s->seed[0] = 3;
	cr_expect_eq(desired_check(d, running, &err), -EEXIST);
	cr_expect(strstr(err.message, "seed"), "%s", err.message);
	s->seed[0] = 1;
	s->class.proto = 17;
	cr_expect_eq(desired_check(d, running, &err), -EEXIST);
	cr_expect(strstr(err.message, "class"), "%s", err.message);
	s->class = d->services[1].class;
	s->any = 1;
	cr_expect_eq(desired_check(d, running, &err), -EEXIST);
}
