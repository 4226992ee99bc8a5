// Threads that share the rows of a kernel (operations.cc).
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace promptsrc {

// As many threads as TensorFlow's kernels have (src/engine/tf.ts sets the variable), the calling one among them. They
// live as long as the process. One kernel follows the other within microseconds, so a thread that has nothing to do
// looks out for work a while before it sleeps. Each begins with the same part of the rows every time, which the kernel
// before left in its core's cache, and helps the others at the end.
class Threads {
 public:
  Threads() {
    const char* said = std::getenv("TF_NUM_INTRAOP_THREADS");
    const int wanted = said ? std::atoi(said) : static_cast<int>(std::thread::hardware_concurrency());
    count = std::max(1, wanted);
    next = std::vector<Counter>(count);
    for (int i = 1; i < count; i++) std::thread([this, i] { serve(i); }).detach();
  }

  int size() const { return count; }

  // Calls part(from, to) for even parts of [0, length), of about `size` each.
  void share(int64_t length, int64_t size, const std::function<void(int64_t, int64_t)>& part) {
    const int64_t wanted = std::max<int64_t>(1, length / std::max<int64_t>(1, size));
    std::unique_lock<std::mutex> mine(callers, std::try_to_lock);
    const bool alone = count == 1 || wanted == 1 || !mine;
    const int64_t sharing = alone ? 1 : std::min<int64_t>(count, wanted);
    const int64_t parts = wanted / sharing * sharing;
    const auto one = [&](int64_t i) { part(length * i / parts, length * (i + 1) / parts); };
    if (alone) {
      for (int64_t i = 0; i < parts; i++) one(i);
      return;
    }
    job = one;
    active = static_cast<int>(sharing);
    each = parts / active;
    for (Counter& counter : next) counter.done = 0;
    open = true;
    round++;
    if (asleep > 0) {
      std::lock_guard<std::mutex> hold(lock);
      begun.notify_all();
    }
    work(0);
    open = false;
    while (helping > 0) pause();
  }

 private:
  struct alignas(64) Counter {
    std::atomic<int64_t> done{0};
  };

  // Without the lock while there is much to do: who waits for a lock sleeps, and is late for a part of a millisecond.
  void serve(int me) {
    for (uint64_t seen = 0;;) {
      for (int i = 0; i < patience && round == seen; i++) {
        for (int j = 0; j < 64 && round == seen; j++) pause();
        std::this_thread::yield();  // TensorFlow's own threads may want the processor
      }
      if (round == seen) {
        std::unique_lock<std::mutex> hold(lock);
        asleep++;
        begun.wait(hold, [&] { return round != seen; });
        asleep--;
      }
      seen = round;
      helping++;  // from here on `share` does not end, so that what it set stays
      if (open) work(me);
      helping--;
    }
  }

  void work(int me) {
    for (int k = 0; k < active; k++) {
      const int whose = (me + k) % active;
      for (int64_t i; (i = next[whose].done++) < each;) job(whose * each + i);
    }
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");  // waits about as long; `yield` does nothing on most processors
#endif
  }

  static constexpr int patience = 2000;  // some milliseconds
  int count, active = 1;
  std::mutex callers, lock;
  std::condition_variable begun;
  std::function<void(int64_t)> job;
  std::vector<Counter> next;
  std::atomic<uint64_t> round{0};
  std::atomic<int> helping{0}, asleep{0};
  std::atomic<bool> open{false};
  int64_t each = 0;
};

inline Threads& threads() {
  static Threads* all = new Threads;
  return *all;
}

}  // namespace promptsrc
