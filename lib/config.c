/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Passes over the text: libyaml's parser alone, whose syntax errors have the right place, libcyaml
 * with the schema, and a stricter look at numbers. libcyaml tells what is wrong through its log: a message and a
 * backtrace of the fields around it, which are caught here and made into one line.
 */
#include "lib/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/cleanup.h"

#define FRAMES_MAX     16 /* depth of a schema; deeper frames of a backtrace are left out */
#define NAME_MAX_BYTES 64
#define PATH_TEXT_MAX  256

const cyaml_strval_t config_bool_names[2] = { { "false", 0 }, { "true", 1 } };

/* ---- what libcyaml says -------------------------------------------------------------------- */

/* A line of its backtrace, innermost first. */
struct frame {
	char name[NAME_MAX_BYTES]; /* "mtu", " entry 4", or "" for a mapping as such */
	unsigned int line, column;
};

struct complaint {
	char message[PATH_TEXT_MAX];
	struct frame frames[FRAMES_MAX];
	size_t count;
};

static void frame_read(struct complaint *complaint, const char *text)
{
	struct frame *frame = &complaint->frames[complaint->count];
	char name[NAME_MAX_BYTES];

	if (complaint->count == FRAMES_MAX)
		return;
	if (sscanf(text, " in mapping field '%63[^']' (line: %u, column: %u)", name, &frame->line,
		   &frame->column) == 3)
		snprintf(frame->name, sizeof(frame->name), "%s", name);
	else if (sscanf(text, " in sequence entry '%60[^']' (line: %u, column: %u)", name,
			&frame->line, &frame->column) == 3)
		snprintf(frame->name, sizeof(frame->name), " entry %.50s", name); /* from 1 */
	else if (sscanf(text, " in mapping (line: %u, column: %u)", &frame->line, &frame->column) !=
		 2)
		return;
	complaint->count++;
}

static void __attribute__((format(printf, 3, 0)))
complaint_note(cyaml_log_t level, void *userdata, const char *fmt, va_list args)
{
	static const char prefix[] = "Load: ";
	struct complaint *complaint = userdata;
	char buf[PATH_TEXT_MAX], *text = buf;

	(void)level;
	vsnprintf(buf, sizeof(buf), fmt, args);
	buf[strcspn(buf, "\n")] = '\0';
	if (!strncmp(text, prefix, strlen(prefix)))
		text += strlen(prefix);
	if (!strcmp(text, "Backtrace:"))
		return;
	if (text[0] == ' ') {
		frame_read(complaint, text);
	} else if (!complaint->message[0]) {
		if (!isupper((unsigned char)text[1])) /* "Invalid ..", not "STRING .." */
			text[0] = (char)tolower((unsigned char)text[0]);
		snprintf(complaint->message, sizeof(complaint->message), "%s", text);
	}
}

/* What the message says about a key, if it is about one rather than about a value. */
static const char *complaint_key(const struct complaint *complaint)
{
	static const char *const about[] = { "unexpected key: ", "mapping field already seen: ",
					     "missing required mapping field: " };

	for (size_t i = 0; i < ARRAY_SIZE(about); i++)
		if (!strncmp(complaint->message, about[i], strlen(about[i])))
			return complaint->message + strlen(about[i]);
	return NULL;
}

/* ---- from a complaint to an error ---------------------------------------------------------- */

static void path_format(const struct complaint *complaint, char path[PATH_TEXT_MAX])
{
	/* about a key: the innermost frame names the field before it, which is in order */
	size_t first = complaint_key(complaint) ? 1 : 0, len = 0;

	path[0] = '\0';
	for (size_t i = complaint->count; i > first; i--) {
		const char *name = complaint->frames[i - 1].name;

		if (!name[0] || len + strlen(name) + 2 > PATH_TEXT_MAX)
			continue;
		len += (size_t)snprintf(path + len, PATH_TEXT_MAX - len, "%s%s",
					len && name[0] != ' ' ? "." : "", name);
	}
}

/*
 * libcyaml gives the place that it has read up to, so a key that it refuses comes after that place.
 * Moves *line and *column to it.
 */
static void key_find(const char *text, const char *key, unsigned int *line, unsigned int *column)
{
	const char *at = text, *found = text, *start;

	for (unsigned int i = 1; i < *line; i++) {
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	at += MIN(strcspn(at, "\n"), (size_t)*column - 1);
	while ((found = strstr(at, key))) {
		const char *end = found + strlen(key);

		end += strspn(end, "\"' \t");
		if (*end == ':' && (found == text || strchr(" \t\n{,\"'", found[-1])))
			break;
		at = found + 1;
	}
	if (!found)
		return;
	*line = 1;
	for (start = at = text; at < found; at++) {
		if (*at == '\n') {
			(*line)++;
			start = at + 1;
		}
	}
	*column = (unsigned int)(found - start) + 1;
}

static const char *mend_of(cyaml_err_t reason)
{
	switch (reason) {
	case CYAML_ERR_INVALID_KEY:
		return "correct the key's name or leave it out";
	case CYAML_ERR_MAPPING_FIELD_MISSING:
		return "add the field";
	case CYAML_ERR_UNEXPECTED_EVENT:
		return "write the field once";
	case CYAML_ERR_ALIAS:
		return "write the value itself";
	case CYAML_ERR_STRING_LENGTH_MIN:
	case CYAML_ERR_SEQUENCE_ENTRIES_MIN:
		return "give more";
	case CYAML_ERR_STRING_LENGTH_MAX:
	case CYAML_ERR_SEQUENCE_ENTRIES_MAX:
		return "give less";
	default:
		return "give a value of the kind that the field takes";
	}
}

/* A value was refused: what its field takes. */
static void kind_find(const struct complaint *complaint, const cyaml_schema_value_t *schema,
		      struct ff_error *err)
{
	if (!err)
		return;
	for (size_t i = complaint->count; schema && i > 0; i--)
		if (*complaint->frames[i - 1].name)
			schema = config_schema_at(schema, complaint->frames[i - 1].name);
	if (schema)
		config_kind(schema, err->mend, sizeof(err->mend));
}

static int complaint_raise(const struct complaint *complaint, cyaml_err_t reason, const char *name,
			   const char *text, const cyaml_schema_value_t *schema,
			   struct ff_error *err)
{
	const char *key = complaint_key(complaint);
	unsigned int line = 1, column = 1;
	char path[PATH_TEXT_MAX];
	int r;

	if (reason == CYAML_ERR_OOM)
		return error_nomem(err);
	path_format(complaint, path);
	if (complaint->count) {
		line = complaint->frames[0].line;
		column = MAX(complaint->frames[0].column, 1u);
	}
	if (key && reason != CYAML_ERR_MAPPING_FIELD_MISSING)
		key_find(text, key, &line, &column);
	r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST, mend_of(reason), "%s:%u:%u: %s%s%s", name,
		      line, column, path, path[0] ? ": " : "",
		      complaint->message[0] ? complaint->message : cyaml_strerror(reason));
	if (reason == CYAML_ERR_INVALID_VALUE)
		kind_find(complaint, schema, err);
	return r;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Refuses what is no YAML, with the place, and what libcyaml would pass over: further documents. */
static int syntax_check(const char *name, const char *text, size_t len, struct ff_error *err)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	unsigned int documents = 0;
	yaml_parser_t parser;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return error_nomem(err);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (!r && type != YAML_STREAM_END_EVENT) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			const yaml_mark_t *mark = &parser.problem_mark;

			r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				      "correct the YAML; indent with spaces, not tabs",
				      "%s:%zu:%zu: no valid YAML: %s", name, mark->line + 1,
				      mark->column + 1, parser.problem);
			break;
		}
		type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				      "keep one document in the file",
				      "%s:%zu:1: a second YAML document", name,
				      event.start_mark.line + 1);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (!r && !documents)
		r = error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
			      "write its fields into it, or {} if none is needed", "%s: is empty",
			      name);
	return r;
}

static cyaml_config_t cyaml_settings(struct complaint *complaint)
{
	return (cyaml_config_t){
		.log_fn = complaint ? complaint_note : NULL,
		.log_ctx = complaint,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

int config_load_text(const char *name, const char *text, size_t len,
		     const cyaml_schema_value_t *schema, void **ret_data, struct ff_error *err)
{
	_cleanup_free_ char *copy = strndup(text, len); /* ended by NUL, for the search in it */
	struct complaint complaint = {};
	cyaml_config_t settings = cyaml_settings(&complaint);
	cyaml_data_t *data = NULL;
	cyaml_err_t reason;
	int r;

	if (!copy)
		return error_nomem(err);
	r = syntax_check(name, text, len, err);
	if (r)
		return r;
	reason = cyaml_load_data((const uint8_t *)text, len, &settings, schema, &data, NULL);
	if (reason != CYAML_OK)
		return complaint_raise(&complaint, reason, name, copy, schema, err);
	r = config_check_numbers(name, text, len, schema, err);
	if (r) {
		config_free(schema, data);
		return r;
	}
	*ret_data = data;
	return 0;
}

static int file_refuse(const char *path, int number, struct ff_error *err)
{
	const char *mend = number == EACCES ? "let the user of this process read it" :
			   number == ENOENT ? "create it, or give the right path" :
					      "give the path of a readable file";

	if (number == ENOTSUP)
		return error_set(err, EINVAL, NULL, mend, "%s: is neither a file nor a pipe", path);
	return error_set(err, number, NULL, mend, "%s: %s", path, strerror(number));
}

/* Opened without waiting for a pipe's writer; one that has a writer is read to its end. */
static int config_open(const char *path)
{
	bool input = strcmp(path, CONFIG_INPUT) == 0;
	_cleanup_close_ int fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) :
					 open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return -ENOTSUP;
	if (!input && fcntl(fd, F_SETFL, O_RDONLY) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int config_read(const char *path, char **ret_text, size_t *ret_len, struct ff_error *err)
{
	_cleanup_close_ int fd = config_open(path);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	if (fd < 0)
		return file_refuse(path, -fd, err);
	text = malloc(CONFIG_SIZE_MAX + 1);
	if (!text)
		return error_nomem(err);
	for (;;) { /* the size may change meanwhile: read up to the end or the bound */
		ssize_t got = read(fd, text + len, CONFIG_SIZE_MAX + 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return file_refuse(path, errno, err);
		len += (size_t)got;
		if (len > CONFIG_SIZE_MAX)
			return file_refuse(path, EFBIG, err);
		if (!got)
			break;
	}
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int config_load(const char *path, const cyaml_schema_value_t *schema, void **ret_data,
		struct ff_error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = config_read(path, &text, &len, err);
	if (r < 0)
		return r;
	return config_load_text(path, text, len, schema, ret_data, err);
}

void config_free(const cyaml_schema_value_t *schema, void *data)
{
	cyaml_config_t settings = cyaml_settings(NULL);

	if (data)
		cyaml_free(&settings, schema, data, 0);
}
