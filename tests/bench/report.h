/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* report.h - what came out: tables for people, suite by suite; a JSON document for programs. */
#pragma once

#include <jansson.h>
#include <stdio.h>

void report_machine(const json_t *machine, FILE *to);
/* {"name","about","took_s","error":null|{"message",..},"figures":[..] as in figure.h} */
void report_suite(const json_t *suite, FILE *to);

/* {"suites","figures","failed","targets","missed"}; a suite with an error is one that failed. */
json_t *report_summary(const json_t *suites);
void report_summary_print(const json_t *summary, FILE *to);
/* Numbers as they were rounded, not as they are stored. */
void report_json(const json_t *report, FILE *to);
