/* Which chunks the OpenMP runtime of this machine deals out: a line "start stop thread" for each.

   chunks runtime N P      the schedule of OMP_SCHEDULE, asked of the runtime chunk by chunk
   chunks static K N P     a loop that the compiler has turned into blocks (K = 0) or chunks of K; one line an iteration */
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool GOMP_loop_runtime_start(long, long, long, long *, long *);
bool GOMP_loop_runtime_next(long *, long *);
void GOMP_loop_end(void);

int main(int argc, char **argv)
{
    long k = atol(argv[2]), n = atol(argv[argc - 2]);
    int p = atoi(argv[argc - 1]);
    int *thread = malloc((n + 1) * sizeof *thread);
    if (!strcmp(argv[1], "runtime")) {
#pragma omp parallel num_threads(p)
        {
            long start, stop;
            if (GOMP_loop_runtime_start(0, n, 1, &start, &stop))
                do {
#pragma omp critical
                    printf("%ld %ld %d\n", start, stop, omp_get_thread_num());
                } while (GOMP_loop_runtime_next(&start, &stop));
            GOMP_loop_end();
        }
        return 0;
    }
    if (k) {
#pragma omp parallel for schedule(static, k) num_threads(p)
        for (long i = 0; i < n; i++)
            thread[i] = omp_get_thread_num();
    } else {
#pragma omp parallel for schedule(static) num_threads(p)
        for (long i = 0; i < n; i++)
            thread[i] = omp_get_thread_num();
    }
    for (long i = 0; i < n; i++)
        printf("%ld %ld %d\n", i, i + 1, thread[i]);
    return 0;
}
