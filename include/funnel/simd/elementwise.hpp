// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace funnel {
namespace detail {

/// c[0] + c[1] x + c[2] x^2 + ...
template <class Pack, class T, std::size_t N>
Pack polynomial(const Pack& x, const T (&c)[N]) {
  Pack sum(c[N - 1]);
  for (std::size_t i = N - 1; i > 0; --i) sum = fma(sum, x, Pack(c[i - 1]));
  return sum;
}

/// Constants for e^x = 2^n e^r with n = round(x / ln 2) and r = x - n ln 2, where
/// e^r - 1 = r + r^2 P(r). The coefficients p are the minimax fit of P on |r| <= ln 2 / 2.
template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
  static constexpr int mantissa = 23;
  static constexpr std::uint32_t bias = 127;
  static constexpr float lowest = -87.33654f;      // below it e^x is not a normal number
  static constexpr float highest = 88.72283f;      // above it e^x is infinite
  static constexpr float to_integer = 12582912.f;  // 1.5 * 2^23: rounds a sum to integers
  static constexpr float log2_e = 1.44269504f;
  static constexpr float ln2_high = 0.693359375f;  // products with n are exact
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr float p[] = {0.500000006171f, 0.166665430551f, 0.0416662826359f,
                                0.00836657984783f, 0.00139464164897f};
};
template <>
struct exp_constants<double> {
  static constexpr int mantissa = 52;
  static constexpr std::uint64_t bias = 1023;
  static constexpr double lowest = -708.3964185322641;
  static constexpr double highest = 709.782712893384;
  static constexpr double to_integer = 6755399441055744.;  // 1.5 * 2^52
  static constexpr double log2_e = 1.4426950408889634;
  static constexpr double ln2_high = 0.6931471803691238;
  static constexpr double ln2_low = 1.9082149292705877e-10;
  static constexpr double p[] = {0.50000000000000054981,   0.16666666666666686027,
                                 0.041666666666574032922,  0.0083333333333145678,
                                 0.001388888893228109,     0.00019841269903088617,
                                 2.4801504537057319538e-5, 2.7557227898781997898e-6,
                                 2.7626297523008307411e-7, 2.511449120702758812e-8};
};

/// The parts of e^x: e^r - 1, n, and the bits of n at the position of an exponent.
template <class T, class Arch>
struct exp_parts {
  using constants = exp_constants<T>;
  batch<T, Arch> expm1_r;
  batch<T, Arch> n;
  batch<bits_of<T>, Arch> exponent;

  explicit exp_parts(const batch<T, Arch>& x) {
    using p = batch<T, Arch>;
    const p shifted = fma(x, p(constants::log2_e), p(constants::to_integer));
    n = shifted - p(constants::to_integer);
    const p r = fma(n, p(-constants::ln2_low), fma(n, p(-constants::ln2_high), x));
    expm1_r = fma(r * r, polynomial(r, constants::p), r);
    exponent = as_bits(shifted) << constants::mantissa;
  }
};

/// e^x. Adding n to the exponent of e^r is exact for every normal result. A result below the normal
/// numbers is 0, or correctly denormal if there is an instruction that multiplies by 2^n.
template <class T, class Arch>
batch<T, Arch> exp_of(const batch<T, Arch>& x) {
  using p = batch<T, Arch>;
  using constants = exp_constants<T>;
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(p) == 64) {  // an eighth faster; e^(lowest - 40) is 0 in both types
    const exp_parts<T, Arch> parts(
        at_most(at_least(x, p(constants::lowest - 40)), p(constants::highest + 1)));
    const p y = p(T(1)) + parts.expm1_r;
    // With a mask of all lanes, because g++ 12 warns about the form without one. The instruction is
    // the same.
    if constexpr (sizeof(T) == sizeof(float))
      return p(_mm512_mask_scalef_ps(y, 0xffff, y, parts.n));
    else
      return p(_mm512_mask_scalef_pd(y, 0xff, y, parts.n));
  }
#endif
  const exp_parts<T, Arch> parts(x);
  const p y = from_bits<T>(as_bits(p(T(1)) + parts.expm1_r) + parts.exponent);
  const p positive = select(x < p(constants::lowest), p(T(0)), y);
  return select(x <= p(constants::highest), positive,  // x + infinity: infinity, or NaN for NaN
                x + p(std::numeric_limits<T>::infinity()));
}
template <class T>
scalar_pack<T> exp_of(scalar_pack<T> x) {
  return std::exp(x.value);
}

/// tanh x = q / (q + 2) with q = e^2x - 1, which has no cancellation around 0.
template <class T, class Arch>
batch<T, Arch> tanh_of(const batch<T, Arch>& x) {
  using p = batch<T, Arch>;
  using constants = exp_constants<T>;
  const p limit(sizeof(T) == sizeof(float) ? T(9.02) : T(19.1));  // tanh is 1 from here on
  const p bounded = at_most(at_least(x, -limit), limit);
  const exp_parts<T, Arch> parts(bounded + bounded);
  const batch<bits_of<T>, Arch> one(constants::bias << constants::mantissa);
  const p power = from_bits<T>(parts.exponent + one);
  const p q = fma(power, parts.expm1_r, power - p(T(1)));
  return quotient(q, q + p(T(2)));
}
template <class T>
scalar_pack<T> tanh_of(scalar_pack<T> x) {
  return std::tanh(x.value);
}

/// Constants for ln(1 + f) = 2 s + s^3 L(s^2) with s = f / (2 + f). `near` is the minimax fit of L
/// for 1 + f between sqrt(1/2) and sqrt(2), `unit` that for f in [0, 1].
template <class T>
struct log_constants;
template <>
struct log_constants<float> {
  static constexpr std::uint32_t sqrt_half = 0x3f3504f3;
  static constexpr std::uint32_t magic = 0x4b000000;  // bits of 2^23; integers are added to them
  static constexpr float near[] = {0.666666656613f, 0.400003327139f, 0.285374240451f,
                                   0.23580505411f};
  static constexpr float unit[] = {0.666664143544f, 0.400216447792f, 0.279998680025f,
                                   0.280214298291f};
};
template <>
struct log_constants<double> {
  static constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr std::uint64_t magic = 0x4330000000000000;
  static constexpr double near[] = {0.66666666666667306746, 0.39999999999433438942,
                                    0.28571428739020222942, 0.22222198861733760318,
                                    0.18183551552365371464, 0.15314332266736173736,
                                    0.14793503269067788163};
  static constexpr double unit[] = {0.66666666666666315939,  0.40000000000153905896,
                                    0.28571428548196675422,  0.22222223951652321137,
                                    0.18181744480261353479,  0.1538654941416820437,
                                    0.13301097842678333575,  0.1210519167050830297,
                                    0.083436888441844424631, 0.1701243161524659013};
};

/// ln x for every x, including denormal numbers.
template <class T, class Arch>
batch<T, Arch> log_of(const batch<T, Arch>& x) {
  using p = batch<T, Arch>;
  using bits = batch<bits_of<T>, Arch>;
  using limits = std::numeric_limits<T>;
  using constants = log_constants<T>;
  constexpr int mantissa = exp_constants<T>::mantissa;
  constexpr auto bias = exp_constants<T>::bias;
  constexpr auto one = bias << mantissa;
  // x = 2^n m with m from sqrt(1/2) to sqrt(2); denormal numbers are multiplied by 2^mantissa
  // first.
  const auto tiny = x < p(limits::min());
  const p normal = select(tiny, x * p(T(1) / limits::epsilon()), x);
  const bits moved = as_bits(normal) + bits(one - constants::sqrt_half);
  const p n = from_bits<T>((moved >> mantissa) + bits(constants::magic)) -
              select(tiny, p(T(1) / limits::epsilon() + T(bias + mantissa)),
                     p(T(1) / limits::epsilon() + T(bias)));
  const p m =
      from_bits<T>((moved & bits((bits_of<T>(1) << mantissa) - 1)) + bits(constants::sqrt_half));
  const p f = m - p(T(1));
  const p s = quotient(f, f + p(T(2)));
  const p z = s * s;
  const p half_square = p(T(0.5)) * f * f;
  const p sum = fma(z, polynomial(z, constants::near), half_square);
  const p low = fma(s, sum, n * p(exp_constants<T>::ln2_low));
  const p y = fma(n, p(exp_constants<T>::ln2_high), f - (half_square - low));
  const p finite = select(x < p(limits::infinity()), y, x);  // infinity and NaN stay
  return select(x > p(T(0)), finite,
                select(x == p(T(0)), p(-limits::infinity()), p(limits::quiet_NaN())));
}
template <class T>
scalar_pack<T> log_of(scalar_pack<T> x) {
  return std::log(x.value);
}

/// ln(1 + f) for f in [0, 1].
template <class T, class Arch>
batch<T, Arch> log1p_of_unit(const batch<T, Arch>& f) {
  using p = batch<T, Arch>;
  const p s = quotient(f, f + p(T(2)));
  const p z = s * s;
  return fma(-s, fma(-z, polynomial(z, log_constants<T>::unit), f), f);
}
template <class T>
scalar_pack<T> log1p_of_unit(scalar_pack<T> f) {
  return std::log1p(f.value);
}

template <class Pack>
Pack sigmoid_of(const Pack& x) {
  return quotient(Pack(1), Pack(1) + exp_of(-x));
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
template <class Pack>
Pack softplus_of(const Pack& x) {
  return at_least(x, Pack(0)) + log1p_of_unit(exp_of(-abs(x)));
}

/// Constants for the tail of the normal distribution: Phi(-t) = e^(-t^2/2) Q((t - c) / (t + c)) for
/// t >= 0. Q is the minimax fit, for the relative error, up to the t at which the tail is 0.
template <class T>
struct normal_tail_constants;
template <>
struct normal_tail_constants<float> {
  static constexpr float center = 3;
  static constexpr float farthest = 15;
  static constexpr float q[] = {0.121513947628f,     -0.206402619039f,    0.12322503068f,
                                -0.0462132909533f,   0.00613207063161f,   0.00290455615183f,
                                -0.000983758341859f, -0.000339484804171f, 0.000115543655832f,
                                5.36717660871e-5f};
};
template <>
struct normal_tail_constants<double> {
  static constexpr double center = 5;
  static constexpr double farthest = 39;
  static constexpr double q[] = {
      0.076919304975006295913,   -0.14345755526401197375,   0.11606881188600329394,
      -0.080883877264127260075,  0.047855352284169984532,   -0.023413900487695819724,
      0.0089913705505910326892,  -0.002378844356656510528,  0.00021955073761316655299,
      0.00013427684325784948871, -6.0427482763768755572e-5, 9.6130609577704003093e-7,
      6.6444212124524357162e-6,  -1.2700747965525416961e-6, -6.7507869334255507355e-7,
      2.433434698218610296e-7,   7.7107250297908251028e-8,  -3.9162704035455243622e-8,
      -1.0994099339352877817e-8, 5.6847373216343312781e-9,  1.824181747256843408e-9,
      -5.681037765939654134e-10, -2.3100697743626437835e-10};
};

/// Normal distribution: its cumulative distribution function Phi(x), and its density e^(-x^2/2) /
/// sqrt(2 pi).
template <class Pack>
struct normal_distribution {
  Pack cumulative;
  Pack density;
};

template <class Arch, class T>
normal_distribution<pack<Arch, T>> normal_of(const pack<Arch, T>& x) {
  using p = pack<Arch, T>;
  using constants = normal_tail_constants<T>;
  const p t = at_most(p(abs(x)), p(constants::farthest));
  const p power = exp_of(p(T(-0.5)) * t * t);
  const p center(constants::center);
  const p tail = power * polynomial(quotient(t - center, t + center), constants::q);
  return {select(x > p(T(0)), p(T(1)) - tail, tail), power * p(T(0.3989422804014327))};
}

/// Elementwise map: y[i] = f(x[i]...) for i < n, one register at a time. y may be one of the x.
template <class Arch, class T, class F, class... In>
void map(Arch, std::size_t n, T* y, const F& f, const In*... x) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  std::size_t i = 0;
  for (; i + width <= n; i += width) f(p::load_unaligned(x + i)...).store_unaligned(y + i);
  if (i < n) store_first<Arch, T>(f(load_first<Arch, T>(x + i, n - i)...), y + i, n - i);
}

}  // namespace detail

/// Exponential: y[i] = e^x[i]. x and y may be the same array; this holds for all functions below.
///
/// Numerics    Error at most 2 ulp if the result is a normal number. A smaller result is 0 or a
///             number below the smallest normal one. e^-infinity is 0, and NaN stays NaN.
template <class Arch, class T>
void exp_kernel(Arch arch, const T* x, T* y, std::size_t n) noexcept {
  detail::map(
      arch, n, y, [](const auto& v) { return detail::exp_of(v); }, x);
}

/// Natural logarithm: y[i] = ln x[i]. Error at most 2 ulp; -infinity at 0, NaN below 0.
template <class Arch, class T>
void log_kernel(Arch arch, const T* x, T* y, std::size_t n) noexcept {
  detail::map(
      arch, n, y, [](const auto& v) { return detail::log_of(v); }, x);
}

/// y[i] = ln(1 + x[i]). Error at most 2 ulp; -infinity at -1, NaN below -1.
template <class Arch, class T>
void log1p_kernel(Arch arch, const T* x, T* y, std::size_t n) noexcept {
  detail::map(
      arch, n, y, [](const auto& v) { return log1p(v); }, x);
}

/// Softplus: y[i] = ln(1 + e^x[i]), without overflow or cancellation. Error at most 2 ulp.
template <class Arch, class T>
void softplus_kernel(Arch arch, const T* x, T* y, std::size_t n) noexcept {
  detail::map(
      arch, n, y, [](const auto& v) { return detail::softplus_of(v); }, x);
}

}  // namespace funnel
