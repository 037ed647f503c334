// The plain C interface: one task in, one sum and one norm a student out.
//
// Mirrored field by field in ../library.py. Nothing here is specific to an instruction set.
#pragma once

#include <cstdint>

struct Task {
  // Ragged rows: student i owns offsets[i] .. offsets[i + 1] of the interaction arrays.
  int64_t students;
  const int64_t* offsets;   // [students + 1]
  const int32_t* asked;     // [interactions], below `skills`
  const int8_t* correct;    // [interactions], 0 or 1
  const void* features;     // [interactions, features] reals, or null where `features` is 0

  // The network's sizes.
  int64_t skills, embedding, hidden, feature_count;

  // Where each table starts in the flat vector of parameters, and in the sum.
  int64_t at_shared;      // [feature_count] and, right behind it, the intercept
  int64_t at_easiness;    // [skills]
  int64_t at_answered;    // [2 * skills, embedding]
  int64_t at_onto_input;  // [4 * hidden, embedding]
  int64_t at_onto_hidden; // [4 * hidden, hidden]
  int64_t at_biases;      // two of [4 * hidden]
  int64_t at_head;        // [skills, hidden]
  int64_t size;           // of the vector

  const void* parameters;  // [size] reals
  double* total;           // [size], written; in double whatever the reals are
  void* norms;             // [students] reals, written

  double clipping_norm;
  double norm_raise;       // a norm is multiplied by this before it is compared with C
  int64_t threads;         // at least 1
};

// What the entry point returns.
enum Outcome : int { kDone = 0, kOutOfMemory = 1, kNotSupported = 2 };
