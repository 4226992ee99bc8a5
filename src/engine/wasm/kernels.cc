// The kernels of ../native/kernels.h for WebAssembly, in vectors of four floats (SIMD128), and the product of matrices.
// No library is used: Eigen has no vectors of this size without a processor's own instructions. Scratch memory is on
// the stack. threads.cc calls these functions; src/engine/wasm/build.mjs compiles both into kernels.wasm.
#include "../native/kernels.h"

#include <wasm_simd128.h>

#include <initializer_list>

#include "multiply.h"

namespace promptsrc {

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int FourInts __attribute__((vector_size(16)));

static inline Four load(const float* x) { return *reinterpret_cast<const Four*>(x); }
static inline void store(float* y, Four x) { *reinterpret_cast<Four*>(y) = x; }
static inline Four all(float x) { return Four{x, x, x, x}; }
static inline float total(Four x) { return (x[0] + x[2]) + (x[1] + x[3]); }

static float sum(int n, const float* x) {
  Four sums = all(0);
  int i = 0;
  for (; i + 4 <= n; i += 4) sums += load(x + i);
  float rest = 0;
  for (; i < n; i++) rest += x[i];
  return total(sums) + rest;
}

static float dot(int n, const float* x, const float* y) {
  Four sums = all(0);
  int i = 0;
  for (; i + 4 <= n; i += 4) sums += load(x + i) * load(y + i);
  float rest = 0;
  for (; i < n; i++) rest += x[i] * y[i];
  return total(sums) + rest;
}

// e^x to a relative error of 2e-7: 2^k times a polynomial on [-ln(2)/2, ln(2)/2] (Cephes, expf).
static inline Four exponential(Four x) {
  x = Four(wasm_f32x4_min(wasm_f32x4_max(v128_t(x), v128_t(all(-87.3f))), v128_t(all(88.3f))));
  const Four k = Four(wasm_f32x4_floor(v128_t(x * all(1.44269504f) + all(0.5f))));
  const Four r = x - k * all(0.693359375f) + k * all(2.12194440e-4f);
  Four p = all(1.9875691500e-4f);
  for (const float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    p = p * r + all(c);
  const FourInts power = (__builtin_convertvector(k, FourInts) + 127) << 23;
  return (p * r * r + r + all(1)) * reinterpret_cast<Four>(power);
}

// y[i] = f(i) for vectors of four that begin at i, which f may read beyond `n`, by up to three numbers.
template <typename F>
static inline void eachFour(int n, float* y, const F& f) {
  int i = 0;
  for (; i + 4 <= n; i += 4) store(y + i, f(i));
  if (i == n) return;
  const Four last = f(i);
  for (int j = i; j < n; j++) y[j] = last[j - i];
}

// N rows by 8 columns of a product: c [N,8] = a [N,depth] panel [depth,8], added to c if `add`. The first `columns` are
// written. N = 6 fills the 16 vector registers of x64: 12 sums, two of the panel, one of a.
template <int N>
static void tile(int depth, const float* a, int rowStride, int columnStride, const float* panel, float* c, int width,
                 int columns, bool add) {
  Four left[N], right[N];
  for (int i = 0; i < N; i++) left[i] = right[i] = all(0);
  for (int k = 0; k < depth; k++, a += columnStride, panel += 8) {
    const Four b0 = load(panel), b1 = load(panel + 4);
#pragma unroll
    for (int i = 0; i < N; i++) {
      const Four x = all(a[i * rowStride]);
      left[i] += x * b0;
      right[i] += x * b1;
    }
  }
#pragma unroll
  for (int i = 0; i < N; i++, c += width) {
    if (columns == 8) {
      store(c, add ? load(c) + left[i] : left[i]);
      store(c + 4, add ? load(c + 4) + right[i] : right[i]);
    } else
      for (int j = 0; j < columns; j++) {
        const float value = j < 4 ? left[i][j] : right[i][j - 4];
        c[j] = add ? c[j] + value : value;
      }
  }
}

template <int N>
struct Size {
  static constexpr int count = N;
};

void multiply(int R, int n, int m, const Matrix& a, const Matrix& b, float* c, int width) {
  constexpr int deepest = 512;  // the panel takes 16 KB, half of a core's first cache
  float panel[deepest * 8];
  for (int k0 = 0; k0 < n || k0 == 0; k0 += deepest) {
    const int depth = n - k0 < deepest ? n - k0 : deepest;
    for (int j = 0; j < m; j += 8) {
      const int columns = m - j < 8 ? m - j : 8;
      const float* from = b.data + k0 * b.rowStride + j * b.columnStride;
      for (int k = 0; k < depth; k++, from += b.rowStride) {
        float* to = panel + 8 * k;
        if (columns == 8 && b.columnStride == 1) {
          store(to, load(from));
          store(to + 4, load(from + 4));
        } else
          for (int i = 0; i < 8; i++) to[i] = i < columns ? from[i * b.columnStride] : 0;
      }
      const auto rows = [&](auto size, int r) {
        tile<decltype(size)::count>(depth, a.data + r * a.rowStride + k0 * a.columnStride, a.rowStride, a.columnStride,
                                    panel, c + r * width + j, width, columns, k0 > 0);
      };
      int r = 0;
      for (; r + 6 <= R; r += 6) rows(Size<6>(), r);
      for (; r + 4 <= R; r += 4) rows(Size<4>(), r);
      for (; r < R; r++) rows(Size<1>(), r);
    }
  }
}

// x [R,n] W, the weight [n,m], or [m,n] if it is to be transposed.
static void times(int R, int n, int m, const float* x, const float* weight, int stride, bool transpose, float* y) {
  const Matrix w = transpose ? Matrix{weight, 1, stride} : Matrix{weight, stride, 1};
  multiply(R, n, m, {x, n, 1}, w, y, m);
}

// The mean of a row and 1 / sqrt(variance + epsilon).
struct Norm {
  float mean, factor;
  Norm(int D, const float* x, float epsilon) {
    mean = sum(D, x) / D;
    float squares = 0;
    Four sums = all(0);
    int i = 0;
    for (; i + 4 <= D; i += 4) sums += (load(x + i) - all(mean)) * (load(x + i) - all(mean));
    for (; i < D; i++) squares += (x[i] - mean) * (x[i] - mean);
    factor = 1 / __builtin_sqrtf((total(sums) + squares) / D + epsilon);
  }
};

void layerNorm(int64_t from, int64_t to, int64_t width, const float* x, float epsilon, float offset, float* y) {
  const int D = width;
  for (int r = from; r < to; r++) {
    const float* in = x + r * D;
    const Norm norm(D, in, epsilon);
    for (int i = 0; i < D; i++) y[r * D + i] = (in[i] - norm.mean) * norm.factor + offset;
  }
}

void layerNormBackward(int64_t from, int64_t to, int64_t width, const float* dy, const float* x, float epsilon,
                       const float* residual, float* dx) {
  const int D = width;
  for (int r = from; r < to; r++) {
    const float *in = x + r * D, *dout = dy + r * D;
    const Norm norm(D, in, epsilon);
    const float meanGradient = sum(D, dout) / D;
    float centred[D];
    for (int i = 0; i < D; i++) centred[i] = in[i] - norm.mean;
    const float projection = dot(D, dout, centred) / D * norm.factor * norm.factor;
    for (int i = 0; i < D; i++) {
      const float value = (dout[i] - meanGradient - centred[i] * projection) * norm.factor;
      dx[r * D + i] = residual ? value + residual[r * D + i] : value;
    }
  }
}

void silu(int64_t from, int64_t to, const float* a, float* y) {
  a += from;
  eachFour(to - from, y + from, [&](int i) {
    const Four x = load(a + i);
    return x / (all(1) + exponential(-x));
  });
}

void siluBackward(int64_t from, int64_t to, const float* a, const float* dy, float* da) {
  a += from;
  dy += from;
  eachFour(to - from, da + from, [&](int i) {
    const Four x = load(a + i);
    const Four gate = all(1) / (all(1) + exponential(-x));
    return load(dy + i) * gate * (all(1) + x * (all(1) - gate));
  });
}

void residualBias(int64_t from, int64_t to, int64_t width, const float* x, const float* z, const float* bias,
                  float* y) {
  const int D = width;
  for (int r = from; r < to; r++)
    for (int i = 0; i < D; i++) y[r * D + i] = x[r * D + i] + (z[r * D + i] + bias[i]);
}

void linear(int64_t from, int64_t to, const Linear& all, float* y) {
  const int rows = to - from, n = all.n, m = all.m;
  float normed[all.layerNorm ? rows * n : 1], product[all.epilogue == Linear::layerNormBackward ? rows * m : 1];
  const float* x = all.x + from * n;
  if (all.layerNorm) {
    layerNorm(0, rows, n, x, all.epsilon, 1, normed);
    x = normed;
  }
  y += from * m;
  const float* residual = all.residual ? all.residual + from * m : nullptr;
  if (all.epilogue == Linear::layerNormBackward) {
    times(rows, n, m, x, all.weight, all.stride, all.transpose, product);
    layerNormBackward(0, rows, m, product, all.input + from * m, all.epsilon, residual, y);
  } else {
    times(rows, n, m, x, all.weight, all.stride, all.transpose, y);
    if (all.epilogue == Linear::residualBias) residualBias(0, rows, m, residual, y, all.bias, y);
  }
}

void mlp(int64_t from, int64_t to, const Mlp& all, float* hidden, float* y) {
  const int rows = to - from, D = all.D, M = all.M;
  const float* x = all.x + from * D;
  float normed[rows * D], active[rows * M];
  hidden = hidden ? hidden + from * M : active;
  y += from * D;
  layerNorm(0, rows, D, x, all.epsilon, 1, normed);
  times(rows, D, M, normed, all.up, M, false, hidden);
  silu(0, rows * M, hidden, active);
  times(rows, M, D, active, all.down, D, false, y);
  residualBias(0, rows, D, x, y, all.bias, y);
}

void mlpBackward(int64_t from, int64_t to, const Mlp& all, const float* hidden, const float* dy, float* dx) {
  const int rows = to - from, D = all.D, M = all.M;
  float dnormed[rows * D], dhidden[rows * M];
  times(rows, D, M, dy + from * D, all.down, D, true, dhidden);
  siluBackward(0, rows * M, hidden + from * M, dhidden, dhidden);
  times(rows, M, D, dhidden, all.up, M, true, dnormed);
  layerNormBackward(0, rows, D, dnormed, all.x + from * D, all.epsilon, dy + from * D, dx + from * D);
}

namespace {

// Head h of sequence g: d = D / heads, Q queries, K keys.
struct Head {
  const Attention& all;
  int g, d, column, firstRow, tokens, prefix, prompts, Q, K;

  Head(const Attention& all, int g, int h)
      : all(all),
        g(g),
        d(all.width / all.heads),
        column(h * d),
        firstRow(all.rowSplits ? all.rowSplits[g] : g * (all.rows / all.sequences)),
        tokens(all.rowSplits ? all.rowSplits[g + 1] - firstRow : all.rows / all.sequences),
        prefix(all.prefixLength),
        prompts(all.promptLength),
        Q(all.queries ? 1 : tokens),
        K(prefix + prompts + tokens) {}

  int firstQuery() const { return all.queries ? g : firstRow; }
  int promptSet() const { return g / (all.sequences / all.promptSets); }
  // The column of `tokens` where this head's keys (or values) begin, and the stride of the queries.
  int tokenColumn(bool values) const { return all.tokenWidth - (values ? 1 : 2) * all.width + column; }
  int queryStride() const { return all.queries ? all.width : all.tokenWidth; }
  Matrix queries() const {
    const float* from = all.queries ? all.queries : all.tokens;
    return {from + firstQuery() * queryStride() + column, queryStride(), 1};
  }

  // Keys or values [K,d] in the order prefix, prompts, tokens.
  void gather(bool values, float* into) const {
    const int pair = 2 * all.width, side = (values ? all.width : 0) + column;
    const auto copy = [&](int count, const float* from, int stride) {
      for (int r = 0; r < count; r++, into += d, from += stride)
        for (int i = 0; i < d; i++) into[i] = from[i];
    };
    copy(prefix, all.prefixKV + side, pair);
    copy(prompts, all.promptKV + promptSet() * prompts * pair + side, pair);
    copy(tokens, all.tokens + firstRow * all.tokenWidth + tokenColumn(values), all.tokenWidth);
  }

  // Attention weights [Q,K].
  void weights(const float* keys, float* p) const {
    multiply(Q, d, K, queries(), {keys, 1, d}, p, K);
    for (int q = 0; q < Q; q++) {
      float* row = p + q * K;
      if (all.mask) {
        const float* mask = all.mask + g * all.maskSequenceStride + q * all.maskQueryStride;
        for (int k = 0; k < K; k++) row[k] += mask[k];
      }
      float largest = row[0];
      for (int k = 1; k < K; k++) largest = row[k] > largest ? row[k] : largest;
      for (int k = 0; k < K; k++) row[k] -= largest;
    }
    eachFour(Q * K, p, [&](int i) { return exponential(load(p + i)); });
    for (int q = 0; q < Q; q++) {
      const float factor = 1 / sum(K, p + q * K);
      for (int k = 0; k < K; k++) p[q * K + k] *= factor;
    }
  }
};

}  // namespace

void attention(int64_t from, int64_t to, const Attention& all, float* y) {
  for (int at = from; at < to; at++) {
    const Head head(all, at / int(all.heads), at % int(all.heads));
    const int Q = head.Q, K = head.K, d = head.d, D = all.width;
    float keys[K * d], values[K * d], p[Q * K + 4];
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    multiply(Q, K, d, {p, K, 1}, {values, d, 1}, y + head.firstQuery() * D + head.column, D);
  }
}

void attentionBackward(int64_t from, int64_t to, const Attention& all, const float* dy, float* dtokens, float* dqueries,
                       float* dpromptKV) {
  for (int at = from; at < to; at++) {
    const Head head(all, at / int(all.heads), at % int(all.heads));
    const int Q = head.Q, K = head.K, d = head.d, D = all.width;
    float keys[K * d], values[K * d], gradient[K * d], p[Q * K + 4], dp[Q * K];
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    const Matrix dout{dy + head.firstQuery() * D + head.column, D, 1};
    multiply(Q, d, K, dout, {values, 1, d}, dp, K);
    for (int q = 0; q < Q; q++) {
      float *row = p + q * K, *drow = dp + q * K;
      const float mean = dot(K, row, drow);
      for (int k = 0; k < K; k++) drow[k] = row[k] * (drow[k] - mean);
    }
    for (const bool ofValues : {false, true}) {
      if (ofValues)
        multiply(K, Q, d, {p, 1, K}, dout, gradient, d);
      else
        multiply(K, Q, d, {dp, 1, K}, head.queries(), gradient, d);
      const auto copy = [&](int first, int count, float* to, int stride) {
        for (int r = first; r < first + count; r++, to += stride)
          for (int i = 0; i < d; i++) to[i] = gradient[r * d + i];
      };
      if (dpromptKV)
        copy(head.prefix, head.prompts,
             dpromptKV + head.g * head.prompts * 2 * D + (ofValues ? D : 0) + head.column, 2 * D);
      if (dtokens)
        copy(head.prefix + head.prompts, head.tokens,
             dtokens + head.firstRow * all.tokenWidth + head.tokenColumn(ofValues), all.tokenWidth);
    }
    float* toQueries = all.queries ? dqueries : dtokens;
    if (toQueries)
      multiply(Q, K, d, {dp, K, 1}, {keys, d, 1},
               toQueries + head.firstQuery() * head.queryStride() + head.column, head.queryStride());
  }
}

}  // namespace promptsrc
