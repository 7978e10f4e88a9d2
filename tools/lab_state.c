/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "tools/lab.h"

#define LAB_STATE_VERSION 1
#define LAB_STATE_NEW	  LAB_STATE ".new"

static const char *const role_names[] = {
	[LAB_CLIENT] = "client",     [LAB_SERVER] = "server",	[LAB_FABRIC] = "fabric",
	[LAB_ORCHESTRATOR] = "orch", [LAB_GATEWAY] = "gateway", [LAB_NF_HOST] = "nf-host",
};

const char *lab_role_name(enum lab_role role)
{
	return role_names[role];
}

/* ---- plan -------------------------------------------------------------------------------------- */

/* @net and @octet: 198.18.NET.OCTET and 2001:db8:NET::OCTET, as people read them off each other. */
static void plan_host(struct lab *lab, enum lab_role role, unsigned int number, const char *name,
		      unsigned int net, unsigned int octet)
{
	struct lab_host *host = &lab->hosts[lab->n_hosts++];

	*host = (struct lab_host){ .role = role, .number = number };
	snprintf(host->name, sizeof(host->name), "%s", name);
	snprintf(host->netns, sizeof(host->netns), "ff-%s", name);
	if (!net)
		return;
	snprintf(host->ipv4, sizeof(host->ipv4), "198.18.%u.%u", net, octet);
	snprintf(host->ipv6, sizeof(host->ipv6), "2001:db8:%u::%u", net, octet);
}

void lab_plan(struct lab *lab, const struct lab_options *options)
{
	char name[LAB_NAME_MAX];

	*lab = (struct lab){ .options = *options, .lock_fd = -1 };
	plan_host(lab, LAB_FABRIC, 1, "fabric", 0, 0);
	plan_host(lab, LAB_CLIENT, 1, "client", 1, 2);
	plan_host(lab, LAB_SERVER, 1, "server", 2, 2);
	plan_host(lab, LAB_ORCHESTRATOR, 1, "orch", 8, 9);
	for (unsigned int i = 1; i <= options->gateways; i++) {
		snprintf(name, sizeof(name), i == 1 ? "gw" : "gw%u", i);
		plan_host(lab, LAB_GATEWAY, i, name, 8, i);
	}
	for (unsigned int i = 1; i <= options->hosts; i++) {
		snprintf(name, sizeof(name), "nf%u", i);
		plan_host(lab, LAB_NF_HOST, i, name, 8, 10 + i);
	}
}

struct lab_host *lab_host_find(struct lab *lab, const char *name)
{
	if (!strcmp(name, "orchestrator"))
		name = "orch";
	for (size_t i = 0; i < lab->n_hosts; i++)
		if (!strcmp(lab->hosts[i].name, name) || !strcmp(lab->hosts[i].netns, name))
			return &lab->hosts[i];
	return NULL;
}

bool lab_host_has_agent(const struct lab_host *host)
{
	return host->role == LAB_GATEWAY || host->role == LAB_NF_HOST;
}

bool lab_host_has_daemon(const struct lab_host *host)
{
	return lab_host_has_agent(host) || host->role == LAB_ORCHESTRATOR;
}

const char *lab_service_name(const struct lab *lab)
{
	return strcmp(lab->options.nf, "firewall") == 0 ? "fw" : lab->options.nf;
}

/* ---- state ------------------------------------------------------------------------------------- */

static int host_to_json(const struct lab_host *host, json_t *hosts)
{
	_cleanup_json_ json_t *obj = json_object();

	if (json_put_str(obj, "name", host->name) || json_put_int(obj, "pid", host->pid) ||
	    json_put_uint(obj, "start_time", host->start_time))
		return -ENOMEM;
	return json_array_append_new(hosts, TAKE_PTR(obj)) ? -ENOMEM : 0;
}

int lab_to_json(const struct lab *lab, json_t **ret)
{
	_cleanup_json_ json_t *obj = json_object(), *hosts = json_array();

	for (size_t i = 0; i < lab->n_hosts; i++)
		if (host_to_json(&lab->hosts[i], hosts))
			return -ENOMEM;
	if (json_put_int(obj, "version", LAB_STATE_VERSION) ||
	    json_put_int(obj, "hosts", lab->options.hosts) ||
	    json_put_int(obj, "gateways", lab->options.gateways) ||
	    json_put_int(obj, "slots", lab->options.slots) ||
	    json_put_int(obj, "fabric_mtu", lab->options.fabric_mtu) ||
	    json_put_str(obj, "nf", lab->options.nf) ||
	    json_put_bool(obj, "no_daemons", lab->options.no_daemons) ||
	    json_put_bool(obj, "mounted_bpffs", lab->mounted_bpffs) ||
	    json_put_bool(obj, "complete", lab->complete) ||
	    json_put(obj, "processes", TAKE_PTR(hosts)))
		return -ENOMEM;
	*ret = TAKE_PTR(obj);
	return 0;
}

static int processes_from_json(json_t *processes, struct lab *lab, struct ff_error *err)
{
	struct lab_host *host;
	int64_t pid = 0;
	json_t *entry;
	const char *name;
	size_t i;
	int r;

	json_array_foreach(processes, i, entry) {
		r = json_get_str(entry, "name", &name, err);
		if (r)
			return r;
		host = lab_host_find(lab, name);
		if (!host)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "the lab has no host '%s'", name);
		r = json_get_range(entry, "pid", 0, INT32_MAX, &pid, err);
		if (!r)
			r = json_get_uint(entry, "start_time", &host->start_time, err);
		if (r)
			return r;
		host->pid = (pid_t)pid;
	}
	return 0;
}

int lab_from_json(const json_t *json, struct lab *lab, struct ff_error *err)
{
	int64_t version, hosts, gateways, slots, mtu;
	struct lab_options options = {};
	json_t *processes;
	int r;

	r = json_get_range(json, "version", LAB_STATE_VERSION, LAB_STATE_VERSION, &version, err);
	if (!r)
		r = json_get_range(json, "hosts", 1, LAB_NF_HOSTS_MAX, &hosts, err);
	if (!r)
		r = json_get_range(json, "gateways", 1, LAB_GATEWAYS_MAX, &gateways, err);
	if (!r)
		r = json_get_range(json, "slots", 1, FF_SLOTS_MAX, &slots, err);
	if (!r)
		r = json_get_range(json, "fabric_mtu", LAB_FABRIC_MTU_MIN, LAB_FABRIC_MTU_MAX, &mtu,
				   err);
	if (!r)
		r = json_get_text(json, "nf", options.nf, sizeof(options.nf), err);
	if (!r)
		r = json_get_bool(json, "no_daemons", &options.no_daemons, err);
	if (!r)
		r = json_get_array(json, "processes", &processes, err);
	if (r)
		return r;
	options.hosts = (unsigned int)hosts;
	options.gateways = (unsigned int)gateways;
	options.slots = (unsigned int)slots;
	options.fabric_mtu = (unsigned int)mtu;
	lab_plan(lab, &options);
	r = json_get_bool(json, "mounted_bpffs", &lab->mounted_bpffs, err);
	if (!r)
		r = json_get_bool(json, "complete", &lab->complete, err);
	return r ? r : processes_from_json(processes, lab, err);
}

int lab_load(struct lab *lab, struct ff_error *err)
{
	_cleanup_json_ json_t *json = NULL;
	int lock_fd = lab->lock_fd;
	json_error_t why;
	int r;

	if (access(LAB_STATE, F_OK) < 0 && errno == ENOENT)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "flowferry lab up",
				 "no lab is up");
	json = json_load_file(LAB_STATE, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s:%d: %s", LAB_STATE,
				 why.line, why.text);
	r = lab_from_json(json, lab, err);
	if (r)
		error_prefix(err, "%s", LAB_STATE);
	lab->lock_fd = lock_fd;
	return r;
}

int lab_save(const struct lab *lab, struct ff_error *err)
{
	_cleanup_json_ json_t *json = NULL;
	int r = lab_to_json(lab, &json);

	if (r)
		return error_nomem(err);
	/* renamed into place: a reader sees the old state or the new one */
	if (json_dump_file(json, LAB_STATE_NEW, JSON_INDENT(2)) || rename(LAB_STATE_NEW, LAB_STATE))
		return error_set(err, errno ?: EIO, FF_CODE_INTERNAL, NULL, "can't write %s: %m",
				 LAB_STATE);
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------- */

static int dir_make(const char *path, struct ff_error *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	return error_set(err, errno, FF_CODE_REFUSED,
			 errno == EACCES || errno == EPERM ? "run it as root" : NULL,
			 "can't make the directory %s: %m", path);
}

/* A lock on a directory that has been removed meanwhile protects nothing. */
static bool lock_is_current(int fd)
{
	struct stat held, now;

	return fstat(fd, &held) == 0 && stat(LAB_DIR, &now) == 0 && held.st_ino == now.st_ino &&
	       held.st_dev == now.st_dev;
}

int lab_lock(struct lab *lab, bool create, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (create) {
		r = dir_make(LAB_RUN_DIR, err);
		if (!r)
			r = dir_make(LAB_DIR, err);
		if (r)
			return r;
	}
	fd = open(LAB_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, FF_CODE_NOT_FOUND, "flowferry lab up",
				 errno == ENOENT ? "no lab is up" : "can't open %s: %m", LAB_DIR);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !lock_is_current(fd))
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for it to end",
				 "another 'flowferry lab' is at work on the lab");
	lab->lock_fd = TAKE_FD(fd);
	return 0;
}

void lab_unlock(struct lab *lab)
{
	if (lab->lock_fd < 0)
		return;
	if (access(LAB_STATE, F_OK) <
	    0) { /* no lab, then no directories either, if nothing is in them */
		unlink(LAB_STATE_NEW);
		rmdir(LAB_DIR);
		rmdir(LAB_RUN_DIR);
	}
	close(lab->lock_fd);
	lab->lock_fd = -1;
}
