// SPDX-License-Identifier: MIT
#include "pairs.hpp"

#include "support/matrices.hpp"

#include <algorithm>
#include <limits>

namespace {

std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Calls `test(scalar, other)` with the kernels of ids of every unit but the scalar one.
template <class Test>
void for_each_id_pair(const Test& test) {
  const std::vector<kernel_unit> all = units();
  for (std::size_t u = 1; u < all.size(); ++u) {
    INFO("unit " << all[u].name);
    test(all[0].of_ids, all[u].of_ids);
  }
}

/// Where weights [in, out] have value (k, j) in panels of `tile` columns.
std::size_t place(std::size_t k, std::size_t j, std::size_t in, std::size_t tile) {
  return (j / tile * in + k) * tile + j % tile;
}

template <class T>
std::vector<T> packed(const std::vector<T>& weights, std::size_t in, std::size_t out,
                      std::size_t tile) {
  std::vector<T> panels(round_up(out, tile) * in);
  for (std::size_t k = 0; k < in; ++k)
    for (std::size_t j = 0; j < out; ++j) panels[place(k, j, in, tile)] = weights[k * out + j];
  return panels;
}

template <class T>
std::vector<T> unpacked(const std::vector<T>& panels, std::size_t in, std::size_t out,
                        std::size_t tile) {
  std::vector<T> weights(in * out);
  for (std::size_t k = 0; k < in; ++k)
    for (std::size_t j = 0; j < out; ++j) weights[k * out + j] = panels[place(k, j, in, tile)];
  return weights;
}

/// The products of directions [begin, end) of a block with `count` vectors, [end - begin][count].
template <class T>
std::vector<T> products_of(const kernel_table<T>& unit, const std::vector<T>& vectors,
                           std::size_t count, const std::vector<T>& block, std::size_t d,
                           std::size_t begin, std::size_t end) {
  std::vector<T> all((end - begin) * count);
  std::vector<T> group(d * unit.lanes);
  std::vector<T> products((direction_block + direction_slack) * unit.lanes);
  for (std::size_t i = 0; i < count; i += unit.lanes) {
    unit.interleave_group(vectors.data() + i * d, d, group.data());
    unit.interleaved_dot(group.data(), block.data(), d, begin, end, products.data());
    for (std::size_t s = begin; s < end; ++s)
      std::copy_n(products.data() + s * unit.lanes, unit.lanes,
                  all.data() + (s - begin) * count + i);
  }
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("archs: inner products of queries with packed items agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t d : size_list{1, 7, 32, 33}) {
      for (const std::size_t n : size_list{1, 8, 33, 70}) {
        const std::vector<TestType> items = random_values<TestType>(n * d, 12);
        for (const std::size_t q : size_list{1, 2, 3, 7, 17}) {
          INFO("[" << q << ", " << n << "], d " << d);
          const std::vector<TestType> queries = random_values<TestType>(q * d, 13);
          const auto scores_of = [&](const auto& unit) {
            const std::size_t stride = round_up(n, unit.item_panel);
            std::vector<TestType> panels(stride * d);
            std::vector<TestType> scores(q * stride);
            unit.inner_products(queries.data(), items.data(), panels.data(), q, n, d,
                                scores.data());
            for (std::size_t i = 0; i < q; ++i)
              std::copy_n(scores.data() + i * stride, n, scores.data() + i * n);
            scores.resize(q * n);
            return scores;
          };
          CHECK(agree(scores_of(scalar), scores_of(other), [&](std::size_t) {
            return 2 * tolerance::reduction<TestType>(d, static_cast<double>(d));
          }));
        }
      }
    }
  });
}

TEST_CASE("archs: inner products with items stored in two bytes agree, and of int8 are the same") {
  const std::vector<kernel_unit> all = units();
  for (std::size_t u = 1; u < all.size(); ++u) {
    INFO("unit " << all[u].name);
    for (const std::size_t d : size_list{1, 7, 32, 33}) {
      for (const std::size_t n : size_list{1, 8, 33, 70}) {
        for (const std::size_t q : size_list{1, 2, 3, 7, 17}) {
          INFO("[" << q << ", " << n << "], d " << d);
          const auto rows_of = [&](const kernel_unit& unit, const auto& run, auto value) {
            const std::size_t stride = round_up(n, unit.of_float.item_panel);
            std::vector<decltype(value)> sums(q * stride);
            run(unit.of_stored, stride, sums.data());
            for (std::size_t i = 0; i < q; ++i)
              std::copy_n(sums.data() + i * stride, n, sums.data() + i * n);
            sums.resize(q * n);
            return sums;
          };
          const std::vector<float> queries = random_values<float>(q * d, 31, -127, 127);
          const std::vector<float> items = random_values<float>(n * d, 32, -127, 127);
          for (const storage type : {storage::float16, storage::bfloat16}) {
            const auto run = [&](const auto& t, std::size_t stride, float* to) {
              std::vector<std::uint16_t> panels(stride * d);
              t.inner_products(type, queries.data(), items.data(), panels.data(), q, n, d, to);
            };
            CHECK(agree(rows_of(all[0], run, 0.f), rows_of(all[u], run, 0.f), [&](std::size_t) {
              return 2 * tolerance::reduction<float>(d, static_cast<double>(d) * 127 * 127);
            }));
          }
          const std::vector<std::int8_t> query_codes(queries.begin(), queries.end());
          const std::vector<std::int8_t> codes(items.begin(), items.end());
          const auto run = [&](const auto& t, std::size_t stride, std::int32_t* to) {
            std::vector<std::uint32_t> words(t.int8_words(q, d));
            std::vector<std::uint8_t> panels(stride * round_up(d, 4));
            t.int8_products(query_codes.data(), codes.data(), words.data(), panels.data(), q, n, d,
                            to);
          };
          CHECK(rows_of(all[0], run, 0) == rows_of(all[u], run, 0));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("archs: products in the order of the values agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t d : size_list{0, 1, 7, 64, 130}) {
      const std::size_t n = other.item_panel;
      const std::vector<TestType> values = random_values<TestType>(n * d, 33);
      const std::vector<TestType> query = random_values<TestType>(d, 34);
      std::vector<const TestType*> rows(n);
      for (std::size_t i = 0; i < n; ++i) rows[i] = values.data() + i * 5 % n * d;
      std::vector<TestType> a(n), b(n);
      for (std::size_t i = 0; i < n; ++i)
        scalar.products_in_order(&rows[i], 1, query.data(), d, &a[i]);
      other.products_in_order(rows.data(), n, query.data(), d, b.data());
      CHECK(agree(a, b, [&](std::size_t) {
        return 2 * tolerance::reduction<TestType>(d, static_cast<double>(d));
      }));
    }
  });
}

TEMPLATE_TEST_CASE(
    "archs: inner products of rows that lie anywhere agree, and have the same bits alone", "",
    float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t d : size_list{1, 7, 16, 32, 33, 64}) {
      for (const std::size_t count : size_list{1, 3, 4}) {
        constexpr std::size_t n = 19;
        INFO("d " << d << ", " << count << " queries");
        const std::vector<TestType> values = random_values<TestType>(n * d, 22);
        const std::vector<TestType> queries = random_values<TestType>(count * d, 23);
        std::vector<const TestType*> rows(n);
        for (std::size_t i = 0; i < n; ++i) rows[i] = values.data() + i * 5 % n * d;
        std::vector<TestType> a(n * count), b(n * count), alone(n * count);
        scalar.row_products(rows.data(), n, queries.data(), d, count, d, a.data());
        other.row_products(rows.data(), n, queries.data(), d, count, d, b.data());
        CHECK(agree(a, b, [&](std::size_t) {
          return 2 * tolerance::reduction<TestType>(d, static_cast<double>(d));
        }));
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t t = 0; t < count; ++t)
            other.row_products(&rows[i], 1, queries.data() + t * d, d, 1, d, &alone[i * count + t]);
        CHECK(same_bits(alone.data(), b.data(), n * count));
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: the first value above a bound is the same", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t n : lengths) {
      std::vector<TestType> x = random_values<TestType>(n, 14);
      for (const std::size_t begin : size_list{0, 1, 5}) {
        if (begin > n) continue;
        CHECK(other.find_above(x.data(), begin, n, TestType(1)) == n);
        for (const double bound : {-2., 0., 0.9, 0.99})
          CHECK(other.find_above(x.data(), begin, n, static_cast<TestType>(bound)) ==
                scalar.find_above(x.data(), begin, n, static_cast<TestType>(bound)));
        if (n == begin) continue;
        const TestType last = x.back();
        for (const TestType found : {TestType(2), std::numeric_limits<TestType>::quiet_NaN()}) {
          x.back() = found;
          CHECK(other.find_above(x.data(), begin, n, TestType(1)) == n - 1);
          CHECK(scalar.find_above(x.data(), begin, n, TestType(1)) == n - 1);
        }
        x.back() = last;
      }
    }
  });
}

TEST_CASE("archs: ids are found at the same places") {
  for_each_id_pair([](const auto& scalar, const auto& other) {
    for (const std::size_t n : lengths) {
      INFO("n " << n);
      funnel::random_generator bits(n);
      std::vector<std::uint32_t> a(n);
      std::vector<std::uint32_t> b(n);
      for (std::uint32_t& id : a) id = static_cast<std::uint32_t>(bits());
      CHECK(scalar.largest_id(a.data(), n) == other.largest_id(a.data(), n));
      for (std::uint32_t& id : a) id = static_cast<std::uint32_t>(funnel::uniform_below(bits, 5));
      for (std::uint32_t& id : b) id = static_cast<std::uint32_t>(funnel::uniform_below(bits, 9));
      for (const std::size_t most : size_list{0, 1, 3, 300}) {
        std::vector<std::uint32_t> here(most);
        std::vector<std::uint32_t> there(most);
        CHECK(scalar.find_last_equal(a.data(), 3, n, here.data(), most) ==
              other.find_last_equal(a.data(), 3, n, there.data(), most));
        CHECK(here == there);
        const std::uint32_t* const ids[] = {a.data(), b.data()};
        CHECK(scalar.find_last_equal_of_2(ids, {4, 8}, n, here.data(), most) ==
              other.find_last_equal_of_2(ids, {4, 8}, n, there.data(), most));
        CHECK(here == there);
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: packed keys, folded rows and weighted rows agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t d : size_list{1, 3, 4, 9, 32, 65}) {
      for (const std::size_t m : size_list{1, 5, 16, 31, 67}) {
        INFO("[" << m << ", " << d << "]");
        const std::vector<TestType> rows = random_values<TestType>(m * d, 15);
        const auto keys_of = [&](const auto& unit) {
          std::vector<TestType> panels(unit.packed_size(d, m));
          unit.pack_transposed(rows.data(), m, d, TestType(0.3), panels.data());
          return unpacked(panels, d, m, unit.tile);
        };
        CHECK(same_bits(keys_of(scalar).data(), keys_of(other).data(), d * m));

        const std::vector<TestType> factors = random_values<TestType>(m, 16);
        const std::vector<TestType> added = random_values<TestType>(m * d, 17);
        const auto folded_by = [&](const auto& unit) {
          const std::vector<TestType> a = packed(rows, m, d, unit.tile);
          const std::vector<TestType> b = packed(added, m, d, unit.tile);
          std::vector<TestType> panels(unit.packed_size(m, d));
          unit.fold_rows(factors.data(), a.data(), b.data(), m, d, panels.data());
          return unpacked(panels, m, d, unit.tile);
        };
        CHECK(agree(folded_by(scalar), folded_by(other),
                    [](std::size_t) { return 2 * tolerance::reduction<TestType>(1, 2); }));

        std::vector<TestType> a(d);
        std::vector<TestType> b(d);
        scalar.weighted_rows(factors.data(), rows.data(), m, d, added.data(), a.data());
        other.weighted_rows(factors.data(), rows.data(), m, d, added.data(), b.data());
        CHECK(agree(a, b, [&](std::size_t) {
          return 2 * tolerance::reduction<TestType>(m + 1, static_cast<double>(m + 1));
        }));
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: interleaved dot products agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    const std::size_t count = 3 * other.lanes;
    for (const std::size_t d : size_list{1, 3, 4, 7, 33}) {
      INFO("d " << d);
      const std::vector<TestType> vectors = random_values<TestType>(count * d, 18);
      const std::vector<TestType> directions = random_values<TestType>(direction_block * d, 19);
      std::vector<TestType> block(direction_block * d + direction_slack);
      std::vector<TestType> same(block.size());
      scalar.interleave_block(directions.data(), d, block.data());
      other.interleave_block(directions.data(), d, same.data());
      CHECK(same_bits(block.data(), same.data(), block.size()));
      for (const std::size_t begin : size_list{0, 5, 15}) {
        for (std::size_t end = begin + 1; end <= direction_block; ++end) {
          CHECK(agree(products_of(scalar, vectors, count, block, d, begin, end),
                      products_of(other, vectors, count, block, d, begin, end), [&](std::size_t) {
                        return 2 * tolerance::reduction<TestType>(d, static_cast<double>(d));
                      }));
        }
      }
    }
    for (std::size_t lane = 0; lane < other.lanes; ++lane) {
      std::vector<TestType> values = random_values<TestType>(other.lanes, lane);
      CHECK(other.max_lane(values.data()) == *std::max_element(values.begin(), values.end()));
      values[lane] = 2;
      CHECK(other.max_lane(values.data()) == scalar.max_lane(values.data() + lane));
    }
  });
}

TEMPLATE_TEST_CASE("archs: scaled rows are interleaved to the same bits", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    static_cast<void>(scalar);  // interleaves one row, which is what is expected here
    const std::size_t count = other.lanes;
    for (const std::size_t d : size_list{1, 3, 4, 7, 8, 12, 33}) {
      INFO("d " << d);
      const std::vector<TestType> values = random_values<TestType>(count * d, 20);
      const std::vector<TestType> factors = random_values<TestType>(count, 21);
      std::vector<const TestType*> rows(count);
      std::vector<TestType> expected(count * d);
      for (std::size_t i = 0; i < count; ++i) {
        rows[i] = values.data() + (count - 1 - i) * d;
        for (std::size_t f = 0; f < d; ++f) expected[f * count + i] = factors[i] * rows[i][f];
      }
      std::vector<TestType> columns(count * d);
      other.interleave_scaled_group(rows.data(), factors.data(), d, columns.data());
      CHECK(same_bits(columns.data(), expected.data(), columns.size()));
    }
  });
}
