/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/error.h"

/* A chain with its intermediates is a few KiB; more is not a certificate. */
#define PEM_MAX	 ((size_t)256 << 10)

#define MEND_PKI "make certificates with `flowferry pki`, or correct the path in the configuration"

struct crt_list {
	gnutls_x509_crt_t *crts;
	unsigned int n;
};

static void crt_list_done(struct crt_list *list)
{
	for (unsigned int i = 0; i < list->n; i++)
		gnutls_x509_crt_deinit(list->crts[i]);
	gnutls_free(list->crts);
}

static void credentials_done(gnutls_certificate_credentials_t *held)
{
	if (*held)
		gnutls_certificate_free_credentials(*held);
}

static int key_mode_check(int fd, const char *path, struct ff_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't stat key %s: %m", path);
	if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
		return error_set(err, EPERM, FF_CODE_REFUSED, "chmod 600 it, and consider it known",
				 "the private key %s has mode %04o: others may read or write it",
				 path, st.st_mode & 07777);
	return 0;
}

static int pem_read(const char *path, const char *what, bool secret, char **ret,
		    struct ff_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	ssize_t n;
	int r;

	if (fd < 0)
		return error_set(err, errno, errno == ENOENT ? FF_CODE_NOT_FOUND : FF_CODE_REFUSED,
				 MEND_PKI, "can't open the %s %s: %m", what, path);
	if (secret && (r = key_mode_check(fd, path, err)) < 0)
		return r;
	text = malloc(PEM_MAX + 1);
	if (!text)
		return error_nomem(err);
	while ((n = read(fd, text + len, PEM_MAX - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return error_set(err, errno, FF_CODE_REFUSED, MEND_PKI, "can't read the %s %s: %m",
				 what, path);
	text[len] = '\0';
	if (len == PEM_MAX || !strstr(text, "-----BEGIN"))
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "%s is no PEM file, the %s has to be one", path, what);
	*ret = TAKE_PTR(text);
	return 0;
}

static gnutls_datum_t datum_of(char *text)
{
	return (gnutls_datum_t){ .data = (unsigned char *)text,
				 .size = (unsigned int)strlen(text) };
}

static int crt_list_import(char *pem, const char *path, struct crt_list *ret, struct ff_error *err)
{
	gnutls_datum_t datum = datum_of(pem);
	int r = gnutls_x509_crt_list_import2(&ret->crts, &ret->n, &datum, GNUTLS_X509_FMT_PEM, 0);

	if (r < 0)
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "%s holds no certificate that can be read: %s", path,
				 gnutls_strerror(r));
	return 0;
}

static int key_check(const struct tls_files *files, struct tls_pems *pems, struct ff_error *err)
{
	_cleanup_(credentials_done) gnutls_certificate_credentials_t credentials = NULL;
	gnutls_datum_t cert = datum_of(pems->cert), key = datum_of(pems->key);
	int r = gnutls_certificate_allocate_credentials(&credentials);

	if (r >= 0)
		r = gnutls_certificate_set_x509_key_mem(credentials, &cert, &key,
							GNUTLS_X509_FMT_PEM);
	if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "the key %s does not belong to the certificate %s", files->key,
				 files->cert);
	if (r < 0)
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "can't use the key %s: %s", files->key, gnutls_strerror(r));
	return 0;
}

/* A certificate that its own CA doesn't vouch for would fail at each peer; better say it here. */
static int chain_check(const struct tls_files *files, struct tls_pems *pems, struct ff_error *err)
{
	_cleanup_(crt_list_done) struct crt_list chain = {}, cas = {};
	gnutls_datum_t why = {};
	unsigned int status = 0;
	int r;

	r = crt_list_import(pems->cert, files->cert, &chain, err);
	if (r < 0)
		return r;
	r = crt_list_import(pems->ca, files->ca, &cas, err);
	if (r < 0)
		return r;
	r = gnutls_x509_crt_list_verify(chain.crts, chain.n, cas.crts, cas.n, NULL, 0, 0, &status);
	if (r < 0)
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "can't check the certificate %s: %s", files->cert,
				 gnutls_strerror(r));
	if (!status)
		return 0;
	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0) < 0)
		why.data = NULL;
	r = error_set(err, EPERM, FF_CODE_REFUSED, "issue a new one with `flowferry pki issue`",
		      "the certificate %s isn't valid under the CA %s: %s", files->cert, files->ca,
		      why.data ? (const char *)why.data : "not trusted");
	gnutls_free(why.data);
	return r;
}

int tls_pems_load(const struct tls_files *files, struct tls_pems *ret, struct ff_error *err)
{
	_cleanup_(tls_pems_done) struct tls_pems pems = {};
	int r;

	if (!files->ca || !files->cert || !files->key)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, MEND_PKI,
				 "mutual TLS needs three files: %s%s%sis not given",
				 files->ca ? "" : "the CA ", files->cert ? "" : "the certificate ",
				 files->key ? "" : "the key ");
	if ((r = pem_read(files->ca, "CA certificate", false, &pems.ca, err)) < 0 ||
	    (r = pem_read(files->cert, "certificate", false, &pems.cert, err)) < 0 ||
	    (r = pem_read(files->key, "private key", true, &pems.key, err)) < 0 ||
	    (r = chain_check(files, &pems, err)) < 0 || (r = key_check(files, &pems, err)) < 0)
		return r;
	*ret = pems;
	pems = (struct tls_pems){};
	return 0;
}

void tls_pems_done(struct tls_pems *pems)
{
	if (pems->key)
		explicit_bzero(pems->key, strlen(pems->key));
	free(pems->key);
	free(pems->cert);
	free(pems->ca);
	*pems = (struct tls_pems){};
}
