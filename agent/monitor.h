/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * monitor.h - watches this host, and tells those who follow GET /v1/samples.
 *
 * One thread takes a sample of all probes (probe.h) every period, and hears of links and addresses from
 * the kernel as they change. Each sample and each event is one line of JSON, made once, and kept until
 * a newer one has its place in a short ring. Followers copy from it in the server's threads: who is
 * slow misses lines, which shows in their numbers, and delays nobody.
 */
#pragma once

#include <jansson.h>

#include "lib/error.h"
#include "lib/http_server.h"

#define MONITOR_PERIOD_MS 100 /* default */
#define RUN_TIME_EVERY_S  10  /* default, see probe_programs.c: 1 % of the packets are measured */
#define MONITOR_RING	  64  /* lines: six seconds of samples */

struct agent;
struct monitor;

/* Four steps, for those who follow come and go with the server: */
int monitor_new(struct agent *agent, struct monitor **ret, struct ff_error *err); /* before it */
int monitor_start(struct monitor *monitor, struct ff_error *err);
void monitor_stop(struct monitor *monitor); /* before what the probes read is taken away */
void monitor_free(struct monitor *monitor); /* after the server; NULL is fine */

/* Something happened just now: an event with these fields, at once. Takes over @fields. Any thread. */
void monitor_event(struct monitor *monitor, const char *event, json_t *fields);

/* Answers GET /v1/samples[?limit=N]: the newest sample at once, and then what comes, N lines or on. */
int monitor_answer(struct monitor *monitor, struct http_request *req, struct http_response *resp);
