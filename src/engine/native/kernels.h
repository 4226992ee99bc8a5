// Fused float32 kernels of a residual block: layer norm, SiLU, linear maps, MLP and attention, and their backward
// passes. src/engine/fusedOps.ts and src/clip/fast/attention.ts compute the same from TensorFlow's operations.
// Each function does a part of the rows or heads, [from, to), so that threads can share the work.
// Arrays are row-major float32. R rows, D width. Compiled for a newer processor than the rest: kernels.cc.
#pragma once
#include <cstdint>

namespace promptsrc {

// y = (x - mean) / sqrt(variance + epsilon) + offset
void layerNorm(int64_t from, int64_t to, int64_t D, const float* x, float epsilon, float offset, float* y);

// Gradient of x from that of y, plus `residual` unless it is null.
void layerNormBackward(int64_t from, int64_t to, int64_t D, const float* dy, const float* x, float epsilon,
                       const float* residual, float* dx);

// y = a sigmoid(a), and its gradient.
void silu(int64_t from, int64_t to, const float* a, float* y);
void siluBackward(int64_t from, int64_t to, const float* a, const float* dy, float* da);

// y = x + z + bias
void residualBias(int64_t from, int64_t to, int64_t D, const float* x, const float* z, const float* bias, float* y);

// y [R,m] = x W, or (layerNorm(x) + 1) W, followed by the epilogue. x [R,n]; the weight is [n,m], or [m,n] if it is to
// be transposed, and its rows lie `stride` elements apart.
struct Linear {
  int64_t n, m, stride;
  const float *x, *weight;
  bool transpose, layerNorm;
  // none: y. residualBias: residual + y + bias. layerNormBackward: gradient of a layer norm's argument `input` [R,m],
  // from y as that of its value, plus `residual` unless it is null. The numbers are those of src/engine/nativeBackend.ts.
  enum Epilogue { none, residualBias, layerNormBackward } epilogue;
  const float *input, *residual, *bias;
  float epsilon;
};
void linear(int64_t from, int64_t to, const Linear& all, float* y);

// y = x + silu((layerNorm(x) + 1) up) down + bias; up [D,M], down [M,D]. The argument of silu is written to `hidden`
// [R,M] unless that is null.
struct Mlp {
  int64_t D, M;
  const float *x, *up, *down, *bias;
  float epsilon;
};
void mlp(int64_t from, int64_t to, const Mlp& all, float* hidden, float* y);
void mlpBackward(int64_t from, int64_t to, const Mlp& all, const float* hidden, const float* dy, float* dx);

// G sequences, one after the other. Sequence g has the rows [rowSplits[g], rowSplits[g+1]), or, without rowSplits, an
// equal part of them. Its tokens see `prefixLength` rows that all sequences share, `promptLength` rows of the prompt
// set of their sequence, and the tokens of their sequence.
struct Attention {
  int64_t width, heads, sequences, promptSets;
  int64_t rows;              // of tokens
  const int32_t* rowSplits;  // [G+1], or null
  const float* tokens;       // [R,3D] queries, keys, values; or [R,2D] keys, values
  int64_t tokenWidth;
  const float* queries;   // [G,D] of one token of each sequence; null where `tokens` has the queries
  const float* prefixKV;  // keys, values [prefixLength,2D]
  int64_t prefixLength;
  const float* promptKV;  // keys, values [promptSets*promptLength,2D]
  int64_t promptLength;
  const float* mask;  // added to the scores, or null; strides from sequence to sequence and from query to query
  int64_t maskSequenceStride, maskQueryStride;
};

// Head h of sequence g, and where its numbers lie: d = D / heads, Q queries, K keys.
struct HeadPlace {
  const Attention& all;
  int64_t g, d, column, firstRow, tokens, Q, K, firstQuery;

  HeadPlace(const Attention& all, int64_t g, int64_t h)
      : all(all),
        g(g),
        d(all.width / all.heads),
        column(h * d),
        firstRow(all.rowSplits ? all.rowSplits[g] : g * (all.rows / all.sequences)),
        tokens(all.rowSplits ? all.rowSplits[g + 1] - firstRow : all.rows / all.sequences),
        Q(all.queries ? 1 : tokens),
        K(all.prefixLength + all.promptLength + tokens),
        firstQuery(all.queries ? g : firstRow) {}

  int64_t promptSet() const { return g / (all.sequences / all.promptSets); }
  // The column of `tokens` where this head's keys (or values) begin, and the stride of the queries.
  int64_t tokenColumn(bool values) const { return all.tokenWidth - (values ? 1 : 2) * all.width + column; }
  int64_t queryStride() const { return all.queries ? all.width : all.tokenWidth; }
};

// Heads [from, to) of all G*H, those of one sequence after those of another. Writes y [R,D], or [G,D] with `queries`.
void attention(int64_t from, int64_t to, const Attention& all, float* y);

// Gradients of tokens, queries (if there are any), and promptKV for each sequence [G*promptLength,2D]. dtokens and
// dqueries may be null.
void attentionBackward(int64_t from, int64_t to, const Attention& all, const float* dy, float* dtokens, float* dqueries,
                       float* dpromptKV);

}  // namespace promptsrc
