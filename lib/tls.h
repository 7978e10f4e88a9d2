/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The three PEM files that make a host known to the others. Everything between hosts is mutual TLS
 * 1.2 or later: both ends present a certificate that this site's own CA has signed.
 */
#pragma once

struct ff_error;

/* GnuTLS's priority string: TLS 1.2 and 1.3, nothing below 128 bits. */
#define TLS_PRIORITY "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls_files {
	const char *ca;	  /* whoever this CA signed is a peer */
	const char *cert; /* this host's certificate (server and client use) */
	const char *key;
};

/* The files' contents, NUL-terminated PEM. The key is wiped when it is freed. */
struct tls_pems {
	char *ca;
	char *cert;
	char *key;
};

/*
 * Reads and checks the three: each is there, parses, the key belongs to the certificate, the CA has
 * signed it, it is within its dates. Refuses a key that everybody may read, or that others than its
 * owner may write.
 * Error codes: not-found, refused, bad-request; the message names the file.
 */
int tls_pems_load(const struct tls_files *files, struct tls_pems *ret, struct ff_error *err);
void tls_pems_done(struct tls_pems *pems);
