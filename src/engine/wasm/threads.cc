// What src/engine/wasmKernels.ts calls: the kernels, with their rows or heads shared by threads. Every
// thread is an instance of this module on one shared memory; the calling one is thread 0, the others run `serve`.
// Arrays lie where wasmKernels.ts puts them; a pointer of 0 stands for an array that is absent.
#include "../native/kernels.h"
#include "multiply.h"

namespace {

using promptsrc::Attention;

constexpr int most = 64;
int count = 1;

// As src/engine/native/threads.h: a thread without work looks out for it a while before it sleeps, takes the same part
// of the rows every time, and helps the others at the end.
struct Counter {
  alignas(64) int done;
};
struct {
  void (*part)(const void* task, int64_t from, int64_t to);
  const void* task;
  int64_t length, parts;
  int active, each;
  int round, open, helping, asleep;
  Counter next[most];
} job;

constexpr int patience = 20000;  // looks, about a tenth of a millisecond

int get(const int& x) { return __atomic_load_n(&x, __ATOMIC_SEQ_CST); }
void set(int& x, int value) { __atomic_store_n(&x, value, __ATOMIC_SEQ_CST); }
int add(int& x, int more) { return __atomic_fetch_add(&x, more, __ATOMIC_SEQ_CST); }

void work(int me) {
  for (int k = 0; k < job.active; k++) {
    const int whose = (me + k) % job.active;
    for (int i; (i = add(job.next[whose].done, 1)) < job.each;) {
      const int64_t at = whose * job.each + i;
      job.part(job.task, job.length * at / job.parts, job.length * (at + 1) / job.parts);
    }
  }
}

// Calls part(from, to) for even parts of [0, length), of about `size` each.
template <typename Part>
void share(int64_t length, int64_t size, const Part& part) {
  const int64_t wanted = size < 1 ? length : length < size ? 1 : length / size;
  const int64_t sharing = wanted < count ? wanted : count;
  if (length < 1) return;
  job.part = [](const void* task, int64_t from, int64_t to) { (*static_cast<const Part*>(task))(from, to); };
  job.task = &part;
  job.length = length;
  job.active = sharing;
  job.each = wanted / sharing;
  job.parts = job.each * sharing;
  for (int i = 0; i < job.active; i++) set(job.next[i].done, 0);
  if (sharing == 1) return work(0);
  set(job.open, 1);
  add(job.round, 1);
  if (get(job.asleep) > 0) __builtin_wasm_memory_atomic_notify(&job.round, most);
  work(0);
  set(job.open, 0);
  while (get(job.helping) > 0) {
  }
}

// Rows that a thread takes at once: they fit into its cache and its stack, and are worth the packing of a weight.
int64_t rowsAtOnce(int64_t R) {
  const int64_t each = R / count;
  return each > 128 ? 128 : each < 16 ? 16 : each;
}

constexpr int64_t grain = 1 << 14;  // elements that a thread takes at once

}  // namespace

#define EXPORT(name) extern "C" __attribute__((export_name(#name))) void name

EXPORT(setThreads)(int threads) { count = threads < most ? threads : most; }

// Never returns.
EXPORT(serve)(int me) {
  for (int seen = 0;;) {
    for (int i = 0; i < patience && get(job.round) == seen; i++) {
    }
    if (get(job.round) == seen) {
      add(job.asleep, 1);
      __builtin_wasm_memory_atomic_wait32(&job.round, seen, -1);
      add(job.asleep, -1);
    }
    seen = get(job.round);
    add(job.helping, 1);  // from here on `share` does not end, so that what it set stays
    if (get(job.open) && me < job.active) work(me);
    add(job.helping, -1);
  }
}

// Products of `batch` matrices a [R,n] and b [n,m], or their transposes; `aStep` and `bStep` lead to the next one.
EXPORT(matMul)(int batch, int R, int n, int m, const float* a, int aStep, bool transposeA, const float* b, int bStep,
               bool transposeB, float* c) {
  const auto rows = [&](int at, int from, int to) {
    const float* left = a + at * aStep + from * (transposeA ? 1 : n);
    const promptsrc::Matrix x{left, transposeA ? 1 : n, transposeA ? R : 1};
    const promptsrc::Matrix y{b + at * bStep, transposeB ? 1 : m, transposeB ? n : 1};
    promptsrc::multiply(to - from, n, m, x, y, c + (at * R + from) * m, m);
  };
  if (batch == 1)
    share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { rows(0, from, to); });
  else
    share(batch, 1, [&](int64_t from, int64_t to) {
      for (int at = from; at < to; at++) rows(at, 0, R);
    });
}

EXPORT(layerNorm)(int R, int D, const float* x, float epsilon, float offset, float* y) {
  share(R, grain / D, [&](int64_t from, int64_t to) { promptsrc::layerNorm(from, to, D, x, epsilon, offset, y); });
}

EXPORT(layerNormBackward)(int R, int D, const float* dy, const float* x, float epsilon, const float* residual,
                          float* dx) {
  share(R, grain / D, [&](int64_t from, int64_t to) {
    promptsrc::layerNormBackward(from, to, D, dy, x, epsilon, residual, dx);
  });
}

EXPORT(silu)(int n, const float* a, float* y) {
  share(n, grain, [&](int64_t from, int64_t to) { promptsrc::silu(from, to, a, y); });
}

EXPORT(siluBackward)(int n, const float* a, const float* dy, float* da) {
  share(n, grain, [&](int64_t from, int64_t to) { promptsrc::siluBackward(from, to, a, dy, da); });
}

EXPORT(residualBias)(int R, int D, const float* x, const float* z, const float* bias, float* y) {
  share(R, grain / D, [&](int64_t from, int64_t to) { promptsrc::residualBias(from, to, D, x, z, bias, y); });
}

EXPORT(linear)(int R, int n, int m, int stride, const float* x, const float* weight, bool transpose, bool layerNorm,
               int epilogue, const float* input, const float* residual, const float* bias, float epsilon, float* y) {
  const auto kind = static_cast<promptsrc::Linear::Epilogue>(epilogue);
  const promptsrc::Linear all{n, m, stride, x, weight, transpose, layerNorm, kind, input, residual, bias, epsilon};
  share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::linear(from, to, all, y); });
}

EXPORT(mlp)(int R, int D, int M, const float* x, const float* up, const float* down, const float* bias, float epsilon,
            float* hidden, float* y) {
  const promptsrc::Mlp all{D, M, x, up, down, bias, epsilon};
  share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::mlp(from, to, all, hidden, y); });
}

EXPORT(mlpBackward)(int R, int D, int M, const float* x, const float* up, const float* down, float epsilon,
                    const float* hidden, const float* dy, float* dx) {
  const promptsrc::Mlp all{D, M, x, up, down, nullptr, epsilon};
  share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::mlpBackward(from, to, all, hidden, dy, dx); });
}

// Forward pass into y; or, with dy, gradients into dtokens, dqueries and dpromptKV (one for each sequence).
EXPORT(attention)(int width, int heads, int sequences, int promptSets, int rows, const int32_t* rowSplits,
                  const float* tokens, int tokenWidth, const float* queries, const float* prefixKV, int prefixLength,
                  const float* promptKV, int promptLength, const float* mask, int maskSequenceStride,
                  int maskQueryStride, float* y, const float* dy, float* dtokens, float* dqueries, float* dpromptKV) {
  const Attention all{width,    heads,        sequences, promptSets,         rows,
                      rowSplits, tokens,      tokenWidth, queries,           prefixKV,
                      prefixLength, promptKV, promptLength, mask, maskSequenceStride, maskQueryStride};
  share(sequences * heads, 1, [&](int64_t from, int64_t to) {
    if (dy)
      promptsrc::attentionBackward(from, to, all, dy, dtokens, dqueries, dpromptKV);
    else
      promptsrc::attention(from, to, all, y);
  });
}
