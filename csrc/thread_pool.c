#ifdef __linux__
#define _GNU_SOURCE /* affinity */
#else
#define _POSIX_C_SOURCE 200809L
#endif

#include "thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define WATCH_INTERVAL_NS 50000000LL

typedef struct {
    jr_task run;
    void *context;
    int64_t tasks;
    atomic_llong next;
    atomic_llong done;
    atomic_int stopped;
} job;

typedef struct {
    job *shared;
    int worker;
    pthread_t thread;
} worker_start;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void work(job *shared, int worker, jr_watch watch, void *watcher)
{
    int64_t last = watch ? now_ns() : 0;
    for (;;) {
        if (atomic_load_explicit(&shared->stopped, memory_order_relaxed))
            return;
        int64_t task = atomic_fetch_add_explicit(&shared->next, 1, memory_order_relaxed);
        if (task >= shared->tasks)
            return;
        shared->run(shared->context, task, worker);
        int64_t done = 1 + atomic_fetch_add_explicit(&shared->done, 1, memory_order_relaxed);
        if (!watch)
            continue;
        int64_t now = now_ns();
        if (now - last >= WATCH_INTERVAL_NS) {
            last = now;
            if (watch(watcher, done, shared->tasks))
                atomic_store(&shared->stopped, 1);
        }
    }
}

static void *thread_main(void *argument)
{
    worker_start *start = argument;
    work(start->shared, start->worker, NULL, NULL);
    return NULL;
}

/* Has threads begin on another core than the caller's, which will be busy: Linux often starts them there and moves them
 * only after some milliseconds, which may be all that they have work for. */
static void keep_off_this_core(pthread_attr_t *attributes)
{
#ifdef __GLIBC__
    cpu_set_t cores;
    int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof cores, &cores) != 0)
        return;
    CPU_CLR(here, &cores);
    if (CPU_COUNT(&cores) > 0)
        pthread_attr_setaffinity_np(attributes, sizeof cores, &cores);
#else
    (void)attributes;
#endif
}

int jr_parallel_for(int threads, int64_t tasks, jr_task run, void *context, jr_watch watch, void *watcher)
{
    job shared = {.run = run, .context = context, .tasks = tasks};
    atomic_init(&shared.next, 0);
    atomic_init(&shared.done, 0);
    atomic_init(&shared.stopped, 0);
    if (threads > tasks)
        threads = tasks > 1 ? (int)tasks : 1;
    int helpers = threads - 1;
    worker_start *started = NULL;
    if (helpers > 0) {
        started = malloc((size_t)helpers * sizeof *started);
        if (!started)
            return JR_NO_MEMORY;
        /* Signals are the caller's business: a worker that took one would delay it. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_attr_t attributes;
        int plain = pthread_attr_init(&attributes) != 0;
        if (!plain)
            keep_off_this_core(&attributes);
        int running = 0;
        for (; running < helpers; running++) {
            started[running].shared = &shared;
            started[running].worker = running + 1;
            const pthread_attr_t *wanted = plain ? NULL : &attributes;
            if (pthread_create(&started[running].thread, wanted, thread_main, &started[running]) != 0)
                break;
        }
        helpers = running;
        if (!plain)
            pthread_attr_destroy(&attributes);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    work(&shared, 0, watch, watcher);
    for (int i = 0; i < helpers; i++)
        pthread_join(started[i].thread, NULL);
    free(started);
    return atomic_load(&shared.stopped) ? JR_STOPPED : JR_OK;
}
