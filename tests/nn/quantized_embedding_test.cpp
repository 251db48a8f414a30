// SPDX-License-Identifier: MIT
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/quantized_embedding.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::bfloat16;
using funnel::embedding;
using funnel::embedding_bag;
using funnel::float16;
using funnel::matrix;
using funnel::matrix_view;
using funnel::pooling;
using funnel::quantized_embedding;
using funnel::quantized_embedding_bag;
using funnel::quantized_table;

namespace {

using ids = std::vector<std::uint32_t>;

/// By how much a value of a row may change when it is stored, as the table promises.
template <class Storage>
double bound(std::span<const float> row, float value) {
  const double magnitude = std::abs(static_cast<double>(value));
  if (std::is_same_v<Storage, float16>) return std::max(magnitude * 0x1p-11, 0x1p-25);
  if (std::is_same_v<Storage, bfloat16>) return std::max(magnitude * 0x1p-8, 0x1p-134);
  const auto [smallest, largest] = std::ranges::minmax(row);
  const double range = static_cast<double>(largest) - static_cast<double>(smallest);
  const double most =
      std::max(std::abs(static_cast<double>(smallest)), std::abs(static_cast<double>(largest)));
  return range / 510 + tolerance::elementwise<float>(most);
}

/// Rows of random values, each of another size, the last constant.
matrix<float> rows_of_all_sizes(std::size_t rows, std::size_t dim) {
  matrix<float> values = random_matrix<float>(rows, dim, 1);
  const float sizes[] = {1, 1e-3f, 1e-6f, 1e3f, 1e-7f};
  for (std::size_t i = 0; i < rows; ++i) {
    for (float& value : values.row(i))
      value = value * sizes[i % 5] + (i % 2 == 0 ? 0 : sizes[i % 5]);
  }
  if (rows > 0) std::ranges::fill(values.row(rows - 1), 0.3f);
  return values;
}

ids all_rows(std::size_t rows) {
  ids all(rows);
  for (std::size_t i = 0; i < rows; ++i) all[i] = static_cast<std::uint32_t>(i);
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("quantized_embedding: every value within the bound", "", float16, bfloat16,
                   std::int8_t) {
  for (const std::size_t dim : size_list{1, 15, 16, 17, 64, 130}) {
    embedding<float> trained(40, dim);
    trained.table.value = rows_of_all_sizes(40, dim);
    const quantized_embedding<TestType> serving(trained);
    funnel::inference_context<float> context;
    const auto y = serving(context, all_rows(40));
    REQUIRE(y.rows() == 40);
    REQUIRE(y.cols() == dim);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 40; ++i) {
      const std::span<const float> row = trained.table.value.row(i);
      for (std::size_t j = 0; j < dim; ++j) {
        wrong += tolerance::within(static_cast<double>(y(i, j)), static_cast<double>(row[j]),
                                   bound<TestType>(row, row[j]))
                     ? 0
                     : 1;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("quantized_table: codes of a row worked by hand") {
  embedding<float> trained(2, 4);
  trained.table.value = matrix<float>(2, 4, 7.f);
  // 255 steps of 1/64 from -1 on.
  const float values[] = {-1, -1 + 255 / 64.f, 0, 1 / 128.f};
  std::ranges::copy(values, trained.table.value.row(0).begin());
  const quantized_embedding<std::int8_t> serving(trained);
  CHECK(serving.table.rows() == 2);
  CHECK(serving.table.cols() == 4);
  CHECK(serving.table.bytes() == 2 * (4 + 8));
  const auto stored = serving.table.stored();
  CHECK(stored.row(0)[8] == -128);
  CHECK(stored.row(0)[9] == 127);
  CHECK(stored.row(0)[10] == -64);
  funnel::inference_context<float> context;
  const auto y = serving(context, all_rows(2));
  for (std::size_t j = 0; j < 3; ++j) CHECK(y(0, j) == values[j]);
  CHECK(tolerance::within(static_cast<double>(y(0, 3)), 1 / 128., 1 / 128.));
  for (std::size_t j = 0; j < 4; ++j) CHECK(y(1, j) == 7);  // a constant row is exact
}

TEMPLATE_TEST_CASE("quantized_embedding_bag: sums and means of what the table holds", "", float16,
                   bfloat16, std::int8_t) {
  constexpr std::size_t dim = 37;
  const ids all{1, 3, 3, 39, 0, 12};
  const std::vector<std::uint32_t> offsets{0, 4, 4, 6};
  for (const pooling pool : {pooling::sum, pooling::mean}) {
    embedding_bag<float> trained(40, dim, {.pool = pool});
    trained.table.value = random_matrix<float>(40, dim, 3);
    const quantized_embedding_bag<TestType> serving(trained);
    CHECK(serving.pool == pool);
    CHECK(serving.dim() == dim);
    funnel::inference_context<float> context;
    const auto y = serving(context, {all, offsets});
    REQUIRE(y.rows() == 3);
    embedding<float> lookup(40, dim);
    lookup.table.value = trained.table.value;
    const auto rows = quantized_embedding<TestType>(lookup)(context, all_rows(40));
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t n = offsets[i + 1] - offsets[i];
      const double share = pool == pooling::mean && n > 0 ? 1. / static_cast<double>(n) : 1;
      for (std::size_t j = 0; j < dim; ++j) {
        double sum = 0;
        double magnitudes = 0;
        for (std::size_t k = offsets[i]; k < offsets[i + 1]; ++k) {
          sum += static_cast<double>(rows(all[k], j));
          // Codes and offsets of values in [-1, 1) are summed apart.
          magnitudes += 2;
        }
        CHECK(tolerance::within(static_cast<double>(y(i, j)), share * sum,
                                tolerance::reduction<float>(2 * n, share * magnitudes)));
      }
    }
    // A list of one id is what the lookup gives, and no list changes another.
    const std::vector<std::uint32_t> one{0, 1};
    const auto alone = serving(context, {std::span(all).subspan(3, 1), one});
    CHECK(same_bits(alone, rows.middle_rows(39, 1)));
    const std::vector<std::uint32_t> last{0, 2};
    CHECK(same_bits(serving(context, {std::span(all).subspan(4), last}), y.middle_rows(2, 1)));
  }
}

TEST_CASE("quantized_embedding: fields side by side, columns of wider records, no ids") {
  embedding<float> trained(4, 3);
  trained.table.value = random_matrix<float>(4, 3, 1);
  const quantized_embedding<float16> serving(trained);
  funnel::inference_context<float> context;
  const ids records{9, 1, 2, 9, 9, 0, 3, 9};
  const matrix_view<const std::uint32_t> fields =
      matrix_view<const std::uint32_t>(records.data(), 2, 4).middle_cols(1, 2);
  const auto y = serving(context, fields);
  REQUIRE(y.cols() == 6);
  const auto rows = serving(context, ids{1, 2, 0, 3});
  for (std::size_t k = 0; k < 4; ++k)
    CHECK(same_bits(y.row(k / 2).data() + 3 * (k % 2), rows.row(k).data(), 3));
  CHECK(serving(context, ids{}).rows() == 0);
}

TEST_CASE("quantized_embedding: ids and lists that don't fit are refused") {
  const quantized_embedding<std::int8_t> lookup(embedding<float>(4, 3));
  const quantized_embedding_bag<std::int8_t> bag(embedding_bag<float>(4, 3));
  funnel::inference_context<float> context;
  CHECK(refuses(
      [&] {
        lookup(context, ids{0, 4});
      },
      "funnel::quantized_embedding", "ids[1] is 4, expected below 4"));
  const ids unknown{1, 4, 3};
  const std::vector<std::uint32_t> offsets{0, 3};
  const std::vector<std::uint32_t> falling{0, 5, 3};
  CHECK(refuses(
      [&] {
        bag(context, {unknown, offsets});
      },
      "funnel::quantized_embedding_bag", "ids[1] is 4"));
  CHECK(refuses(
      [&] {
        bag(context, {unknown, falling});
      },
      "funnel::quantized_embedding_bag", "offsets[2]"));
}

TEST_CASE("quantized_table: what cannot be stored is refused, with its place") {
  constexpr float largest = std::numeric_limits<float>::max();
  matrix<float> values(2, 3, 1.f);
  const auto make = [&]<class Storage>(Storage) {
    return [&values] { quantized_table<Storage>(values.view()); };
  };
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    values(1, 2) = bad;
    CHECK(refuses(make(float16{}), "funnel::quantized_table", "values[1, 2]"));
    CHECK(refuses(make(bfloat16{}), "funnel::quantized_table", "values[1, 2]"));
    CHECK(refuses(make(std::int8_t{}), "funnel::quantized_table", "values[1, 2]"));
  }
  values(1, 2) = -65520;
  CHECK(refuses(make(float16{}), "funnel::quantized_table", "values[1, 2] is -65520"));
  CHECK_NOTHROW(make(bfloat16{})());
  values(1, 2) = largest;
  CHECK(refuses(make(bfloat16{}), "funnel::quantized_table", "values[1, 2]"));
  CHECK_NOTHROW(make(std::int8_t{})());
  values(1, 1) = -largest;
  CHECK(refuses(make(std::int8_t{}), "funnel::quantized_table", "values[1] goes from"));
}

TEST_CASE("quantized_embedding: a field of a model that freezes and counts nothing") {
  quantized_embedding<std::int8_t> layer(embedding<float>(4, 3));
  CHECK(funnel::count_parameters(layer) == 0);
  funnel::inference_context<float> context;
  CHECK(same_bits(funnel::freeze(layer)(context, ids{3}), layer(context, ids{3})));
  const quantized_table<float16> empty;
  CHECK(empty.rows() == 0);
  CHECK(empty.bytes() == 0);
}

TEST_CASE("quantized_table: rows of denormal range keep their values in std::int8_t") {
  const float unit = std::numeric_limits<float>::denorm_min();
  funnel::inference_context<float> context;
  for (const float width :
       {1.f, 7.f, 127.f, 128.f, 255.f, 256.f, 300.f, 382.f, 383.f, 1000.f, 70000.f}) {
    for (const float lowest : {0.f, -1.f, 50.f, -70000.f}) {
      funnel::embedding<float> layer(1, 5);
      const float parts[] = {0, 1, .5f, .25f, .7f};
      for (std::size_t j = 0; j < 5; ++j)
        layer.table.value(0, j) = (lowest + std::round(parts[j] * width)) * unit;
      const funnel::quantized_embedding<std::int8_t> stored(layer);
      const std::vector<std::uint32_t> id{0};
      const auto read = stored(context, id);
      for (std::size_t j = 0; j < 5; ++j) {
        // Half a step, where a step has whole units; and one for the rounding of what is read.
        const double bound =
            (std::ceil(static_cast<double>(width) / 255) / 2 + 1) * static_cast<double>(unit);
        CHECK(tolerance::within(static_cast<double>(read(0, j)),
                                static_cast<double>(layer.table.value(0, j)), bound));
        if (width <= 255) CHECK(read(0, j) == layer.table.value(0, j));
      }
    }
  }
}
