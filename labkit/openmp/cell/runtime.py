"""The C that is linked to a cell: what notes where it crashed, and what calls its function and takes the time."""

from __future__ import annotations

from labkit.openmp.cell.prototype import Function

REPORT_FD = "LABKIT_CELL_REPORT"  # names the file descriptor of the report, in the environment of the program

# Linked to every cell. Lines of text appear as they are printed, and before a crash kills the process the report gets
#     crash SIGNAL THREAD NUM_THREADS NEAR_STACK
# and a line `frame WHERE` a caller.
CRASH = r"""
#define _GNU_SOURCE
#include <execinfo.h>
#include <omp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static int report = -1, dying;
static char handler_stack[1 << 16];

static char *put(char *to, long number) {
    char digits[24];
    int n = 0;
    if (number < 0) number = 0;
    do digits[n++] = '0' + number % 10; while (number /= 10);
    *to++ = ' ';
    while (n) *to++ = digits[--n];
    return to;
}

static void crashed(int number, siginfo_t *info, void *context) {
    if (__atomic_exchange_n(&dying, 1, __ATOMIC_SEQ_CST))
        for (;;) pause(); /* another thread was first, and is about to end the process */
    uintptr_t stack = 0, address = (uintptr_t)info->si_addr;
#if defined __linux__ && defined __x86_64__
    stack = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
#elif defined __linux__ && defined __aarch64__
    stack = (uintptr_t)((ucontext_t *)context)->uc_mcontext.sp;
#endif
    (void)context;
    int near = number == SIGSEGV && stack && address + (1 << 16) > stack && address < stack + (1 << 16);
    char text[128] = "crash", *end = text + 5;
    end = put(end, number);
    end = put(end, omp_get_thread_num());
    end = put(end, omp_get_num_threads());
    end = put(end, near);
    *end++ = '\n';
    void *frames[24];
    int n = backtrace(frames, 24);
    if (write(report, text, (size_t)(end - text)) > 0) backtrace_symbols_fd(frames, n, report);
    signal(number, SIG_DFL);
    raise(number);
}

#ifdef __linux__
/* Threads get a second stack, too, on which the handler can run when the first is full. */
#include <dlfcn.h>
#include <pthread.h>

struct work { void *(*function)(void *); void *argument; char stack[1 << 16]; };

static void *with_stack(void *given) {
    struct work *work = given;
    stack_t stack = {.ss_sp = work->stack, .ss_size = sizeof work->stack};
    sigaltstack(&stack, NULL);
    return work->function(work->argument); /* a thread may end here or elsewhere: its work is never freed */
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    struct work *work = report < 0 ? NULL : malloc(sizeof *work);
    if (!work) return real(thread, attributes, function, argument);
    work->function = function;
    work->argument = argument;
    return real(thread, attributes, with_stack, work);
}
#endif

__attribute__((constructor)) static void labkit_begin(void) {
    const char *text = getenv("LABKIT_CELL_REPORT");
    if (!text) return;
    report = atoi(text);
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    void *frame;
    backtrace(&frame, 1); /* loads what it needs now: not possible in a handler */
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = crashed;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (int k = 0; k < 5; k++) sigaction(numbers[k], &action, NULL);
}
"""

# The main program of a cell that is a function: PROGRAM NUM_CALLS KIND_OF_VALUE ARGUMENT ...
# The report gets `call NANOSECONDS` a call and, at the end, `value KIND NUMBER`.
CALLER = r"""
#define _GNU_SOURCE
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

void labkit_call(void *const *arrays, const long long *integers, const double *reals, void *value);

enum { MOST = 64 };
static void *arrays[MOST], *snapshots[MOST];
static size_t sizes[MOST];
static long long integers[MOST];
static double reals[MOST];

static void *map(int fd, int writable) {
    static int known[2 * MOST], n;
    static void *places[2 * MOST];
    for (int k = 0; k < n; k++)
        if (known[k] == fd) return places[k];
    struct stat status;
    int flags = MAP_SHARED;
#ifdef MAP_POPULATE
    flags |= MAP_POPULATE; /* no page faults while the time is taken */
#endif
    void *place = MAP_FAILED;
    if (fstat(fd, &status) == 0)
        place = mmap(NULL, (size_t)status.st_size, PROT_READ | (writable ? PROT_WRITE : 0), flags, fd, 0);
    if (place == MAP_FAILED) {
        perror("arguments");
        _Exit(120);
    }
    known[n] = fd;
    places[n++] = place;
    return place;
}

int main(int count, char **words) {
    FILE *report = fdopen(atoi(getenv("LABKIT_CELL_REPORT")), "w");
    int num_calls = atoi(words[1]), num_arguments = count - 3;
    for (int k = 0; k < num_arguments; k++) {
        const char *word = words[k + 3];
        int fd, writable, snapshot;
        size_t offset;
        if (word[0] == 'a' && sscanf(word, "a:%d:%zu:%zu:%d:%d", &fd, &offset, &sizes[k], &writable, &snapshot) == 5) {
            arrays[k] = (char *)map(fd, writable) + offset;
            snapshots[k] = snapshot < 0 ? NULL : map(snapshot, 0);
        } else if (word[0] == 'i')
            integers[k] = strtoll(word + 2, NULL, 10);
        else if (word[0] == 'u')
            integers[k] = (long long)strtoull(word + 2, NULL, 10);
        else
            reals[k] = strtod(word + 2, NULL);
    }
    union { long long i; double d; } value = {0};
    volatile int team = 0;
#pragma omp parallel
    {
#pragma omp atomic
        team++; /* the threads exist before the time is taken */
    }
    for (int call = 0; call < num_calls; call++) {
        for (int k = 0; k < num_arguments; k++)
            if (snapshots[k]) memcpy(arrays[k], snapshots[k], sizes[k]);
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        labkit_call(arrays, integers, reals, &value);
        clock_gettime(CLOCK_MONOTONIC, &end);
        fflush(stdout);
        fprintf(report, "call %lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec);
        fflush(report);
    }
    if (words[2][0] == 'i') fprintf(report, "value i %lld\n", value.i);
    if (words[2][0] == 'u') fprintf(report, "value u %llu\n", (unsigned long long)value.i);
    if (words[2][0] == 'd') fprintf(report, "value d %a\n", value.d);
    fclose(report);
    return 0;
}
"""


def value_kind(function: Function) -> str:
    """What the function returns, in one letter: integer, unsigned, floating point, or nothing that is kept."""
    returns = function.returns
    if returns.pointer or returns.dtype is None or returns.dtype.kind not in "iubf":
        return "n"
    return {"f": "d", "b": "i"}.get(returns.dtype.kind, returns.dtype.kind)


def call_source(function: Function, cell_file: str, *, cxx: bool) -> str:
    """A file that holds the cell and, behind it, the call of its function with arguments from three arrays."""
    arguments = []
    for k, parameter in enumerate(function.parameters):
        if parameter.pointer:
            star = "*" if len(parameter.lengths) < 2 else "(*)" + "".join(f"[{n}]" for n in parameter.lengths[1:])
            # In C a void * fits every pointer, also one to rows whose length is another parameter.
            arguments.append(f"({parameter.base} {star})arrays[{k}]" if cxx else f"arrays[{k}]")
        else:
            source = "reals" if parameter.dtype is not None and parameter.dtype.kind == "f" else "integers"
            arguments.append(f"({parameter.base}){source}[{k}]")
    call = f"{function.name}({', '.join(arguments)})"
    kind = value_kind(function)
    if kind != "n":
        kept = {"i": "long long", "u": "unsigned long long", "d": "double"}[kind]
        call = f"*({kept} *)labkit_value = ({kept}){call}"
    # Macros of the cell must not change the words below.
    names = "void *const *arrays, const long long *integers, const double *reals, void *labkit_value"
    linkage = 'extern "C" ' if cxx else ""
    return (
        f'#include "{cell_file}"\n{linkage}void labkit_call({names});\n{linkage}void labkit_call({names}) {{\n'
        f"    (void)arrays; (void)integers; (void)reals; (void)labkit_value;\n    {call};\n}}\n"
    )
