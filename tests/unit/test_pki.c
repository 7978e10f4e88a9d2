/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The CA: its files, what is in its certificates, and what it refuses. */

#include <criterion/criterion.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/pki.h"
#include "lib/pki_file.h"

static char dir[] = "/tmp/ff-pki-XXXXXX";
static char path_buf[4][512];

/* A path below the test's directory; up to four are good at a time. */
static const char *at(const char *name)
{
	static unsigned int turn;
	char *buf = path_buf[turn++ % 4];

	snprintf(buf, sizeof(path_buf[0]), "%s/%s", dir, name);
	return buf;
}

static void setup(void)
{
	cr_assert(mkdtemp(dir) != NULL);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(pki, .init = setup, .fini = teardown, .timeout = 60);

static void ca_make(const char *name)
{
	struct ff_error err = {};

	cr_assert_eq(pki_ca_create(at(name), &err), 0, "%s", err.message);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s: %s", path, strerror(errno));
	return st.st_mode & 07777;
}

Test(pki, files_and_modes)
{
	static const char *const sans[] = { "198.18.8.1", NULL };

	umask(0); /* the worst that an operator may have */
	ca_make("ca");
	cr_assert_eq(pki_issue(at("ca"), "gw", sans, NULL), 0);
	cr_assert_eq(mode_of(at("ca/ca.key")), 0600);
	cr_assert_eq(mode_of(at("ca/gw.key")), 0600);
	cr_assert_eq(mode_of(at("ca/ca.pem")), 0644);
	cr_assert_eq(mode_of(at("ca/gw.pem")), 0644);
	umask(077);
	cr_assert_eq(pki_issue(at("ca"), "nf1", sans, NULL), 0);
	cr_assert_eq(mode_of(at("ca/nf1.pem")), 0644);
}

Test(pki, what_a_certificate_says)
{
	static const char *const sans[] = { "198.18.8.1", "2001:db8:8::1",
					    "gw.example", "*.lab.example",
					    "gw",	  NULL };
	struct pki_info ca, gw;
	time_t now = time(NULL);

	ca_make("ca");
	cr_assert_eq(pki_issue(at("ca"), "gw", sans, NULL), 0);
	cr_assert_eq(pki_inspect(at("ca/ca.pem"), &ca, NULL), 0);
	cr_assert_eq(pki_inspect(at("ca/gw.pem"), &gw, NULL), 0);
	cr_assert_str_eq(gw.subject, "gw");
	cr_assert_str_eq(gw.issuer, ca.subject);
	cr_assert_str_eq(gw.sans, "gw,198.18.8.1,2001:db8:8::1,gw.example,*.lab.example");
	cr_assert_str_eq(gw.key, "ECDSA SECP256R1");
	cr_assert(ca.ca && !gw.ca);
	cr_assert(gw.not_before < now && gw.not_after > now + 86400 * 365);
	cr_assert(gw.not_after <= ca.not_after);
	cr_assert_str_neq(gw.serial, ca.serial);
	cr_assert_eq(strlen(gw.sha256), 64);
}

/* Both ends of a connection check the purpose (RFC 5280 section 4.2.1.12). */
Test(pki, usages)
{
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	bool server = false, client = false;
	unsigned int usage, critical;
	char oid[64];

	ca_make("ca");
	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, NULL), 0);
	cr_assert_eq(pki_crt_load(at("ca/gw.pem"), &crt, NULL), 0);
	for (unsigned int i = 0; i < 4; i++) {
		size_t size = sizeof(oid);

		if (gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &size, &critical) < 0)
			break;
		server |= strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0;
		client |= strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0;
	}
	cr_assert(server && client);
	cr_assert_geq(gnutls_x509_crt_get_key_usage(crt, &usage, &critical), 0);
	cr_assert_eq(usage, (unsigned int)GNUTLS_KEY_DIGITAL_SIGNATURE);
	cr_assert(critical);
}

Test(pki, verify)
{
	struct ff_error err = {};

	ca_make("ca");
	ca_make("stranger"); /* the same name, another key */
	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, NULL), 0);
	cr_assert_eq(pki_verify(at("ca/gw.pem"), at("ca/ca.pem"), &err), 0, "%s", err.message);
	cr_assert_eq(pki_verify(at("ca/ca.pem"), at("ca/ca.pem"), &err), 0, "%s", err.message);
	cr_assert_eq(pki_verify(at("ca/gw.pem"), at("stranger/ca.pem"), &err), -EPERM);
	cr_assert(strstr(err.message, "gw.pem") != NULL);
}

static void file_read(const char *path, char *text, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t n;

	cr_assert(file != NULL);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
}

Test(pki, never_overwrites)
{
	char before[4096], after[4096];
	struct ff_error err = {};

	ca_make("ca");
	file_read(at("ca/ca.key"), before, sizeof(before));
	cr_assert_eq(pki_ca_create(at("ca"), &err), -EEXIST);
	cr_assert_str_eq(err.code, FF_CODE_EXISTS);
	cr_assert(*err.mend);
	file_read(at("ca/ca.key"), after, sizeof(after));
	cr_assert_str_eq(before, after);

	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, NULL), 0);
	file_read(at("ca/gw.pem"), before, sizeof(before));
	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, &err), -EEXIST);
	file_read(at("ca/gw.pem"), after, sizeof(after));
	cr_assert_str_eq(before, after);
}

/* A certificate without its key: what is left of it stays, and no key is left beside it. */
Test(pki, half_a_pair_is_in_the_way)
{
	ca_make("ca");
	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, NULL), 0);
	cr_assert_eq(unlink(at("ca/gw.key")), 0);
	cr_assert_eq(pki_issue(at("ca"), "gw", NULL, NULL), -EEXIST);
	cr_assert_neq(access(at("ca/gw.key"), F_OK), 0);
	cr_assert_eq(access(at("ca/gw.pem"), F_OK), 0);
}

/* No key may be written through a link that somebody laid there before. */
Test(pki, follows_no_link)
{
	ca_make("ca");
	cr_assert_eq(symlink("/dev/null", at("ca/gw.key")), 0);
	cr_assert_lt(pki_issue(at("ca"), "gw", NULL, NULL), 0);
}

Test(pki, refuses_bad_names)
{
	static const char *const names[] = {
		"",
		"ca",
		"../gw",
		"a/b",
		".hidden",
		"-gw",
		"a..b",
		"gw.",
		"*.gw",
		"a b",
		"gw\n",
		"g\xc3\xbc",
		"a23456789012345678901234567890123456789012345678901234567890abcd",
	};
	static const char *const sans[] = {
		"", "10.0.0.1:80", "[2001:db8::1]", "10.0.0.256/24", "http://x", "*.", "a,b", "*",
	};
	struct ff_error err = {};

	ca_make("ca");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cr_assert_eq(pki_issue(at("ca"), names[i], NULL, &err), -EINVAL, "'%s'", names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sans); i++) {
		const char *const list[] = { sans[i], NULL };

		cr_assert_eq(pki_issue(at("ca"), "gw", list, &err), -EINVAL, "'%s'", sans[i]);
	}
	cr_assert_neq(access(at("ca/gw.key"), F_OK), 0, "a refused name left a key behind");
}

Test(pki, refuses_broken_ca)
{
	struct ff_error err = {};

	cr_assert_eq(pki_issue(at("nothing"), "gw", NULL, &err), -ENOENT);
	ca_make("ca");
	ca_make("other");
	cr_assert_eq(rename(at("other/ca.key"), at("ca/ca.key")), 0);
	cr_assert_lt(pki_issue(at("ca"), "gw", NULL, &err), 0);
	cr_assert(strstr(err.message, "is not the key of") != NULL, "%s", err.message);

	/* a host's certificate is no CA, whatever it is called */
	ca_make("third");
	cr_assert_eq(pki_issue(at("third"), "gw", NULL, NULL), 0);
	cr_assert_eq(mkdir(at("fake"), 0755), 0);
	cr_assert_eq(rename(at("third/gw.pem"), at("fake/ca.pem")), 0);
	cr_assert_eq(rename(at("third/gw.key"), at("fake/ca.key")), 0);
	cr_assert_lt(pki_issue(at("fake"), "x", NULL, &err), 0);
	cr_assert(strstr(err.message, "no CA certificate") != NULL, "%s", err.message);
}

Test(pki, refuses_what_is_no_certificate)
{
	struct ff_error err = {};
	struct pki_info info;

	cr_assert_eq(pki_inspect("/etc/passwd", &info, &err), -EBADMSG);
	cr_assert_eq(pki_inspect(at("nothing"), &info, &err), -ENOENT);
	cr_assert(strstr(err.message, "nothing") != NULL);
}

Test(pki, too_many_names)
{
	const char *sans[PKI_SANS_MAX + 2] = {};
	char names[PKI_SANS_MAX + 1][16];
	struct ff_error err = {};

	ca_make("ca");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(names[i], sizeof(names[i]), "h%zu", i);
		sans[i] = names[i];
	}
	cr_assert_eq(pki_issue(at("ca"), "gw", sans, &err), -E2BIG);
	sans[PKI_SANS_MAX] = NULL;
	cr_assert_eq(pki_issue(at("ca"), "gw", sans, &err), 0, "%s", err.message);
}
