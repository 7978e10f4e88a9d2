/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_neighbours.c - clients of other agents are kept from move to move, but no longer than the
 * certificates that they were made with.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/neighbours.h"
#include "lib/pki.h"

#define URL_A "https://198.18.8.2:4433"
#define URL_B "https://198.18.8.3:4433"

static char dir[] = "/tmp/ff-neighbours-XXXXXX", ca[64], cert[64], key[64];
static struct agent_tls tls = { .ca = ca, .cert = cert, .key = key };
static struct agent_config config = { .host = "h", .tls = &tls };
static struct agent agent = { .config = &config, .moves_lock = PTHREAD_MUTEX_INITIALIZER };

static void path_make(char *path, const char *name)
{
	snprintf(path, sizeof(ca), "%s/%s", dir, name);
}

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	path_make(ca, "ca.pem");
	path_make(cert, "host.pem");
	path_make(key, "host.key");
	cr_assert_eq(pki_ca_create(dir, NULL), 0);
	cr_assert_eq(pki_issue(dir, "host", NULL, NULL), 0);
}

static void teardown(void)
{
	char path[64];

	neighbours_done(&agent);
	path_make(path, "ca.key");
	remove(path);
	remove(ca);
	remove(cert);
	remove(key);
	remove(dir);
}

TestSuite(neighbours, .init = setup, .fini = teardown, .timeout = 60);

static struct http_client *get(const char *url)
{
	struct http_client *client;
	struct ff_error err = {};

	cr_assert_eq(neighbour_get(&agent, url, &client, &err), 0, "%s", err.message);
	http_client_free(client); /* the list's own reference keeps it */
	return client;
}

Test(neighbours, are_kept_by_their_url)
{
	struct http_client *a = get(URL_A), *b = get(URL_B);

	cr_expect_neq(a, b);
	cr_expect_eq(get(URL_A), a);
	cr_expect_eq(get(URL_B), b);
}

Test(neighbours, a_renewed_certificate_is_taken_up)
{
	struct http_client *before, *after;
	struct ff_error err = {};

	cr_assert_eq(neighbour_get(&agent, URL_A, &before, &err), 0, "%s", err.message);
	remove(cert);
	remove(key);
	cr_assert_eq(pki_issue(dir, "host", NULL, NULL), 0);
	after = get(URL_A);
	cr_expect_neq(after, before);
	cr_expect_eq(get(URL_A), after, "and is kept in its turn");
	cr_expect_eq(agent.neighbours.next, 1, "in the same place");
	cr_expect_str_eq(http_client_base(before), URL_A, "who uses the old one still may");
	http_client_free(before);
}

Test(neighbours, a_certificate_that_is_gone_is_an_error)
{
	struct http_client *client;
	struct ff_error err = {};

	get(URL_A);
	remove(cert);
	cr_expect_eq(neighbour_get(&agent, URL_A, &client, &err), -ENOENT);
	cr_expect(strstr(err.message, cert), "%s", err.message);
}
