// The kernels of kernels.cc as TensorFlow operations, registered when the binding is loaded; threads share their work.
// src/engine/nativeBackend.ts calls them. They are not registered on an x64 processor without AVX2 and FMA.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <exception>
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

// Elements that a thread takes at once.
constexpr int64_t grain = 1 << 14;

struct Failure {
  std::string message;
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
    // An input that is not given is an empty list.
    bool absent() const { return shape.size() == 1 && shape[0] == 0; }
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
    TF_Tensor* tensor = TF_AllocateOutput(context, i, TF_FLOAT, shape.data(), static_cast<int>(shape.size()),
                                          result.size() * sizeof(float), status);
    return array(tensor);
  }

  void fail(const std::string& message) {
    TF_SetStatus(status, TF_INVALID_ARGUMENT, message.c_str());
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

void require(bool condition, const char* otherwise) {
  if (!condition) throw Failure{otherwise};
}

std::string words(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t n : shape) text += (text.size() > 1 ? "," : "") + std::to_string(n);
  return text + "]";
}

void requireShape(const char* name, const Call::Array& array, const std::vector<int64_t>& wanted) {
  if (array.shape != wanted)
    throw Failure{std::string(name) + " has the shape " + words(array.shape) + ", wanted is " + words(wanted)};
}

// The length of the last axis, which the layer norm and the bias go along.
int64_t requireRows(const char* name, const Call::Array& array) {
  if (array.shape.empty() || array.last() == 0)
    throw Failure{std::string(name) + " has the shape " + words(array.shape) + ", wanted are rows of one number or more"};
  return array.last();
}

struct Attributes {
  float epsilon = 0, offset = 0;
  int heads = 1, sequences = 1, promptSets = 1, epilogue = 0, begin = 0, columns = 0;
  bool frozenInput = false, transpose = false, layerNorm = false, keepHidden = false;
};

// An attribute that an operation does not have keeps its default.
void* readAttributes(TF_OpKernelConstruction* construction) {
  auto* all = new Attributes;
  TF_Status* status = TF_NewStatus();
  const auto readFloat = [&](const char* name, float* value) {
    TF_OpKernelConstruction_GetAttrFloat(construction, name, value, status);
  };
  const auto readInt = [&](const char* name, int* value) {
    TF_OpKernelConstruction_GetAttrInt32(construction, name, value, status);
  };
  const auto readBool = [&](const char* name, bool* value) {
    unsigned char byte = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, name, &byte, status);
    *value = byte != 0;
  };
  readFloat("epsilon", &all->epsilon);
  readFloat("offset", &all->offset);
  readInt("heads", &all->heads);
  readInt("sequences", &all->sequences);
  readInt("prompt_sets", &all->promptSets);
  readInt("epilogue", &all->epilogue);
  readInt("begin", &all->begin);
  readInt("columns", &all->columns);
  readBool("frozen_input", &all->frozenInput);
  readBool("transpose", &all->transpose);
  readBool("layer_norm", &all->layerNorm);
  readBool("keep_hidden", &all->keepHidden);
  TF_DeleteStatus(status);
  return all;
}

void deleteAttributes(void* attributes) { delete static_cast<Attributes*>(attributes); }

void layerNorm(Call& call, const Attributes& at) {
  const auto x = call.input(0);
  const int64_t D = requireRows("x", x);
  const auto y = call.output(0, x.shape);
  threads().share(x.size() / D, grain / D, [&](int64_t from, int64_t to) {
    promptsrc::layerNorm(from, to, D, x.floats(), at.epsilon, at.offset, y.floats());
  });
}

// Inputs dy, x, and what is added, or an empty array.
void layerNormBackward(Call& call, const Attributes& at) {
  const auto dy = call.input(0), x = call.input(1), residual = call.input(2);
  const int64_t D = requireRows("x", x);
  requireShape("dy", dy, x.shape);
  if (!residual.absent()) requireShape("the residual", residual, x.shape);
  const auto dx = call.output(0, x.shape);
  threads().share(x.size() / D, grain / D, [&](int64_t from, int64_t to) {
    promptsrc::layerNormBackward(from, to, D, dy.floats(), x.floats(), at.epsilon, residual.floats(), dx.floats());
  });
}

void silu(Call& call, const Attributes&) {
  const auto a = call.input(0);
  const auto y = call.output(0, a.shape);
  threads().share(a.size(), grain,
                  [&](int64_t from, int64_t to) { promptsrc::silu(from, to, a.floats(), y.floats()); });
}

void siluBackward(Call& call, const Attributes&) {
  const auto a = call.input(0), dy = call.input(1);
  requireShape("dy", dy, a.shape);
  const auto da = call.output(0, a.shape);
  threads().share(a.size(), grain, [&](int64_t from, int64_t to) {
    promptsrc::siluBackward(from, to, a.floats(), dy.floats(), da.floats());
  });
}

void residualBias(Call& call, const Attributes&) {
  const auto x = call.input(0), z = call.input(1), bias = call.input(2);
  const int64_t D = requireRows("x", x);
  requireShape("z", z, x.shape);
  requireShape("the bias", bias, {D});
  const auto y = call.output(0, x.shape);
  threads().share(x.size() / D, grain / D, [&](int64_t from, int64_t to) {
    promptsrc::residualBias(from, to, D, x.floats(), z.floats(), bias.floats(), y.floats());
  });
}

// Rows that a thread takes at once: few enough for a core's cache, and enough to be worth Eigen's packing of the
// weight.
int64_t rowsAtOnce(int64_t R) { return std::min<int64_t>(256, std::max<int64_t>(16, R / threads().size())); }

// Inputs x, weight (of which `columns` columns from `begin` are used), and the input, residual and bias of the epilogue
// (kernels.h, `Linear`), which may be empty.
void linear(Call& call, const Attributes& at) {
  using promptsrc::Linear;
  const auto x = call.input(0), weight = call.input(1), input = call.input(2), residual = call.input(3),
             bias = call.input(4);
  require(x.shape.size() == 2 && weight.shape.size() == 2, "x and the weight must be matrices");
  const int64_t R = x.shape[0], n = x.shape[1], stride = weight.shape[1],
                m = at.transpose ? weight.shape[0] : at.columns;
  require(n == (at.transpose ? at.columns : weight.shape[0]), "x must have as many columns as the weight has rows");
  require(at.begin >= 0 && at.columns >= 0 && int64_t{at.begin} + at.columns <= stride,
          "the weight has fewer columns than are used");
  require(at.epilogue >= Linear::none && at.epilogue <= Linear::layerNormBackward, "the epilogue must be 0, 1 or 2");
  const auto epilogue = static_cast<Linear::Epilogue>(at.epilogue);
  if (at.layerNorm) requireRows("x", x);
  if (epilogue == Linear::residualBias) {
    requireShape("the residual", residual, {R, m});
    requireShape("the bias", bias, {m});
  }
  if (epilogue == Linear::layerNormBackward) {
    require(m > 0, "the layer norm needs one column or more");
    requireShape("the input of the layer norm", input, {R, m});
    if (!residual.absent()) requireShape("the residual", residual, {R, m});
  }
  const auto y = call.output(0, {R, m});
  const Linear all{n,
                   m,
                   stride,
                   x.floats(),
                   weight.floats() + at.begin,
                   at.transpose,
                   at.layerNorm,
                   epilogue,
                   input.floats(),
                   residual.floats(),
                   bias.floats(),
                   at.epsilon};
  threads().share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) { promptsrc::linear(from, to, all, y.floats()); });
}

promptsrc::Mlp mlpOf(Call& call, const Attributes& at) {
  const auto x = call.input(0), up = call.input(1), down = call.input(2), bias = call.input(3);
  require(x.shape.size() == 2 && up.shape.size() == 2, "x and the weights must be matrices");
  const int64_t D = requireRows("x", x), M = up.shape[1];
  requireShape("up", up, {D, M});
  requireShape("down", down, {M, D});
  requireShape("the bias", bias, {D});
  return {D, M, x.floats(), up.floats(), down.floats(), bias.floats(), at.epsilon};
}

// Inputs x, up, down, bias; outputs y and the hidden layer [R,M], which is empty unless it is kept.
void mlp(Call& call, const Attributes& at) {
  const auto all = mlpOf(call, at);
  const int64_t R = call.input(0).shape[0];
  const auto y = call.output(0, {R, all.D}), hidden = call.output(1, {at.keepHidden ? R : 0, all.M});
  threads().share(R, rowsAtOnce(R),
                  [&](int64_t from, int64_t to) { promptsrc::mlp(from, to, all, hidden.floats(), y.floats()); });
}

// Inputs x, up, down, bias, hidden, dy.
void mlpBackward(Call& call, const Attributes& at) {
  const auto all = mlpOf(call, at);
  const auto hidden = call.input(4), dy = call.input(5);
  const int64_t R = call.input(0).shape[0];
  requireShape("dy", dy, {R, all.D});
  requireShape("hidden", hidden, {R, all.M});
  const auto dx = call.output(0, {R, all.D});
  threads().share(R, rowsAtOnce(R), [&](int64_t from, int64_t to) {
    promptsrc::mlpBackward(from, to, all, hidden.floats(), dy.floats(), dx.floats());
  });
}

// Inputs tokens, queries, promptKV, prefixKV, mask, rowSplits; all but the first may be empty.
Attention attentionOf(Call& call, const Attributes& at) {
  const auto tokens = call.input(0), queries = call.input(1), promptKV = call.input(2), prefixKV = call.input(3),
             mask = call.input(4), rowSplits = call.input(5);
  require(tokens.shape.size() == 2 && tokens.last() > 0, "tokens must be a matrix");
  require(at.heads > 0 && at.sequences > 0 && at.promptSets > 0, "heads, sequences and prompt sets must be positive");
  const int64_t parts = queries.absent() ? 3 : 2;
  const int64_t width = tokens.last() / parts, rows = tokens.shape[0];
  require(tokens.last() % parts == 0 && width % at.heads == 0, "the width must be a multiple of the heads");
  require(at.sequences % at.promptSets == 0, "the sequences must be a multiple of the prompt sets");
  if (!queries.absent()) requireShape("the array of queries", queries, {at.sequences, width});
  const auto keysAndValues = [&](const char* name, const Call::Array& kv) -> int64_t {
    if (kv.absent()) return 0;
    require(!kv.shape.empty(), "prompts and prefix must be matrices");
    requireShape(name, kv, {kv.shape[0], 2 * width});
    return kv.shape[0];
  };
  const int64_t promptRows = keysAndValues("the array of prompt keys and values", promptKV);
  require(promptRows % at.promptSets == 0, "the prompts must be a multiple of the prompt sets");
  Attention all{width,           at.heads,      at.sequences,    at.promptSets, rows, rowSplits.ints(),
                tokens.floats(), tokens.last(), queries.floats()};
  all.prefixKV = prefixKV.floats();
  all.prefixLength = keysAndValues("the array of prefix keys and values", prefixKV);
  all.promptKV = promptKV.floats();
  all.promptLength = promptRows / at.promptSets;

  int64_t longest = rows / at.sequences, shortest = longest;
  if (!rowSplits.absent()) {
    requireShape("the list of row splits", rowSplits, {int64_t{at.sequences} + 1});
    const int32_t* splits = rowSplits.ints();
    require(splits[0] == 0 && splits[at.sequences] == rows,
            "row splits must begin with 0 and end with the number of rows");
    longest = 0;
    shortest = rows;
    for (int64_t g = 0; g < at.sequences; g++) {
      require(splits[g] <= splits[g + 1], "row splits must not decrease");
      longest = std::max<int64_t>(longest, splits[g + 1] - splits[g]);
      shortest = std::min<int64_t>(shortest, splits[g + 1] - splits[g]);
    }
  } else
    require(rows % at.sequences == 0, "without row splits the rows must be a multiple of the sequences");
  require(shortest > 0, "every sequence must have a row of tokens");

  if (mask.absent()) return all;
  all.mask = mask.floats();
  const int64_t K = mask.last();
  require(K >= all.prefixLength + all.promptLength + longest, "the mask has fewer columns than a sequence has keys");
  if (mask.shape.size() == 2) {
    require(mask.shape[0] >= (all.queries ? 1 : longest), "the mask has fewer rows than a sequence has queries");
    all.maskQueryStride = K;
  } else {
    require(mask.shape.size() == 3 && mask.shape[0] == at.sequences && mask.shape[1] == 1 && all.queries,
            "the mask must be [Q,K], or [G,1,K] with queries [G,D]");
    all.maskSequenceStride = K;
  }
  return all;
}

void attention(Call& call, const Attributes& at) {
  const Attention all = attentionOf(call, at);
  const auto y = call.output(0, {all.queries ? all.sequences : all.rows, all.width});
  threads().share(all.sequences * all.heads, 1,
                  [&](int64_t from, int64_t to) { promptsrc::attention(from, to, all, y.floats()); });
}

// Inputs as above and dy. Outputs the gradients of tokens and queries (empty if the input is frozen), and of promptKV,
// summed over the sequences of each set.
void attentionBackward(Call& call, const Attributes& at) {
  const Attention all = attentionOf(call, at);
  const auto dy = call.input(6);
  requireShape("dy", dy, {all.queries ? all.sequences : all.rows, all.width});
  const auto dtokens = call.output(0, {at.frozenInput ? 0 : all.rows, all.tokenWidth});
  const auto dqueries = call.output(1, {at.frozenInput || !all.queries ? 0 : all.sequences, all.width});
  const int64_t size = all.promptLength * 2 * all.width;
  std::vector<float> perSequence(all.sequences == all.promptSets ? 0 : all.sequences * size);
  const auto dpromptKV = call.output(2, {all.promptSets * all.promptLength, 2 * all.width});
  float* unsummed = perSequence.empty() ? dpromptKV.floats() : perSequence.data();
  threads().share(all.sequences * all.heads, 1, [&](int64_t from, int64_t to) {
    promptsrc::attentionBackward(from, to, all, dy.floats(), dtokens.floats(), dqueries.floats(), unsummed);
  });
  if (perSequence.empty()) return;
  const int64_t sequencesPerSet = all.sequences / all.promptSets;
  for (int64_t set = 0; set < all.promptSets; set++) {
    float* sum = dpromptKV.floats() + set * size;
    std::fill(sum, sum + size, 0.f);
    for (int64_t g = set * sequencesPerSet; g < (set + 1) * sequencesPerSet; g++)
      for (int64_t i = 0; i < size; i++) sum[i] += perSequence[g * size + i];
  }
}

template <void (*compute)(Call&, const Attributes&)>
void guarded(void* attributes, TF_OpKernelContext* context) {
  Call call(context);
  try {
    compute(call, *static_cast<Attributes*>(attributes));
  } catch (const Failure& failure) {
    call.fail(failure.message);
  } catch (const std::exception& error) {  // no memory, above all; none may reach TensorFlow
    call.fail(error.what());
  }
}

template <void (*compute)(Call&, const Attributes&)>
void add(const char* name, std::vector<const char*> inputs, std::vector<const char*> outputs,
         std::vector<const char*> attributes) {
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

// Reads cpuid directly, as __builtin_cpu_supports needs a runtime library that zig does not link.
bool processorIsSupported() {
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

using Names = std::vector<const char*>;

const bool registered = [] {
  if (!processorIsSupported()) return false;
  add<layerNorm>("PromptsrcLayerNorm", {"x: float"}, {"y: float"}, {"epsilon: float", "offset: float"});
  add<layerNormBackward>("PromptsrcLayerNormBackward", {"dy: float", "x: float", "residual: float"}, {"dx: float"},
                         {"epsilon: float"});
  add<silu>("PromptsrcSilu", {"a: float"}, {"y: float"}, {});
  add<siluBackward>("PromptsrcSiluBackward", {"a: float", "dy: float"}, {"da: float"}, {});
  add<residualBias>("PromptsrcResidualBias", {"x: float", "z: float", "bias: float"}, {"y: float"}, {});
  const Names linearInputs = {"x: float", "weight: float", "input: float", "residual: float", "bias: float"};
  add<linear>("PromptsrcLinear", linearInputs, {"y: float"},
              {"begin: int", "columns: int", "transpose: bool", "layer_norm: bool", "epilogue: int", "epsilon: float"});
  Names mlpInputs = {"x: float", "up: float", "down: float", "bias: float"};
  add<mlp>("PromptsrcMlp", mlpInputs, {"y: float", "hidden: float"}, {"epsilon: float", "keep_hidden: bool"});
  mlpInputs.insert(mlpInputs.end(), {"hidden: float", "dy: float"});
  add<mlpBackward>("PromptsrcMlpBackward", mlpInputs, {"dx: float"}, {"epsilon: float"});
  Names attentionInputs = {"tokens: float",    "queries: float", "prompt_kv: float",
                           "prefix_kv: float", "mask: float",    "row_splits: int32"};
  const Names attentionAttributes = {"heads: int", "sequences: int", "prompt_sets: int", "frozen_input: bool"};
  add<attention>("PromptsrcAttention", attentionInputs, {"y: float"}, attentionAttributes);
  attentionInputs.push_back("dy: float");
  add<attentionBackward>("PromptsrcAttentionBackward", attentionInputs,
                         {"dtokens: float", "dqueries: float", "dprompt_kv: float"}, attentionAttributes);
  return true;
}();

}  // namespace
