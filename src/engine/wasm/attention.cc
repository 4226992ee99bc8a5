// Multi-head attention for WebAssembly (../native/kernels.h), one head of one sequence at a time. Scratch memory is on
// the stack.
#include "../native/kernels.h"
#include "multiply.h"
#include "vectors.h"

namespace promptsrc {

namespace {

struct Head : HeadPlace {
  using HeadPlace::HeadPlace;

  Matrix queries() const {
    const float* from = all.queries ? all.queries : all.tokens;
    return {from + firstQuery * queryStride() + column, int(queryStride()), 1};
  }

  // Keys or values [K,d] in the order prefix, prompts, tokens.
  void gather(bool values, float* into) const {
    const int pair = 2 * all.width, side = (values ? all.width : 0) + column;
    const auto copy = [&](int count, const float* from, int stride) {
      for (int r = 0; r < count; r++, into += d, from += stride)
        for (int i = 0; i < d; i++) into[i] = from[i];
    };
    copy(all.prefixLength, all.prefixKV + side, pair);
    copy(all.promptLength, all.promptKV + promptSet() * all.promptLength * pair + side, pair);
    copy(tokens, all.tokens + firstRow * all.tokenWidth + tokenColumn(values), all.tokenWidth);
  }

  // Attention weights [Q,K].
  void weights(const float* keys, float* p) const {
    multiply(Q, d, K, queries(), {keys, 1, int(d)}, p, K);
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
    multiply(Q, K, d, {p, K, 1}, {values, d, 1}, y + head.firstQuery * D + head.column, D);
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
    const Matrix dout{dy + head.firstQuery * D + head.column, D, 1};
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
        copy(all.prefixLength, all.promptLength,
             dpromptKV + head.g * all.promptLength * 2 * D + (ofValues ? D : 0) + head.column, 2 * D);
      if (dtokens)
        copy(all.prefixLength + all.promptLength, head.tokens,
             dtokens + head.firstRow * all.tokenWidth + head.tokenColumn(ofValues), all.tokenWidth);
    }
    float* toQueries = all.queries ? dqueries : dtokens;
    if (toQueries)
      multiply(Q, K, d, {dp, K, 1}, {keys, d, 1},
               toQueries + head.firstQuery * head.queryStride() + head.column, head.queryStride());
  }
}

}  // namespace promptsrc
