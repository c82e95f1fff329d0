/* Memory that changes while it is read, as a mapped file does that somebody else writes: after one
 * access of many a function of the test changes it.
 *
 * The pages are closed.  An access is a fault that opens them for one instruction (the processor's
 * trap flag); then they are closed again, until the change is made, or after CHANGING_MAX of them:
 * views may read the same bytes a million times.  A page behind the bytes stays
 * closed: a read beyond their end ends the test.  Linux on x86-64. */
#ifndef FX_TESTS_CHANGING_H
#define FX_TESTS_CHANGING_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__linux__)
#include <ucontext.h>
#define FX_CAN_CHANGE 1
#else
#define FX_CAN_CHANGE 0
#endif

/* Changes the bytes; `read` is where the access before began. */
typedef void (*changing_change)(uint8_t *bytes, size_t n, uint8_t *read);

#if FX_CAN_CHANGE

static struct changing {
    uint8_t *pages, *bytes, *read;
    size_t n_pages_bytes, n; /* pages: without the one behind them */
    long n_accesses, last;   /* last: number of the access before the change; 0: none */
    changing_change change;
} changing;

enum { CHANGING_MAX = 1 << 14, CHANGING_ALIGN = 16, TRAP_FLAG = 0x100 };

static void changing_open(bool open)
{
    mprotect(changing.pages, changing.n_pages_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static void on_access(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    uint8_t *read = info->si_addr;

    if (!changing.pages || read < changing.pages ||
        read >= changing.pages + changing.n_pages_bytes) {
        signal(number, SIG_DFL); /* not ours: it is made again, and ends the process */
        return;
    }
    changing.read = read;
    changing.n_accesses++;
    changing_open(true);
    at->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;

    (void)number, (void)info;
    at->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    if (changing.n_accesses == changing.last)
        changing.change(changing.bytes, changing.n, changing.read);
    else
        changing_open(changing.n_accesses == CHANGING_MAX);
}

/* A copy of the bytes, to be given to what reads them; until changing_end.  After access number
 * `last` it is changed, with 0 never. */
static uint8_t *changing_begin(const uint8_t *bytes, size_t n, long last, changing_change change)
{
    struct sigaction access = { .sa_sigaction = on_access, .sa_flags = SA_SIGINFO };
    struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n / page + 1) * page;
    void *pages = mmap(NULL, room + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        abort();
    size_t n_aligned = (n + CHANGING_ALIGN - 1) / CHANGING_ALIGN * CHANGING_ALIGN;
    changing = (struct changing){ .pages = pages,
                                  .bytes = (uint8_t *)pages + room - n_aligned,
                                  .n_pages_bytes = room,
                                  .n = n,
                                  .last = last,
                                  .change = change };
    changing_open(true);
    memcpy(changing.bytes, bytes, n);
    sigaction(SIGSEGV, &access, NULL);
    sigaction(SIGTRAP, &step, NULL);
    changing_open(false);
    return changing.bytes;
}

/* The number of accesses up to the change, or of all. */
static long changing_end(void)
{
    munmap(changing.pages, changing.n_pages_bytes + (size_t)sysconf(_SC_PAGESIZE));
    changing.pages = NULL;
    return changing.n_accesses;
}

#endif

#endif
