// Limits how much of a GPU's memory TensorFlow takes. The binding of tfjs-node makes its context with default options,
// so this definition of TFE_NewContextOptions stands in front of the library's: it makes the same options, and sets the
// share that PROMPTSRC_GPU_FRACTION asks for (src/engine/gpu.ts computes it from PROMPTSRC_GPU_MEMORY).
// Only on Linux: no other platform has a GPU build.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "tensorflow/c/eager/c_api.h"

namespace {
// A serialised ConfigProto { gpu_options { per_process_gpu_memory_fraction, allow_growth: true } }: tensorflow/core/
// protobuf/config.proto gives gpu_options the number 6, and within it the fraction (a double) 1 and allow_growth 4.
std::string gpuOptions(double fraction) {
  std::string options = "\x09";
  char bytes[sizeof fraction];
  std::memcpy(bytes, &fraction, sizeof fraction);
  options.append(bytes, sizeof fraction).append("\x20\x01");
  return std::string("\x32").append(1, static_cast<char>(options.size())).append(options);
}
}  // namespace

extern "C" __attribute__((visibility("default"))) TFE_ContextOptions* TFE_NewContextOptions() {
  using Make = TFE_ContextOptions* (*)();
  TFE_ContextOptions* options = reinterpret_cast<Make>(dlsym(RTLD_NEXT, "TFE_NewContextOptions"))();
  if (const char* share = std::getenv("PROMPTSRC_GPU_FRACTION")) {
    const std::string config = gpuOptions(std::atof(share));
    TF_Status* status = TF_NewStatus();
    TFE_ContextOptionsSetConfig(options, config.data(), config.size(), status);
    TF_DeleteStatus(status);
  }
  return options;
}
