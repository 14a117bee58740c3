// SPDX-License-Identifier: MIT
/*
 * Many callers of one key that no tier has, at the same moment: in four processes, one in ten a
 * thread that waits in nigh_fetch(), the others calls under way on a completion queue. The origin
 * takes 20 ms, and how often it is asked is counted in memory that all processes share.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/link.h"
#include "support/fail.h"

#define PROCESSES    4u
#define CALLERS      10000u
#define OF_A_PROCESS (CALLERS / PROCESSES)
#define WAITERS      (OF_A_PROCESS / 10) /* threads of a process */
#define ORIGIN_NS    (20 * PERF_NS_PER_MS)
#define PATIENCE_NS  (120 * PERF_NS_PER_S)
#define LOOK_NS      (100 * PERF_NS_PER_US)
#define STACK_BYTES  (128u << 10)
#define HERDS_MAX    ROUNDS_MAX

/* Lies in shared memory. Keys: (a) all */
struct shared {
    _Atomic uint32_t herd;     /* the one that has been let go; a futex */
    _Atomic uint32_t ready;    /* processes that wait for it */
    _Atomic uint32_t answered; /* calls of it, whatever came */
    _Atomic uint32_t refused;  /* of them: with no value */
    _Atomic uint32_t loads;
};

static struct shared *shared;
static pid_t processes[PROCESSES];
static struct nigh_space *space; /* in a process of the callers */

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void wait_for(uint32_t herd)
{
    for (uint32_t seen; (seen = atomic_load(&shared->herd)) < herd;)
        futex(&shared->herd, FUTEX_WAIT, seen);
}

/* ---- callers ---- */

static int load(void *arg, struct nigh_fill *const *fills, size_t count)
{
    (void)arg;
    atomic_fetch_add(&shared->loads, (uint32_t)count);
    sleep_ns(ORIGIN_NS);
    for (size_t i = 0; i < count; i++)
        nigh_fill_value(fills[i], link_world.value, LINK_VALUE_BYTES);
    return 0;
}

static void note(int outcome, struct nigh_value *value)
{
    if (outcome != NIGH_FRESH || value->len != LINK_VALUE_BYTES)
        atomic_fetch_add(&shared->refused, 1);
    nigh_release(value);
    atomic_fetch_add(&shared->answered, 1);
}

static int key_of(char key[16], uint32_t herd)
{
    return snprintf(key, 16, "herd%u", herd);
}

static void *wait_as_thread(void *arg)
{
    (void)arg;
    for (uint32_t herd = 1; herd <= HERDS_MAX; herd++) {
        char key[16];
        struct nigh_value value = NIGH_VALUE_INIT;
        size_t len = (size_t)key_of(key, herd);
        wait_for(herd);
        note(nigh_fetch(space, key, len, NULL, &value), &value);
    }
    return NULL;
}

static void start_waiters(void)
{
    pthread_attr_t small;
    pthread_t id;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (unsigned i = 0; i < WAITERS; i++)
        if (pthread_create(&id, &small, wait_as_thread, NULL) != 0)
            fail("cannot start a thread");
    pthread_attr_destroy(&small);
}

static void take_completions(struct nigh_queue *queue, unsigned pending)
{
    struct nigh_completion done[64];
    while (pending > 0) {
        int n = nigh_queue_poll(queue, done, 64, NIGH_NONE);
        for (int i = 0; i < n; i++, pending--)
            note(done[i].outcome, &done[i].value);
    }
}

static void call_at_once(struct nigh_queue *queue, uint32_t herd)
{
    char key[16];
    size_t len = (size_t)key_of(key, herd);
    unsigned pending = 0;
    wait_for(herd);
    for (unsigned i = 0; i < OF_A_PROCESS - WAITERS; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        int rc = nigh_fetch_async(queue, space, key, len, NULL, NULL, &value, NULL);
        if (rc == NIGH_PENDING)
            pending++;
        else
            note(rc, &value);
    }
    take_completions(queue, pending);
}

/* A process of the callers; ends by a signal. */
__attribute__((noreturn)) static void call_for_ever(void)
{
    struct nigh_options options = link_options("herd");
    struct nigh_queue *queue;
    options.space.load_deadline_ms = 60000; /* a busy machine is no failure */
    struct nigh *cache = link_cache_open_with(&options);
    space = link_space_open(cache, "herd", load, NULL);
    if (nigh_queue_open(cache, &queue) != 0)
        fail("nigh_queue_open");
    start_waiters();
    for (uint32_t herd = 1; herd <= HERDS_MAX; herd++) {
        atomic_fetch_add(&shared->ready, 1);
        call_at_once(queue, herd);
    }
    for (;;)
        pause();
}

void herd_begin(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap: %m");
    for (unsigned i = 0; i < PROCESSES; i++) {
        processes[i] = fork();
        if (processes[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            call_for_ever();
        }
    }
}

void herd_end(void)
{
    for (unsigned i = 0; i < PROCESSES; i++) {
        kill(processes[i], SIGKILL);
        waitpid(processes[i], NULL, 0);
    }
    munmap(shared, sizeof(*shared));
}

/* ---- who lets them go ---- */

static void wait_until(_Atomic uint32_t *count, uint32_t wanted, const char *what)
{
    for (uint64_t until_ns = now_ns() + PATIENCE_NS; atomic_load(count) < wanted;
         sleep_ns(LOOK_NS)) {
        if (now_ns() > until_ns)
            fail("%s: %u of %u", what, atomic_load(count), wanted);
        if (waitpid(-1, NULL, WNOHANG) > 0)
            fail("a process of the callers has ended");
    }
}

/* Returns the milliseconds until the last had its answer. */
static double let_go(uint32_t herd)
{
    wait_until(&shared->ready, herd * PROCESSES, "processes that are ready");
    atomic_store(&shared->answered, 0);
    atomic_store(&shared->refused, 0);
    atomic_store(&shared->loads, 0);
    uint64_t began_ns = now_ns();
    atomic_store(&shared->herd, herd);
    futex(&shared->herd, FUTEX_WAKE, INT32_MAX);
    wait_until(&shared->answered, CALLERS, "answers");
    return (double)(now_ns() - began_ns) / 1e6;
}

unsigned herd_run(unsigned herds, unsigned *ret_bars)
{
    double took_ms[ROUNDS_MAX];
    uint32_t most = 0, refused = 0;
    printf("%u callers of one key, %u processes, %u of them threads that wait; origin: 20 ms\n",
           CALLERS, PROCESSES, WAITERS * PROCESSES);
    printf("%6s%10s%10s%14s\n", "herd", "loads[1]", "refused", "all answered");
    for (uint32_t herd = 1; herd <= herds; herd++) {
        progress_share((double)(herd - 1) / herds, "herd %u of %u", herd, herds);
        took_ms[herd - 1] = let_go(herd);
        uint32_t loads = atomic_load(&shared->loads);
        refused += atomic_load(&shared->refused);
        most = loads > most ? loads : most;
        progress_end();
        printf("%6u%10u%10u%11.1f ms\n", herd, loads, atomic_load(&shared->refused),
               took_ms[herd - 1]);
    }
    result_add("herd", "10,000 callers, 4 processes", "loads", "per key", most, "goal", 1);
    result_add("herd", "10,000 callers, 4 processes", "refused", "calls", refused, NULL, 0);
    result_add("herd", "10,000 callers, 4 processes", "until the last", "ms",
               median(took_ms, herds), NULL, 0);
    *ret_bars += 1;
    return most != 1 || refused > 0;
}
