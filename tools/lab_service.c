/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the lab asks of its daemons, and the proof that traffic flows. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/netns.h"
#include "tools/lab.h"

#define READY_TIMEOUT_MS   30000 /* loading the programs takes seconds under a sanitizer */
#define TRAFFIC_TIMEOUT_MS 20000 /* a few rounds of neighbour resolution on a busy machine */
#define SERVICE_TIMEOUT_MS 60000 /* every host creates its instance's maps meanwhile */
#define CALL_TIMEOUT_MS	   2000
#define PING_TIMEOUT_MS	   500
#define LOG_TAIL_MAX	   300

DEFINE_CLEANUP(struct http_client *, http_client_free);

/* The last line of a log: why a daemon died, most likely. */
static void log_tail(const struct lab_host *host, char *buf, size_t size)
{
	char path[PATH_MAX], line[LOG_TAIL_MAX];
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(buf, size, "its log is empty");
	lab_proc_log_path(host, path, sizeof(path));
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			snprintf(buf, size, "%s", line);
	}
}

static int host_call(const struct lab_host *host, const char *path, json_t **ret_reply)
{
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	char socket[PATH_MAX];
	int r;

	lab_proc_socket(host, socket, sizeof(socket));
	if (access(socket, F_OK) < 0)
		return -ENOENT;
	r = http_client_new(socket, NULL, &client, NULL);
	if (r)
		return r;
	return http_call(client, "GET", path, NULL, NULL, CALL_TIMEOUT_MS, NULL, ret_reply, NULL);
}

int lab_wait_ready(const struct lab_host *host, struct ff_error *err)
{
	const char *path = host->role == LAB_ORCHESTRATOR ? "/v1/status" : "/v1/host";
	uint64_t deadline = clock_ns() + READY_TIMEOUT_MS * NSEC_PER_MSEC;
	char tail[LOG_TAIL_MAX];

	while (host_call(host, path, NULL)) {
		if (lab_check_interrupted(err))
			return -EINTR;
		log_tail(host, tail, sizeof(tail));
		if (!lab_proc_alive(host))
			return error_set(err, ESRCH, FF_CODE_INTERNAL, NULL, "%s of %s died: %s",
					 lab_proc_name(host), host->name, tail);
		if (clock_ns() > deadline)
			return error_set(err, ETIMEDOUT, FF_CODE_UNREACHABLE, NULL,
					 "%s of %s doesn't answer after %d s: %s",
					 lab_proc_name(host), host->name, READY_TIMEOUT_MS / 1000,
					 tail);
		lab_pause();
	}
	return 0;
}

/* ---- the service ------------------------------------------------------------------------------- */

static int instances_to_json(const struct lab *lab, json_t **ret)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; i < lab->n_hosts; i++) {
		const struct lab_host *host = &lab->hosts[i];
		json_t *instance;

		if (host->role != LAB_NF_HOST)
			continue;
		instance = json_object();
		if (json_array_append_new(array, instance) ||
		    json_put_fmt(instance, "name", "%s-%u", lab_service_name(lab), host->number) ||
		    json_put_str(instance, "host", host->name))
			return -ENOMEM;
	}
	*ret = TAKE_PTR(array);
	return 0;
}

static int service_to_json(const struct lab *lab, json_t **ret)
{
	_cleanup_json_ json_t *body = json_object();
	json_t *instances = NULL;

	if (instances_to_json(lab, &instances) || json_put(body, "instances", instances) ||
	    json_put_str(body, "name", lab_service_name(lab)) ||
	    json_put_str(body, "nf", lab->options.nf) ||
	    json_put_int(body, "slots", lab->options.slots))
		return -ENOMEM;
	*ret = TAKE_PTR(body);
	return 0;
}

int lab_service_create(const struct lab *lab, struct ff_error *err)
{
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *text = NULL;
	int r = service_to_json(lab, &body);

	text = r ? NULL : json_dumps(body, JSON_COMPACT);
	if (!text)
		return error_nomem(err);
	r = http_client_new(LAB_SOCKET, NULL, &client, err);
	if (!r) {
		const char *const headers[] = { "Content-Type: application/json", NULL };
		struct http_upload post = {
			.path = "/v1/services",
			.headers = headers,
			.data = text,
			.len = strlen(text),
			.timeout_ms = SERVICE_TIMEOUT_MS,
			.cancel = lab_interrupt_flag(), /* which http_call() doesn't have */
		};

		r = http_upload(client, &post, NULL, NULL, err);
	}
	if (r && !lab_check_interrupted(err))
		error_prefix(err, "can't create the service %s", lab_service_name(lab));
	return r;
}

json_t *lab_instances(void)
{
	static const struct lab_host orch = { .role = LAB_ORCHESTRATOR };
	_cleanup_json_ json_t *reply = NULL;

	if (host_call(&orch, "/v1/instances", &reply))
		return NULL;
	return json_incref(json_object_get(reply, "instances"));
}

/* ---- traffic ----------------------------------------------------------------------------------- */

struct ping {
	const char *address;
	int fd;
};

/*
 * An ICMP datagram socket (icmp(7)): the kernel fills in identifier and checksum, and hands over
 * the replies to that identifier only.
 */
static int ping_send(void *arg)
{
	struct ping *ping = arg;
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	bool v6 = strchr(ping->address, ':');
	struct icmphdr echo = { .type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO };
	int r;

	ping->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC,
			  v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP);
	if (ping->fd < 0)
		return -errno;
	if (v6) {
		inet_pton(AF_INET6, ping->address, &to6.sin6_addr);
		r = connect(ping->fd, (struct sockaddr *)&to6, sizeof(to6));
	} else {
		inet_pton(AF_INET, ping->address, &to4.sin_addr);
		r = connect(ping->fd, (struct sockaddr *)&to4, sizeof(to4));
	}
	if (!r && send(ping->fd, &echo, sizeof(echo), 0) < 0)
		r = -1;
	return r ? -errno : 0;
}

static bool ping_answered(struct lab_host *from, const char *address)
{
	_cleanup_close_ int netns_fd = netns_open(from->netns);
	struct ping ping = { .address = address, .fd = -1 };
	struct pollfd pollfd = { .events = POLLIN };
	bool answered = false;
	char reply[64];

	if (netns_fd >= 0 && netns_call(netns_fd, ping_send, &ping) == 0) {
		pollfd.fd = ping.fd;
		answered = poll(&pollfd, 1, PING_TIMEOUT_MS) == 1 &&
			   recv(ping.fd, reply, sizeof(reply), MSG_DONTWAIT) > 0;
	}
	if (ping.fd >= 0)
		close(ping.fd);
	return answered;
}

int lab_wait_traffic(struct lab *lab, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + TRAFFIC_TIMEOUT_MS * NSEC_PER_MSEC;
	struct lab_host *client = lab_host_find(lab, "client"),
			*server = lab_host_find(lab, "server");
	const char *address = server->ipv4;

	for (;;) {
		if (ping_answered(client, address)) {
			if (address == server->ipv6)
				return 0;
			address = server->ipv6;
		}
		if (lab_check_interrupted(err))
			return -EINTR;
		if (clock_ns() > deadline)
			return error_set(err, ETIMEDOUT, FF_CODE_UNREACHABLE,
					 "see the logs in " LAB_DIR " (--keep-logs), and the drops "
					 "by reason in 'flowferry hosts -o json'",
					 "%s doesn't reach %s after %d s", client->netns, address,
					 TRAFFIC_TIMEOUT_MS / 1000);
		lab_pause();
	}
}
