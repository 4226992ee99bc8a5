// Vectors of four floats (SIMD128), and what is computed with them. No library is used: Eigen has no vectors of this
// size without a processor's own instructions.
#pragma once
#include <wasm_simd128.h>

#include <initializer_list>

namespace promptsrc {

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int FourInts __attribute__((vector_size(16)));

static inline Four load(const float* x) { return *reinterpret_cast<const Four*>(x); }
static inline void store(float* y, Four x) { *reinterpret_cast<Four*>(y) = x; }
static inline Four all(float x) { return Four{x, x, x, x}; }
static inline float total(Four x) { return (x[0] + x[2]) + (x[1] + x[3]); }

static inline float sum(int n, const float* x) {
  Four sums = all(0);
  int i = 0;
  for (; i + 4 <= n; i += 4) sums += load(x + i);
  float rest = 0;
  for (; i < n; i++) rest += x[i];
  return total(sums) + rest;
}

static inline float dot(int n, const float* x, const float* y) {
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

}  // namespace promptsrc
