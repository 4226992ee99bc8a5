// Third source of the binding (engine.mjs). libtensorflow's C interface ignores TF_CPP_MIN_LOG_LEVEL for messages like "oneDNN custom
// operations are on": its logger shows errors only from the moment the binding is loaded. Declared here as TensorFlow 2.21's own
// absl/log/globals.h declares it; weak, so that a library without it still loads.
#include <cstdlib>
#include <cstring>

namespace absl {
inline namespace lts_20250814 {
enum class LogSeverityAtLeast : int { kInfo = 0, kWarning = 1, kError = 2 };
__attribute__((weak)) void SetMinLogLevel(LogSeverityAtLeast severity);
}  // namespace lts_20250814
}  // namespace absl

// TF_CPP_MIN_LOG_LEVEL=0 shows everything.
static const bool quiet = [] {
  const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
  if (absl::SetMinLogLevel != nullptr && (level == nullptr || std::strcmp(level, "0") != 0)) {
    absl::SetMinLogLevel(absl::LogSeverityAtLeast::kError);
  }
  return true;
}();
