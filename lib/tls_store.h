/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tls_store.h - the certificates that a process shows and trusts, renewed when their files change.
 *
 *	tls_store	one in a process for each three files: listeners and clients share it
 *	tls_identity	what was in the three when they were last found good, together; never changes
 *
 * Whoever begins a connection asks for the identity of now. If the files aren't those that it was
 * read from, they are read and checked; what isn't good (half written, a key of another
 * certificate) leaves the old identity in use, with one warning, and is tried again once a second.
 * A connection keeps the identity that it began with alive.
 *
 * Threads: any, for all of it. The store's mutex guards which identity is the one of now, for as
 * long as it takes to look; files are read without it, by one thread at a time, while others get
 * the old identity: a thread in a freeze waits for no disk that another one waits for.
 */
#pragma once

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdint.h>

#include "lib/tls.h"

struct tls_store;

struct tls_identity {
	atomic_uint refs;
	uint64_t number; /* from 1; newer ones of this process, of any store, have higher ones */
	/* for sessions of GnuTLS's own: certificate, key and CA */
	gnutls_certificate_credentials_t credentials;
	/* for libcurl, which takes nothing but paths: private copies in memory, and their names */
	int fds[3];
	char ca[32], cert[32], key[32];
};

/*
 * The store of these files. Errors are tls_pems_load()'s, unless the
 * process has a good identity of them.
 */
int tls_store_open(const struct tls_files *files, struct tls_store **ret, struct ff_error *err);
void tls_store_close(struct tls_store *store); /* NULL is fine; identities outlive it */

/* A reference to the identity of now, for tls_identity_put(). Looks at the files; never fails. */
struct tls_identity *tls_store_get(struct tls_store *store);
void tls_identity_put(struct tls_identity *identity); /* NULL is fine */
