/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may speak to a daemon through its unix socket. Here and not among the unit tests, as it takes
 * root to become somebody else.
 */
#include <criterion/criterion.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/http_client.h"
#include "lib/http_server.h"

#define DAEMON_UID 65533
#define OTHER_UID  65534
#define CALL_MS	   20000

static int get_peer(struct http_request *req, struct http_response *resp)
{
	return resp_json(resp, 200, json_pack("{s:s}", "peer", req_peer(req)));
}

static const struct http_route routes[] = {
	{ "GET", "/v1/peer", get_peer, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

/* The HTTP status that `uid` gets, 0 when it doesn't even get a connection. */
static int status_for(uid_t uid, const char *socket)
{
	struct http_client *client;
	unsigned int status;
	int wait_status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
		    setresuid(uid, uid, uid) < 0 ||
		    http_client_new(socket, NULL, &client, NULL) < 0)
			_exit(255);
		http_call(client, "GET", "/v1/peer", NULL, NULL, CALL_MS, &status, NULL, NULL);
		_exit((int)(status / 100 * 10 + status % 10)); /* 200 -> 20, 403 -> 43: one byte */
	}
	cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
	cr_assert(WIFEXITED(wait_status));
	return WEXITSTATUS(wait_status);
}

/*
 * The daemon of `uid`, and who gets in: by the file's mode, and by SO_PEERCRED where that is lax.
 */
static void daemon_check(uid_t uid)
{
	char dir[] = "/tmp/ff-peer-XXXXXX", socket[64];
	struct http_server *server;
	struct ff_error err = {};

	cr_assert(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0777), 0);
	snprintf(socket, sizeof(socket), "%s/test.sock", dir);
	/* as its socket is made: the file's owner, and who the daemon takes itself for */
	cr_assert_eq(seteuid(uid), 0);
	cr_assert_eq(http_server_new(routes, NULL, &server, &err), 0);
	cr_assert_eq(http_server_listen_unix(server, socket, &err), 0, "%s", err.message);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(status_for(0, socket), 20, "root is kept out");
	cr_assert_eq(status_for(uid, socket), 20, "the daemon's own user is kept out");
	cr_assert_eq(status_for(OTHER_UID, socket), 0, "the file's mode lets others in");
	cr_assert_eq(chmod(socket, 0666), 0);
	cr_assert_eq(status_for(OTHER_UID, socket), 43, "the peer's credentials let others in");
	cr_assert_eq(status_for(uid, socket), 20, "the daemon's own user is kept out");
	http_server_free(server);
	cr_assert_eq(rmdir(dir), 0, "the socket was left behind");
}

Test(http_peer, root_runs_the_daemon)
{
	daemon_check(0);
}

Test(http_peer, an_ordinary_user_runs_the_daemon)
{
	daemon_check(DAEMON_UID);
}
