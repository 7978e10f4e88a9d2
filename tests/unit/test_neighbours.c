/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_neighbours.c - clients of other agents are kept from move to move, whatever becomes of the
 * certificates meanwhile (test_tls_renewal.c has what they do then).
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

/*
 * While an operator replaces the files, one may be missing, or half there: moves go on as before.
 */
Test(neighbours, are_there_while_certificates_are_replaced)
{
	struct http_client *a = get(URL_A);

	remove(cert);
	cr_expect_eq(get(URL_A), a);
	cr_expect_neq(get(URL_B), a, "nor does a new one need the files");
}

Test(neighbours, a_certificate_that_never_was_is_an_error)
{
	struct http_client *client;
	struct ff_error err = {};

	remove(cert);
	cr_expect_eq(neighbour_get(&agent, URL_A, &client, &err), -ENOENT);
	cr_expect(strstr(err.message, cert), "%s", err.message);
}
