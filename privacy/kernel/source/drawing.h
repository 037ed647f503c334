// Integers out of uniform words, by an alias table; ../../discrete_gaussian.py says which and why.
#pragma once

#include <cstdint>

// Draws two integers from the two halves of each word: first + radix * second.
//
// A bin is a threshold in the upper half and the index of its alias in the lower one. The first
// bits of a half word choose a bin, and the rest, shifted to the front, is compared with the
// threshold. Which way it goes decides no branch; which bin is read is an address, though, and tells
// of the noise to whoever shares the cache. Where they are equal the alias is taken, and the half word goes onto the list for the caller, who
// has more bits; that happens once in 2**(32 - bits).
//
// words: [count]; bins: [2**bits]; drawn: [count]; ties: [2 * count], half words by their position.
// Returns how many ties there are.
inline int64_t draw_by_alias(const uint64_t* words, int64_t count, const uint64_t* bins,
                             int bits, int64_t middle, int64_t radix, int64_t* drawn,
                             int64_t* ties) {
  const int shift = 32 - bits;
  const int64_t offset = -(middle + radix * middle);
  int64_t found = 0;
  const auto drawn_by = [&](uint32_t half, bool& tie) -> int64_t {
    const uint32_t bin = half >> shift;
    const uint64_t entry = bins[bin];
    const uint32_t rest = half << bits, threshold = static_cast<uint32_t>(entry >> 32);
    tie = tie | (rest == threshold);
    return rest < threshold ? bin : static_cast<uint32_t>(entry);
  };
  for (int64_t i = 0; i < count; ++i) {
    bool first_ties = false, second_ties = false;
    const int64_t first = drawn_by(static_cast<uint32_t>(words[i]), first_ties);
    const int64_t second = drawn_by(static_cast<uint32_t>(words[i] >> 32), second_ties);
    drawn[i] = first + radix * second + offset;
    if (__builtin_expect(first_ties | second_ties, 0)) {
      if (first_ties) ties[found++] = 2 * i;
      if (second_ties) ties[found++] = 2 * i + 1;
    }
  }
  return found;
}
