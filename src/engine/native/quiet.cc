// Part of the binding (engine.mjs): libtensorflow announces "oneDNN custom operations are on" while it is being loaded, before it
// reads TF_CPP_MIN_LOG_LEVEL. The loader looks symbols up in the binding first, so this function stands in for the library's own and
// answers right from the start. Declared as in TensorFlow 2.21's absl/log/globals.h; another version would not ask it and only be louder.
#include <cstdlib>

namespace absl {
inline namespace lts_20250814 {
enum class LogSeverityAtLeast : int { kInfo = 0, kWarning = 1, kError = 2, kFatal = 3 };

// The least severity that is logged: TF_CPP_MIN_LOG_LEVEL (0 to 3), errors only when it is not set.
__attribute__((visibility("default"))) LogSeverityAtLeast MinLogLevel() {
  static const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
  const int least = level == nullptr ? 2 : std::atoi(level);
  return static_cast<LogSeverityAtLeast>(least < 0 ? 0 : least > 3 ? 3 : least);
}
}  // namespace lts_20250814
}  // namespace absl
