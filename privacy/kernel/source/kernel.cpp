// Sums of clipped per-student gradients of a knowledge-tracing LSTM; ../tracing.py says
// which network, and what is promised. And the drawing of integer noise, in drawing.h.
//
// The same source of the sums is compiled for several instruction sets, each in its own namespace, and the
// caller picks one that the processor has. Standard headers stay outside of the namespaces.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "drawing.h"
#include "memory.h"
#include "task.h"

#define INLINE static inline __attribute__((always_inline))

namespace {

// Starts on a cache line, so that no vector is read across two, and is not filled with zeros first.
template <typename T>
struct OnCacheLines {
  using value_type = T;
  OnCacheLines() = default;
  template <typename U>
  OnCacheLines(const OnCacheLines<U>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(KeptMemory::of_process().take(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) {
    KeptMemory::of_process().give_back(memory, count * sizeof(T));
  }
  template <typename U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <typename U, typename... Values>
  void construct(U* place, Values&&... values) {
    ::new (static_cast<void*>(place)) U(std::forward<Values>(values)...);
  }
  friend bool operator==(const OnCacheLines&, const OnCacheLines&) { return true; }
  friend bool operator!=(const OnCacheLines&, const OnCacheLines&) { return false; }
};

template <typename T>
using Buffer = std::vector<T, OnCacheLines<T>>;

// Students who walk in step: enough to read each weight once for several, few enough for the cache.
constexpr int64_t kGroup = 12;

constexpr double kInverseFactorial[] = {
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
    1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
    1.0 / 87178291200};

// Runs work(0) .. work(threads - 1), the first on the calling thread; rethrows what one threw.
template <typename Work>
void in_parallel(int64_t threads, Work work) {
  std::vector<std::exception_ptr> failures(threads);
  const auto guarded = [&](int64_t thread) {
    try {
      work(thread);
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(threads);
  for (int64_t thread = 1; thread < threads; ++thread) {
    try {
      others.emplace_back(guarded, thread);
    } catch (const std::system_error&) {  // the system gives no more threads: do its share here
      guarded(thread);
    }
  }
  guarded(0);
  for (std::thread& other : others) other.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

namespace baseline {
namespace {
constexpr int kBytes = 16;
#include "clipped_sum.h"
}  // namespace
}  // namespace baseline

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MORE_INSTRUCTION_SETS 1

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
namespace {
constexpr int kBytes = 32;
#include "clipped_sum.h"
}  // namespace
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma")
namespace avx512 {
namespace {
constexpr int kBytes = 64;
#include "clipped_sum.h"
}  // namespace
}  // namespace avx512
#pragma GCC pop_options
#endif

namespace {

template <typename T>
int run(const Task& task, int instruction_set) {
  try {
    switch (instruction_set) {
      case 0: baseline::clipped_sum<T>(task); return kDone;
#ifdef MORE_INSTRUCTION_SETS
      case 1: avx2::clipped_sum<T>(task); return kDone;
      case 2: avx512::clipped_sum<T>(task); return kDone;
#endif
      default: return kNotSupported;
    }
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  } catch (const std::length_error&) {  // more than any memory has
    return kOutOfMemory;
  }
}

}  // namespace

extern "C" {

// Whether this build and this processor have an instruction set: 0 baseline, 1 AVX2, 2 AVX-512.
__attribute__((visibility("default"))) int fedtrace_kernel_supports(int instruction_set) {
  switch (instruction_set) {
    case 0: return 1;
#ifdef MORE_INSTRUCTION_SETS
    case 1: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case 2:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
#endif
    default: return 0;
  }
}

__attribute__((visibility("default"))) int fedtrace_clipped_sum_f32(const Task* task, int set) {
  return run<float>(*task, set);
}

__attribute__((visibility("default"))) int fedtrace_clipped_sum_f64(const Task* task, int set) {
  return run<double>(*task, set);
}

__attribute__((visibility("default"))) int64_t fedtrace_draw_by_alias(
    const uint64_t* words, int64_t count, const uint64_t* bins, int bits, int64_t middle,
    int64_t radix, int64_t* drawn, int64_t* ties) {
  return draw_by_alias(words, count, bins, bits, middle, radix, drawn, ties);
}

}
