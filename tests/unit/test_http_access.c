/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who may come in to the control API: by TLS, by TCP, by the unix socket. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/http_fixture.h"

TestSuite(http_access, .init = http_fixture_setup, .fini = http_fixture_teardown, .timeout = 60);

/* ------------------------------------------------------------------------------ who may come in */

Test(http_access, mutual_tls_names_the_peer)
{
	struct http_client *six;
	_cleanup_json_ json_t *four_reply = NULL, *six_reply = NULL;
	struct ff_error err;

	cr_assert_eq(http_fixture_get(fixture.remote, "/v1/echo/x", NULL, &four_reply, &err), 0,
		     "%s", err.message);
	cr_assert_str_eq(http_fixture_text(four_reply, "peer"), "host 127.0.0.1");
	cr_assert_eq(http_client_new(fixture.url6, &fixture.files, &six, NULL), 0);
	cr_assert_eq(http_fixture_get(six, "/v1/echo/x", NULL, &six_reply, &err), 0, "%s",
		     err.message);
	cr_assert_str_eq(http_fixture_text(six_reply, "peer"), "host ::1");
	http_client_free(six);
}

/* Sees the server's certificate as valid, but presents one of another CA. */
Test(http_access, a_client_of_another_ca_is_refused)
{
	struct http_client *client;
	struct ff_error err;
	char path[160], command[700];
	struct tls_files mixed = fixture.stranger;
	unsigned int status;

	snprintf(path, sizeof(path), "%s/both.pem", fixture.dir);
	snprintf(command, sizeof(command), "cat %s %s > %s", fixture.files.ca, fixture.stranger.ca,
		 path);
	cr_assert_eq(system(command), 0);
	mixed.ca = path;
	cr_assert_eq(http_client_new(fixture.url4, &mixed, &client, &err), 0, "%s", err.message);
	cr_assert_lt(http_fixture_get(client, "/v1/echo/x", &status, NULL, &err), 0);
	cr_assert_eq(status, 0, "a stranger got an answer");
	cr_assert_str_eq(err.code, FF_CODE_UNREACHABLE);
	http_client_free(client);
}

Test(http_access, a_server_of_another_ca_is_refused)
{
	struct http_client *client;
	struct ff_error err;

	cr_assert_eq(http_client_new(fixture.url4, &fixture.stranger, &client, &err), 0);
	cr_assert_eq(http_fixture_get(client, "/v1/echo/x", NULL, NULL, &err), -EACCES);
	cr_assert_str_eq(err.code, FF_CODE_UNREACHABLE);
	cr_assert(strstr(err.message, fixture.url4), "%s", err.message);
	http_client_free(client);
}

/* curl the program, as our own client never goes without a certificate */
static bool curl_succeeds(const char *options)
{
	char command[500];

	snprintf(command, sizeof(command),
		 "curl -s -o %s/answer --max-time 5 --cacert %s %s %s/v1/echo/x", fixture.dir,
		 fixture.files.ca, options, fixture.url4);
	return system(command) == 0;
}

Test(http_access, a_client_without_certificate_is_refused)
{
	char with[300];

	snprintf(with, sizeof(with), "--cert %s --key %s", fixture.files.cert, fixture.files.key);
	cr_assert(curl_succeeds(with));
	snprintf(with, sizeof(with), "--tlsv1.2 --tls-max 1.2 --cert %s --key %s",
		 fixture.files.cert, fixture.files.key);
	cr_assert(curl_succeeds(with), "TLS 1.2 must do");
	cr_assert_not(curl_succeeds(""));
	cr_assert_not(curl_succeeds("--tls-max 1.2"));
}

Test(http_access, plain_tcp_is_for_loopback)
{
	struct ff_error err;
	uint16_t port;

	cr_assert_eq(http_server_listen_tcp(fixture.server, "0.0.0.0", 0, NULL, false, &port, &err),
		     -EPERM);
	cr_assert_str_eq(err.code, FF_CODE_REFUSED);
	cr_assert(strstr(err.mend, "insecure"), "%s", err.mend);
	cr_assert_eq(http_server_listen_tcp(fixture.server, "::", 0, NULL, false, &port, &err),
		     -EPERM);
	cr_assert_eq(http_server_listen_tcp(fixture.server, "localhost", 0, NULL, false, &port,
					    &err),
		     -EINVAL);
}

Test(http_access, plain_tcp_on_loopback_serves)
{
	struct http_client *client;
	char url[64];
	struct ff_error err;
	uint16_t port;

	cr_assert_eq(http_server_listen_tcp(fixture.server, "127.0.0.1", 0, NULL, false, &port,
					    &err),
		     0, "%s", err.message);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	cr_assert_eq(http_client_new(url, NULL, &client, NULL), 0);
	cr_assert_eq(http_fixture_get(client, "/v1/echo/x", NULL, NULL, &err), 0, "%s",
		     err.message);
	http_client_free(client);
}

Test(http_access, insecure_tcp_is_possible_when_asked_for)
{
	struct ff_error err;
	uint16_t port;

	cr_assert_eq(http_server_listen_tcp(fixture.server, "0.0.0.0", 0, NULL, true, &port, &err),
		     0, "%s", err.message);
}

Test(http_access, certificates_are_checked_before_they_are_used)
{
	struct http_client *client;
	struct tls_files files = fixture.files;
	struct ff_error err;

	files.key = fixture.stranger.key;
	cr_assert_eq(http_client_new(fixture.url4, &files, &client, &err), -EBADMSG);
	cr_assert(strstr(err.message, "does not belong"), "%s", err.message);
	files = fixture.files;
	files.ca = fixture.stranger.ca;
	cr_assert_eq(http_client_new(fixture.url4, &files, &client, &err), -EPERM);
	files = fixture.files;
	files.cert = "/nonexistent.pem";
	cr_assert_eq(http_client_new(fixture.url4, &files, &client, &err), -ENOENT);
	cr_assert_str_eq(err.code, FF_CODE_NOT_FOUND);
	cr_assert_eq(chmod(fixture.stranger.key, 0644), 0);
	cr_assert_eq(http_client_new(fixture.url4, &fixture.stranger, &client, &err), -EPERM);
	cr_assert(strstr(err.message, "mode 0644"), "%s", err.message);
	cr_assert_eq(http_client_new(fixture.url4, NULL, &client, &err), -EINVAL);
	cr_assert_eq(http_client_new("ftp://x", NULL, &client, &err), -EINVAL);
	cr_assert_eq(http_client_new("", NULL, &client, &err), -EINVAL);
}

/* ------------------------------------------------------------------------------ the unix socket */

Test(http_access, the_socket_is_private_and_unlinked)
{
	struct stat st;

	cr_assert_eq(stat(fixture.socket, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0660);
	http_server_stop(fixture.server, 100);
	cr_assert_eq(stat(fixture.socket, &st), -1);
	cr_assert_eq(errno, ENOENT);
}

Test(http_access, a_live_socket_is_left_alone)
{
	struct http_server *second;
	struct ff_error err;

	cr_assert_eq(http_server_new((struct http_route[]){ { 0 } }, NULL, &second, NULL), 0);
	cr_assert_eq(http_server_listen_unix(second, fixture.socket, &err), -EADDRINUSE);
	cr_assert_str_eq(err.code, FF_CODE_EXISTS);
	http_server_free(second);
	cr_assert_eq(http_fixture_get(fixture.local, "/v1/echo/x", NULL, NULL, NULL), 0);
}

Test(http_access, a_stale_socket_is_replaced_and_a_file_is_not)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct http_server *second;
	struct ff_error err;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/stale.sock", fixture.dir);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(TAKE_FD(fd)); /* its process has died: nobody unlinked it */
	cr_assert_eq(http_server_new((struct http_route[]){ { 0 } }, NULL, &second, NULL), 0);
	cr_assert_eq(http_server_listen_unix(second, addr.sun_path, &err), 0, "%s", err.message);
	cr_assert_eq(http_server_listen_unix(second, fixture.files.ca, &err), -EEXIST);
	cr_assert_eq(http_server_listen_unix(second, "/nonexistent/x.sock", &err), -ENOENT);
	cr_assert_eq(access(fixture.files.ca, F_OK), 0);
	http_server_free(second);
}
