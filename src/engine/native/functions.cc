// Adds and removes TensorFlow functions: graphs of operations that run as one operation (src/engine/functions.ts). The
// binding of tfjs-node keeps its context to itself, so this definition of TFE_NewContext stands in front of the
// library's and remembers what it makes. Two operations reach that context from JavaScript; their input are bytes.
#include <dlfcn.h>

#include <string>

#include "tensorflow/c/eager/c_api.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

namespace {

// Each thread of Node that loads the binding has a context of its own, and runs these operations itself.
thread_local TFE_Context* context = nullptr;

// Input: a serialised FunctionDef (tensorflow/core/framework/function.proto).
void addFunction(const std::string& definition, TF_Status* status) {
  TFE_ContextAddFunctionDef(context, definition.data(), definition.size(), status);
}

// Input: a function's name.
void removeFunction(const std::string& name, TF_Status* status) {
  TFE_ContextRemoveFunction(context, name.c_str(), status);
}

template <void (*act)(const std::string&, TF_Status*)>
void compute(void*, TF_OpKernelContext* call) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* bytes = nullptr;
  TF_GetInput(call, 0, &bytes, status);
  if (TF_GetCode(status) == TF_OK)
    act(std::string(static_cast<const char*>(TF_TensorData(bytes)), TF_TensorByteSize(bytes)), status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelContext_Failure(call, status);
  if (bytes) TF_DeleteTensor(bytes);
  TF_DeleteStatus(status);
}

template <void (*act)(const std::string&, TF_Status*)>
void add(const char* name) {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(name);
  TF_OpDefinitionBuilderAddInput(definition, "bytes: uint8");
  TF_OpDefinitionBuilderSetIsStateful(definition, true);
  TF_RegisterOpDefinition(definition, status);
  if (TF_GetCode(status) == TF_OK)
    TF_RegisterKernelBuilder(name, TF_NewKernelBuilder(name, "CPU", nullptr, compute<act>, nullptr), status);
  TF_DeleteStatus(status);
}

const bool registered = [] {
  add<addFunction>("PromptsrcAddFunction");
  add<removeFunction>("PromptsrcRemoveFunction");
  return true;
}();

}  // namespace

extern "C" __attribute__((visibility("default"))) TFE_Context* TFE_NewContext(const TFE_ContextOptions* options,
                                                                              TF_Status* status) {
  using Make = TFE_Context* (*)(const TFE_ContextOptions*, TF_Status*);
  context = reinterpret_cast<Make>(dlsym(RTLD_NEXT, "TFE_NewContext"))(options, status);
  return context;
}
