// The kernels of ../native/kernels.h for WebAssembly, but for attention (attention.cc). Scratch memory is on the stack.
// threads.cc calls them; bin/wasm.mjs compiles the files of this folder into kernels.wasm.
#include "../native/kernels.h"

#include "multiply.h"
#include "vectors.h"

namespace promptsrc {

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

}  // namespace promptsrc
