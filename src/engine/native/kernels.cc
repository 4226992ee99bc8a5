// Vectorised by Eigen (the headers of TensorFlow's wheel). On x64 engine.mjs compiles this file for AVX2 and FMA, and operations.cc calls it
// only where the processor has them.
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
// Aligned as TensorFlow's arrays are: Eigen begins sums at an aligned element, so elsewhere their last digits would depend on the address.
using Scratch = std::vector<float, Eigen::aligned_allocator<float>>;

// y [R,m] = x [R,n] W, with W [n,m], or [m,n] if it lies turned; its rows lie `stride` apart.
static void multiply(int64_t R, int64_t n, int64_t m, const float* x, const float* weight, int64_t stride, bool turned, float* y) {
  const Eigen::Map<const Rows> in(x, R, n);
  Eigen::Map<Rows> out(y, R, m);
  if (turned) out.noalias() = in * ConstPart(weight, m, n, Eigen::OuterStride<>(stride)).transpose();
  else out.noalias() = in * ConstPart(weight, n, m, Eigen::OuterStride<>(stride));
}

void layerNorm(int64_t from, int64_t to, int64_t D, const float* x, float epsilon, float plus, float* y) {
  for (int64_t r = from; r < to; r++) {
    const ConstLine in(x + r * D, D);
    const float mean = in.mean();
    const float factor = 1 / std::sqrt((in - mean).square().mean() + epsilon);
    Line(y + r * D, D) = (in - mean) * factor + plus;
  }
}

void layerNormGradient(int64_t from, int64_t to, int64_t D, const float* dy, const float* x, float epsilon, const float* residual, float* dx) {
  for (int64_t r = from; r < to; r++) {
    const ConstLine in(x + r * D, D), dout(dy + r * D, D);
    const float mean = in.mean();
    const float factor = 1 / std::sqrt((in - mean).square().mean() + epsilon);
    const float along = (dout * (in - mean)).mean() * factor * factor;
    const float level = dout.mean();
    Line out(dx + r * D, D);
    if (residual) out = (dout - level - (in - mean) * along) * factor + ConstLine(residual + r * D, D);
    else out = (dout - level - (in - mean) * along) * factor;
  }
}

void silu(int64_t from, int64_t to, const float* a, float* y) {
  const ConstLine in(a + from, to - from);
  Line(y + from, to - from) = in / (1 + (-in).exp());
}

void siluGradient(int64_t from, int64_t to, const float* a, const float* dy, float* da) {
  constexpr int64_t some = 512;
  Eigen::Array<float, some, 1> gates;
  for (int64_t at = from; at < to; at += some) {
    const int64_t count = std::min(some, to - at);
    const ConstLine in(a + at, count), dout(dy + at, count);
    auto gate = gates.head(count);
    gate = 1 / (1 + (-in).exp());
    Line(da + at, count) = dout * gate * (1 + in * (1 - gate));
  }
}

void addBiased(int64_t from, int64_t to, int64_t D, const float* x, const float* z, const float* bias, float* y) {
  const ConstLine b(bias, D);
  for (int64_t r = from; r < to; r++) Line(y + r * D, D) = ConstLine(x + r * D, D) + (ConstLine(z + r * D, D) + b);
}

void product(int64_t from, int64_t to, const Product& all, float* y) {
  static thread_local Scratch ready, made;
  const int64_t rows = to - from, n = all.n, m = all.m;
  const float* x = all.x + from * n;
  if (all.norm) {
    ready.resize(rows * n);
    layerNorm(0, rows, n, x, all.epsilon, 1, ready.data());
    x = ready.data();
  }
  y += from * m;
  const float* first = all.first + from * m;
  if (all.after == Product::normGradient) {
    made.resize(rows * m);
    multiply(rows, n, m, x, all.weight, all.stride, all.turned, made.data());
    layerNormGradient(0, rows, m, made.data(), first, all.epsilon, all.second ? all.second + from * m : nullptr, y);
  } else {
    multiply(rows, n, m, x, all.weight, all.stride, all.turned, y);
    if (all.after == Product::residual) addBiased(0, rows, m, first, y, all.second, y);
  }
}

void mlp(int64_t from, int64_t to, const Mlp& all, float* hidden, float* y) {
  static thread_local Scratch ready, active;
  const int64_t rows = to - from, D = all.D, M = all.M;
  const float* x = all.x + from * D;
  ready.resize(rows * D);
  active.resize(rows * M);
  hidden = hidden ? hidden + from * M : active.data();
  layerNorm(0, rows, D, x, all.epsilon, 1, ready.data());
  multiply(rows, D, M, ready.data(), all.up, M, false, hidden);
  silu(0, rows * M, hidden, active.data());
  multiply(rows, M, D, active.data(), all.down, D, false, y + from * D);
  addBiased(0, rows, D, x, y + from * D, all.bias, y + from * D);
}

void mlpGradient(int64_t from, int64_t to, const Mlp& all, const float* hidden, const float* dy, float* dx) {
  static thread_local Scratch dready, dhidden;
  const int64_t rows = to - from, D = all.D, M = all.M;
  dready.resize(rows * D);
  dhidden.resize(rows * M);
  multiply(rows, D, M, dy + from * D, all.down, D, true, dhidden.data());
  siluGradient(0, rows * M, hidden + from * M, dhidden.data(), dhidden.data());
  multiply(rows, M, D, dhidden.data(), all.up, M, true, dready.data());
  layerNormGradient(0, rows, D, dready.data(), all.x + from * D, all.epsilon, dy + from * D, dx + from * D);
}

namespace {

// One head of one sequence: d = D / heads, Q tokens ask, K are seen.
struct Head {
  const Attention& all;
  int64_t g, d, column, first, own, Q, K, firstQuery;

  Head(const Attention& all, int64_t g, int64_t h)
      : all(all), g(g), d(all.width / all.heads), column(h * d),
        first(all.starts ? all.starts[g] : g * (all.rows / all.sequences)),
        own(all.starts ? all.starts[g + 1] - first : all.rows / all.sequences),
        Q(all.queries ? 1 : own), K(all.constants + all.prompts + own), firstQuery(all.queries ? g : first) {}

  int64_t set() const { return g / (all.sequences / all.sets); }
  // Where the keys (or values) of own begin in a row, and the queries' stride.
  int64_t ownColumn(bool values) const { return all.ownWidth - (values ? 1 : 2) * all.width + column; }
  int64_t queryStride() const { return all.queries ? all.width : all.ownWidth; }

  ConstPart queries() const {
    return {(all.queries ? all.queries : all.own) + firstQuery * queryStride() + column, Q, d, Eigen::OuterStride<>(queryStride())};
  }

  // Keys or values of all that is seen, in the order constant, theirs, own.
  void gather(bool values, Rows& into) const {
    const int64_t D = all.width, side = (values ? D : 0) + column;
    into.resize(K, d);
    const Eigen::OuterStride<> pair(2 * D);
    if (all.constants) into.topRows(all.constants) = ConstPart(all.constant + side, all.constants, d, pair);
    if (all.prompts)
      into.middleRows(all.constants, all.prompts) = ConstPart(all.theirs + set() * all.prompts * 2 * D + side, all.prompts, d, pair);
    into.bottomRows(own) = ConstPart(all.own + first * all.ownWidth + ownColumn(values), own, d, Eigen::OuterStride<>(all.ownWidth));
  }

  // Attention weights [Q,K].
  void weights(const Rows& keys, Rows& p) const {
    p.noalias() = queries() * keys.transpose();
    for (int64_t q = 0; q < Q; q++) {
      auto row = p.row(q).array();
      if (all.mask) row += Eigen::Map<const Eigen::Array<float, 1, Eigen::Dynamic>>(all.mask + g * all.maskSequence + q * all.maskQuery, K);
      row -= row.maxCoeff();
    }
    p = p.array().exp();  // of all at once: rows seldom fill whole vectors
    for (int64_t q = 0; q < Q; q++) p.row(q) *= 1 / p.row(q).sum();
  }
};

}  // namespace

void attend(int64_t from, int64_t to, const Attention& all, float* mixed) {
  static thread_local Rows keys, values, p;
  for (int64_t at = from; at < to; at++) {
    const Head head(all, at / all.heads, at % all.heads);
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    Part(mixed + head.firstQuery * all.width + head.column, head.Q, head.d, Eigen::OuterStride<>(all.width)).noalias() = p * values;
  }
}

void attendGradient(int64_t from, int64_t to, const Attention& all, const float* dmixed, float* down, float* dqueries, float* dtheirs) {
  static thread_local Rows keys, values, p, dp, dkeys, dvalues;
  const int64_t D = all.width;
  for (int64_t at = from; at < to; at++) {
    const Head head(all, at / all.heads, at % all.heads);
    head.gather(false, keys);
    head.gather(true, values);
    head.weights(keys, p);
    const ConstPart dout(dmixed + head.firstQuery * D + head.column, head.Q, head.d, Eigen::OuterStride<>(D));
    dp.noalias() = dout * values.transpose();
    for (int64_t q = 0; q < head.Q; q++) dp.row(q).array() = p.row(q).array() * (dp.row(q).array() - p.row(q).dot(dp.row(q)));
    dkeys.noalias() = dp.transpose() * head.queries();
    dvalues.noalias() = p.transpose() * dout;
    for (const bool ofValues : {false, true}) {
      const Rows& gradient = ofValues ? dvalues : dkeys;
      if (dtheirs && all.prompts)
        Part(dtheirs + head.g * all.prompts * 2 * D + (ofValues ? D : 0) + head.column, all.prompts, head.d, Eigen::OuterStride<>(2 * D)) =
            gradient.middleRows(all.constants, all.prompts);
      if (down)
        Part(down + head.first * all.ownWidth + head.ownColumn(ofValues), head.own, head.d, Eigen::OuterStride<>(all.ownWidth)) =
            gradient.bottomRows(head.own);
    }
    float* toQueries = all.queries ? dqueries : down;
    if (toQueries)
      Part(toQueries + head.firstQuery * head.queryStride() + head.column, head.Q, head.d, Eigen::OuterStride<>(head.queryStride())).noalias() =
          dp * keys;
  }
}

}  // namespace promptsrc
