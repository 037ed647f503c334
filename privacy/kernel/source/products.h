// Matrix products in registers: a tile of up to 6 rows by 2 vectors of columns is summed over the
// whole depth before it is written, so that each number of the result is touched once.
//
// Included once for each instruction set, inside its namespace.

constexpr int kTileRows = 6;
constexpr int kTileSide = 3;  // of dot products

constexpr int64_t rounded_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Distance between rows of `width` reals: an odd number of cache lines, so that the same column of
// many rows does not fall into the same few places of the cache.
template <typename T>
int64_t row_distance(int64_t width) {
  constexpr int64_t line = 64 / sizeof(T);
  const int64_t lines = rounded_up(width, line) / line;
  return (lines | 1) * line;
}

// A matrix [depth, columns] cut into panels of two vectors of columns, each panel's rows behind one
// another; columns are filled up to whole vectors with zeros.
template <typename T>
struct Packed {
  int64_t depth = 0, columns = 0;
  Buffer<T> values;

  template <typename At>
  void fill(int64_t rows, int64_t padded_columns, At at) {
    depth = rows;
    columns = padded_columns;
    values.resize(rows * padded_columns);
    T* next = values.data();
    for (int64_t first = 0; first < columns; first += 2 * kLanes<T>) {
      const int64_t last = std::min<int64_t>(first + 2 * kLanes<T>, columns);
      for (int64_t row = 0; row < depth; ++row)
        for (int64_t column = first; column < last; ++column) *next++ = at(row, column);
    }
  }
};

// out[m] = onto[m] + rows[m] * panel, for MR rows and NV vectors of columns.
template <typename T, int MR, int NV>
INLINE void tile_of_rows(const T* const* rows, const T* panel, int64_t depth, const T* const* onto,
                         T* const* out, int64_t column) {
  Vec<T> sums[MR][NV];
  const T* row[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    row[m] = rows[m];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) sums[m][v] = Vec<T>{};
  }
  for (int64_t k = 0; k < depth; ++k, panel += NV * kLanes<T>) {
    Vec<T> right[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) right[v] = load<T>(panel + v * kLanes<T>);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> left = all<T>(row[m][k]);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sums[m][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      const int64_t at = column + v * kLanes<T>;
      store<T>(out[m] + at, onto ? sums[m][v] + load<T>(onto[m] + at) : sums[m][v]);
    }
}

template <typename T, int NV>
void tiles_of_rows(const T* const* rows, int64_t count, const T* panel, int64_t depth,
                   const T* const* onto, T* const* out, int64_t column) {
  while (count > 0) {
    // 8 rows are 4 and 4, not 6 and 2: small tiles wait for their own sums.
    const int64_t tiles = (count + kTileRows - 1) / kTileRows;
    const int taken = static_cast<int>((count + tiles - 1) / tiles);
    switch (taken) {
      case 1: tile_of_rows<T, 1, NV>(rows, panel, depth, onto, out, column); break;
      case 2: tile_of_rows<T, 2, NV>(rows, panel, depth, onto, out, column); break;
      case 3: tile_of_rows<T, 3, NV>(rows, panel, depth, onto, out, column); break;
      case 4: tile_of_rows<T, 4, NV>(rows, panel, depth, onto, out, column); break;
      case 5: tile_of_rows<T, 5, NV>(rows, panel, depth, onto, out, column); break;
      default: tile_of_rows<T, 6, NV>(rows, panel, depth, onto, out, column);
    }
    rows += taken;
    out += taken;
    if (onto) onto += taken;
    count -= taken;
  }
}

// out[m] = onto[m] + rows[m] * matrix, for any number of rows; onto may be null.
template <typename T>
void multiply_rows(const T* const* rows, int64_t count, const Packed<T>& matrix,
                   const T* const* onto, T* const* out) {
  const T* panel = matrix.values.data();
  for (int64_t column = 0; column < matrix.columns; column += 2 * kLanes<T>) {
    if (matrix.columns - column >= 2 * kLanes<T>) {
      tiles_of_rows<T, 2>(rows, count, panel, matrix.depth, onto, out, column);
    } else {
      tiles_of_rows<T, 1>(rows, count, panel, matrix.depth, onto, out, column);
    }
    panel += matrix.depth * 2 * kLanes<T>;
  }
}

// out[m, :] = sum over k of left[k, m] * right[k, :]; returns the sum of squares of what it wrote.
template <typename T, int MR, int NV>
INLINE double tile_of_outer_products(const T* left, int64_t left_distance, const T* right,
                                     int64_t right_distance, int64_t depth, T* out,
                                     int64_t out_distance) {
  Vec<T> sums[MR][NV];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) sums[m][v] = Vec<T>{};
  for (int64_t k = 0; k < depth; ++k, left += left_distance, right += right_distance) {
    Vec<T> row[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) row[v] = load<T>(right + v * kLanes<T>);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> one = all<T>(left[m]);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sums[m][v] += one * row[v];
    }
  }
  Vec<T> squares = Vec<T>{};
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      store<T>(out + m * out_distance + v * kLanes<T>, sums[m][v]);
      squares += sums[m][v] * sums[m][v];
    }
  return sum_of<T>(squares);
}

template <typename T, int NV>
double column_of_outer_products(const T* left, int64_t left_distance, int64_t height,
                                const T* right, int64_t right_distance, int64_t depth, T* out,
                                int64_t out_distance) {
  double squares = 0;
  int64_t m = 0;
  for (; m + kTileRows <= height; m += kTileRows)
    squares += tile_of_outer_products<T, kTileRows, NV>(
        left + m, left_distance, right, right_distance, depth, out + m * out_distance, out_distance);
  // A gate's share is a whole number of vectors, so the height is a multiple of 4 * lanes.
  for (; m < height; m += 2)
    squares += tile_of_outer_products<T, 2, NV>(left + m, left_distance, right, right_distance,
                                                depth, out + m * out_distance, out_distance);
  return squares;
}

// out [height, width] = left^T right, where left is [depth, height] and right [depth, width]; the
// width is in whole vectors. Returns the squared norm of the result.
template <typename T>
double sum_outer_products(const T* left, int64_t left_distance, int64_t height, const T* right,
                          int64_t right_distance, int64_t width, int64_t depth, T* out,
                          int64_t out_distance) {
  double squares = 0;
  for (int64_t column = 0; column < width; column += 2 * kLanes<T>) {
    const auto tiles = width - column >= 2 * kLanes<T> ? column_of_outer_products<T, 2>
                                                       : column_of_outer_products<T, 1>;
    squares += tiles(left, left_distance, height, right + column, right_distance, depth,
                     out + column, out_distance);
  }
  return squares;
}

// Dot products of rows u .. u + 2 of `left` with rows v .. v + 2 of `right`, in double.
INLINE void tile_of_dot_products(const double* left, const double* right, int64_t distance,
                                 double (&out)[kTileSide][kTileSide]) {
  Vec<double> sums[kTileSide][kTileSide];
#pragma GCC unroll 4
  for (int u = 0; u < kTileSide; ++u)
#pragma GCC unroll 4
    for (int v = 0; v < kTileSide; ++v) sums[u][v] = Vec<double>{};
  for (int64_t k = 0; k < distance; k += kLanes<double>) {
    Vec<double> row[kTileSide];
#pragma GCC unroll 4
    for (int v = 0; v < kTileSide; ++v) row[v] = load<double>(right + v * distance + k);
#pragma GCC unroll 4
    for (int u = 0; u < kTileSide; ++u) {
      const Vec<double> one = load<double>(left + u * distance + k);
#pragma GCC unroll 4
      for (int v = 0; v < kTileSide; ++v) sums[u][v] += one * row[v];
    }
  }
  for (int u = 0; u < kTileSide; ++u)
    for (int v = 0; v < kTileSide; ++v) out[u][v] = sum_of<double>(sums[u][v]);
}

// Squared norm of left^T right, for left [count, left_width] and right [count, right_width]: the sum
// over pairs of rows of (left_u . left_v) (right_u . right_v) (Goodfellow 2015, "Efficient
// Per-Example Gradient Computations", for sequences Bu et al. 2023). Terms may cancel, so all of
// it is in double. The rows after the last, up to a multiple of kTileSide, are zero.
inline double squared_norm_of_product(const double* left, int64_t left_width, const double* right,
                                      int64_t right_width, int64_t count) {
  double squares = 0;
  double of_left[kTileSide][kTileSide], of_right[kTileSide][kTileSide];
  for (int64_t u = 0; u < count; u += kTileSide)
    for (int64_t v = 0; v <= u; v += kTileSide) {
      tile_of_dot_products(left + u * left_width, left + v * left_width, left_width, of_left);
      tile_of_dot_products(right + u * right_width, right + v * right_width, right_width, of_right);
      double tile = 0;
      for (int i = 0; i < kTileSide; ++i)
        for (int j = 0; j < kTileSide; ++j) tile += of_left[i][j] * of_right[i][j];
      squares += u == v ? tile : 2 * tile;
    }
  return squares;
}

// total += factor * values, the sum in double: what others added decides nothing about its rounding.
template <typename T>
void add_wide(double* total, const T* values, int64_t count, T factor) {
  typedef double Wide __attribute__((vector_size(kLanes<T> * sizeof(double))));
  typedef double Anywhere
      __attribute__((vector_size(kLanes<T> * sizeof(double)), aligned(sizeof(double)), may_alias));
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) {
    const Vec<T> scaled = load<T>(values + i) * factor;
    *reinterpret_cast<Anywhere*>(total + i) += __builtin_convertvector(scaled, Wide);
  }
  for (; i < count; ++i) total[i] += static_cast<double>(static_cast<T>(values[i] * factor));
}

// total += factor * values
template <typename T>
void add_scaled(T* total, const T* values, int64_t count, T factor) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>)
    store<T>(total + i, load<T>(total + i) + load<T>(values + i) * factor);
  for (; i < count; ++i) total[i] += values[i] * factor;
}

// Sum of squares; `count` is in whole vectors. In T only 16 vectors long: a float that many squares
// were added to stays behind their sum.
template <typename T>
double squared_norm(const T* values, int64_t count) {
  double sum = 0;
  for (int64_t first = 0; first < count; first += 16 * kLanes<T>) {
    Vec<T> squares = Vec<T>{};
    for (int64_t i = first; i < std::min<int64_t>(count, first + 16 * kLanes<T>); i += kLanes<T>) {
      const Vec<T> value = load<T>(values + i);
      squares += value * value;
    }
    sum += sum_of<T>(squares);
  }
  return sum;
}
