/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_file.c - one end's share of the evidence, so that a verdict can be made from two ends
 * that never met: header, then [flow] sent if it sends, [flow] records if it judges.
 *
 * Of the writing machine's byte order and this program's version: it is read minutes later by the
 * same program, not kept.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/traffic.h"

#define FILE_MAGIC 0x31646a7466660a00ull /* also tells the byte order */

struct file_header {
	uint64_t magic;
	uint32_t size; /* of this header: another version's differs */
	uint8_t sends, judges, tcp, sockets;
	uint8_t clock[16];
	struct traffic_config config;
	uint64_t rate, took_ns;
	uint64_t sent_packets, first_sent_ns, last_sent_ns, behind, refused, overload;
	struct traffic_tally tally;
	struct traffic_tcp_result tcp_result;
};

/* The end that is here: the client's or the server's. */
static unsigned int end_index(const struct traffic_run *run)
{
	return run->ends[0].name ? 0 : 1;
}

static void header_fill(const struct traffic_run *run, struct file_header *header)
{
	unsigned int index = end_index(run);
	const struct traffic_end *end = &run->ends[index];

	*header = (struct file_header){
		.magic = FILE_MAGIC,
		.size = sizeof(*header),
		.sends = end->sends,
		.judges = end->judges,
		.tcp = run->settings.tcp,
		.sockets = run->settings.sockets,
		.config = end->config,
		.rate = run->settings.rate,
		.took_ns = run->took_ns,
		.sent_packets = end->sent_packets,
		.first_sent_ns = end->first_sent_ns,
		.last_sent_ns = end->last_sent_ns,
		.behind = end->behind,
		.refused = end->refused,
		.overload = end->overload,
		.tally = end->tally,
		.tcp_result = run->tcp_results[index],
	};
	memcpy(header->clock, end->clock, sizeof(header->clock));
}

int traffic_file_save(const struct traffic_run *run, const char *path, struct ff_error *err)
{
	const struct traffic_end *end = &run->ends[end_index(run)];
	_cleanup_free_ struct file_header *header = malloc(sizeof(*header));
	size_t flows = end->config.flows;
	FILE *file;
	bool ok;

	if (!header)
		return error_nomem(err);
	header_fill(run, header);
	file = fopen(path, "we");
	ok = file && fwrite(header, sizeof(*header), 1, file) == 1;
	if (ok && end->sends)
		ok = fwrite(end->sent, sizeof(*end->sent), flows, file) == flows;
	if (ok && end->judges)
		ok = fwrite(end->flows, sizeof(*end->flows), flows, file) == flows;
	if (file && fclose(file) != 0)
		ok = false;
	if (ok)
		return 0;
	return error_set(err, errno ?: EIO, FF_CODE_INTERNAL, NULL, "%s: can't write it: %s", path,
			 strerror(errno ?: EIO));
}

static int header_check(const struct file_header *header)
{
	if (header->magic != FILE_MAGIC || header->size != sizeof(*header))
		return -EINVAL;
	if (header->sends > 1 || header->judges > 1 || header->config.direction > 1 ||
	    !header->config.flows || header->config.flows > TRAFFIC_FLOWS_MAX ||
	    !header->config.client_ports)
		return -EINVAL;
	return 0;
}

/* Array of @count things from the file, the caller's to free. */
static int array_read(FILE *file, size_t size, size_t count, void *ret_array)
{
	_cleanup_free_ void *array = calloc(count, size);

	if (!array)
		return -ENOMEM;
	if (fread(array, size, count, file) != count)
		return -EINVAL;
	*(void **)ret_array = TAKE_PTR(array);
	return 0;
}

static int end_load(struct traffic_run *run, FILE *file, const struct file_header *header)
{
	unsigned int index = header->config.direction;
	struct traffic_end *end = &run->ends[index], *other = &run->ends[!index];
	int r = 0;

	if (end->name)
		return -EEXIST;
	if (other->name &&
	    (other->config.flows != header->config.flows ||
	     (other->config.run && header->config.run && other->config.run != header->config.run)))
		return -EXDEV;
	end->name = index ? "server" : "client";
	end->sends = header->sends;
	end->judges = header->judges;
	end->config = header->config;
	end->sent_packets = header->sent_packets;
	end->first_sent_ns = header->first_sent_ns;
	end->last_sent_ns = header->last_sent_ns;
	end->behind = header->behind;
	end->refused = header->refused;
	end->overload = header->overload;
	end->tally = header->tally;
	memcpy(end->clock, header->clock, sizeof(end->clock));
	run->tcp_results[index] = header->tcp_result;
	run->tcp_judged[index] = header->tcp;
	run->settings.tcp |= header->tcp;
	run->settings.udp |= header->sends || header->judges;
	run->settings.sockets |= header->sockets;
	run->settings.flows = header->config.flows;
	run->settings.size = header->config.size;
	run->settings.rate = header->rate;
	run->settings.run = header->config.run ?: run->settings.run;
	run->took_ns = header->took_ns;
	if (end->sends)
		r = array_read(file, sizeof(*end->sent), end->config.flows, &end->sent);
	if (r == 0 && end->judges)
		r = array_read(file, sizeof(*end->flows), end->config.flows, &end->flows);
	return r;
}

int traffic_file_load(struct traffic_run *run, const char *path, struct ff_error *err)
{
	_cleanup_free_ struct file_header *header = malloc(sizeof(*header));
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int r;

	if (!header)
		return error_nomem(err);
	if (!file)
		return error_set(err, errno, FF_CODE_NOT_FOUND, NULL, "%s: %s", path,
				 strerror(errno));
	r = fread(header, sizeof(*header), 1, file) == 1 ? header_check(header) : -EINVAL;
	if (r == 0)
		r = end_load(run, file, header);
	if (r == 0 && fgetc(file) != EOF)
		r = -EINVAL;
	if (r == -EEXIST)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "name the other end's file",
				 "%s is of the same end as the other file", path);
	if (r == -EXDEV)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "%s is of another run than the other file", path);
	if (r < 0)
		return error_set(err, r, FF_CODE_BAD_REQUEST, "make it with --save",
				 "%s is no whole file of this version's traffic send or receive",
				 path);
	return 0;
}
