/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pki.h - a small certificate authority, for the lab and for small sites.
 *
 * One directory holds it: ca.pem, ca.key, and NAME.pem, NAME.key for each certificate. Keys are
 * ECDSA P-256, mode 0600, written before their certificate; nothing is ever overwritten. Each
 * certificate serves both ends of mutual TLS (RFC 5280: serverAuth and clientAuth), as a daemon is
 * server and client at once.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "lib/error.h"

#define PKI_NAME_MAX 63 /* a DNS label; the X.520 bound of a common name is 64 */
#define PKI_SANS_MAX 32 /* names and addresses of one host: far more than any has */

#define PKI_CA_DAYS  3650
#define PKI_LEAF_DAYS                                                                              \
	825 /* the longest that Apple's clients accept; renew in time with a new name */

/*
 * Makes a new CA in `dir`, which is created (0755) if it doesn't exist; its parent must.
 * -EEXIST: there is a CA already, or a part of one.
 */
int pki_ca_create(const char *dir, struct ff_error *err);

/*
 * Issues a certificate for `name` in `dir`, signed by the CA there. `sans` (NULL-terminated, may be
 * NULL) are the DNS names and IP addresses that it serves; the name itself is always one of them.
 * It never outlives its CA. -EEXIST: issued already; -EINVAL: bad name or san; -ENOENT: no CA.
 */
int pki_issue(const char *dir, const char *name, const char *const *sans, struct ff_error *err);

/* What a reader wants to know of a certificate. */
struct pki_info {
	char subject[PKI_NAME_MAX + 2]; /* common name */
	char issuer[PKI_NAME_MAX + 2];
	char serial[48];
	char sans[1024]; /* comma-separated; ends in "..." if there were more */
	char key[32];	 /* e.g. "ECDSA secp256r1" */
	char sha256[65];
	time_t not_before;
	time_t not_after;
	bool ca;
};

/* Reads the PEM certificate at `path`. */
int pki_inspect(const char *path, struct pki_info *ret, struct ff_error *err);

/* Has the CA at `ca_path` signed the certificate, and is it valid now? 0, or -EPERM and why. */
int pki_verify(const char *path, const char *ca_path, struct ff_error *err);
