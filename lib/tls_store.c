/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/tls_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/error.h"
#include "lib/log.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* A certificate that isn't valid yet gets good without its file being touched. */
#define RETRY_NS NSEC_PER_SEC

/*
 * Which files they are, and when they last changed: two stamps that are equal, byte by byte, are of
 * the same contents. A file that can't be looked at counts as none.
 */
struct stamp {
	struct {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec changed;
	} files[3];
};

struct tls_store {
	struct tls_files files; /* copies of our own */
	unsigned int users;	/* under stores_lock */
	struct tls_store *next; /* likewise */

	pthread_mutex_t lock; /* of all below */
	struct tls_identity *now;
	struct stamp stamp;   /* of what `now` was read from */
	struct stamp refused; /* of what was last found to be no good, and warned of */
	uint64_t retry_ns;
	bool reading; /* by a thread that doesn't hold the lock */
};

static pthread_mutex_t stores_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_store *stores;

/* ----------------------------------------------------------------------------------- identity */

/* Taken before the files are read: never newer than what is read. */
static void stamp_take(const struct tls_files *files, struct stamp *ret)
{
	const char *const paths[] = { files->ca, files->cert, files->key };

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct stat st;

		if (stat(paths[i], &st) < 0)
			continue;
		ret->files[i].dev = st.st_dev;
		ret->files[i].ino = st.st_ino;
		ret->files[i].size = st.st_size;
		ret->files[i].changed = st.st_ctim;
	}
}

void tls_identity_put(struct tls_identity *identity)
{
	if (!identity || atomic_fetch_sub(&identity->refs, 1) > 1)
		return;
	if (identity->credentials)
		gnutls_certificate_free_credentials(identity->credentials);
	for (size_t i = 0; i < ARRAY_SIZE(identity->fds); i++)
		if (identity->fds[i] >= 0)
			close(identity->fds[i]);
	free(identity);
}
DEFINE_CLEANUP(struct tls_identity *, tls_identity_put);

static gnutls_datum_t datum_of(const char *text)
{
	return (gnutls_datum_t){ .data = (unsigned char *)text,
				 .size = (unsigned int)strlen(text) };
}

static int credentials_fill(struct tls_identity *identity, const struct tls_pems *pems)
{
	gnutls_datum_t ca = datum_of(pems->ca), cert = datum_of(pems->cert),
		       key = datum_of(pems->key);
	int r = gnutls_certificate_allocate_credentials(&identity->credentials);

	if (r >= 0)
		r = gnutls_certificate_set_x509_trust_mem(identity->credentials, &ca,
							  GNUTLS_X509_FMT_PEM);
	if (r >= 0)
		r = gnutls_certificate_set_x509_key_mem(identity->credentials, &cert, &key,
							GNUTLS_X509_FMT_PEM);
	return r;
}

static int copy_make(const char *pem, int *ret_fd, char path[static 32])
{
	size_t len = strlen(pem), done = 0;
	/* a host with vm.memfd_noexec=2 refuses all others */
	_cleanup_close_ int fd = memfd_create("flowferry-tls", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("flowferry-tls", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, pem + done, len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int identity_load(const struct tls_files *files, struct tls_identity **ret,
			 struct ff_error *err)
{
	static atomic_uint_fast64_t numbers;
	_cleanup_(tls_pems_done) struct tls_pems pems = {};
	_cleanup_(tls_identity_putp) struct tls_identity *identity = NULL;
	int r = tls_pems_load(files, &pems, err);

	if (r < 0)
		return r;
	identity = calloc(1, sizeof(*identity));
	if (!identity)
		return error_nomem(err);
	*identity = (struct tls_identity){ .fds = { -1, -1, -1 } };
	atomic_init(&identity->refs, 1);
	r = credentials_fill(identity, &pems);
	if (r < 0)
		return error_set(err, EBADMSG, FF_CODE_BAD_REQUEST, NULL, "can't use %s: %s",
				 files->cert, gnutls_strerror(r));
	if ((r = copy_make(pems.ca, &identity->fds[0], identity->ca)) < 0 ||
	    (r = copy_make(pems.cert, &identity->fds[1], identity->cert)) < 0 ||
	    (r = copy_make(pems.key, &identity->fds[2], identity->key)) < 0)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL,
				 "can't keep a copy of the certificates: %s", strerror(-r));
	identity->number = atomic_fetch_add(&numbers, 1) + 1;
	*ret = TAKE_PTR(identity);
	return 0;
}

/* -------------------------------------------------------------------------------------- store */

static bool files_equal(const struct tls_files *a, const struct tls_files *b)
{
	return !strcmp(a->ca, b->ca) && !strcmp(a->cert, b->cert) && !strcmp(a->key, b->key);
}

static void store_free(struct tls_store *store)
{
	tls_identity_put(store->now);
	pthread_mutex_destroy(&store->lock);
	free((char *)store->files.ca);
	free((char *)store->files.cert);
	free((char *)store->files.key);
	free(store);
}
DEFINE_CLEANUP(struct tls_store *, store_free);

static int store_new(const struct tls_files *files, struct tls_store **ret, struct ff_error *err)
{
	_cleanup_(store_freep) struct tls_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_nomem(err);
	store->users = 1;
	pthread_mutex_init(&store->lock, NULL);
	store->files =
		(struct tls_files){ strdup(files->ca), strdup(files->cert), strdup(files->key) };
	if (!store->files.ca || !store->files.cert || !store->files.key)
		return error_nomem(err);
	stamp_take(files, &store->stamp);
	r = identity_load(files, &store->now, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(store);
	return 0;
}

int tls_store_open(const struct tls_files *files, struct tls_store **ret, struct ff_error *err)
{
	struct tls_store *store;
	int r = 0;

	if (!files->ca || !files->cert || !files->key)
		return tls_pems_load(files, &(struct tls_pems){}, err); /* says which */
	pthread_mutex_lock(&stores_lock);
	for (store = stores; store && !files_equal(&store->files, files); store = store->next)
		;
	if (store) {
		store->users++;
	} else if ((r = store_new(files, &store, err)) == 0) {
		store->next = stores;
		stores = store;
	}
	pthread_mutex_unlock(&stores_lock);
	if (r == 0)
		*ret = store;
	return r;
}

void tls_store_close(struct tls_store *store)
{
	struct tls_store **link = &stores;
	bool last;

	if (!store)
		return;
	pthread_mutex_lock(&stores_lock);
	last = --store->users == 0;
	while (last && *link != store)
		link = &(*link)->next;
	if (last)
		*link = store->next;
	pthread_mutex_unlock(&stores_lock);
	if (last)
		store_free(store);
}

static bool stamps_differ(const struct stamp *a, const struct stamp *b)
{
	return memcmp(a, b, sizeof(*a)) != 0;
}

/* Whether the files are to be read again, by the caller: then `reading` is its own. */
static bool store_claim(struct tls_store *store)
{
	struct stamp stamp;
	bool due;

	stamp_take(&store->files, &stamp);
	pthread_mutex_lock(&store->lock);
	due = !store->reading && stamps_differ(&stamp, &store->stamp) &&
	      (stamps_differ(&stamp, &store->refused) || clock_ns() >= store->retry_ns);
	store->reading |= due;
	pthread_mutex_unlock(&store->lock);
	return due;
}

static void store_renew(struct tls_store *store)
{
	struct tls_identity *fresh = NULL;
	struct ff_error err = {};
	struct stamp stamp;
	bool warn;
	int r;

	/*
	 * anew: another thread may have read them after this one had looked, before it claimed them
	 */
	stamp_take(&store->files, &stamp);
	if (!stamps_differ(&stamp, &store->stamp)) { /* which only who reads may change */
		pthread_mutex_lock(&store->lock);
		store->reading = false;
		pthread_mutex_unlock(&store->lock);
		return;
	}
	r = identity_load(&store->files, &fresh, &err);
	pthread_mutex_lock(&store->lock);
	warn = r < 0 && stamps_differ(&stamp, &store->refused);
	store->refused = r < 0 ? stamp : (struct stamp){};
	store->retry_ns = clock_ns() + RETRY_NS;
	if (r == 0) {
		struct tls_identity *old = store->now;

		store->now = fresh;
		store->stamp = stamp;
		fresh = old;
	}
	store->reading = false;
	pthread_mutex_unlock(&store->lock);
	tls_identity_put(fresh);
	if (warn)
		log_warn("the certificates have changed, but can't be used: %s; the old ones stay "
			 "in use (mend: %s)",
			 err.message, err.mend);
	else if (r == 0)
		log_info("renewed certificates taken up: %s", store->files.cert);
}

struct tls_identity *tls_store_get(struct tls_store *store)
{
	struct tls_identity *identity;

	if (store_claim(store))
		store_renew(store);
	pthread_mutex_lock(&store->lock);
	identity = store->now;
	atomic_fetch_add(&identity->refs, 1);
	pthread_mutex_unlock(&store->lock);
	return identity;
}
