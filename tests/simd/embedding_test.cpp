// SPDX-License-Identifier: MIT
#include <funnel/simd/embedding.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

using funnel::detail::stored_rows;

namespace {

using ids = std::vector<std::uint32_t>;

constexpr std::size_t table_rows = 11;

/// Columns around one register, around the most a pass keeps in registers, and past them.
template <class Arch, class T>
std::vector<std::size_t> widths() {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
  return {1,
          std::max<std::size_t>(1, width - 1),
          width,
          width + 1,
          2 * width - 1,
          3 * width,
          4 * width,
          5 * width + 1,
          8 * width - 1,
          8 * width,
          8 * width + 1,
          19 * width + 1};
}

/// Ids of all rows, the last among them, more than are asked for ahead.
ids random_ids(std::size_t n, std::size_t rows) {
  funnel::random_generator bits(n);
  ids values(n);
  for (auto& id : values) id = static_cast<std::uint32_t>(funnel::uniform_below(bits, rows));
  if (n > 0) values.back() = static_cast<std::uint32_t>(rows - 1);
  return values;
}

template <class T>
stored_rows<T> stored(const std::vector<T>& values, std::size_t cols) {
  return {values.data(), table_rows, cols, cols};
}

}  // namespace

TEST_CASE("largest_id_kernel: wherever it stands") {
  for_each_arch([]<class Arch>(Arch arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, std::uint32_t>;
    CHECK(funnel::largest_id_kernel(arch, nullptr, 0) == 0);
    for (const std::size_t n : size_list{1, width - 1, width, width + 1, 3 * width + 2}) {
      for (std::size_t i = 0; i < n; ++i) {
        ids values = random_ids(n, 1000);
        values[i] = 0xfffffff0u;  // above the largest signed number
        CHECK(funnel::largest_id_kernel(arch, values.data(), n) == 0xfffffff0u);
        values[i] = 1000;
        CHECK(funnel::largest_id_kernel(arch, values.data(), n) == 1000);
      }
    }
  });
}

TEMPLATE_TEST_CASE("bag_kernel: the sum in the order of the ids, to the bit", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t cols : widths<Arch, TestType>()) {
      const std::vector<TestType> table = random_values<TestType>(table_rows * cols, cols);
      for (const std::size_t n : size_list{0, 1, 2, 7, 200}) {
        const ids all = random_ids(n + 3, table_rows);
        std::vector<TestType> y(cols + 1, TestType(99));
        const TestType factor = TestType(1) / TestType(3);
        funnel::bag_kernel(arch, stored(table, cols), std::span(all), 2, n + 2, factor, y.data());
        std::vector<TestType> expected(cols, TestType(0));
        for (std::size_t k = 2; k < n + 2; ++k) {
          for (std::size_t j = 0; j < cols; ++j) expected[j] += table[all[k] * cols + j];
        }
        for (TestType& value : expected) value *= factor;
        CHECK(same_bits(y.data(), expected.data(), cols));
        CHECK(y[cols] == TestType(99));
      }
    }
  });
}

TEST_CASE("bag_kernel: NaN in a row stays in its column and its bags") {
  for_each_arch([]<class Arch>(Arch arch) {
    const std::size_t cols = funnel::detail::lanes<Arch, float> + 1;
    std::vector<float> table = random_values<float>(table_rows * cols, 1);
    table[4 * cols] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(cols);
    const ids around{3, 5, 10};
    funnel::bag_kernel(arch, stored(table, cols), std::span(around), 0, 3, 1.f, y.data());
    for (const float value : y) CHECK(std::isfinite(value));
    const ids with{3, 4};
    funnel::bag_kernel(arch, stored(table, cols), std::span(with), 0, 2, 1.f, y.data());
    CHECK(std::isnan(y[0]));
    for (std::size_t j = 1; j < cols; ++j) CHECK(std::isfinite(y[j]));
  });
}

TEST_CASE("bag_kernel: rows of two bytes are summed as the floats they are") {
  for_each_arch([]<class Arch>(Arch arch) {
    const auto check = [&](auto convert) {
      for (const std::size_t cols : widths<Arch, float>()) {
        const std::vector<float> values = random_values<float>(table_rows * cols, cols);
        std::vector<decltype(convert(0.f))> table;
        std::vector<float> wide;
        for (const float value : values) {
          table.push_back(convert(value));
          wide.push_back(to_float(table.back()));
        }
        const ids all = random_ids(150, table_rows);
        std::vector<float> y(cols + 1, 99.f);
        std::vector<float> expected(cols);
        funnel::bag_kernel(arch, stored(table, cols), std::span(all), 0, 150, 0.5f, y.data());
        funnel::bag_kernel(arch, stored(wide, cols), std::span(all), 0, 150, 0.5f, expected.data());
        CHECK(same_bits(y.data(), expected.data(), cols));
        CHECK(y[cols] == 99.f);
      }
    };
    check(funnel::to_float16);
    check(funnel::to_bfloat16);
  });
}

TEST_CASE("bag_kernel: codes with a scale and an offset a row") {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t cols : widths<Arch, float>()) {
      const std::size_t stride = cols + 2 * sizeof(float);
      std::vector<std::int8_t> table(table_rows * stride);
      const std::vector<float> headers = random_values<float>(2 * table_rows, 3);
      const std::vector<float> codes = random_values<float>(table_rows * cols, 4, -128, 127);
      for (std::size_t i = 0; i < table_rows; ++i) {
        std::memcpy(&table[i * stride], &headers[2 * i], 2 * sizeof(float));
        for (std::size_t j = 0; j < cols; ++j)
          table[i * stride + 8 + j] = static_cast<std::int8_t>(std::lround(codes[i * cols + j]));
      }
      for (const std::size_t n : size_list{0, 1, 150}) {
        const ids all = random_ids(n, table_rows);
        std::vector<float> y(cols + 1, 99.f);
        funnel::bag_kernel(arch, stored_rows<std::int8_t>{table.data(), table_rows, cols, stride},
                           std::span(all), 0, n, 0.25f, y.data());
        for (std::size_t j = 0; j < cols; ++j) {
          double sum = 0;
          double magnitudes = 0;
          for (const std::uint32_t id : all) {
            const double scaled = static_cast<double>(headers[2 * id]) * table[id * stride + 8 + j];
            sum += scaled + static_cast<double>(headers[2 * id + 1]);
            magnitudes += std::abs(scaled) + std::abs(static_cast<double>(headers[2 * id + 1]));
          }
          CHECK(tolerance::within(static_cast<double>(y[j]), sum / 4,
                                  tolerance::reduction<float>(2 * n, magnitudes / 4)));
        }
        CHECK(y[cols] == 99.f);
      }
    }
  });
}

TEMPLATE_TEST_CASE("gather_kernel: rows as they are, -0 and NaN too", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t cols : widths<Arch, TestType>()) {
      std::vector<TestType> table = random_values<TestType>(table_rows * cols, cols);
      table[0] = TestType(-0.);
      table[table.size() - 1] = std::numeric_limits<TestType>::quiet_NaN();
      for (const std::size_t n : size_list{0, 1, 150}) {
        ids all = random_ids(n, table_rows);
        if (n > 1) all[0] = 0;
        std::vector<TestType> y(n * cols + 1, TestType(99));
        funnel::gather_kernel(arch, stored(table, cols), std::span<const std::uint32_t>(all),
                              y.data());
        for (std::size_t i = 0; i < n; ++i)
          CHECK(same_bits(&y[i * cols], &table[all[i] * cols], cols));
        CHECK(y[n * cols] == TestType(99));
      }
    }
  });
}

TEMPLATE_TEST_CASE("scatter_add_kernel: first values are written, later ones added", "", float,
                   double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t cols : widths<Arch, TestType>()) {
      // Rows 0 and 1 have values, 2 and 3 hold nothing that counts.
      std::vector<TestType> sums = random_values<TestType>(4 * cols + 1, 1);
      std::fill(sums.begin() + static_cast<std::ptrdiff_t>(2 * cols), sums.end(),
                std::numeric_limits<TestType>::quiet_NaN());
      const std::vector<TestType> before = sums;
      const std::vector<TestType> values = random_values<TestType>(cols, 2);
      const ids slots{99, 1, 2, 1, 3, 2, 99};
      std::size_t fresh = 2;
      constexpr TestType factor = TestType(-0.75);
      funnel::scatter_add_kernel(arch, sums.data(), cols, std::span<const std::uint32_t>(slots), 1,
                                 6, factor, values.data(), fresh);
      CHECK(fresh == 4);
      const double times[] = {0, 2, 2, 1};
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          const double start = i < 2 ? static_cast<double>(before[i * cols + j]) : 0;
          const double added = static_cast<double>(factor) * static_cast<double>(values[j]);
          CHECK(tolerance::within(
              static_cast<double>(sums[i * cols + j]), start + times[i] * added,
              tolerance::reduction<TestType>(3, std::abs(start) + times[i] * std::abs(added))));
        }
      }
      CHECK(std::isnan(sums[4 * cols]));
    }
  });
}
