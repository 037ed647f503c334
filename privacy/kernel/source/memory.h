// Memory that is kept from one call to the next.
//
// A training step is one call, and the next wants the same sizes. Given back to the system in
// between, every page of it would be mapped and filled with zeros anew, which was a sixth of a step.
#pragma once

#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

class KeptMemory {
 public:
  // Never destroyed: what is static elsewhere may still give memory back when the process ends.
  static KeptMemory& of_process() {
    static KeptMemory& kept = *new KeptMemory;
    return kept;
  }

  // Starts on a cache line, with whatever was in it before. Throws std::bad_alloc.
  void* take(std::size_t bytes) {
    if (bytes < kWorthKeeping) return ::operator new(bytes, kLine);
    const std::size_t size = rounded(bytes);
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      for (Block& block : free_) {
        if (block.size != size) continue;
        void* const memory = block.memory;
        held_ -= size;
        block = free_.back();
        free_.pop_back();
        return memory;
      }
    }
    return ::operator new(size, kLine);
  }

  // `bytes` as they were asked for.
  void give_back(void* memory, std::size_t bytes) noexcept {
    if (bytes >= kWorthKeeping) {
      const std::size_t size = rounded(bytes);
      const std::lock_guard<std::mutex> guard(mutex_);
      if (held_ + size <= kMostHeld && free_.size() < free_.capacity()) {
        free_.push_back({memory, size});
        held_ += size;
        return;
      }
    }
    ::operator delete(memory, kLine);
  }

 private:
  struct Block {
    void* memory;
    std::size_t size;
  };

  static constexpr std::align_val_t kLine{64};
  static constexpr std::size_t kWorthKeeping = std::size_t{1} << 16;
  static constexpr std::size_t kMostHeld = std::size_t{1} << 28;  // 256 MiB
  static constexpr std::size_t kMostBlocks = 256;

  KeptMemory() { free_.reserve(kMostBlocks); }

  // Up to the next of a few sizes for each power of two, so that the next batch finds what this one
  // leaves although its students are not quite the same.
  static std::size_t rounded(std::size_t bytes) {
    std::size_t unit = kWorthKeeping / 4;
    while (unit < bytes / 8 + 1) unit *= 2;
    return (bytes + unit - 1) / unit * unit;
  }

  std::mutex mutex_;
  std::vector<Block> free_;
  std::size_t held_ = 0;
};
