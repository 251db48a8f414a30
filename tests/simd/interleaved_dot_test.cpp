// SPDX-License-Identifier: MIT
#include <funnel/simd/interleaved_dot.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

using funnel::direction_block;

namespace {

/// The products of a group with a block of directions, from `group` [d][lanes] and `directions`
/// [d][direction_block] at `shift` values behind a cache line.
template <class Arch, class T>
std::vector<T> products_of(Arch arch, const funnel::matrix<T>& group,
                           const funnel::matrix<T>& directions, std::size_t begin, std::size_t end,
                           std::size_t shift) {
  const std::size_t lanes = funnel::detail::lanes<Arch, T>;
  const auto moved = [&](const funnel::matrix<T>& m, std::size_t slack) {
    std::vector<T> values(shift + m.size() + slack, T(7));
    std::ranges::copy(m.flat(), values.begin() + static_cast<std::ptrdiff_t>(shift));
    return values;
  };
  const auto g = moved(group, 0);
  const auto d = moved(directions, funnel::direction_slack);
  std::vector<T> products(shift + (direction_block + funnel::direction_slack) * lanes, T(7));
  funnel::interleaved_dot_kernel(arch, g.data() + shift, d.data() + shift, group.rows(), begin, end,
                                 products.data() + shift);
  return {products.begin() + static_cast<std::ptrdiff_t>(shift), products.end()};
}

}  // namespace

TEMPLATE_TEST_CASE("interleaved_dot_kernel: agree with sums in double, for any part of a block", "",
                   float, double) {
  using T = TestType;
  for_each_arch([](auto arch) {
    using Arch = decltype(arch);
    constexpr std::size_t lanes = funnel::detail::lanes<Arch, T>;
    for (const std::size_t d : size_list{0, 1, 3, 64}) {
      const auto group = random_matrix<T>(d, lanes, 1 + d);
      const auto directions = random_matrix<T>(d, direction_block, 100 + d);
      std::size_t wrong = 0;
      std::size_t outside = 0;
      std::size_t other_bits = 0;
      const auto whole = products_of(arch, group, directions, 0, direction_block, 0);
      for (std::size_t begin = 0; begin < direction_block; ++begin)
        for (std::size_t end = begin; end <= direction_block; ++end) {
          const auto part = products_of(arch, group, directions, begin, end, end % 3);
          for (std::size_t s = 0; s < begin; ++s)
            for (std::size_t lane = 0; lane < lanes; ++lane)
              outside += part[s * lanes + lane] != T(7);
          for (std::size_t s = begin; s < end; ++s)
            for (std::size_t lane = 0; lane < lanes; ++lane) {
              const T product = part[s * lanes + lane];
              wrong += !tolerance::is_sum(product, d, [&](std::size_t f) {
                return static_cast<double>(group(f, lane)) * static_cast<double>(directions(f, s));
              });
              other_bits += product != whole[s * lanes + lane];
            }
        }
      CAPTURE(lanes, d);
      CHECK(wrong == 0);
      CHECK(outside == 0);
      CHECK(other_bits == 0);
    }
  });
}

TEMPLATE_TEST_CASE(
    "interleaved_dot_kernel: the same bits in every lane, and with the vectors swapped", "", float,
    double) {
  using T = TestType;
  for_each_arch([](auto arch) {
    using Arch = decltype(arch);
    constexpr std::size_t lanes = funnel::detail::lanes<Arch, T>;
    const std::size_t d = 37;
    const auto a = random_matrix<T>(d, 1, 1);
    const auto b = random_matrix<T>(d, 1, 2);
    const auto one_product = [&](const auto& lane_vector, const auto& direction, std::size_t lane,
                                 std::size_t s) {
      auto group = random_matrix<T>(d, lanes, 3);
      auto directions = random_matrix<T>(d, direction_block, 4);
      for (std::size_t f = 0; f < d; ++f) {
        group(f, lane) = lane_vector(f, 0);
        directions(f, s) = direction(f, 0);
      }
      return products_of(arch, group, directions, s, s + 1, 0)[s * lanes + lane];
    };
    const T product = one_product(a, b, 0, 0);
    for (std::size_t lane = 0; lane < lanes; ++lane)
      for (const std::size_t s : size_list{0, 5, 15}) {
        CHECK(one_product(a, b, lane, s) == product);
        CHECK(one_product(b, a, lane, s) == product);
      }
  });
}

TEMPLATE_TEST_CASE("interleave_rows_kernel: every value in its place", "", float, double) {
  using T = TestType;
  const auto check = [](auto rows_constant) {
    constexpr std::size_t count = rows_constant;
    for (std::size_t d = 0; d < 20; ++d) {
      const auto rows = random_matrix<T>(count, d, d);
      funnel::matrix<T> columns(d, count);
      funnel::interleave_rows_kernel<count>(funnel::default_arch{}, rows.data(), d, columns.data());
      for (std::size_t f = 0; f < d; ++f)
        for (std::size_t i = 0; i < count; ++i) CHECK(columns(f, i) == rows(i, f));

      const T* of[count];
      T factors[count];
      for (std::size_t i = 0; i < count; ++i) {
        of[i] = rows.row(count - 1 - i).data();
        factors[i] = static_cast<T>(i) + T(.3);
      }
      funnel::interleave_scaled_rows_kernel<count>(funnel::default_arch{}, of, factors, d,
                                                   columns.data());
      for (std::size_t f = 0; f < d; ++f)
        for (std::size_t i = 0; i < count; ++i)
          CHECK(columns(f, i) == factors[i] * rows(count - 1 - i, f));
    }
  };
  check(std::integral_constant<std::size_t, 1>{});
  check(std::integral_constant<std::size_t, 2>{});
  check(std::integral_constant<std::size_t, 4>{});
  check(std::integral_constant<std::size_t, 8>{});
  check(std::integral_constant<std::size_t, 16>{});
}
