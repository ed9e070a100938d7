/* What openmp.py compares with: the same loops in C, compiled with -O3 -march=native -fopenmp. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void triad(long n, double a, const double *restrict x, const double *restrict y, double *restrict z) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) z[i] = x[i] + a * y[i];
}

double dot(long n, const double *restrict x, const double *restrict y) {
    double total = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : total)
    for (long i = 0; i < n; i++) total += x[i] * y[i];
    return total;
}

/* One sweep: the mean of the four neighbours. */
void jacobi(long rows, long columns, const double *restrict old, double *restrict new) {
#pragma omp parallel for schedule(static)
    for (long i = 1; i < rows - 1; i++)
        for (long j = 1; j < columns - 1; j++)
            new[i * columns + j] = 0.25 * (old[(i - 1) * columns + j] + old[(i + 1) * columns + j]
                                           + old[i * columns + j - 1] + old[i * columns + j + 1]);
}

/* Whole numbers from 0 to num_bins - 1: every thread counts into bins of its own. */
void histogram(long n, const int64_t *restrict values, long num_bins, int64_t *restrict counts) {
    memset(counts, 0, num_bins * sizeof *counts);
#pragma omp parallel
    {
        int64_t *own = calloc(num_bins, sizeof *own);
#pragma omp for schedule(static) nowait
        for (long i = 0; i < n; i++) own[values[i]]++;
#pragma omp critical
        for (long k = 0; k < num_bins; k++) counts[k] += own[k];
        free(own);
    }
}

/* Steps of z = z^2 + c until |z| > 2, at most `limit`. */
void mandelbrot(long rows, long columns, double left, double right, double bottom, double top, long limit,
                int64_t *restrict steps) {
#pragma omp parallel for schedule(dynamic)
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            double cx = left + j * (right - left) / (columns - 1), cy = bottom + i * (top - bottom) / (rows - 1);
            double x = 0, y = 0;
            long k = 0;
            while (k < limit && x * x + y * y <= 4) {
                double t = x * x - y * y + cx;
                y = 2 * x * y + cy;
                x = t;
                k++;
            }
            steps[i * columns + j] = k;
        }
}

/* c += a b, square, in blocks. */
void matrix_product(long n, long block, const double *restrict a, const double *restrict b, double *restrict c) {
#pragma omp parallel for schedule(static)
    for (long i0 = 0; i0 < n; i0 += block)
        for (long k0 = 0; k0 < n; k0 += block)
            for (long j0 = 0; j0 < n; j0 += block)
                for (long i = i0; i < (i0 + block < n ? i0 + block : n); i++)
                    for (long k = k0; k < (k0 + block < n ? k0 + block : n); k++) {
                        double factor = a[i * n + k];
                        for (long j = j0; j < (j0 + block < n ? j0 + block : n); j++) c[i * n + j] += factor * b[k * n + j];
                    }
}

/* Two passes: every thread sums its block, then adds what the blocks before hold. */
void prefix_sum(long n, const double *restrict x, double *restrict y) {
    double *totals = calloc(omp_get_max_threads() + 1, sizeof *totals);
#pragma omp parallel
    {
        int me = omp_get_thread_num(), p = omp_get_num_threads();
        long start = n * me / p, stop = n * (me + 1) / p;
        double total = 0;
        for (long i = start; i < stop; i++) total += x[i];
        totals[me + 1] = total;
#pragma omp barrier
        double running = 0;
        for (int k = 0; k <= me; k++) running += totals[k];
        for (long i = start; i < stop; i++) y[i] = running += x[i];
    }
    free(totals);
}

/* EPCC: `repeats` parallel loops of one short delay a thread, against the delays alone. */
static volatile double sink;
static void delay(long length) {
    double a = 0;
    for (long i = 0; i < length; i++) a += i;
    if (a < 0) sink = a;
}

double parallel_for_seconds(long repeats, long length) {
    double start = omp_get_wtime();
    for (long k = 0; k < repeats; k++) {
#pragma omp parallel for schedule(static)
        for (int i = 0; i < omp_get_num_threads(); i++) delay(length);
    }
    return (omp_get_wtime() - start) / repeats;
}

double delay_seconds(long repeats, long length) {
    double start = omp_get_wtime();
    for (long k = 0; k < repeats; k++) delay(length);
    return (omp_get_wtime() - start) / repeats;
}

/* Seconds of a loop of n chunks of one iteration each that do next to nothing. */
double dynamic_seconds(long n, int64_t *restrict counts) {
    double start = omp_get_wtime();
#pragma omp parallel for schedule(dynamic, 1)
    for (long i = 0; i < n; i++) counts[omp_get_thread_num() * 64]++;
    return omp_get_wtime() - start;
}
