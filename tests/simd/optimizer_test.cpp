// SPDX-License-Identifier: MIT
#include <funnel/simd/optimizer.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

/// Lengths around one register and the four that sums take at a time.
template <class Arch, class T>
std::vector<std::size_t> lengths() {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
  return {0, 1, width - 1, width, width + 1, 4 * width, 5 * width - 1, 9 * width + 3, 1000};
}

/// Arrays of a step, one value longer than the kernel is told.
template <class T>
struct arrays {
  std::vector<T> g, first, second, p;

  explicit arrays(std::size_t n)
      : g(random_values<T>(n + 1, 1)), first(random_values<T>(n + 1, 2)),
        second(random_values<T>(n + 1, 3, 0, 1)), p(random_values<T>(n + 1, 4)) {}
};

template <class T>
bool near(T found, double expected, double magnitudes) {
  return tolerance::within(static_cast<double>(found), expected,
                           tolerance::reduction<T>(6, magnitudes));
}

double square(double x) {
  return x * x;
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_kernel: against the formula in double", "", float, double) {
  using real = TestType;
  const funnel::sgd_step<real> step{real(0.1), real(0.9), real(0.01)};
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, real>()) {
      for (const bool with_momentum : {false, true}) {
        const arrays<real> before(n);
        arrays<real> a = before;
        funnel::sgd_kernel(arch, step, a.g.data(), with_momentum ? a.first.data() : nullptr,
                           a.p.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          const double g = static_cast<double>(before.g[i]);
          const double v = static_cast<double>(before.first[i]);
          const double p = static_cast<double>(before.p[i]);
          const double move = with_momentum ? static_cast<double>(step.momentum) * v + g : g;
          const double expected =
              p - static_cast<double>(step.rate) * (move + static_cast<double>(step.decay) * p);
          const double magnitudes = std::abs(p) + std::abs(v) + std::abs(g);
          CHECK(near(a.p[i], expected, magnitudes));
          CHECK(
              (with_momentum ? near(a.first[i], move, magnitudes) : a.first[i] == before.first[i]));
        }
        CHECK(a.p[n] == before.p[n]);
        CHECK(a.first[n] == before.first[n]);
      }
    }
  });
}

TEMPLATE_TEST_CASE("adagrad_kernel: against the formula in double", "", float, double) {
  using real = TestType;
  const funnel::adagrad_step<real> step{real(0.1), real(0.001), real(0.01)};
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, real>()) {
      const arrays<real> before(n);
      arrays<real> a = before;
      funnel::adagrad_kernel(arch, step, a.g.data(), a.second.data(), a.p.data(), n);
      for (std::size_t i = 0; i < n; ++i) {
        const double g = static_cast<double>(before.g[i]);
        const double s = static_cast<double>(before.second[i]) + g * g;
        const double p = static_cast<double>(before.p[i]);
        const double move = g / (std::sqrt(s) + static_cast<double>(step.epsilon));
        const double expected =
            p - static_cast<double>(step.rate) * (move + static_cast<double>(step.decay) * p);
        CHECK(near(a.second[i], s, s));
        CHECK(near(a.p[i], expected, std::abs(p) + std::abs(move)));
      }
      CHECK(a.p[n] == before.p[n]);
      CHECK(a.second[n] == before.second[n]);
    }
  });
}

TEMPLATE_TEST_CASE("row_adagrad_kernel: one sum for a row", "", float, double) {
  using real = TestType;
  const funnel::adagrad_step<real> step{real(0.1), real(0.001), real(0.01)};
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, real>()) {
      if (n == 0) continue;
      const arrays<real> before(n);
      arrays<real> a = before;
      real sum = real(0.25);
      funnel::row_adagrad_kernel(arch, step, a.g.data(), sum, a.p.data(), n);
      double squares = 0;
      for (std::size_t i = 0; i < n; ++i) squares += square(static_cast<double>(before.g[i]));
      const double s = 0.25 + squares / static_cast<double>(n);
      CHECK(tolerance::within(static_cast<double>(sum), s, tolerance::reduction<real>(n, s)));
      for (std::size_t i = 0; i < n; ++i) {
        const double p = static_cast<double>(before.p[i]);
        const double move =
            static_cast<double>(before.g[i]) / (std::sqrt(s) + static_cast<double>(step.epsilon));
        const double expected =
            p - static_cast<double>(step.rate) * (move + static_cast<double>(step.decay) * p);
        CHECK(tolerance::within(static_cast<double>(a.p[i]), expected,
                                tolerance::reduction<real>(n, std::abs(p) + std::abs(move))));
      }
      CHECK(a.p[n] == before.p[n]);
    }
  });
}

TEMPLATE_TEST_CASE("row_adagrad_kernel: a gradient beyond the largest, an infinite one, NaN", "",
                   float, double) {
  using real = TestType;
  const funnel::adagrad_step<real> step{real(0.1), real(0.001), real(0.01)};
  const double limit = static_cast<double>(funnel::largest_gradient<real>);
  const real infinite = std::numeric_limits<real>::infinity();
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, real>()) {
      for (const real far :
           {std::numeric_limits<real>::max(), -infinite, static_cast<real>(std::nan(""))}) {
        if (n == 0) continue;
        arrays<real> a(n);
        const arrays<real> before = a;
        a.g[n / 2] = far;
        double sum = 0.25;
        funnel::row_adagrad_kernel(arch, step, a.g.data(), sum, a.p.data(), n);
        const double mean =
            std::isnan(far) ? static_cast<double>(far) : limit * limit / static_cast<double>(n);
        CHECK(tolerance::within(sum, mean, tolerance::reduction<double>(n, std::abs(mean))));
        for (std::size_t i = 0; i < n; ++i) {
          const double p = static_cast<double>(before.p[i]);
          const double g = std::clamp(static_cast<double>(a.g[i]), -limit, limit);
          const double expected =
              p - static_cast<double>(step.rate) *
                      (g / std::sqrt(mean) + static_cast<double>(step.decay) * p);
          CHECK(tolerance::within(
              static_cast<double>(a.p[i]), expected,
              tolerance::reduction<real>(n, std::abs(p) + std::abs(g / std::sqrt(mean)))));
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("adam_kernel: against the formula in double", "", float, double) {
  using real = TestType;
  const funnel::adam_step<real> step{real(0.1), real(0.001), real(0.01),
                                     real(3),   real(0.001), real(0.02)};
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, real>()) {
      const arrays<real> before(n);
      arrays<real> a = before;
      funnel::adam_kernel(arch, step, a.g.data(), a.first.data(), a.second.data(), a.p.data(), n);
      for (std::size_t i = 0; i < n; ++i) {
        const double g = static_cast<double>(before.g[i]);
        const double p = static_cast<double>(before.p[i]);
        const double m =
            static_cast<double>(before.first[i]) +
            static_cast<double>(step.first) * (g - static_cast<double>(before.first[i]));
        const double v =
            static_cast<double>(before.second[i]) +
            static_cast<double>(step.second) * (g * g - static_cast<double>(before.second[i]));
        const double root =
            std::sqrt(static_cast<double>(step.unbias) * v) + static_cast<double>(step.epsilon);
        const double expected =
            p - static_cast<double>(step.rate) * m / root - static_cast<double>(step.decay) * p;
        const double sizes = std::abs(g) + std::abs(static_cast<double>(before.first[i]));
        CHECK(near(a.first[i], m, sizes));
        CHECK(near(a.second[i], v, v));
        CHECK(near(a.p[i], expected, std::abs(p) + static_cast<double>(step.rate) * sizes / root));
      }
      CHECK(a.p[n] == before.p[n]);
      CHECK(a.first[n] == before.first[n]);
      CHECK(a.second[n] == before.second[n]);
    }
  });
}

TEMPLATE_TEST_CASE("adam_kernel: a value gives the same bits wherever it stands", "", float,
                   double) {
  using real = TestType;
  const funnel::adam_step<real> step{real(0.1), real(0.001), real(0.01),
                                     real(3),   real(0.001), real(0.02)};
  for_each_arch([&]<class Arch>(Arch arch) {
    const std::size_t n = 3 * funnel::detail::lanes<Arch, real> + 1;
    const arrays<real> before(n);
    arrays<real> together = before;
    arrays<real> apart = before;
    funnel::adam_kernel(arch, step, together.g.data(), together.first.data(),
                        together.second.data(), together.p.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      funnel::adam_kernel(arch, step, apart.g.data() + i, apart.first.data() + i,
                          apart.second.data() + i, apart.p.data() + i, 1);
    }
    CHECK(same_bits(together.p.data(), apart.p.data(), n));
    CHECK(same_bits(together.second.data(), apart.second.data(), n));
  });
}
