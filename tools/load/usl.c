/* SPDX-License-Identifier: Apache-2.0
 * The fits of the capacity model. N / X(N) = a + b (N-1) + c N (N-1) with a = 1/lambda, b = a
 * sigma, c = a kappa is linear, so no iteration can fail to converge; every equation is divided by
 * its own left side, so that what is minimised are relative errors. Pure. */
#include "load/usl.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { UNKNOWNS = 3 };

/* Gauss with pivoting on the k x k part of the normal equations; false if they are singular. */
static bool solve(double m[UNKNOWNS][UNKNOWNS + 1], int k)
{
    for (int col = 0; col < k; col++) {
        int pivot = col;
        for (int row = col + 1; row < k; row++)
            if (fabs(m[row][col]) > fabs(m[pivot][col]))
                pivot = row;
        double scale = fabs(m[pivot][col]);
        if (!(scale > 1e-12))
            return false;
        for (int j = 0; j <= k; j++) {
            double swap = m[col][j];
            m[col][j] = m[pivot][j];
            m[pivot][j] = swap;
        }
        for (int row = 0; row < k; row++) {
            double f = row == col ? 0 : m[row][col] / m[col][col];
            for (int j = col; j <= k; j++)
                m[row][j] -= f * m[col][j];
        }
    }
    for (int row = 0; row < k; row++)
        m[row][k] /= m[row][row];
    return true;
}

/* Fits a and those of b and c that use[] names; coefficients come back in out. */
static bool fit_columns(const struct ld_usl_point *p, size_t n, const bool use[UNKNOWNS],
                        double out[UNKNOWNS])
{
    double m[UNKNOWNS][UNKNOWNS + 1] = {{0}};
    int column[UNKNOWNS], k = 0;
    for (int i = 0; i < UNKNOWNS; i++)
        if (use[i])
            column[k++] = i;
    for (size_t i = 0; i < n; i++) {
        double y = p[i].n / p[i].rate;
        double all[UNKNOWNS] = {1 / y, (p[i].n - 1) / y, p[i].n * (p[i].n - 1) / y};
        for (int r = 0; r < k; r++) {
            for (int c = 0; c < k; c++)
                m[r][c] += all[column[r]] * all[column[c]];
            m[r][k] += all[column[r]];
        }
    }
    /* The columns have the size of rates: normalise by the first, so that "singular" has a scale.
     */
    double scale = m[0][0];
    for (int r = 0; r < k; r++)
        for (int c = 0; c <= k; c++)
            m[r][c] /= scale;
    if (!solve(m, k))
        return false;
    memset(out, 0, UNKNOWNS * sizeof(*out));
    for (int i = 0; i < k; i++)
        out[column[i]] = m[i][k];
    return true;
}

static double squared_error(const struct ld_usl_point *p, size_t n, const double c[UNKNOWNS])
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double predicted = c[0] + c[1] * (p[i].n - 1) + c[2] * p[i].n * (p[i].n - 1);
        double e = predicted * p[i].rate / p[i].n - 1;
        sum += e * e;
    }
    return sum;
}

static unsigned count_distinct(const struct ld_usl_point *p, size_t n)
{
    unsigned distinct = 0;
    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= p[j].n == p[i].n;
        distinct += !seen;
    }
    return distinct;
}

static void judge(struct ld_usl *u, const struct ld_usl_point *p, size_t n)
{
    double mean = 0, around = 0, off = 0, relative = 0;
    for (size_t i = 0; i < n; i++)
        mean += p[i].rate / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = p[i].rate - ld_usl_rate(u, p[i].n);
        double e = fabs(d) / p[i].rate;
        off += d * d;
        around += (p[i].rate - mean) * (p[i].rate - mean);
        relative += e * e / (double)n;
        u->error_max = fmax(u->error_max, e);
        u->n_max = fmax(u->n_max, p[i].n);
    }
    u->error_rms = sqrt(relative);
    u->r_squared = around > 0 ? 1 - off / around : 1;
}

bool ld_usl_fit(const struct ld_usl_point *points, size_t n, enum ld_usl_form form,
                struct ld_usl *ret_usl, struct ld_problem *problem)
{
    if (!n || n > LD_USL_POINTS_MAX)
        return ld_problem_set(problem, "scalability fit: %zu points (1 to %d)", n,
                              LD_USL_POINTS_MAX);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(points[i].n) || !isfinite(points[i].rate) || points[i].n < 1 ||
            points[i].rate <= 0)
            return ld_problem_set(problem,
                                  "scalability fit: point %zu is %g per second on %g cores", i + 1,
                                  points[i].rate, points[i].n);
    static const bool choices[][UNKNOWNS] = {
        {true, true,  true },
        {true, true,  false},
        {true, false, true },
        {true, false, false}
    };
    unsigned distinct = count_distinct(points, n);
    double best[UNKNOWNS] = {0}, best_error = INFINITY;
    for (size_t i = 0; i < PC_COUNT(choices); i++) {
        const bool *use = choices[i];
        double c[UNKNOWNS];
        if ((form == LD_USL_SIGMA_ONLY && use[2]) || (form == LD_USL_KAPPA_ONLY && use[1]) ||
            (unsigned)(use[0] + use[1] + use[2]) > distinct || !fit_columns(points, n, use, c) ||
            c[0] <= 0 || c[1] < 0 || c[2] < 0)
            continue;
        double error = squared_error(points, n, c);
        if (error < best_error * (1 - 1e-9)) { /* of equals the first, which has more freedom */
            best_error = error;
            memcpy(best, c, sizeof(best));
        }
    }
    if (!isfinite(best_error))
        return ld_problem_set(problem, "scalability fit: the points admit none");
    struct ld_usl u = {.lambda = 1 / best[0],
                       .sigma = best[1] / best[0],
                       .kappa = best[2] / best[0],
                       .distinct = distinct};
    judge(&u, points, n);
    *ret_usl = u;
    return true;
}

double ld_usl_rate(const struct ld_usl *u, double n)
{
    return u->lambda * n / (1 + u->sigma * (n - 1) + u->kappa * n * (n - 1));
}

double ld_usl_peak(const struct ld_usl *u)
{
    if (u->kappa <= 0)
        return INFINITY;
    return u->sigma >= 1 ? 1 : sqrt((1 - u->sigma) / u->kappa);
}

bool ld_line_fit(const double *x, const double *y, size_t n, struct ld_line *ret_line,
                 struct ld_problem *problem)
{
    double mx = 0, my = 0, sxx = 0, sxy = 0, syy = 0, off = 0;
    if (!n)
        return ld_problem_set(problem, "linear fit: no points");
    for (size_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    struct ld_line l = {0};
    for (size_t i = 0; i < n; i++) {
        sxx += (x[i] - mx) * (x[i] - mx);
        sxy += (x[i] - mx) * (y[i] - my);
        syy += (y[i] - my) * (y[i] - my);
        l.x_max = fmax(l.x_max, x[i]);
    }
    if (sxx > 0) {
        l.slope = sxy / sxx;
        l.intercept = my - l.slope * mx;
    } else if (mx > 0) {
        l.slope = my / mx;
    } else {
        return ld_problem_set(problem, "linear fit: all points lie at zero");
    }
    for (size_t i = 0; i < n; i++) {
        double e = y[i] - (l.intercept + l.slope * x[i]);
        off += e * e;
        l.error_max = fmax(l.error_max, y[i] > 0 ? fabs(e) / y[i] : 0);
    }
    l.r_squared = syy > 0 ? 1 - off / syy : 1;
    *ret_line = l;
    return true;
}
