/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/restore.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

/* Converted and not yet written: enough that neither thread waits for the other's turn on a CPU. */
#define BLOCKS 8

struct block {
	void *records; /* as state_stage() leaves them */
	size_t size;   /* of the memory */
	size_t count;
};

struct restore {
	struct state *state;
	const struct state_origin *origin;
	bool begun;   /* a block has come */
	bool running; /* there is a thread */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct block blocks[BLOCKS]; /* a ring: the thread's are first .. first + count - 1 */
	unsigned int first, count;
	bool ended;
	struct state_counts counts;
	int result;
	struct ff_error error;
};

struct restore *restore_new(struct state *state, const struct state_origin *origin)
{
	struct restore *restore = calloc(1, sizeof(*restore));

	if (!restore)
		return NULL;
	restore->state = state;
	restore->origin = origin;
	pthread_mutex_init(&restore->lock, NULL);
	pthread_cond_init(&restore->changed, NULL);
	return restore;
}

/* ---- the writing thread ------------------------------------------------------------------------ */

static void *write_main(void *arg)
{
	struct restore *restore = arg;

	pthread_mutex_lock(&restore->lock);
	for (;;) {
		struct block *block = &restore->blocks[restore->first];
		struct state_counts counts = { 0 };
		struct ff_error err = { 0 };
		int r;

		while (!restore->count && !restore->ended)
			pthread_cond_wait(&restore->changed, &restore->lock);
		if (!restore->count || restore->result)
			break;
		pthread_mutex_unlock(&restore->lock);
		r = state_put_staged(restore->state, block->records, block->count, &counts, &err);
		pthread_mutex_lock(&restore->lock);
		restore->counts.added += counts.added;
		restore->counts.replaced += counts.replaced;
		restore->counts.deleted += counts.deleted;
		if (r) {
			restore->result = r;
			restore->error = err;
		}
		restore->first = (restore->first + 1) % BLOCKS;
		restore->count--;
		pthread_cond_broadcast(&restore->changed);
	}
	pthread_mutex_unlock(&restore->lock);
	return NULL;
}

static int thread_start(struct restore *restore, struct ff_error *err)
{
	if (restore->running)
		return 0;
	if (pthread_create(&restore->thread, NULL, write_main, restore))
		return error_set(err, EAGAIN, FF_CODE_INTERNAL, NULL, "can't start a thread");
	restore->running = true;
	return 0;
}

/* ---- the receiving thread ---------------------------------------------------------------------- */

static int failed(const struct restore *restore, struct ff_error *err)
{
	if (restore->result && err)
		*err = restore->error;
	return restore->result;
}

/* Waits for a free block, which is then this thread's. */
static int block_take(struct restore *restore, struct block **ret, struct ff_error *err)
{
	int r;

	pthread_mutex_lock(&restore->lock);
	while (restore->count == BLOCKS && !restore->result)
		pthread_cond_wait(&restore->changed, &restore->lock);
	*ret = &restore->blocks[(restore->first + restore->count) % BLOCKS];
	r = failed(restore, err);
	pthread_mutex_unlock(&restore->lock);
	return r;
}

static int block_fill(struct restore *restore, struct block *block,
		      const struct stream_record *records, size_t count, struct ff_error *err)
{
	size_t size = state_stage_size(restore->state, count);

	if (block->size < size) {
		free(block->records);
		block->size = 0;
		block->records = malloc(size);
		if (!block->records)
			return error_nomem(err);
		block->size = size;
	}
	block->count = count;
	return state_stage(restore->state, restore->origin, records, count, block->records, err);
}

int restore_add(struct restore *restore, const struct stream_record *records, size_t count,
		struct ff_error *err)
{
	struct block *block;
	int r;

	if (!restore->begun) {
		restore->begun = true;
		return state_restore(restore->state, restore->origin, records, count,
				     &restore->counts, err);
	}
	r = thread_start(restore, err);
	if (!r)
		r = block_take(restore, &block, err);
	if (!r)
		r = block_fill(restore, block, records, count, err);
	if (r)
		return r;
	pthread_mutex_lock(&restore->lock);
	restore->count++;
	pthread_cond_broadcast(&restore->changed);
	pthread_mutex_unlock(&restore->lock);
	return 0;
}

int restore_end(struct restore *restore, struct state_counts *ret_counts, struct ff_error *err)
{
	if (restore->running) {
		pthread_mutex_lock(&restore->lock);
		restore->ended = true;
		pthread_cond_broadcast(&restore->changed);
		pthread_mutex_unlock(&restore->lock);
		pthread_join(restore->thread, NULL);
		restore->running = false;
	}
	*ret_counts = restore->counts;
	return failed(restore, err);
}

void restore_free(struct restore *restore)
{
	struct state_counts counts;

	if (!restore)
		return;
	restore_end(restore, &counts, NULL);
	for (size_t i = 0; i < BLOCKS; i++)
		free(restore->blocks[i].records);
	pthread_mutex_destroy(&restore->lock);
	pthread_cond_destroy(&restore->changed);
	free(restore);
}
