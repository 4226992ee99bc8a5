// The arithmetic of a residual block besides its matrix products (src/engine/backend.ts, src/clip/fast/attention.ts say what each computes), each
// for a part of the rows or sequences, so that threads can share them. Compiled for a newer processor than the rest: kernels.cc.
// Arrays are row-major float32. R rows, D width.
#pragma once
#include <cstdint>

namespace promptsrc {

// y = (x - mean) / sqrt(variance + epsilon) + plus
void layerNorm(int64_t from, int64_t to, int64_t D, const float* x, float epsilon, float plus, float* y);

// The gradient of x from that of y; what `residual` holds is added, unless it is null.
void layerNormGradient(int64_t from, int64_t to, int64_t D, const float* dy, const float* x, float epsilon, const float* residual, float* dx);

// y = a sigmoid(a), and its gradient.
void silu(int64_t from, int64_t to, const float* a, float* y);
void siluGradient(int64_t from, int64_t to, const float* a, const float* dy, float* da);

// y = x + z + bias
void addBiased(int64_t from, int64_t to, int64_t D, const float* x, const float* z, const float* bias, float* y);

// y = x W, of x or of its LayerNorm + 1; x [R,n], W [n,m], or [m,n] if it lies turned, its rows `stride` apart.
struct Product {
  int64_t n, m, stride;
  const float *x, *weight;
  bool turned, norm;
  // Of the product [R,m]: as it is; first + y + second (the bias [m]); or LayerNorm's gradient where its argument was first, second added
  // unless it is null.
  enum After { nothing, residual, normGradient } after;
  const float *first, *second;
  float epsilon;
};
void product(int64_t from, int64_t to, const Product& all, float* y);

// y = x + silu((LayerNorm(x) + 1) up) down + bias; up [D,M], down [M,D]. `hidden`, the argument of silu, is kept [R,M] unless it is null.
struct Mlp {
  int64_t D, M;
  const float *x, *up, *down, *bias;
  float epsilon;
};
void mlp(int64_t from, int64_t to, const Mlp& all, float* hidden, float* y);
void mlpGradient(int64_t from, int64_t to, const Mlp& all, const float* hidden, const float* dy, float* dx);

// G sequences, one behind the other; sequence g has the rows [starts[g], starts[g+1]), or, without starts, an equal part of them.
// Its tokens see `constants` rows that all sequences share, `prompts` rows of their set, and their own.
struct Attention {
  int64_t width, heads, sequences, sets;
  int64_t rows;           // of own
  const int32_t* starts;  // [G+1], or null
  const float* own;       // [R,3D] queries, keys, values; or [R,2D] keys, values
  int64_t ownWidth;
  const float* queries;  // [G,D]: one token of each sequence asks; null where own holds the queries
  const float* constant;
  int64_t constants;
  const float* theirs;  // keys, values [sets*prompts,2D]
  int64_t prompts;
  const float* mask;  // added to the scores, or null; strides from sequence to sequence and from query to query
  int64_t maskSequence, maskQuery;
};

// Of heads [from, to) of all G*H, those of a sequence one behind the other. Writes mixed [R,D], or [G,D] where one asks.
void attend(int64_t from, int64_t to, const Attention& seen, float* mixed);

// Gradients of own, queries (where one asks), and of theirs by sequence [G*prompts,2D]; own and queries may be null.
void attendGradient(int64_t from, int64_t to, const Attention& seen, const float* dmixed, float* down, float* dqueries, float* dtheirs);

}  // namespace promptsrc
