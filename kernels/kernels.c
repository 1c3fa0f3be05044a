// Kernels over the heap of a foreign WebAssembly module, which they import: no data and no allocation of their own,
// every buffer is a parameter. Work is given as a range, so that it can be shared out: the last part has the jobs by
// which threads do so. Every number comes out the same however a range is cut.
//
// M rows, K inner size, N columns. Panels are the right operand of a product as the kernels read it: 8 columns at a
// time, [⌈N/8⌉][K][8], the last ones filled up with zeros. Addresses go beyond 2 GiB: all arithmetic is unsigned.
#include <wasm_simd128.h>

typedef v128_t f4;
typedef unsigned u32;

#define EXPORT(type, name) __attribute__((export_name(#name))) type name
#define INLINE static inline __attribute__((always_inline))
// A function of its own: engines compile each by itself, and keep more of a small one in registers.
#define KERNEL static __attribute__((noinline)) void
#define UNROLL _Pragma("unroll")
#define LOAD(p) wasm_v128_load(p)
#define STORE(p, x) wasm_v128_store(p, x)
#define SPLAT(x) wasm_f32x4_splat(x)
#define LOAD_SPLAT(p) wasm_v128_load32_splat(p)
#define ADD(a, b) wasm_f32x4_add(a, b)
#define SUB(a, b) wasm_f32x4_sub(a, b)
#define MUL(a, b) wasm_f32x4_mul(a, b)
// The smaller or larger of x and a bound; x where it is NaN.
#define MIN(x, bound) wasm_f32x4_pmin(x, bound)
#define MAX(x, bound) wasm_f32x4_pmax(x, bound)
#ifdef __wasm_relaxed_simd__
#define MADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define MADD(a, b, c) ADD(MUL(a, b), c)
#endif

enum { LINEAR, RELU, GELU };

// The first `count` numbers at p, zeros behind them: nothing beyond the end of a tensor is read.
INLINE f4 load_part(const float *p, u32 count) {
  f4 x = SPLAT(0.f);
  if (count >= 4) return LOAD(p);
  if (count > 0) x = wasm_v128_load32_lane(p, x, 0);
  if (count > 1) x = wasm_v128_load32_lane(p + 1, x, 1);
  if (count > 2) x = wasm_v128_load32_lane(p + 2, x, 2);
  return x;
}

INLINE void store_part(float *p, f4 x, u32 count) {
  if (count >= 4) {
    STORE(p, x);
    return;
  }
  if (count > 0) wasm_v128_store32_lane(p, x, 0);
  if (count > 1) wasm_v128_store32_lane(p + 1, x, 1);
  if (count > 2) wasm_v128_store32_lane(p + 2, x, 2);
}

INLINE float sum_of(f4 x) {
  return (wasm_f32x4_extract_lane(x, 0) + wasm_f32x4_extract_lane(x, 1)) +
         (wasm_f32x4_extract_lane(x, 2) + wasm_f32x4_extract_lane(x, 3));
}

INLINE float largest_of(f4 x) {
  f4 y = MAX(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  y = MAX(y, wasm_i32x4_shuffle(y, y, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(y, 0);
}

// The exponential of numbers up to 88.37, to float32's last digits (Cephes' polynomial). 0 below −87.33; NaN stays NaN.
INLINE f4 exponential(f4 x) {
  f4 small = wasm_f32x4_lt(x, SPLAT(-87.33f));
  f4 c = MAX(MIN(x, SPLAT(88.37f)), SPLAT(-87.33f));
  f4 n = wasm_f32x4_nearest(MUL(c, SPLAT(1.44269504f)));
  f4 r = MADD(n, SPLAT(-0.693359375f), c);
  r = MADD(n, SPLAT(2.12194440e-4f), r);
  f4 p = SPLAT(1.9875691500e-4f);
  p = MADD(p, r, SPLAT(1.3981999507e-3f));
  p = MADD(p, r, SPLAT(8.3334519073e-3f));
  p = MADD(p, r, SPLAT(4.1665795894e-2f));
  p = MADD(p, r, SPLAT(1.6666665459e-1f));
  p = MADD(p, r, SPLAT(5.0000001201e-1f));
  p = MADD(p, MUL(r, r), ADD(r, SPLAT(1.f)));
  f4 power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  return wasm_v128_andnot(MUL(p, power), small);
}

// The error function as Eigen and XLA take it for float32: a rational function, off by at most 6.5e-8; ±1 beyond ±4.
INLINE f4 error_function(f4 v) {
  f4 x = MAX(MIN(v, SPLAT(4.f)), SPLAT(-4.f));
  f4 t = MUL(x, x);
  f4 p = SPLAT(-2.72614225801306e-10f);
  p = MADD(p, t, SPLAT(2.77068142495902e-8f));
  p = MADD(p, t, SPLAT(-2.10102402082508e-6f));
  p = MADD(p, t, SPLAT(-5.69250639462346e-5f));
  p = MADD(p, t, SPLAT(-7.34990630326855e-4f));
  p = MADD(p, t, SPLAT(-2.95459980854025e-3f));
  p = MADD(p, t, SPLAT(-1.60960333262415e-2f));
  f4 q = SPLAT(-1.45660718464996e-5f);
  q = MADD(q, t, SPLAT(-2.13374052778905e-4f));
  q = MADD(q, t, SPLAT(-1.68282697438203e-3f));
  q = MADD(q, t, SPLAT(-7.37332916720468e-3f));
  q = MADD(q, t, SPLAT(-1.42647390514189e-2f));
  return wasm_f32x4_div(MUL(p, x), q);
}

INLINE f4 gelu_of(f4 x) {
  return MUL(MUL(x, SPLAT(0.5f)), ADD(SPLAT(1.f), error_function(MUL(x, SPLAT(0.70710678f)))));
}

INLINE f4 activate(f4 x, u32 activation) {
  if (activation == RELU) return MAX(x, SPLAT(0.f));
  if (activation == GELU) return gelu_of(x);
  return x;
}

// ---- the product of a few rows and one panel

// lo and hi: R × 8 sums over k of a(i, k) · p[k][0…7], where a(i, k) = a[i · row + k · step]. 4 × 8 sums, two vectors of
// the panel and one factor are what fits into the registers that V8 gives; few rows take several k at once instead.
INLINE void multiply(const u32 R, const float *a, u32 row, u32 step, u32 K, const float *p, u32 stride, f4 *lo, f4 *hi) {
  const u32 U = R == 1 ? 4 : R == 2 ? 2 : 1;
  f4 l[4], h[4];
  UNROLL for (u32 i = 0; i < R * U; i++) l[i] = h[i] = SPLAT(0.f);
  u32 k = 0;
  for (; k + U <= K; k += U) {
    UNROLL for (u32 u = 0; u < U; u++) {
      f4 b0 = LOAD(p), b1 = LOAD(p + 4);
      p += stride;
      UNROLL for (u32 i = 0; i < R; i++) {
        f4 x = LOAD_SPLAT(a + i * row);
        l[u * R + i] = MADD(x, b0, l[u * R + i]);
        h[u * R + i] = MADD(x, b1, h[u * R + i]);
      }
      a += step;
    }
  }
  for (; U > 1 && k < K; k++) {
    f4 b0 = LOAD(p), b1 = LOAD(p + 4);
    p += stride;
    UNROLL for (u32 i = 0; i < R; i++) {
      f4 x = LOAD_SPLAT(a + i * row);
      l[i] = MADD(x, b0, l[i]);
      h[i] = MADD(x, b1, h[i]);
    }
    a += step;
  }
  UNROLL for (u32 i = 0; i < R; i++) {
    lo[i] = l[i];
    hi[i] = h[i];
    UNROLL for (u32 u = 1; u < U; u++) {
      lo[i] = ADD(lo[i], l[u * R + i]);
      hi[i] = ADD(hi[i], h[u * R + i]);
    }
  }
}

// How many of the rows left are taken at once: up to 4, and rather 3 + 2 or 3 + 3 than 4 + 1 or 4 + 2.
INLINE u32 rows_at_once(u32 left) { return left <= 4 ? left : left <= 6 ? 3 : 4; }

// Writes R rows of up to 8 sums to c, rows `stride` apart, with what is added to them and their activation.
INLINE void finish(const u32 R, u32 rows, const f4 *lo, const f4 *hi, float *c, u32 stride, u32 columns, f4 bias0, f4 bias1,
                   const float *addend, u32 activation) {
  UNROLL for (u32 i = 0; i < R; i++) {
    if (i >= rows) break;
    f4 x = ADD(lo[i], bias0), y = ADD(hi[i], bias1);
    float *to = c + i * stride;
    const u32 rest = columns > 4 ? columns - 4 : 0;
    if (addend) {
      x = ADD(x, load_part(addend + i * stride, columns));
      y = ADD(y, load_part(addend + i * stride + 4, rest));
    }
    x = activate(x, activation);
    y = activate(y, activation);
    store_part(to, x, columns);
    store_part(to + 4, y, rest);
  }
}

// ---- products of many rows

// Panels of b [K, N], whose rows are `stride` apart.
KERNEL pack(const float *b, u32 K, u32 N, u32 stride, float *panels) {
  for (u32 n = 0; n < N; n += 8) {
    const u32 columns = N - n < 8 ? N - n : 8;
    const float *from = b + n;
    for (u32 k = 0; k < K; k++, from += stride, panels += 8) {
      STORE(panels, load_part(from, columns));
      STORE(panels + 4, load_part(from + 4, columns > 4 ? columns - 4 : 0));
    }
  }
}

// Four rows [4][width] beside each other, [width][4]; a row that is null counts as zeros.
INLINE void interleave(const float *const *rows, u32 width, float *to) {
  u32 k = 0;
  const f4 zero = SPLAT(0.f);
  for (; k + 4 <= width; k += 4, to += 16) {
    f4 a = rows[0] ? LOAD(rows[0] + k) : zero, b = rows[1] ? LOAD(rows[1] + k) : zero;
    f4 c = rows[2] ? LOAD(rows[2] + k) : zero, d = rows[3] ? LOAD(rows[3] + k) : zero;
    f4 ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
    f4 AB = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), CD = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    STORE(to, wasm_i64x2_shuffle(ab, cd, 0, 2));
    STORE(to + 4, wasm_i64x2_shuffle(ab, cd, 1, 3));
    STORE(to + 8, wasm_i64x2_shuffle(AB, CD, 0, 2));
    STORE(to + 12, wasm_i64x2_shuffle(AB, CD, 1, 3));
  }
  for (; k < width; k++)
    for (u32 i = 0; i < 4; i++) *to++ = rows[i] ? rows[i][k] : 0.f;
}

// Rows m0 … m1 and columns n0 … n1 (n0 a multiple of 8) of c [M, N] from a block of interleaved rows,
// [⌈(m1 − m0)/4⌉][K][4].
INLINE void multiply_block(const float *block, u32 m0, u32 m1, u32 K, const float *panels, u32 N, u32 n0, u32 n1,
                           const float *bias, const float *addend, float *c, u32 activation) {
  panels += n0 * K;
  for (u32 n = n0; n < n1; n += 8, panels += K * 8) {
    const u32 columns = N - n < 8 ? N - n : 8;
    const f4 zero = SPLAT(0.f);
    const f4 bias0 = bias ? load_part(bias + n, columns) : zero;
    const f4 bias1 = bias ? load_part(bias + n + 4, columns > 4 ? columns - 4 : 0) : zero;
    for (u32 m = m0; m < m1; m += 4) {
      f4 lo[4], hi[4];
      multiply(4, block + (m - m0) * K, 1, 4, K, panels, 8, lo, hi);
      const u32 at = m * N + n;
      finish(4, m1 - m, lo, hi, c + at, N, columns, bias0, bias1, addend ? addend + at : 0, activation);
    }
  }
}

// Rows m0 … m1 and columns n0 … n1 (n0 a multiple of 8) of c [M, N] = activation(a [M, K] · panels + bias [N] +
// addend [M, N]); bias and addend may be null. Scratch holds `size` rows of a, a multiple of 4.
KERNEL product(const float *a, u32 m0, u32 m1, u32 K, const float *panels, u32 N, u32 n0, u32 n1,
                    const float *bias, const float *addend, float *c, u32 activation, float *scratch, u32 size) {
  for (u32 m = m0; m < m1; m += size) {
    const u32 end = m1 - m < size ? m1 : m + size;
    for (u32 r = m; r < end; r += 4) {
      const float *rows[4];
      for (u32 i = 0; i < 4; i++) rows[i] = r + i < end ? a + (r + i) * K : 0;
      interleave(rows, K, scratch + (r - m) * K);
    }
    multiply_block(scratch, m, end, K, panels, N, n0, n1, bias, addend, c, activation);
  }
}

// Columns n0 … n1 (n0 a multiple of 8) of c [R, N] = activation(a [R, K] · panels + bias) for few rows.
KERNEL few_rows(const float *a, u32 R, u32 K, const float *panels, u32 N, u32 n0, u32 n1, const float *bias,
                     float *c, u32 activation) {
  for (u32 n = n0; n < n1; n += 8) {
    const float *p = panels + n * K;
    const u32 columns = N - n < 8 ? N - n : 8;
    const f4 zero = SPLAT(0.f);
    const f4 bias0 = bias ? load_part(bias + n, columns) : zero;
    const f4 bias1 = bias ? load_part(bias + n + 4, columns > 4 ? columns - 4 : 0) : zero;
    for (u32 r = 0; r < R;) {
      const u32 rows = rows_at_once(R - r);
      f4 lo[4], hi[4];
#define FEW(R)                                                                                  \
  case R:                                                                                       \
    multiply(R, a + r * K, K, 1, K, p, 8, lo, hi);                                              \
    finish(R, R, lo, hi, c + r * N + n, N, columns, bias0, bias1, 0, activation);               \
    break;
      switch (rows) { FEW(1) FEW(2) FEW(3) FEW(4) }
      r += rows;
    }
  }
}

// Output pixels m0 … m1 of a convolution of x [B, H, W, C] (row after row, all images) with panels of the filter
// [kh · kw · C, N]: activation(conv + bias + addend). The pixels under the filter are gathered into scratch.
KERNEL convolution(const float *x, u32 H, u32 W, u32 C, u32 kh, u32 kw, u32 stride_y, u32 stride_x, u32 top,
                        u32 left, u32 out_h, u32 out_w, u32 m0, u32 m1, const float *panels, u32 N, const float *bias,
                        const float *addend, float *c, u32 activation, float *scratch, u32 size) {
  const u32 K = kh * kw * C, n0 = 0, n1 = N;
  for (u32 m = m0; m < m1; m += size) {
    const u32 end = m1 - m < size ? m1 : m + size;
    for (u32 r = m; r < end; r += 4) {
      float *to = scratch + (r - m) * K;
      const float *image[4];
      u32 y[4], z[4];
      for (u32 i = 0; i < 4; i++) {
        const u32 pixel = r + i, row = pixel / out_w;
        image[i] = pixel < end ? x + row / out_h * (H * W * C) : 0;
        // Above or left of the picture these wrap around, beyond H or W.
        y[i] = row % out_h * stride_y - top;
        z[i] = pixel % out_w * stride_x - left;
      }
      for (u32 dy = 0; dy < kh; dy++)
        for (u32 dx = 0; dx < kw; dx++, to += 4 * C) {
          const float *rows[4];
          for (u32 i = 0; i < 4; i++) {
            const u32 py = y[i] + dy, px = z[i] + dx;
            rows[i] = image[i] && py < H && px < W ? image[i] + (py * W + px) * C : 0;
          }
          interleave(rows, C, to);
        }
    }
    multiply_block(scratch, m, end, K, panels, N, n0, n1, bias, addend, c, activation);
  }
}

// ---- attention

// A tensor that is added to scores [B, H, T, S]: its address, and how far apart batches, heads and queries lie (0 where
// it is broadcast). Keys lie beside each other.
typedef struct {
  const float *at;
  u32 batch, head, query;
} Bias;

// R queries of one head against all of its keys, as panels; the scores stay in scratch, [R][padded].
INLINE void attend_rows(const u32 R, const float *q, u32 row, u32 S, u32 D, const float *keys, const float *values,
                        const Bias *bias, u32 biases, u32 batch, u32 head, u32 query, float scale, float *out,
                        float *scores, u32 padded) {
  f4 largest[4];
  UNROLL for (u32 i = 0; i < R; i++) largest[i] = SPLAT(-__builtin_inff());
  for (u32 s = 0; s < padded; s += 8, keys += D * 8) {
    f4 lo[4], hi[4];
    multiply(R, q, row, 1, D, keys, 8, lo, hi);
    const u32 count = S - s < 8 ? S - s : 8;
    UNROLL for (u32 i = 0; i < R; i++) {
      f4 x = lo[i], y = hi[i];
      float *to = scores + i * padded + s;
      for (u32 j = 0; j < biases; j++) {
        const float *b = bias[j].at + batch * bias[j].batch + head * bias[j].head + (query + i) * bias[j].query + s;
        x = ADD(x, load_part(b, count));
        y = ADD(y, load_part(b + 4, count > 4 ? count - 4 : 0));
      }
      if (count < 8) {
        // Filled-up keys weigh nothing.
        const f4 none = SPLAT(-__builtin_inff()), at = wasm_i32x4_make(0, 1, 2, 3);
        x = wasm_v128_bitselect(x, none, wasm_i32x4_lt(at, wasm_i32x4_splat((int)count)));
        y = wasm_v128_bitselect(y, none, wasm_i32x4_lt(at, wasm_i32x4_splat((int)count - 4)));
      }
      largest[i] = MAX(largest[i], MAX(x, y));
      STORE(to, x);
      STORE(to + 4, y);
    }
  }
  f4 factor[4];
  UNROLL for (u32 i = 0; i < R; i++) {
    float *row_scores = scores + i * padded;
    const f4 most = SPLAT(largest_of(largest[i]));
    f4 sum0 = SPLAT(0.f), sum1 = sum0;
    for (u32 s = 0; s < padded; s += 8) {
      f4 x = exponential(SUB(LOAD(row_scores + s), most)), y = exponential(SUB(LOAD(row_scores + s + 4), most));
      STORE(row_scores + s, x);
      STORE(row_scores + s + 4, y);
      sum0 = ADD(sum0, x);
      sum1 = ADD(sum1, y);
    }
    factor[i] = SPLAT(scale / sum_of(ADD(sum0, sum1)));
  }
  for (u32 n = 0; n < D; n += 8, values += S * 8) {
    f4 lo[4], hi[4];
    multiply(R, scores, padded, 1, S, values, 8, lo, hi);
    const u32 columns = D - n;
    UNROLL for (u32 i = 0; i < R; i++) {
      store_part(out + i * row + n, MUL(lo[i], factor[i]), columns);
      store_part(out + i * row + n + 4, MUL(hi[i], factor[i]), columns > 4 ? columns - 4 : 0);
    }
  }
}

// Panels of matrices b0 … b1 of b [B, K, N], each behind the other.
KERNEL pack_each(const float *b, u32 b0, u32 b1, u32 K, u32 N, float *panels) {
  const u32 padded = (N + 7) & ~7u;
  for (u32 i = b0; i < b1; i++) pack(b + i * K * N, K, N, N, panels + i * K * padded);
}

// Attention of head h of B·H and its queries t0 … t1: softmax(queries · keys + biases) · values · scale [H], which may be
// null. Queries and out are alike: `batch`, `head` and `row` are how far apart images, heads and queries lie. Scratch is
// [4][S, rounded up to 8]. t0 is a multiple of 4, and t1 is, too, or T; the last part has 4 queries or more, or all, so that
// rows are grouped alike however queries are cut.
KERNEL attend(const float *queries, u32 H, u32 T, u32 S, u32 D, const float *key_panels, const float *value_panels,
              const Bias *bias, u32 biases, const float *scale, float *out, u32 batch, u32 head, u32 row, u32 h, u32 t0,
              u32 t1, float *scratch) {
  const u32 padded = (S + 7) & ~7u;
  const float *keys = key_panels + h * D * padded, *values = value_panels + h * S * ((D + 7) & ~7u);
  const float factor = scale ? scale[h % H] : 1.f;
  for (u32 t = t0; t < t1;) {
    const u32 rows = rows_at_once(T - t), at = h / H * batch + h % H * head + t * row;
#define ATTEND(R)                                                                                                        \
  case R:                                                                                                                \
    attend_rows(R, queries + at, row, S, D, keys, values, bias, biases, h / H, h % H, t, factor, out + at, scratch, padded); \
    break;
    switch (rows) { ATTEND(1) ATTEND(2) ATTEND(3) ATTEND(4) }
    t += rows;
  }
}

// The same for one query a head and few keys, which are read as they lie: keys [B·H, D, S], values [B·H, S, D].
KERNEL attend_once(const float *queries, u32 H, u32 S, u32 D, const float *keys, const float *values,
                        const Bias *bias, u32 biases, const float *scale, float *out, u32 h0, u32 h1, float *scores) {
  const u32 padded = (S + 3) & ~3u;
  const f4 none = SPLAT(-__builtin_inff()), lanes = wasm_i32x4_make(0, 1, 2, 3);
  for (u32 h = h0; h < h1; h++) {
    const float *q = queries + h * D, *k = keys + h * D * S, *v = values + h * S * D;
    f4 largest = none;
    for (u32 s = 0; s < S; s += 4) {
      const u32 count = S - s < 4 ? S - s : 4;
      f4 x = SPLAT(0.f), y = x;
      u32 d = 0;
      for (; d + 2 <= D; d += 2) {
        x = MADD(LOAD_SPLAT(q + d), load_part(k + d * S + s, count), x);
        y = MADD(LOAD_SPLAT(q + d + 1), load_part(k + (d + 1) * S + s, count), y);
      }
      if (d < D) x = MADD(LOAD_SPLAT(q + d), load_part(k + d * S + s, count), x);
      x = ADD(x, y);
      for (u32 j = 0; j < biases; j++)
        x = ADD(x, load_part(bias[j].at + h / H * bias[j].batch + h % H * bias[j].head + s, count));
      x = wasm_v128_bitselect(x, none, wasm_i32x4_lt(lanes, wasm_i32x4_splat((int)count)));
      largest = MAX(largest, x);
      STORE(scores + s, x);
    }
    const f4 most = SPLAT(largest_of(largest));
    f4 sum = SPLAT(0.f);
    for (u32 s = 0; s < padded; s += 4) {
      f4 x = exponential(SUB(LOAD(scores + s), most));
      STORE(scores + s, x);
      sum = ADD(sum, x);
    }
    const f4 factor = SPLAT((scale ? scale[h % H] : 1.f) / sum_of(sum));
    for (u32 d = 0; d < D; d += 8) {
      const u32 columns = D - d, rest = columns > 4 ? columns - 4 : 0;
      f4 x = SPLAT(0.f), y = x;
      for (u32 s = 0; s < S; s++) {
        const f4 weight = LOAD_SPLAT(scores + s);
        x = MADD(weight, load_part(v + s * D + d, columns), x);
        y = MADD(weight, load_part(v + s * D + d + 4, rest), y);
      }
      store_part(out + h * D + d, MUL(x, factor), columns);
      store_part(out + h * D + d + 4, MUL(y, factor), rest);
    }
  }
}

// ---- rows and numbers

// Layer norm of rows r0 … r1 of x [R, N] with gain and bias [N], biased variance, in two passes.
KERNEL layer_norm(const float *x, const float *gain, const float *bias, float *out, u32 r0, u32 r1, u32 N,
                       float epsilon) {
  const f4 lanes = wasm_i32x4_make(0, 1, 2, 3);
  for (u32 r = r0; r < r1; r++) {
    const float *from = x + r * N;
    float *to = out + r * N;
    f4 sum0 = SPLAT(0.f), sum1 = sum0;
    for (u32 i = 0; i < N; i += 8) {
      sum0 = ADD(sum0, load_part(from + i, N - i));
      if (i + 4 < N) sum1 = ADD(sum1, load_part(from + i + 4, N - i - 4));
    }
    const f4 mean = SPLAT(sum_of(ADD(sum0, sum1)) / (float)N);
    f4 squares0 = SPLAT(0.f), squares1 = squares0;
    for (u32 i = 0; i < N; i += 4) {
      f4 centred = SUB(load_part(from + i, N - i), mean);
      if (N - i < 4) centred = wasm_v128_and(centred, wasm_i32x4_lt(lanes, wasm_i32x4_splat((int)(N - i))));
      if (i & 4) squares1 = MADD(centred, centred, squares1);
      else squares0 = MADD(centred, centred, squares0);
    }
    const f4 scale = SPLAT(1.f / __builtin_sqrtf(sum_of(ADD(squares0, squares1)) / (float)N + epsilon));
    for (u32 i = 0; i < N; i += 4) {
      const u32 count = N - i;
      const f4 normed = MUL(SUB(load_part(from + i, count), mean), scale);
      store_part(to + i, MADD(normed, load_part(gain + i, count), load_part(bias + i, count)), count);
    }
  }
}

// Exact GELU of numbers i0 … i1 (i0 a multiple of 4).
KERNEL gelu(const float *x, float *out, u32 i0, u32 i1) {
  for (u32 i = i0; i < i1; i += 4) store_part(out + i, gelu_of(load_part(x + i, i1 - i)), i1 - i);
}

// For each of `outer` runs: `first` numbers of a, then `second` of b.
KERNEL append(const float *a, const float *b, float *out, u32 outer, u32 first, u32 second) {
  for (u32 i = 0; i < outer; i++) {
    for (u32 j = 0; j < first; j += 4) store_part(out + j, load_part(a + j, first - j), first - j);
    for (u32 j = 0; j < second; j += 4) store_part(out + first + j, load_part(b + j, second - j), second - j);
    a += first;
    b += second;
    out += first + second;
  }
}

// out [R, N] = x · factor · gain [N] + addend [R, N]; gain and addend may be null. Every operation is rounded.
KERNEL combine(const float *x, float factor, const float *gain, const float *addend, float *out, u32 R, u32 N) {
  for (u32 r = 0; r < R; r++)
    for (u32 i = 0; i < N; i += 4) {
      const u32 count = N - i, at = r * N + i;
      f4 y = MUL(load_part(x + at, count), SPLAT(factor));
      if (gain) y = MUL(y, load_part(gain + i, count));
      if (addend) y = ADD(y, load_part(addend + at, count));
      store_part(out + at, y, count);
    }
}

// ---- jobs

enum { PRODUCT, FEW_ROWS, CONVOLUTION, ATTEND_PANELS, ATTEND_ONCE, LAYER_NORM, GELU_EACH, PACK_EACH, APPEND, COMBINE };

// A kernel and its parameters, cut in pieces. Threads are in it between `enter` and `leave`: whoever changes it closes
// the gate first and waits until nobody is inside. A thread that comes late finds the gate closed, and nobody waits for it.
typedef struct {
  u32 generation;  // raised with each job; what idle threads sleep on
  u32 gate;        // OPEN or not, plus the number of threads inside
  u32 next;        // the first piece that nobody has taken
  u32 failed;      // not 0 after a thread has ended by an error
  u32 kernel, pieces;
  u32 scratch, scratch_bytes;  // memory of the first thread, and how far apart those of threads lie
  u32 a[24];                   // addresses and sizes
} Job;

enum { OPEN = 1u << 31, SPINS = 4000, TIMED_OUT = 2 };

#define AT(i) ((float *)a[i])
#define END(from, step, all) ((all) - (from) < (step) ? (all) : (from) + (step))

static void run_piece(const Job *job, u32 i, float *scratch) {
  const u32 *a = job->a;
  switch (job->kernel) {
    case PRODUCT: {  // a, M, K, panels, N, bias, addend, c, activation, size, rows and columns a piece
      const u32 across = (a[4] + a[11] - 1) / a[11], m = i / across * a[10], n = i % across * a[11];
      product(AT(0), m, END(m, a[10], a[1]), a[2], AT(3), a[4], n, END(n, a[11], a[4]), AT(5), AT(6), AT(7), a[8], scratch,
              a[9]);
      break;
    }
    case FEW_ROWS: {  // a, R, K, panels, N, bias, c, activation, columns a piece
      const u32 n = i * a[8];
      few_rows(AT(0), a[1], a[2], AT(3), a[4], n, END(n, a[8], a[4]), AT(5), AT(6), a[7]);
      break;
    }
    case CONVOLUTION: {  // x, H, W, C, kh, kw, strides, top, left, out_h, out_w, M, panels, N, bias, addend, c,
                         // activation, size, rows a piece
      const u32 m = i * a[20];
      convolution(AT(0), a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], m, END(m, a[20], a[12]), AT(13),
                  a[14], AT(15), AT(16), AT(17), a[18], scratch, a[19]);
      break;
    }
    case ATTEND_PANELS: {  // queries, H, T, S, D, keys, values, biases, their number, scale, out, pieces a head, queries a
                           // piece, distances of batches, heads and rows
      const u32 h = i / a[11], part = i % a[11], t = part * a[12];
      attend(AT(0), a[1], a[2], a[3], a[4], AT(5), AT(6), (const Bias *)a[7], a[8], AT(9), AT(10), a[13], a[14], a[15], h, t,
             part + 1 == a[11] ? a[2] : t + a[12], scratch);
      break;
    }
    case ATTEND_ONCE: {  // queries, H, S, D, keys, values, biases, their number, scale, out, B·H, heads a piece
      const u32 h = i * a[11];
      attend_once(AT(0), a[1], a[2], a[3], AT(4), AT(5), (const Bias *)a[6], a[7], AT(8), AT(9), h, END(h, a[11], a[10]),
                  scratch);
      break;
    }
    case LAYER_NORM: {  // x, gain, bias, out, R, N, epsilon, rows a piece
      const u32 r = i * a[7];
      layer_norm(AT(0), AT(1), AT(2), AT(3), r, END(r, a[7], a[4]), a[5], *(const float *)&a[6]);
      break;
    }
    case GELU_EACH: {  // x, out, size, numbers a piece
      const u32 n = i * a[3];
      gelu(AT(0), AT(1), n, END(n, a[3], a[2]));
      break;
    }
    case PACK_EACH: {  // b, B, K, N, panels, matrices a piece
      const u32 b = i * a[5];
      pack_each(AT(0), b, END(b, a[5], a[1]), a[2], a[3], AT(4));
      break;
    }
    case APPEND:  // a, b, out, outer, first, second
      append(AT(0), AT(1), AT(2), a[3], a[4], a[5]);
      break;
    case COMBINE:  // x, factor, gain, addend, out, R, N
      combine(AT(0), *(const float *)&a[1], AT(2), AT(3), AT(4), a[5], a[6]);
      break;
  }
}

// Takes pieces until there are none. Returns how many.
static u32 take_pieces(Job *job, u32 thread) {
  float *scratch = (float *)(job->scratch + thread * job->scratch_bytes);
  for (u32 taken = 0;; taken++) {
    const u32 i = __atomic_fetch_add(&job->next, 1, __ATOMIC_SEQ_CST);
    if (i >= job->pieces) return taken;
    run_piece(job, i, scratch);
  }
}

// The whole job by the calling thread alone.
EXPORT(void, run)(Job *job) {
  __atomic_store_n(&job->next, 0, __ATOMIC_SEQ_CST);
  take_pieces(job, 0);
}

// Opens the job to others, of whom `helpers` are woken, and takes pieces, too. Returns how many; `end` comes next.
EXPORT(u32, begin)(Job *job, u32 helpers) {
  __atomic_store_n(&job->next, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&job->gate, OPEN, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&job->generation, 1, __ATOMIC_SEQ_CST);
  __builtin_wasm_memory_atomic_notify((int *)&job->generation, helpers);
  return take_pieces(job, 0);
}

// Closes the gate, and waits for the pieces that others are at. Returns whether a thread has failed.
EXPORT(u32, end)(Job *job) {
  u32 inside = __atomic_and_fetch(&job->gate, ~OPEN, __ATOMIC_SEQ_CST);
  for (u32 spins = 0; inside > 0; spins++) {
    if (spins > SPINS) __builtin_wasm_memory_atomic_wait32((int *)&job->gate, (int)inside, -1);
    inside = __atomic_load_n(&job->gate, __ATOMIC_SEQ_CST);
  }
  return job->failed;
}

// Leaves the job; `failed` where a piece was not finished.
EXPORT(void, leave)(Job *job, u32 failed) {
  if (failed) __atomic_store_n(&job->failed, 1, __ATOMIC_SEQ_CST);
  if (__atomic_sub_fetch(&job->gate, 1, __ATOMIC_SEQ_CST) == 0) __builtin_wasm_memory_atomic_notify((int *)&job->gate, 1);
}

// What a helping thread does, asleep where no job is open, until it has slept for `patience` nanoseconds: only on shared
// memory.
EXPORT(void, serve)(Job *job, u32 thread, double patience) {
  for (;;) {
    const u32 generation = __atomic_load_n(&job->generation, __ATOMIC_SEQ_CST);
    u32 gate = __atomic_load_n(&job->gate, __ATOMIC_SEQ_CST);
    while ((gate & OPEN) &&
           !__atomic_compare_exchange_n(&job->gate, &gate, gate + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (gate & OPEN) {
      take_pieces(job, thread);
      leave(job, 0);
    }
    const int woken = __builtin_wasm_memory_atomic_wait32((int *)&job->generation, (int)generation, (long long)patience);
    if (woken == TIMED_OUT) return;
  }
}
