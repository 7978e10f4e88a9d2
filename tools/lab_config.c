/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the lab's daemons are told: a certificate and a configuration file for each. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/pki.h"
#include "tools/lab.h"

/* Certificates are named after the host; the orchestrator's needs no address of its own. */
static int certificates_issue(const struct lab *lab, struct ff_error *err)
{
	int r = pki_ca_create(LAB_PKI_DIR, err);

	for (size_t i = 0; !r && i < lab->n_hosts; i++) {
		const struct lab_host *host = &lab->hosts[i];
		const char *sans[] = { host->ipv4, host->ipv6, NULL };

		if (lab_host_has_daemon(host))
			r = pki_issue(LAB_PKI_DIR, host->name, sans, err) ?:
				    lab_check_interrupted(err);
	}
	return r;
}

static void tls_write(FILE *file, const struct lab_host *host)
{
	fprintf(file,
		"tls:\n"
		"  ca: " LAB_PKI_DIR "/ca.pem\n"
		"  cert: " LAB_PKI_DIR "/%s.pem\n"
		"  key: " LAB_PKI_DIR "/%s.key\n",
		host->name, host->name);
}

static void agent_write(FILE *file, const struct lab_host *host, const char *socket)
{
	fprintf(file,
		"host: %s\n"
		"fabric:\n"
		"  interface: f0\n"
		"steering: [%s]\n"
		"listen:\n"
		"  address: %s\n"
		"  port: %d\n"
		"socket: %s\n"
		"bpffs: " LAB_PIN_DIR "\n",
		host->name, host->role == LAB_GATEWAY ? "c0, s0" : "", host->ipv4, LAB_AGENT_PORT,
		socket);
	tls_write(file, host);
}

static void orchestrator_write(FILE *file, const struct lab *lab, const struct lab_host *orch,
			       const char *socket)
{
	fprintf(file, "socket: %s\ndatabase: " LAB_DIR "/orchestrator.db\n", socket);
	tls_write(file, orch);
	fprintf(file, "hosts:\n");
	for (size_t i = 0; i < lab->n_hosts; i++) {
		const struct lab_host *host = &lab->hosts[i];

		if (lab_host_has_agent(host))
			fprintf(file,
				"  - name: %s\n"
				"    url: https://%s:%d\n"
				"    ipv4: %s\n"
				"    ipv6: %s\n",
				host->name, host->ipv4, LAB_AGENT_PORT, host->ipv4, host->ipv6);
	}
}

static int config_write(const struct lab *lab, const struct lab_host *host, struct ff_error *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX], socket[PATH_MAX];

	lab_proc_config_path(host, path, sizeof(path));
	lab_proc_socket(host, socket, sizeof(socket));
	file = fopen(path, "we");
	if (!file)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't write %s: %m", path);
	if (host->role == LAB_ORCHESTRATOR)
		orchestrator_write(file, lab, host, socket);
	else
		agent_write(file, host, socket);
	if (fflush(file))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't write %s: %m", path);
	if (host->role == LAB_ORCHESTRATOR)
		return 0;
	*strrchr(socket, '/') = '\0'; /* an agent's socket has a directory of its own */
	if (mkdir(socket, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't make %s: %m", socket);
	return 0;
}

int lab_config_write(const struct lab *lab, struct ff_error *err)
{
	int r = certificates_issue(lab, err);

	for (size_t i = 0; !r && i < lab->n_hosts; i++)
		if (lab_host_has_daemon(&lab->hosts[i]))
			r = config_write(lab, &lab->hosts[i], err);
	return r;
}
