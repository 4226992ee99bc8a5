// Vectorised by Eigen (the headers of TensorFlow's wheel). On x64 set-up compiles this file for AVX2 and FMA, and
// operations.cc calls it only on a processor that has them.
#include "kernels.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <vector>

namespace promptsrc {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Part = Eigen::Map<Rows, 0, Eigen::OuterStride<>>;
using ConstPart = Eigen::Map<const Rows, 0, Eigen::OuterStride<>>;
using Line = Eigen::Map<Eigen::ArrayXf>;
using ConstLine = Eigen::Map<const Eigen::ArrayXf>;
// Aligned as TensorFlow's arrays are. Eigen starts sums at an aligned element, so without it the last digits of a sum
// would depend on the address.
using Scratch = std::vector<float, Eigen::aligned_allocator<float>>;

// y [R,m] = x [R,n] W. The weight is [n,m], or [m,n] if it is to be transposed; its rows lie `stride` elements apart.
static void multiply(int64_t R, int64_t n, int64_t m, const float* x, const float* weight, int64_t stride,
                     bool transpose, float* y) {
  const Eigen::Map<const Rows> in(x, R, n);
  Eigen::Map<Rows> out(y, R, m);
  if (transpose)
    out.noalias() = in * ConstPart(weight, m, n, Eigen::OuterStride<>(stride)).transpose();
  else
    out.noalias() = in * ConstPart(weight, n, m, Eigen::OuterStride<>(stride));
}

void layerNorm(int64_t from, int64_t to, int64_t D, const float* x, float epsilon, float offset, float* y) {
  for (int64_t r = from; r < to; r++) {
    const ConstLine in(x + r * D, D);
    const float mean = in.mean();
    const float factor = 1 / std::sqrt((in - mean).square().mean() + epsilon);
    Line(y + r * D, D) = (in - mean) * factor + offset;
  }
}

void layerNormBackward(int64_t from, int64_t to, int64_t D, const float* dy, const float* x, float epsilon,
                       const float* residual, float* dx) {
  for (int64_t r = from; r < to; r++) {
    const ConstLine in(x + r * D, D), dout(dy + r * D, D);
    const float mean = in.mean();
    const float factor = 1 / std::sqrt((in - mean).square().mean() + epsilon);
    const float projection = (dout * (in - mean)).mean() * factor * factor;
    const float meanGradient = dout.mean();
    Line out(dx + r * D, D);
    if (residual)
      out = (dout - meanGradient - (in - mean) * projection) * factor + ConstLine(residual + r * D, D);
    else
      out = (dout - meanGradient - (in - mean) * projection) * factor;
  }
}

void silu(int64_t from, int64_t to, const float* a, float* y) {
  const ConstLine in(a + from, to - from);
  Line(y + from, to - from) = in / (1 + (-in).exp());
}

void siluBackward(int64_t from, int64_t to, const float* a, const float* dy, float* da) {
  constexpr int64_t chunk = 512;
  Eigen::Array<float, chunk, 1> gates;
  for (int64_t at = from; at < to; at += chunk) {
    const int64_t count = std::min(chunk, to - at);
    const ConstLine in(a + at, count), dout(dy + at, count);
    auto gate = gates.head(count);
    gate = 1 / (1 + (-in).exp());
    Line(da + at, count) = dout * gate * (1 + in * (1 - gate));
  }
}

void residualBias(int64_t from, int64_t to, int64_t D, const float* x, const float* z, const float* bias, float* y) {
  const ConstLine b(bias, D);
  for (int64_t r = from; r < to; r++) Line(y + r * D, D) = ConstLine(x + r * D, D) + (ConstLine(z + r * D, D) + b);
}

void linear(int64_t from, int64_t to, const Linear& all, float* y) {
  static thread_local Scratch normed, product;
  const int64_t rows = to - from, n = all.n, m = all.m;
  const float* x = all.x + from * n;
  if (all.layerNorm) {
    normed.resize(rows * n);
    layerNorm(0, rows, n, x, all.epsilon, 1, normed.data());
    x = normed.data();
  }
  y += from * m;
  const float* residual = all.residual ? all.residual + from * m : nullptr;
  if (all.epilogue == Linear::layerNormBackward) {
    product.resize(rows * m);
    multiply(rows, n, m, x, all.weight, all.stride, all.transpose, product.data());
    layerNormBackward(0, rows, m, product.data(), all.input + from * m, all.epsilon, residual, y);
  } else {
    multiply(rows, n, m, x, all.weight, all.stride, all.transpose, y);
    if (all.epilogue == Linear::residualBias) residualBias(0, rows, m, residual, y, all.bias, y);
  }
}

void mlp(int64_t from, int64_t to, const Mlp& all, float* hidden, float* y) {
  static thread_local Scratch normed, active;
  const int64_t rows = to - from, D = all.D, M = all.M;
  const float* x = all.x + from * D;
  normed.resize(rows * D);
  active.resize(rows * M);
  hidden = hidden ? hidden + from * M : active.data();
  layerNorm(0, rows, D, x, all.epsilon, 1, normed.data());
  multiply(rows, D, M, normed.data(), all.up, M, false, hidden);
  silu(0, rows * M, hidden, active.data());
  multiply(rows, M, D, active.data(), all.down, D, false, y + from * D);
  residualBias(0, rows, D, x, y + from * D, all.bias, y + from * D);
}

void mlpBackward(int64_t from, int64_t to, const Mlp& all, const float* hidden, const float* dy, float* dx) {
  static thread_local Scratch dnormed, dhidden;
  const int64_t rows = to - from, D = all.D, M = all.M;
  dnormed.resize(rows * D);
  dhidden.resize(rows * M);
  multiply(rows, D, M, dy + from * D, all.down, D, true, dhidden.data());
  siluBackward(0, rows * M, hidden + from * M, dhidden.data(), dhidden.data());
  multiply(rows, M, D, dhidden.data(), all.up, M, true, dnormed.data());
  layerNormBackward(0, rows, D, dnormed.data(), all.x + from * D, all.epsilon, dy + from * D, dx + from * D);
}

namespace {

struct Head : HeadPlace {
  using HeadPlace::HeadPlace;

  ConstPart queries() const {
    const float* from = all.queries ? all.queries : all.tokens;
    return {from + firstQuery * queryStride() + column, Q, d, Eigen::OuterStride<>(queryStride())};
  }

  // Keys or values [K,d] in the order prefix, prompts, tokens.
  void gather(bool values, Rows& into) const {
    const int64_t D = all.width, side = (values ? D : 0) + column;
    into.resize(K, d);
    const Eigen::OuterStride<> pair(2 * D);
    if (all.prefixLength) into.topRows(all.prefixLength) = ConstPart(all.prefixKV + side, all.prefixLength, d, pair);
    if (all.promptLength) {
      const float* prompts = all.promptKV + promptSet() * all.promptLength * 2 * D + side;
      into.middleRows(all.prefixLength, all.promptLength) = ConstPart(prompts, all.promptLength, d, pair);
    }
    const float* rows = all.tokens + firstRow * all.tokenWidth + tokenColumn(values);
    into.bottomRows(tokens) = ConstPart(rows, tokens, d, Eigen::OuterStride<>(all.tokenWidth));
  }

  // Attention weights [Q,K].
  void weights(const Rows& keys, Rows& p) const {
    p.noalias() = queries() * keys.transpose();
    for (int64_t q = 0; q < Q; q++) {
      auto row = p.row(q).array();
      if (all.mask) {
        const float* mask = all.mask + g * all.maskSequenceStride + q * all.maskQueryStride;
        row += Eigen::Map<const Eigen::Array<float, 1, Eigen::Dynamic>>(mask, K);
      }
      row -= row.maxCoeff();
    }
    p = p.array().exp();  // Of all rows at once, as single rows seldom fill whole vectors.
    for (int64_t q = 0; q < Q; q++) p.row(q) *= 1 / p.row(q).sum();
  }
};

}  // namespace

void attention(int64_t from, int64_t to, const Attention& all, float* y) {
  static thread_local Rows keys, values, p;
  for (int64_t at = from; at < to; at++) {
    const Head head(all, at / all.heads, at % all.heads);
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    float* out = y + head.firstQuery * all.width + head.column;
    Part(out, head.Q, head.d, Eigen::OuterStride<>(all.width)).noalias() = p * values;
  }
}

void attentionBackward(int64_t from, int64_t to, const Attention& all, const float* dy, float* dtokens, float* dqueries,
                       float* dpromptKV) {
  static thread_local Rows keys, values, p, dp, dkeys, dvalues;
  const int64_t D = all.width;
  for (int64_t at = from; at < to; at++) {
    const Head head(all, at / all.heads, at % all.heads);
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    const ConstPart dout(dy + head.firstQuery * D + head.column, head.Q, head.d, Eigen::OuterStride<>(D));
    dp.noalias() = dout * values.transpose();
    for (int64_t q = 0; q < head.Q; q++) {
      dp.row(q).array() = p.row(q).array() * (dp.row(q).array() - p.row(q).dot(dp.row(q)));
    }
    dkeys.noalias() = dp.transpose() * head.queries();
    dvalues.noalias() = p.transpose() * dout;
    for (const bool ofValues : {false, true}) {
      const Rows& gradient = ofValues ? dvalues : dkeys;
      if (dpromptKV && all.promptLength) {
        float* out = dpromptKV + head.g * all.promptLength * 2 * D + (ofValues ? D : 0) + head.column;
        Part(out, all.promptLength, head.d, Eigen::OuterStride<>(2 * D)) =
            gradient.middleRows(all.prefixLength, all.promptLength);
      }
      if (dtokens) {
        float* out = dtokens + head.firstRow * all.tokenWidth + head.tokenColumn(ofValues);
        Part(out, head.tokens, head.d, Eigen::OuterStride<>(all.tokenWidth)) = gradient.bottomRows(head.tokens);
      }
    }
    float* toQueries = all.queries ? dqueries : dtokens;
    if (toQueries) {
      float* out = toQueries + head.firstQuery * head.queryStride() + head.column;
      Part(out, head.Q, head.d, Eigen::OuterStride<>(head.queryStride())).noalias() = dp * keys;
    }
  }
}

}  // namespace promptsrc
