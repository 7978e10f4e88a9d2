/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pki_file.h - keys and certificates on disk, in PEM. For pki*.c only: it speaks GnuTLS's types. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"

/* Destructors for cleanup attributes: GnuTLS's own take values, some of which don't like NULL. */
void pki_crt_deinit(gnutls_x509_crt_t *crt);
void pki_privkey_deinit(gnutls_x509_privkey_t *key);
void pki_datum_wipe(gnutls_datum_t *datum); /* wipes: it may hold a private key */

/* DIR/NAMESUFFIX; -ENAMETOOLONG. */
int pki_path(char *ret, size_t size, const char *dir, const char *name, const char *suffix,
	     struct ff_error *err);

/* Writes a new file of that mode, whatever the umask says. -EEXIST: it is never overwritten. */
int pki_file_create(const char *path, mode_t mode, const gnutls_datum_t *data,
		    struct ff_error *err);

int pki_crt_load(const char *path, gnutls_x509_crt_t *ret, struct ff_error *err);
int pki_privkey_load(const char *path, gnutls_x509_privkey_t *ret, struct ff_error *err);
