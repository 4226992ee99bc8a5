// TensorFlow operations of our own, registered when the binding is loaded: kernels.cc behind TensorFlow's C interface, its work shared
// among threads. src/engine/fusedOps.ts and src/clip/fast/attention.ts call them, and compute the same with TensorFlow's own where they are missing
// (another engine, a GPU, an x64 processor without AVX2).
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <string>
#include <vector>

#include "kernels.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"
#include "threads.h"

namespace {

using promptsrc::Attention;
using promptsrc::threads;

// Elements of a part.
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
  int heads = 1, sequences = 1, sets = 1, after = 0, begin = 0, columns = 0;
  bool fixed = false, turned = false, norm = false, keep = false;
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
  TF_OpKernelConstruction_GetAttrInt32(construction, "after", &all->after, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "begin", &all->begin, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "columns", &all->columns, status);
  const auto flag = [&](const char* name) {
    unsigned char value = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, name, &value, status);
    return value != 0;
  };
  all->fixed = flag("fixed");
  all->turned = flag("turned");
  all->norm = flag("norm");
  all->keep = flag("keep");
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

// Rows of a part of a product: few enough for a core's cache, enough to be worth Eigen's packing of the weights.
int64_t rowsAtOnce(int64_t R) { return std::min<int64_t>(256, std::max<int64_t>(16, R / threads().size())); }

// Inputs x, weight, of which `columns` columns count, `begin` the first that does, and two more (kernels.h, `Product`), which may be empty.
void product(Call& call, const Attributes& at) {
  using promptsrc::Product;
  const auto x = call.input(0), weight = call.input(1), first = call.input(2), second = call.input(3);
  want(x.shape.size() == 2 && weight.shape.size() == 2, "x and the weight are not matrices");
  const int64_t R = x.shape[0], n = x.shape[1], stride = weight.shape[1], m = at.turned ? weight.shape[0] : at.columns;
  want(n == (at.turned ? at.columns : weight.shape[0]), "the weight does not go with x");
  want(at.begin >= 0 && at.columns >= 0 && at.begin + at.columns <= stride, "the weight has fewer columns");
  const auto after = static_cast<Product::After>(at.after);
  want(after == Product::nothing || first.size() == R * m, "what is combined with the product differs from it in size");
  want(after != Product::residual || second.size() == m, "the bias differs from the product's rows in size");
  want(after != Product::normGradient || second.size() == R * m || second.size() == 0, "the residual differs from the product in size");
  const auto y = call.output(0, {R, m});
  const Product all{n, m, stride, x.floats(), weight.floats() + at.begin, at.turned, at.norm, after, first.floats(), second.floats(), at.epsilon};
  threads().share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::product(from, to, all, y.floats()); });
}

promptsrc::Mlp maps(Call& call, const Attributes& at) {
  const auto x = call.input(0), up = call.input(1), down = call.input(2), bias = call.input(3);
  want(x.shape.size() == 2 && up.shape.size() == 2, "x and the weights are not matrices");
  const int64_t D = x.shape[1], M = up.shape[1];
  want(up.shape[0] == D && down.size() == M * D && bias.size() == D, "the weights do not go with x");
  return {D, M, x.floats(), up.floats(), down.floats(), bias.floats(), at.epsilon};
}

// Inputs x, up, down, bias; outputs y and the hidden layer [R,M], empty unless it is kept.
void mlp(Call& call, const Attributes& at) {
  const auto all = maps(call, at);
  const int64_t R = call.input(0).shape[0];
  const auto y = call.output(0, {R, all.D}), hidden = call.output(1, {at.keep ? R : 0, all.M});
  threads().share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::mlp(from, to, all, hidden.floats(), y.floats()); });
}

// Inputs x, up, down, bias, hidden, dy.
void mlpGradient(Call& call, const Attributes& at) {
  const auto all = maps(call, at);
  const auto hidden = call.input(4), dy = call.input(5);
  const int64_t R = dy.shape[0];
  want(dy.size() == R * all.D && hidden.size() == R * all.M, "hidden or dy does not go with x");
  const auto dx = call.output(0, {R, all.D});
  threads().share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) {
    promptsrc::mlpGradient(from, to, all, hidden.floats(), dy.floats(), dx.floats());
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

// Asked of the processor itself: what __builtin_cpu_supports reads is missing where zig is the compiler.
bool processorServes() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_OSXSAVE)) return false;
  unsigned saved, high;
  __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if ((saved & 6) != 6) return false;  // the system keeps the vector registers
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
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
  add<product>("PromptsrcProduct", {"x: float", "weight: float", "first: float", "second: float"}, {"y: float"},
               {"begin: int", "columns: int", "turned: bool", "norm: bool", "after: int", "epsilon: float"});
  add<mlp>("PromptsrcMlp", {"x: float", "up: float", "down: float", "bias: float"}, {"y: float", "hidden: float"},
           {"epsilon: float", "keep: bool"});
  add<mlpGradient>("PromptsrcMlpGradient", {"x: float", "up: float", "down: float", "bias: float", "hidden: float", "dy: float"}, {"dx: float"},
                   {"epsilon: float"});
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
