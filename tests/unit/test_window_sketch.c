/* lib/window's exact sums and sketches: exactness, error bounds, independence of order. */
#include "../../lib/window/exact_sum.h"
#include "../../lib/window/sketch.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "window/window.h"

/* Check writes a message for each of its own assertions: too slow for each value. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ck_abort_msg("%s", #condition);                                                        \
        }                                                                                          \
    } while (0)

static uint64_t random_state;

static uint64_t random_u64(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double random_finite(void) {
    double value;
    do {
        uint64_t bits = random_u64();
        memcpy(&value, &bits, sizeof(value));
    } while (!isfinite(value));
    return value;
}

static void shuffle(double *values, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = random_u64() % i;
        double kept = values[i - 1];
        values[i - 1] = values[j];
        values[j] = kept;
    }
}

static double sum_of(const double *values, size_t n) {
    exact_sum sum = {0};
    for (size_t i = 0; i < n; i++) {
        must(exact_sum_add(&sum, values[i]));
    }
    double result = exact_sum_value(&sum);
    exact_sum_free(&sum);
    return result;
}

START_TEST(sums_are_exact) {
    ck_assert(sum_of((double[]){1e100, 1, -1e100}, 3) == 1);
    ck_assert(sum_of((double[]){1e16, 1, 1}, 3) == 1e16 + 2);
    ck_assert(sum_of((double[]){9007199254740992.0, 1}, 2) == 9007199254740992.0); /* tie: even */
    ck_assert(sum_of((double[]){9007199254740992.0, 1, 4.9e-324}, 3) == 9007199254740994.0);
    ck_assert(sum_of((double[]){DBL_MAX, DBL_MAX, -DBL_MAX}, 3) == DBL_MAX);
    ck_assert(isinf(sum_of((double[]){DBL_MAX, DBL_MAX}, 2)));
    ck_assert(sum_of((double[]){4.9e-324, 4.9e-324}, 2) == 9.9e-324);
    ck_assert(sum_of((double[]){4.9e-324, -DBL_MIN, DBL_MIN}, 3) == 4.9e-324);
    ck_assert(sum_of((double[]){0.1, 0.2, -0.3}, 3) == 2.7755575615628914e-17);
    ck_assert(sum_of(NULL, 0) == 0);
    ck_assert(sum_of((double[]){-0.0}, 1) == 0);
    ck_assert(isnan(sum_of((double[]){INFINITY, -INFINITY}, 2)));
    ck_assert(sum_of((double[]){INFINITY, 1}, 2) == INFINITY);
    ck_assert(sum_of((double[]){-INFINITY, 1}, 2) == -INFINITY);
    ck_assert(isnan(sum_of((double[]){NAN, 1}, 2)));
}
END_TEST

START_TEST(sums_that_cancel) {
    random_state = 11;
    enum { N = 5000 };
    double *values = malloc(2 * N * sizeof(double) + sizeof(double));
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < N; i++) {
            values[2 * i] = random_finite();
            values[2 * i + 1] = -values[2 * i];
        }
        double left = random_finite();
        values[2 * N] = left;
        shuffle(values, 2 * N + 1);
        ck_assert(sum_of(values, 2 * N + 1) == left);
    }
    free(values);
}
END_TEST

/* Against 128-bit integers: values k * 2^-20 with |k| < 2^62. */
START_TEST(sums_round_right) {
    random_state = 12;
    for (int round = 0; round < 2000; round++) {
        exact_sum sum = {0};
        sl_i128 total = 0;
        size_t n = random_u64() % 40;
        for (size_t i = 0; i < n; i++) {
            double value = (double)((int64_t)random_u64() >> (random_u64() % 60));
            total += (sl_i128)value;
            must(exact_sum_add(&sum, ldexp(value, -20)));
        }
        ck_assert(exact_sum_value(&sum) == ldexp((double)total, -20));
        ck_assert((double)exact_sum_quad(&sum) == ldexp((double)total, -20));
        exact_sum_free(&sum);
    }
}
END_TEST

START_TEST(sums_merge_in_any_order) {
    random_state = 13;
    enum { N = 3000, PARTS = 7 };
    double values[N];
    sl_buffer expected = SL_BUFFER_INIT;
    for (size_t i = 0; i < N; i++) {
        values[i] = i % 3 == 0 ? random_finite() : (double)(int64_t)(random_u64() % 100000) / 100;
    }
    for (int round = 0; round < 20; round++) {
        shuffle(values, N);
        exact_sum parts[PARTS] = {0};
        for (size_t i = 0; i < N; i++) {
            must(exact_sum_add(&parts[random_u64() % PARTS], values[i]));
        }
        exact_sum total = {0};
        for (size_t i = 0; i < PARTS; i++) {
            size_t p = (i * 3 + (size_t)round) % PARTS;
            sl_buffer bytes = SL_BUFFER_INIT;
            bool corrupt;
            if (round % 2 == 0) {
                ck_assert(exact_sum_merge(&total, &parts[p]));
            } else {
                ck_assert(exact_sum_write(&parts[p], &bytes));
                const uint8_t *at = bytes.data;
                ck_assert(exact_sum_read(&total, &at, at + bytes.bytes, &corrupt));
                ck_assert(at == bytes.data + bytes.bytes);
            }
            sl_buffer_free(&bytes);
        }
        sl_buffer written = SL_BUFFER_INIT;
        ck_assert(exact_sum_write(&total, &written));
        if (round == 0) {
            expected = written;
        } else {
            ck_assert_uint_eq(written.bytes, expected.bytes);
            ck_assert_mem_eq(written.data, expected.data, expected.bytes);
            sl_buffer_free(&written);
        }
        for (size_t i = 0; i < PARTS; i++) {
            exact_sum_free(&parts[i]);
        }
        exact_sum_free(&total);
    }
    sl_buffer_free(&expected);
}
END_TEST

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

START_TEST(quantiles_keep_their_error) {
    random_state = 14;
    enum { N = 20000 };
    static double values[N];
    for (int shape = 0; shape < 4; shape++) {
        dd_sketch sketch = {0};
        for (size_t i = 0; i < N; i++) {
            double uniform = (double)(random_u64() >> 11) / 9007199254740992.0;
            values[i] = shape == 0   ? floor(uniform * 120000)
                        : shape == 1 ? exp(uniform * 60 - 30)
                        : shape == 2 ? uniform * 2000 - 1000
                                     : (uniform < 0.3 ? 0 : -log(uniform));
            must(dd_sketch_add(&sketch, values[i]));
        }
        qsort(values, N, sizeof(values[0]), compare_doubles);
        for (int p = 0; p <= 1000; p++) {
            double q = p / 1000.0;
            double exact = values[(size_t)(q * (N - 1))];
            double found = dd_sketch_quantile(&sketch, q);
            ck_assert_msg(fabs(found - exact) <= fabs(exact) * SL_QUANTILE_ERROR * 1.0000001,
                          "shape %d q %g: %.17g for %.17g", shape, q, found, exact);
        }
        dd_sketch_free(&sketch);
    }
}
END_TEST

START_TEST(quantile_extremes) {
    dd_sketch sketch = {0};
    const double values[] = {4.9e-324, DBL_MIN, 1e-300, 1,    1e300,  DBL_MAX,
                             INFINITY, NAN,     -1e300, -0.0, -4e-320};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(values); i++) {
        must(dd_sketch_add(&sketch, values[i]));
    }
    ck_assert_uint_eq(sketch.total, 10);
    ck_assert(fabs(dd_sketch_quantile(&sketch, 1) / DBL_MAX - 1) <= 0.01);
    ck_assert(fabs(dd_sketch_quantile(&sketch, 0) / -1e300 - 1) <= 0.01);
    dd_sketch_free(&sketch);
}
END_TEST

/* Adds the values to parts in random order, merges these, as they are or written: always the same.
 */
static void merge_in_any_order(double *values, size_t n) {
    enum { PARTS = 5 };
    sl_buffer expected = SL_BUFFER_INIT;
    for (int round = 0; round < 10; round++) {
        shuffle(values, n);
        dd_sketch parts[PARTS] = {0};
        dd_sketch total = {0};
        for (size_t i = 0; i < n; i++) {
            must(dd_sketch_add(&parts[random_u64() % PARTS], values[i]));
        }
        for (size_t i = 0; i < PARTS; i++) {
            if (i % 2 == 0) {
                ck_assert(dd_sketch_merge(&total, &parts[i]));
            } else {
                sl_buffer bytes = SL_BUFFER_INIT;
                bool corrupt;
                ck_assert(dd_sketch_write(&parts[i], &bytes));
                const uint8_t *at = bytes.data;
                ck_assert(dd_sketch_read(&total, &at, at + bytes.bytes, &corrupt));
                sl_buffer_free(&bytes);
            }
            dd_sketch_free(&parts[i]);
        }
        ck_assert_uint_eq(total.total, n);
        sl_buffer written = SL_BUFFER_INIT;
        ck_assert(dd_sketch_write(&total, &written));
        if (round == 0) {
            expected = written;
        } else {
            ck_assert_uint_eq(written.bytes, expected.bytes);
            ck_assert_mem_eq(written.data, expected.data, expected.bytes);
            sl_buffer_free(&written);
        }
        dd_sketch_free(&total);
    }
    sl_buffer_free(&expected);
}

START_TEST(quantiles_merge_in_any_order) {
    random_state = 15;
    enum { N = 4000 };
    static double values[N]; /* over the whole range: buckets fold */
    for (size_t i = 0; i < N; i++) {
        values[i] = i % 2 == 0 ? random_finite() : (double)(random_u64() % 1000);
    }
    merge_in_any_order(values, N);
}
END_TEST

/* Sketches of few buckets, which become sketches of many. */
START_TEST(small_quantiles_merge_in_any_order) {
    random_state = 16;
    for (size_t n = 1; n < 400; n++) {
        double values[400];
        for (size_t i = 0; i < n; i++) {
            values[i] = n % 3 == 0   ? random_finite()
                        : n % 3 == 1 ? (double)(random_u64() % 1000) - 300
                                     : ldexp(1, (int)(random_u64() % 60));
        }
        merge_in_any_order(values, n);
    }
}
END_TEST

START_TEST(small_quantiles_keep_their_error) {
    random_state = 17;
    for (size_t n = 1; n < 400; n++) {
        double values[400];
        dd_sketch sketch = {0};
        for (size_t i = 0; i < n; i++) {
            values[i] = (double)(random_u64() % 100000) - 20000;
            must(dd_sketch_add(&sketch, values[i]));
        }
        qsort(values, n, sizeof(values[0]), compare_doubles);
        for (size_t i = 0; i < n; i++) {
            double q = n == 1 ? 0.5 : ((double)i + 0.5) / (double)(n - 1);
            q = q > 1 ? 1 : q;
            double exact = values[(size_t)(q * (double)(n - 1))];
            double found = dd_sketch_quantile(&sketch, q);
            ck_assert(fabs(found - exact) <= fabs(exact) * SL_QUANTILE_ERROR * 1.0000001);
        }
        dd_sketch_free(&sketch);
    }
}
END_TEST

START_TEST(distinct_counts) {
    random_state = 16;
    hll_sketch sketch = {0};
    int64_t n = 0;
    for (; n < SL_DISTINCT_EXACT; n++) {
        uint64_t hash = n == 0 ? 0 : random_u64();
        must(hll_sketch_add(&sketch, hash));
        must(hll_sketch_add(&sketch, hash));
        ck_assert_int_eq(hll_sketch_count(&sketch), n + 1);
    }
    double worst = 0;
    for (int64_t next = 2000; n < 2000000; n++) {
        must(hll_sketch_add(&sketch, random_u64()));
        if (n + 1 == next) {
            double error = fabs((double)hll_sketch_count(&sketch) / (double)next - 1);
            worst = error > worst ? error : worst;
            next = next * 5 / 4;
        }
    }
    ck_assert_msg(worst < 4 * 0.0081, "%g", worst);
    hll_sketch_free(&sketch);
}
END_TEST

START_TEST(distinct_counts_merge_in_any_order) {
    enum { PARTS = 4 };
    static const uint64_t sizes[] = {10, 900, 1024, 1025, 3000, 20000};
    for (size_t s = 0; s < SL_ARRAY_LENGTH(sizes); s++) {
        sl_buffer expected = SL_BUFFER_INIT;
        for (int round = 0; round < 6; round++) {
            hll_sketch parts[PARTS] = {0};
            hll_sketch total = {0};
            random_state = 17;
            uint64_t salt = (uint64_t)round * 77;
            for (uint64_t i = 0; i < sizes[s]; i++) {
                uint64_t hash = random_u64();
                must(hll_sketch_add(&parts[(hash ^ salt) % PARTS], hash));
                must(hll_sketch_add(&parts[(i + salt) % PARTS], hash));
            }
            for (size_t i = 0; i < PARTS; i++) {
                hll_sketch *part = &parts[(i + (size_t)round) % PARTS];
                sl_buffer bytes = SL_BUFFER_INIT;
                bool corrupt;
                ck_assert(hll_sketch_write(part, &bytes));
                const uint8_t *at = bytes.data;
                ck_assert(hll_sketch_read(&total, &at, at + bytes.bytes, &corrupt));
                sl_buffer_free(&bytes);
            }
            sl_buffer written = SL_BUFFER_INIT;
            ck_assert(hll_sketch_write(&total, &written));
            ck_assert(sizes[s] > 1024 || hll_sketch_count(&total) == (int64_t)sizes[s]);
            if (round == 0) {
                expected = written;
            } else {
                ck_assert_uint_eq(written.bytes, expected.bytes);
                ck_assert_mem_eq(written.data, expected.data, expected.bytes);
                sl_buffer_free(&written);
            }
            for (size_t i = 0; i < PARTS; i++) {
                hll_sketch_free(&parts[i]);
            }
            hll_sketch_free(&total);
        }
        sl_buffer_free(&expected);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("window sketches");
    TCase *cases = tcase_create("sketches");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, sums_are_exact);
    tcase_add_test(cases, sums_that_cancel);
    tcase_add_test(cases, sums_round_right);
    tcase_add_test(cases, sums_merge_in_any_order);
    tcase_add_test(cases, quantiles_keep_their_error);
    tcase_add_test(cases, quantile_extremes);
    tcase_add_test(cases, quantiles_merge_in_any_order);
    tcase_add_test(cases, small_quantiles_merge_in_any_order);
    tcase_add_test(cases, small_quantiles_keep_their_error);
    tcase_add_test(cases, distinct_counts);
    tcase_add_test(cases, distinct_counts_merge_in_any_order);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
