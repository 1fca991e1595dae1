/* Threads for the length of one call.
 *
 * The workers start with the call and are joined before it returns, so there is no state to lose in a fork,
 * nothing that spins between calls, and nothing shared with other libraries. Starting one costs some 10 to 30
 * microseconds; callers ask for one thread when the work is shorter than a few of those.
 */
#ifndef JR_THREAD_POOL_H
#define JR_THREAD_POOL_H

#include <stdint.h>

#include "status.h"

/* One piece of the work. `worker` is in [0, threads): an index for scratch memory that no two tasks share at
 * the same time. */
typedef void (*jr_task)(void *context, int64_t task, int worker);

/* Called by the calling thread alone, about every 50 ms; a nonzero answer stops the work between tasks. */
typedef int (*jr_watch)(void *watcher, int64_t done, int64_t total);

/* Runs tasks 0 .. tasks-1 on up to `threads` threads, the caller's among them, in no promised order.
 * `watch` may be NULL. If the system refuses a thread, fewer are used. Returns JR_OK, JR_NO_MEMORY or JR_STOPPED. */
int jr_parallel_for(int threads, int64_t tasks, jr_task run, void *context, jr_watch watch, void *watcher);

#endif
