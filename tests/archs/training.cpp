// SPDX-License-Identifier: MIT
#include "pairs.hpp"

#include "support/matrices.hpp"

#include <array>
#include <cmath>
#include <cstring>

namespace {

constexpr std::size_t table_rows = 11;

/// Ids below `rows`, the last of them at the end: more of them than are asked for ahead.
std::vector<std::uint32_t> random_ids(std::size_t n, std::size_t rows) {
  funnel::random_generator bits(n);
  std::vector<std::uint32_t> ids(n);
  for (auto& id : ids) id = static_cast<std::uint32_t>(funnel::uniform_below(bits, rows));
  ids.back() = static_cast<std::uint32_t>(rows - 1);
  return ids;
}

/// `run(unit, arrays)` of any of them takes some steps of an optimizer, or adds as many numbers, on
/// values below 2, and gives arrays that agree.
template <class T, class Run>
void check_steps(const kernel_table<T>& scalar, const kernel_table<T>& other,
                 const std::array<std::vector<T>, 3>& state, std::size_t steps, const Run& run) {
  std::array<std::vector<T>, 3> a = state;
  std::array<std::vector<T>, 3> b = state;
  run(scalar, a);
  run(other, b);
  for (std::size_t i = 0; i < a.size(); ++i)
    CHECK(agree(a[i], b[i], [&](std::size_t) { return tolerance::iterative<T>(steps, 2); }));
}

}  // namespace

TEMPLATE_TEST_CASE("archs: gradients of dense layers agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t in : size_list{1, 7, 33}) {
      for (const std::size_t out : size_list{1, 8, 17, 65}) {
        for (const std::size_t n : size_list{1, 5, 13, 130}) {
          INFO("n " << n << ", in " << in << ", out " << out);
          const std::vector<TestType> x = random_values<TestType>(n * in, 20);
          const std::vector<TestType> g = random_values<TestType>(n * out, 21);
          const std::vector<TestType> weights = random_values<TestType>(in * out, 22);
          const auto check = [&](const std::vector<TestType>& start, std::size_t terms,
                                 const auto& run) {
            std::vector<TestType> a = start;
            std::vector<TestType> b = start;
            run(scalar, a.data());
            run(other, b.data());
            CHECK(agree(a, b, [&](std::size_t) {
              return 2 * tolerance::reduction<TestType>(terms + 1, static_cast<double>(terms + 1));
            }));
          };
          check(x, out, [&](const auto& unit, TestType* to) {
            std::vector<TestType> scratch(unit.packed_size(out, in));
            unit.input_gradient(g.data(), weights.data(), n, in, out, to, scratch.data());
          });
          check(weights, n, [&](const auto& unit, TestType* to) {
            std::vector<TestType> scratch(unit.weight_gradient_scratch(n, out));
            unit.weight_gradient(x.data(), g.data(), n, in, out, to, scratch.data());
          });
          // Each column is one sum in the order of the rows.
          std::vector<TestType> a(out, TestType(0.3));
          std::vector<TestType> b = a;
          scalar.column_sums(g.data(), n, out, a.data());
          other.column_sums(g.data(), n, out, b.data());
          CHECK(same_bits(a.data(), b.data(), out));
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: bags, gathered and scattered rows agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t cols : size_list{1, 3, 4, 7, 8, 15, 17, 32, 65, 129, 300}) {
      INFO("cols " << cols);
      const std::vector<TestType> values = random_values<TestType>(table_rows * cols, 23);
      const stored_table table{storage::own, values.data(), table_rows, cols, cols};
      const std::size_t n = 150;
      const std::vector<std::uint32_t> ids = random_ids(n, table_rows);
      const TestType third = TestType(1) / TestType(3);
      std::vector<TestType> a(n * cols);
      std::vector<TestType> b(n * cols);
      for (const std::size_t begin : size_list{2, 149, 150}) {
        scalar.bag(table, ids.data(), n, begin, n, third, a.data());
        other.bag(table, ids.data(), n, begin, n, third, b.data());
        CHECK(same_bits(a.data(), b.data(), a.size()));
      }
      scalar.gather(table, ids.data(), n, a.data());
      other.gather(table, ids.data(), n, b.data());
      CHECK(same_bits(a.data(), b.data(), a.size()));

      // Rows 0 and 1 have values; row 2 gets its first, row 3 too, then all of them more.
      const std::vector<std::uint32_t> slots = {0, 2, 1, 3, 2, 0, 0, 3, 2};
      a.assign(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(4 * cols));
      b = a;
      std::size_t fresh_a = 2;
      std::size_t fresh_b = 2;
      scalar.scatter_add(a.data(), cols, slots.data(), slots.size(), third,
                         values.data() + 4 * cols, fresh_a);
      other.scatter_add(b.data(), cols, slots.data(), slots.size(), third, values.data() + 4 * cols,
                        fresh_b);
      CHECK(fresh_a == 4);
      CHECK(fresh_b == 4);
      CHECK(agree(a, b, [](std::size_t) { return 2 * tolerance::reduction<TestType>(3, 2); }));
    }
  });
}

TEST_CASE("archs: every number of two bytes and every code is the same float") {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  const float header[2] = {1, 0};
  std::vector<std::int8_t> codes(sizeof header);
  std::memcpy(codes.data(), header, sizeof header);
  for (int code = -128; code < 128; ++code) codes.push_back(static_cast<std::int8_t>(code));
  for_each_pair<float>([&](const auto& scalar, const auto& other) {
    const auto check = [&](storage type, const void* row, std::size_t cols, std::size_t stride) {
      // 1 * (0 + value): the value, but for the sign of a zero.
      const stored_table table{type, row, 1, cols, stride};
      const std::uint32_t id = 0;
      std::vector<float> a(cols);
      std::vector<float> b(cols);
      scalar.bag(table, &id, 1, 0, 1, 1.f, a.data());
      other.bag(table, &id, 1, 0, 1, 1.f, b.data());
      CHECK(same_bits(a.data(), b.data(), cols));
      return a;
    };
    CHECK(check(storage::float16, halves.data(), halves.size(), halves.size())[0x3c01] ==
          1 + 0x1p-10f);
    CHECK(check(storage::bfloat16, halves.data(), halves.size(), halves.size())[0x3f81] ==
          1 + 0x1p-7f);
    CHECK(check(storage::int8, codes.data(), 256, codes.size())[3] == -125);
  });
}

TEST_CASE("archs: bags of rows that are stored in less agree") {
  for_each_pair<float>([](const auto& scalar, const auto& other) {
    const std::size_t n = 150;
    const std::vector<std::uint32_t> ids = random_ids(n, table_rows);
    for (const std::size_t cols : size_list{1, 3, 8, 15, 17, 65, 129, 300}) {
      INFO("cols " << cols);
      funnel::random_generator bits(cols);
      const auto check = [&](const stored_table& table, const auto& bound) {
        std::vector<float> a(cols);
        std::vector<float> b(cols);
        scalar.bag(table, ids.data(), n, 1, n - 2, .3f, a.data());
        other.bag(table, ids.data(), n, 1, n - 2, .3f, b.data());
        CHECK(agree(a, b, bound));
      };
      const auto exactly = [](std::size_t) { return 0.; };
      // Exponents around that of 1, of either sign, and a subnormal float16.
      std::vector<std::uint16_t> halves(table_rows * cols);
      for (std::uint16_t& half : halves)
        half = static_cast<std::uint16_t>(0x3800 + funnel::uniform_below(bits, 0x800) +
                                          funnel::uniform_below(bits, 2) * 0x8000);
      halves.front() = 0x123;
      check({storage::float16, halves.data(), table_rows, cols, cols}, exactly);
      check({storage::bfloat16, halves.data(), table_rows, cols, cols}, exactly);

      const std::size_t stride = cols + 2 * sizeof(float);
      std::vector<std::int8_t> codes(table_rows * stride);
      for (std::int8_t& code : codes)
        code = static_cast<std::int8_t>(static_cast<int>(funnel::uniform_below(bits, 256)) - 128);
      for (std::size_t i = 0; i < table_rows; ++i) {
        const float header[2] = {static_cast<float>(i + 1) / 1024, 1 - static_cast<float>(i)};
        std::memcpy(codes.data() + i * stride, header, sizeof header);
      }
      // Numbers of at most 11 * 128 / 1024 and 10.
      check({storage::int8, codes.data(), table_rows, cols, stride}, [&](std::size_t) {
        return .3 * 2 * tolerance::reduction<float>(n, 12 * static_cast<double>(n));
      });
    }
  });
}

TEMPLATE_TEST_CASE("archs: steps of the optimizers agree", "", float, double) {
  using T = TestType;
  for_each_pair<T>([](const auto& scalar, const auto& other) {
    for (const std::size_t n : lengths) {
      INFO("n " << n);
      const std::vector<T> g = random_values<T>(n, 24);
      double squares = 0;
      for (const T value : g) squares += static_cast<double>(value) * static_cast<double>(value);
      const double bound = 2 * tolerance::reduction<double>(n, squares);
      CHECK(tolerance::within(scalar.squares(g.data(), n), other.squares(g.data(), n), bound));

      const std::array<std::vector<T>, 3> state = {random_values<T>(n, 25), random_values<T>(n, 26),
                                                   random_values<T>(n, 27, .1, 1)};
      const T step[3] = {T(.1), T(.3), T(.01)};
      check_steps(scalar, other, state, 2, [&](const auto& unit, auto& s) {
        unit.sgd(step, g.data(), nullptr, s[0].data(), n);
        unit.sgd(step, g.data(), s[1].data(), s[0].data(), n);
      });
      check_steps(scalar, other, state, 1, [&](const auto& unit, auto& s) {
        unit.adagrad(step, g.data(), s[2].data(), s[0].data(), n);
      });
      const T numbers[6] = {T(.1), T(.05), T(.1), T(20), T(1e-6), T(.01)};
      check_steps(scalar, other, state, 1, [&](const auto& unit, auto& s) {
        unit.adam(numbers, g.data(), s[1].data(), s[2].data(), s[0].data(), n);
      });
      if (n == 0) continue;  // a row has a column
      check_steps(scalar, other, state, n, [&](const auto& unit, auto& s) {
        unit.row_adagrad(step, g.data(), s[2][0], s[0].data(), n);
      });
    }
  });
}
