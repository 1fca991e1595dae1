#define _POSIX_C_SOURCE 200809L

#include "thread_pool.h"

#include <pthread.h>
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
        int running = 0;
        for (; running < helpers; running++) {
            started[running].shared = &shared;
            started[running].worker = running + 1;
            if (pthread_create(&started[running].thread, NULL, thread_main, &started[running]) != 0)
                break;
        }
        helpers = running;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    work(&shared, 0, watch, watcher);
    for (int i = 0; i < helpers; i++)
        pthread_join(started[i].thread, NULL);
    free(started);
    return atomic_load(&shared.stopped) ? JR_STOPPED : JR_OK;
}
