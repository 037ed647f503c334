// Vectors of reals in GCC's and Clang's portable notation, and the two nonlinearities on them.
//
// Included once for each instruction set, inside its namespace: kBytes is the width of a register.

template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Int = int32_t;
  static constexpr int kMantissa = 23, kTerms = 8;  // terms of the series of exp(r) - 1
  static constexpr float kTooLarge = 87;            // exp() of more is not a normal number
  // ln 2 in two parts; the first has zeros at its end, so that n * kHigh is exact.
  static constexpr float kHigh = 0.693359375f, kLow = -2.12194440e-4f;
};
template <>
struct Bits<double> {
  using Int = int64_t;
  static constexpr int kMantissa = 52, kTerms = 14;
  static constexpr double kTooLarge = 700;
  static constexpr double kHigh = 6.93147180369123816490e-01, kLow = 1.90821492927058770002e-10;
};

template <typename T>
constexpr int kLanes = kBytes / sizeof(T);

template <typename T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kBytes)));
  typedef T Anywhere __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  typedef typename Bits<T>::Int IntType __attribute__((vector_size(kBytes)));
};
template <typename T>
using Vec = typename VectorOf<T>::Type;

template <typename T>
INLINE Vec<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::Anywhere*>(from);
}

template <typename T>
INLINE void store(T* to, Vec<T> value) {
  *reinterpret_cast<typename VectorOf<T>::Anywhere*>(to) = value;
}

template <typename T>
INLINE Vec<T> all(T value) {
  return value - Vec<T>{};  // minus, so that it is the value itself even for -0
}

template <typename T>
INLINE double sum_of(Vec<T> value) {
  double sum = 0;
  for (int i = 0; i < kLanes<T>; ++i) sum += static_cast<double>(value[i]);
  return sum;
}

// exp(x) - 1 to a few units of the last place, also near 0; a NaN stays a NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2, then 2^n (exp(r) - 1) + (2^n - 1) (Cody and Waite 1980,
// "Software Manual for the Elementary Functions", chapter 6, with Taylor's series).
template <typename T>
INLINE Vec<T> exp_minus_one(Vec<T> x) {
  using B = Bits<T>;
  using Ints = typename VectorOf<T>::IntType;
  const Vec<T> high = all<T>(B::kTooLarge), low = all<T>(-B::kTooLarge);
  x = x > high ? high : x;  // false for a NaN
  x = x < low ? low : x;
  // Adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits.
  const Vec<T> magic = all<T>(T(1.5) * T(typename Bits<T>::Int(1) << B::kMantissa));
  const Vec<T> shifted = x * T(1.44269504088896340736) + magic;
  const Vec<T> n = shifted - magic;
  const Vec<T> r = (x - n * B::kHigh) - n * B::kLow;
  Vec<T> series = all<T>(T(kInverseFactorial[B::kTerms]));
#pragma GCC unroll 16
  for (int k = B::kTerms - 1; k >= 2; --k) series = series * r + T(kInverseFactorial[k]);
  const Vec<T> small = r + r * r * series;
  const Ints one = (Ints)all<T>(1);
  const Vec<T> power = (Vec<T>)(((Ints)shifted << B::kMantissa) + one);  // 2^n
  return power * small + (power - T(1));
}

template <typename T>
INLINE Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(2) + exp_minus_one<T>(-x));
}

template <typename T>
INLINE Vec<T> hyperbolic_tangent(Vec<T> x) {
  const Vec<T> p = exp_minus_one<T>(x + x);
  return p / (p + T(2));
}
