// TensorFlow operations of our own, registered when the binding is loaded: kernels.cc behind TensorFlow's C interface, its work shared
// among threads. src/kernels.ts and src/clip/attention.ts call them, and compute the same with TensorFlow's own where they are missing
// (another engine, a GPU, an x64 processor without AVX2).
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace {

using promptsrc::Attention;

// As many threads as TensorFlow's kernels have (src/tf.ts sets the variable), the calling one among them. They live as long as the process.
class Threads {
 public:
  Threads() {
    const char* said = std::getenv("TF_NUM_INTRAOP_THREADS");
    const int wanted = said ? std::atoi(said) : static_cast<int>(std::thread::hardware_concurrency());
    count = std::max(1, wanted);
    for (int i = 1; i < count; i++) std::thread([this] { serve(); }).detach();
  }

  // Calls part(from, to) for parts of [0, length), each at least `least` long.
  void share(int64_t length, int64_t least, const std::function<void(int64_t, int64_t)>& part) {
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(4 * count, length / std::max<int64_t>(1, least)));
    const auto one = [&](int64_t i) { part(length * i / parts, length * (i + 1) / parts); };
    std::unique_lock<std::mutex> mine(callers, std::try_to_lock);
    if (parts == 1 || count == 1 || !mine) return part(0, length);
    {
      std::lock_guard<std::mutex> hold(lock);
      next = 0;
      total = parts;
      job = one;
      open = true;
    }
    begun.notify_all();
    work();
    std::unique_lock<std::mutex> hold(lock);
    open = false;
    ended.wait(hold, [this] { return helping == 0; });
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> hold(lock);
    for (;;) {
      begun.wait(hold, [this] { return open && next < total; });
      helping++;
      hold.unlock();
      work();
      hold.lock();
      if (--helping == 0) ended.notify_one();
    }
  }

  void work() {
    for (int64_t i; (i = next++) < total;) job(i);
  }

  int count;
  std::mutex callers, lock;
  std::condition_variable begun, ended;
  std::function<void(int64_t)> job;
  std::atomic<int64_t> next{0};
  int64_t total = 0;
  int helping = 0;
  bool open = false;
};

Threads& threads() {
  static Threads* all = new Threads;
  return *all;
}

// Elements that are worth a thread's start.
constexpr int64_t worthwhile = 1 << 14;

struct Failure {
  std::string what;
};

// A call of an operation: its inputs, attributes and outputs.
class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context(context), status(TF_NewStatus()) {}
  Call(const Call&) = delete;
  ~Call() {
    for (TF_Tensor* tensor : held) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status);
  }

  struct Array {
    std::vector<int64_t> shape;
    void* data;
    int64_t size() const {
      int64_t product = 1;
      for (int64_t n : shape) product *= n;
      return product;
    }
    int64_t last() const { return shape.empty() ? 1 : shape.back(); }
    float* floats() const { return size() ? static_cast<float*>(data) : nullptr; }
    const int32_t* ints() const { return size() ? static_cast<const int32_t*>(data) : nullptr; }
  };

  Array input(int i) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context, i, &tensor, status);
    return array(tensor);
  }

  Array output(int i, const std::vector<int64_t>& shape) {
    Array result{shape, nullptr};
    TF_Tensor* tensor =
        TF_AllocateOutput(context, i, TF_FLOAT, shape.data(), static_cast<int>(shape.size()), result.size() * sizeof(float), status);
    return array(tensor);
  }

  void fail(const std::string& what) {
    TF_SetStatus(status, TF_INVALID_ARGUMENT, what.c_str());
    TF_OpKernelContext_Failure(context, status);
  }

 private:
  Array array(TF_Tensor* tensor) {
    if (TF_GetCode(status) != TF_OK) throw Failure{TF_Message(status)};
    held.push_back(tensor);
    Array result;
    for (int d = 0; d < TF_NumDims(tensor); d++) result.shape.push_back(TF_Dim(tensor, d));
    result.data = TF_TensorData(tensor);
    return result;
  }

  TF_OpKernelContext* context;
  TF_Status* status;
  std::vector<TF_Tensor*> held;
};

void want(bool holds, const char* what) {
  if (!holds) throw Failure{what};
}

struct Attributes {
  float epsilon = 0, plus = 0;
  int heads = 1, sequences = 1, sets = 1;
  bool fixed = false;
};

void* readAttributes(TF_OpKernelConstruction* construction) {
  auto* all = new Attributes;
  TF_Status* status = TF_NewStatus();
  // One that an operation does not have keeps its default.
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &all->epsilon, status);
  TF_OpKernelConstruction_GetAttrFloat(construction, "plus", &all->plus, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "heads", &all->heads, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "sequences", &all->sequences, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "sets", &all->sets, status);
  unsigned char fixed = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, "fixed", &fixed, status);
  all->fixed = fixed;
  TF_DeleteStatus(status);
  return all;
}

void deleteAttributes(void* attributes) { delete static_cast<Attributes*>(attributes); }

void layerNorm(Call& call, const Attributes& at) {
  const auto x = call.input(0);
  const auto y = call.output(0, x.shape);
  const int64_t D = x.last();
  threads().share(x.size() / D, worthwhile / D, [&](int64_t from, int64_t to) {
    promptsrc::layerNorm(from, to, D, x.floats(), at.epsilon, at.plus, y.floats());
  });
}

// Inputs dy, x, and what is added, or an empty array.
void layerNormGradient(Call& call, const Attributes& at) {
  const auto dy = call.input(0), x = call.input(1), residual = call.input(2);
  want(dy.size() == x.size() && (residual.size() == x.size() || residual.size() == 0), "dy, x and the residual differ in size");
  const auto dx = call.output(0, x.shape);
  const int64_t D = x.last();
  threads().share(x.size() / D, worthwhile / D, [&](int64_t from, int64_t to) {
    promptsrc::layerNormGradient(from, to, D, dy.floats(), x.floats(), at.epsilon, residual.floats(), dx.floats());
  });
}

void silu(Call& call, const Attributes&) {
  const auto a = call.input(0);
  const auto y = call.output(0, a.shape);
  threads().share(a.size(), worthwhile, [&](int64_t from, int64_t to) { promptsrc::silu(from, to, a.floats(), y.floats()); });
}

void siluGradient(Call& call, const Attributes&) {
  const auto a = call.input(0), dy = call.input(1);
  want(a.size() == dy.size(), "a and dy differ in size");
  const auto da = call.output(0, a.shape);
  threads().share(a.size(), worthwhile,
                  [&](int64_t from, int64_t to) { promptsrc::siluGradient(from, to, a.floats(), dy.floats(), da.floats()); });
}

void addBiased(Call& call, const Attributes&) {
  const auto x = call.input(0), z = call.input(1), bias = call.input(2);
  const int64_t D = x.last();
  want(x.size() == z.size() && bias.size() == D, "x and z differ in size, or the bias from their last axis");
  const auto y = call.output(0, x.shape);
  threads().share(x.size() / D, worthwhile / D, [&](int64_t from, int64_t to) {
    promptsrc::addBiased(from, to, D, x.floats(), z.floats(), bias.floats(), y.floats());
  });
}

// Inputs own, queries, theirs, constant, mask, starts; all but the first may be empty.
Attention seen(Call& call, const Attributes& at) {
  const auto own = call.input(0), queries = call.input(1), theirs = call.input(2), constant = call.input(3), mask = call.input(4),
             starts = call.input(5);
  const int64_t width = own.last() / (queries.size() ? 2 : 3);
  const int64_t rows = own.size() / own.last();
  want(at.sequences % at.sets == 0 && width % at.heads == 0, "sequences do not fill the sets, or heads the width");
  want(starts.size() ? starts.size() == at.sequences + 1 : rows % at.sequences == 0, "sequences and rows do not go together");
  want(queries.size() == 0 || queries.size() == at.sequences * width, "queries are not [G,D]");
  Attention all{width, at.heads, at.sequences, at.sets, rows, starts.ints(), own.floats(), own.last(), queries.floats()};
  all.constant = constant.floats();
  all.constants = constant.size() / (2 * width);
  all.theirs = theirs.floats();
  all.prompts = theirs.size() / (2 * width) / at.sets;
  all.mask = mask.floats();
  const int64_t K = mask.last();
  if (mask.shape.size() == 2) all.maskQuery = K;
  else if (mask.shape.size() == 3 && mask.shape[1] == 1) all.maskSequence = K;
  else want(mask.size() == 0, "the mask is neither [Q,K] nor [G,1,K]");
  return all;
}

void attention(Call& call, const Attributes& at) {
  const Attention all = seen(call, at);
  const auto mixed = call.output(0, {all.queries ? all.sequences : all.rows, all.width});
  threads().share(all.sequences * all.heads, 1, [&](int64_t from, int64_t to) { promptsrc::attend(from, to, all, mixed.floats()); });
}

// Inputs as above and dmixed; outputs the gradients of own and queries (empty if `fixed`) and of theirs, summed over each set's sequences.
void attentionGradient(Call& call, const Attributes& at) {
  const Attention all = seen(call, at);
  const auto dmixed = call.input(6);
  want(dmixed.size() == (all.queries ? all.sequences : all.rows) * all.width, "dmixed has another size than what was mixed");
  const auto down = call.output(0, {at.fixed ? 0 : all.rows, all.ownWidth});
  const auto dqueries = call.output(1, {at.fixed || !all.queries ? 0 : all.sequences, all.width});
  const int64_t size = all.prompts * 2 * all.width;
  std::vector<float> apart(all.sequences == all.sets ? 0 : all.sequences * size);
  const auto dtheirs = call.output(2, {all.sets * all.prompts, 2 * all.width});
  float* bySequence = apart.empty() ? dtheirs.floats() : apart.data();
  threads().share(all.sequences * all.heads, 1, [&](int64_t from, int64_t to) {
    promptsrc::attendGradient(from, to, all, dmixed.floats(), down.floats(), dqueries.floats(), bySequence);
  });
  if (apart.empty()) return;
  const int64_t run = all.sequences / all.sets;
  for (int64_t set = 0; set < all.sets; set++) {
    float* sum = dtheirs.floats() + set * size;
    std::fill(sum, sum + size, 0.f);
    for (int64_t g = set * run; g < (set + 1) * run; g++)
      for (int64_t i = 0; i < size; i++) sum[i] += apart[g * size + i];
  }
}

template <void (*compute)(Call&, const Attributes&)>
void guarded(void* attributes, TF_OpKernelContext* context) {
  Call call(context);
  try {
    compute(call, *static_cast<Attributes*>(attributes));
  } catch (const Failure& failure) {
    call.fail(failure.what);
  }
}

template <void (*compute)(Call&, const Attributes&)>
void add(const char* name, std::vector<const char*> inputs, std::vector<const char*> outputs, std::vector<const char*> attributes) {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(definition, input);
  for (const char* output : outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
  for (const char* attribute : attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
  TF_RegisterOpDefinition(definition, status);
  if (TF_GetCode(status) == TF_OK) {
    TF_KernelBuilder* kernel = TF_NewKernelBuilder(name, "CPU", readAttributes, guarded<compute>, deleteAttributes);
    TF_RegisterKernelBuilder(name, kernel, status);
  }
  TF_DeleteStatus(status);
}

bool processorServes() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

const bool registered = [] {
  if (!processorServes()) return false;
  add<layerNorm>("PromptsrcLayerNorm", {"x: float"}, {"y: float"}, {"epsilon: float", "plus: float"});
  add<layerNormGradient>("PromptsrcLayerNormGradient", {"dy: float", "x: float", "residual: float"}, {"dx: float"}, {"epsilon: float"});
  add<silu>("PromptsrcSilu", {"a: float"}, {"y: float"}, {});
  add<siluGradient>("PromptsrcSiluGradient", {"a: float", "dy: float"}, {"da: float"}, {});
  add<addBiased>("PromptsrcAddBiased", {"x: float", "z: float", "bias: float"}, {"y: float"}, {});
  const std::vector<const char*> sees = {"own: float",      "queries: float", "theirs: float",
                                         "constant: float", "mask: float",    "starts: int32"};
  const std::vector<const char*> shapes = {"heads: int", "sequences: int", "sets: int", "fixed: bool"};
  add<attention>("PromptsrcAttention", sees, {"mixed: float"}, shapes);
  auto with = sees;
  with.push_back("dmixed: float");
  add<attentionGradient>("PromptsrcAttentionGradient", with, {"down: float", "dqueries: float", "dtheirs: float"}, shapes);
  return true;
}();

}  // namespace
