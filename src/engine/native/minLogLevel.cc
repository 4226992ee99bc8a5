// Makes TensorFlow respect TF_CPP_MIN_LOG_LEVEL from the start. While it is being loaded, before it reads that variable,
// libtensorflow logs "oneDNN custom operations are on" to stderr, which a notebook shows as an error. The dynamic linker
// looks symbols up in the binding first, so this definition of absl::MinLogLevel replaces the library's. It is declared
// as in TensorFlow 2.21 (absl/log/globals.h); another version would not call it, and would log those lines.
// Only on Linux: on macOS a library calls its own functions, but logs nothing either.
#include <cstdlib>

namespace absl {
inline namespace lts_20250814 {
enum class LogSeverityAtLeast : int { kInfo = 0, kWarning = 1, kError = 2, kFatal = 3 };

// The least severity that is logged: TF_CPP_MIN_LOG_LEVEL (0 to 3), or errors only if it is not set.
__attribute__((visibility("default"))) LogSeverityAtLeast MinLogLevel() {
  static const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
  const int least = level == nullptr ? 2 : std::atoi(level);
  return static_cast<LogSeverityAtLeast>(least < 0 ? 0 : least > 3 ? 3 : least);
}
}  // namespace lts_20250814
}  // namespace absl
