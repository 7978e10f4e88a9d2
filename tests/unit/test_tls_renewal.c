/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_tls_renewal.c - certificates, keys and CAs that are replaced on disk while listeners and
 * clients run. The server reads the site's own files; the clients here have copies, so that
 * each end is renewed by itself.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/pki.h"
#include "lib/tls_store.h"
#include "tests/unit/http_fixture.h"

static char paths[3][128];
static struct tls_files own = { .ca = paths[0], .cert = paths[1], .key = paths[2] };
static struct http_client *client;

static void replace(const char *path, const char *with)
{
	char command[400];

	snprintf(command, sizeof(command), "cp -p %s %s.new && mv %s.new %s", with, path, path,
		 path);
	cr_assert_eq(system(command), 0);
}

static void replace_all(const struct tls_files *files, const struct tls_files *with)
{
	replace(files->ca, with->ca);
	replace(files->cert, with->cert);
	replace(files->key, with->key);
}

/* Another name of the same CA, for the client. */
static void client_renew(const char *name)
{
	const char *const sans[] = { "127.0.0.1", NULL };
	char dir[96], path[160];

	snprintf(dir, sizeof(dir), "%s/site", fixture.dir);
	cr_assert_eq(pki_issue(dir, name, sans, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
	replace(own.cert, path);
	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	replace(own.key, path);
}

/*
 * Twice, so that the private copies which libcurl reads have the paths again that they had at
 * first: what it keeps by its paths it would take for the same.
 */
static void client_renew_twice(const char *name)
{
	struct tls_store *store;

	client_renew("between");
	cr_assert_eq(tls_store_open(&own, &store, NULL), 0);
	tls_identity_put(tls_store_get(store));
	tls_store_close(store);
	client_renew(name);
}

static void setup(void)
{
	static const char *const names[] = { "ca.pem", "own.pem", "own.key" };

	http_fixture_setup();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", fixture.dir, names[i]);
	replace_all(&own, &fixture.files);
	cr_assert_eq(http_client_new(fixture.url4, &own, &client, NULL), 0);
}

static void teardown(void)
{
	http_client_free(client);
	http_fixture_teardown();
}

TestSuite(tls_renewal, .init = setup, .fini = teardown, .timeout = 60);

/* By a connection of its own. */
static int get_by(const struct tls_files *files)
{
	struct http_client *fresh;
	struct ff_error err;
	int r;

	cr_assert_eq(http_client_new(fixture.url4, files, &fresh, &err), 0, "%s", err.message);
	r = http_fixture_get(fresh, "/v1/echo/x", NULL, NULL, &err);
	http_client_free(fresh);
	return r;
}

static void expect_peer(struct http_client *by, const char *peer)
{
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err;

	cr_assert_eq(http_fixture_get(by, "/v1/echo/x", NULL, &reply, &err), 0, "%s", err.message);
	cr_expect_str_eq(http_fixture_text(reply, "peer"), peer);
}

/* -------------------------------------------------------------------------------- the listener */

Test(tls_renewal, a_listener_takes_up_all_three)
{
	cr_assert_eq(get_by(&own), 0);
	replace_all(&fixture.files, &fixture.stranger);
	cr_expect_eq(get_by(&fixture.stranger), 0);
	cr_expect_eq(get_by(&own), -EACCES, "the old certificate is still shown");
}

Test(tls_renewal, a_listener_trusts_a_second_ca)
{
	struct tls_files second = fixture.stranger;
	char both[160], command[600];

	snprintf(both, sizeof(both), "%s/both.pem", fixture.dir);
	snprintf(command, sizeof(command), "cat %s %s > %s", fixture.files.ca, fixture.stranger.ca,
		 both);
	cr_assert_eq(system(command), 0);
	second.ca = both;
	cr_assert_lt(get_by(&second), 0);
	replace(fixture.files.ca, both);
	cr_expect_eq(get_by(&second), 0);
	cr_expect_eq(get_by(&own), 0);
}

static void file_cut(const char *path)
{
	cr_assert_eq(truncate(path, 100), 0);
}

static unsigned int lines_with(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	unsigned int n = 0;
	char line[1024];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, text) != NULL;
	return n;
}

Test(tls_renewal, what_is_no_good_leaves_the_old_in_use)
{
	_cleanup_close_ int held = dup(STDERR_FILENO), fd = -1;
	uint64_t end;
	char log[96];

	snprintf(log, sizeof(log), "%s/log", fixture.dir);
	fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(held >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	replace(fixture.files.cert, fixture.stranger.cert); /* not of this key, nor of this CA */
	end = clock_ns() + 5 * NSEC_PER_SEC / 4; /* they are looked at again after a second */
	do
		cr_assert_eq(get_by(&own), 0);
	while (clock_ns() < end);
	cr_expect_eq(lines_with(log, "can't be used"), 1);
	replace(fixture.files.ca, fixture.stranger.ca); /* now of this CA */
	cr_expect_eq(get_by(&own), 0);
	cr_expect_eq(lines_with(log, "does not belong"), 1);
	replace(fixture.files.key, fixture.stranger.key);
	file_cut(fixture.files.key);
	cr_expect_eq(get_by(&own), 0);
	replace(fixture.files.key, fixture.stranger.key);
	cr_expect_eq(get_by(&fixture.stranger), 0);
	cr_expect_eq(lines_with(log, "taken up"), 1);
	dup2(held, STDERR_FILENO);
}

Test(tls_renewal, a_kept_connection_is_judged_by_the_new_ca)
{
	unsigned int status;
	struct ff_error err;

	expect_peer(client, "host 127.0.0.1");
	replace_all(&fixture.files, &fixture.stranger);
	cr_expect_lt(http_fixture_get(client, "/v1/echo/x", &status, NULL, &err), 0);
	cr_expect_eq(status, 0, "it got an answer");
}

Test(tls_renewal, a_kept_connection_of_the_same_ca_goes_on)
{
	expect_peer(client, "host 127.0.0.1");
	replace(fixture.files.cert, own.cert); /* as it was, but another file */
	expect_peer(client, "host 127.0.0.1");
}

/*
 * The server hangs up, as the kept connection showed a certificate of
 * the old CA; nobody need notice.
 */
Test(tls_renewal, who_has_renewed_too_comes_anew)
{
	expect_peer(fixture.remote, "host 127.0.0.1");
	replace_all(&fixture.files, &fixture.stranger);
	expect_peer(fixture.remote, "host 127.0.0.1");
}

/* --------------------------------------------------------------------------------- the client */

Test(tls_renewal, a_client_shows_its_new_certificate)
{
	expect_peer(client, "host 127.0.0.1");
	client_renew_twice("renamed");
	expect_peer(client, "renamed 127.0.0.1");
}

Test(tls_renewal, a_client_goes_on_with_the_old_while_the_new_is_no_good)
{
	file_cut(own.cert);
	expect_peer(client, "host 127.0.0.1");
	client_renew("renamed");
	file_cut(own.key);
	cr_expect_eq(get_by(&own), 0, "another connection, the same files");
	client_renew("renamed_again");
	expect_peer(client, "renamed_again 127.0.0.1");
}

static void multi_start(struct http_multi *multi, const char *path, void *user)
{
	struct ff_error err;

	cr_assert_eq(http_multi_start(multi, client, "GET", path, NULL, NULL, HTTP_FIXTURE_MS, user,
				      &err),
		     0, "%s", err.message);
}

static void multi_expect(struct http_multi *multi, const char *peer)
{
	struct http_completion done;

	cr_assert_eq(http_multi_wait(multi, HTTP_FIXTURE_MS, &done), 1);
	cr_assert_eq(done.result, 0, "%s", done.error.message);
	if (peer)
		cr_expect_str_eq(http_fixture_text(done.reply, "peer"), peer);
	json_decref(done.reply);
}

Test(tls_renewal, many_calls_use_no_connection_of_before)
{
	struct http_multi *multi;

	cr_assert_eq(http_multi_new(&multi, NULL), 0);
	multi_start(multi, "/v1/slow?ms=1", NULL);
	multi_start(multi, "/v1/echo/x", NULL);
	multi_expect(multi, NULL);
	multi_expect(multi, NULL); /* two connections are kept */
	client_renew_twice("renamed");
	multi_start(multi, "/v1/echo/x", NULL);
	multi_expect(multi, "renamed 127.0.0.1");
	http_multi_free(multi);
}

Test(tls_renewal, nor_while_one_is_in_flight)
{
	struct http_multi *multi;
	int first, second;

	cr_assert_eq(http_multi_new(&multi, NULL), 0);
	multi_start(multi, "/v1/slow?ms=60000", &first);
	multi_start(multi, "/v1/echo/x", NULL);
	multi_expect(multi, "host 127.0.0.1"); /* its connection is kept */
	client_renew("between");
	multi_start(multi, "/v1/slow?ms=60000", &second);
	cr_assert_eq(http_multi_cancel(multi, &first), 1); /* the last user of the first copies */
	client_renew("renamed");
	for (int i = 0; i < 2; i++) {
		multi_start(multi, "/v1/echo/x", NULL);
		multi_expect(multi, "renamed 127.0.0.1");
	}
	http_multi_free(multi);
}

/* ------------------------------------------------------------------------------ what it leaves */

/* How many there are; *ret_executable: which of them could be executed. */
static unsigned int copies_open(unsigned int *ret_executable)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned int n = 0;

	cr_assert_not_null(dir);
	*ret_executable = 0;
	while ((entry = readdir(dir))) {
		char target[128] = "";
		struct stat st;

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) <= 0 ||
		    !strstr(target, "flowferry-tls"))
			continue;
		n++;
		cr_assert_eq(fstatat(dirfd(dir), entry->d_name, &st, 0), 0);
		*ret_executable += (st.st_mode & 0111) != 0;
	}
	closedir(dir);
	return n;
}

Test(tls_renewal, leaves_nothing_behind)
{
	unsigned int executable;
	uint64_t end;

	for (int i = 0; i < 20; i++) {
		const struct tls_files *with = i % 2 ? &own : &fixture.stranger;

		replace(fixture.files.ca, with->ca);
		replace(fixture.files.cert, with->cert);
		replace(fixture.files.key, with->key);
		cr_assert_eq(get_by(with), 0);
	}
	end = clock_ns() + HTTP_FIXTURE_SOON_NS; /* connections end in threads of their own */
	while (copies_open(&executable) > 6 && clock_ns() < end)
		clock_sleep_ns(NSEC_PER_MSEC);
	cr_expect_eq(copies_open(&executable), 6, "the server's three and the client's");
}

/* Where the kernel knows of that, it may insist on it: vm.memfd_noexec. */
Test(tls_renewal, copies_are_not_executable)
{
	_cleanup_close_ int probe = memfd_create("probe", 8 /* MFD_NOEXEC_SEAL, Linux 6.3 */);
	unsigned int executable;

	cr_expect_eq(copies_open(&executable), 6);
	cr_expect_eq(executable, probe < 0 ? 6 : 0);
}

/* ---------------------------------------------------------------------------- many at a time */

#define LOOKERS	 4
#define RENEWALS 50

struct lookers {
	struct tls_store *store;
	atomic_bool end;
};

static void *look(void *arg)
{
	struct lookers *lookers = arg;

	while (!atomic_load(&lookers->end))
		tls_identity_put(tls_store_get(lookers->store));
	return NULL;
}

static uint64_t number_of_now(struct tls_store *store)
{
	struct tls_identity *identity = tls_store_get(store);
	uint64_t number = identity->number;

	tls_identity_put(identity);
	return number;
}

/*
 * Who looked before another one had read them doesn't read them again: all
 * connections would be made anew.
 */
Test(tls_renewal, one_renewal_is_taken_up_once)
{
	struct lookers lookers = {};
	pthread_t threads[LOOKERS];
	uint64_t before;

	cr_assert_eq(tls_store_open(&own, &lookers.store, NULL), 0);
	before = number_of_now(lookers.store);
	for (int i = 0; i < LOOKERS; i++)
		pthread_create(&threads[i], NULL, look, &lookers);
	for (int i = 0; i < RENEWALS; i++) {
		uint64_t number = number_of_now(lookers.store);

		replace(own.cert, fixture.files.cert);
		while (number_of_now(lookers.store) == number)
			clock_sleep_ns(NSEC_PER_MSEC);
	}
	atomic_store(&lookers.end, true);
	for (int i = 0; i < LOOKERS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(number_of_now(lookers.store), before + RENEWALS);
	tls_store_close(lookers.store);
}
