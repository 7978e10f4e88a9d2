/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pki_file.c - keys and certificates on disk; see pki_file.h. */

#include "lib/pki_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define PEM_BYTES_MAX 65536u /* a certificate is about 700 bytes */

void pki_crt_deinit(gnutls_x509_crt_t *crt)
{
	if (*crt)
		gnutls_x509_crt_deinit(*crt);
}

void pki_privkey_deinit(gnutls_x509_privkey_t *key)
{
	if (*key)
		gnutls_x509_privkey_deinit(*key);
}

void pki_datum_wipe(gnutls_datum_t *datum)
{
	if (!datum->data)
		return;
	gnutls_memset(datum->data, 0, datum->size);
	gnutls_free(datum->data);
}

int pki_path(char *ret, size_t size, const char *dir, const char *name, const char *suffix,
	     struct ff_error *err)
{
	if ((size_t)snprintf(ret, size, "%s/%s%s", dir, name, suffix) >= size)
		return error_set(err, ENAMETOOLONG, "bad-request", "choose a shorter path",
				 "%s/%s%s is too long a path", dir, name, suffix);
	return 0;
}

static int write_all(int fd, const gnutls_datum_t *data)
{
	for (size_t done = 0; done < data->size;) {
		ssize_t n = write(fd, data->data + done, data->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* O_EXCL, so that two callers at once can't both believe that theirs stands. */
int pki_file_create(const char *path, mode_t mode, const gnutls_datum_t *data, struct ff_error *err)
{
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0 && errno == EEXIST)
		return error_set(err, EEXIST, "exists",
				 "keep it, choose another name or directory, or move it away first",
				 "%s exists already, and is never overwritten", path);
	if (fd < 0)
		return error_set(err, errno, "refused", "check the directory and its permissions",
				 "can't create %s: %s", path, strerror(errno));
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, data); /* whatever the umask says */
	if (r < 0) {
		unlink(path);
		return error_set(err, -r, "internal", "check the space left on that file system",
				 "can't write %s: %s", path, strerror(-r));
	}
	return 0;
}

static int file_load(const char *path, gnutls_datum_t *ret, struct ff_error *err)
{
	int r = gnutls_load_file(path, ret);

	if (r < 0)
		return error_set(
			err, errno == EACCES ? EACCES : ENOENT, "not-found",
			"check the path and its permissions; `flowferry pki init` makes a CA",
			"can't read %s: %s", path, errno ? strerror(errno) : gnutls_strerror(r));
	return 0;
}

int pki_crt_load(const char *path, gnutls_x509_crt_t *ret, struct ff_error *err)
{
	_cleanup_(pki_crt_deinit) gnutls_x509_crt_t crt = NULL;
	_cleanup_(pki_datum_wipe) gnutls_datum_t pem = {};
	int r;

	r = file_load(path, &pem, err);
	if (r < 0)
		return r;
	r = pem.size > PEM_BYTES_MAX ? GNUTLS_E_BASE64_DECODING_ERROR : gnutls_x509_crt_init(&crt);
	if (r >= 0)
		r = gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return error_set(err, EBADMSG, "bad-request", "name a certificate in PEM",
				 "%s is no certificate in PEM: %s", path, gnutls_strerror(r));
	*ret = TAKE_PTR(crt);
	return 0;
}

int pki_privkey_load(const char *path, gnutls_x509_privkey_t *ret, struct ff_error *err)
{
	_cleanup_(pki_privkey_deinit) gnutls_x509_privkey_t key = NULL;
	_cleanup_(pki_datum_wipe) gnutls_datum_t pem = {};
	int r;

	r = file_load(path, &pem, err);
	if (r < 0)
		return r;
	r = gnutls_x509_privkey_init(&key);
	if (r >= 0)
		r = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (r < 0)
		return error_set(err, EBADMSG, "bad-request",
				 "restore it from a backup, or make a new CA",
				 "%s is no private key in PEM: %s", path, gnutls_strerror(r));
	*ret = TAKE_PTR(key);
	return 0;
}
