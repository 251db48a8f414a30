// SPDX-License-Identifier: MIT
#include <funnel/sequence/multi_head_attention.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/histories.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::din_attention;
using funnel::matrix;
using funnel::multi_head_attention;
using funnel::multi_head_attention_options;

namespace {

using offsets = std::vector<std::uint32_t>;

template <class T>
multi_head_attention<T> heads_of(std::size_t dim, std::size_t heads, std::size_t head_dim) {
  return with_random_parameters(
      multi_head_attention<T>(dim, {.heads = heads, .head_dim = head_dim}));
}

/// A row of x W, or of x W^T.
std::vector<double> projected(const matrix<double>& w, const matrix<double>& x, std::size_t row,
                              bool transposed = false) {
  std::vector<double> y(transposed ? w.rows() : w.cols());
  for (std::size_t c = 0; c < y.size(); ++c)
    for (std::size_t k = 0; k < x.cols(); ++k) y[c] += x(row, k) * (transposed ? w(c, k) : w(k, c));
  return y;
}

}  // namespace

TEST_CASE("multi_head_attention: worked by hand") {
  multi_head_attention<double> layer(1, {.heads = 2, .head_dim = 1});
  const auto set = [](funnel::attention_head<double>& head, double q, double k, double v) {
    head.query.weight.value(0, 0) = q;
    head.key.weight.value(0, 0) = k;
    head.value.weight.value(0, 0) = v;
  };
  set(layer.heads[0], 1, std::log(2.), 10);
  set(layer.heads[1], 2, 0, 1);
  matrix<double> candidates(1, 1), events(2, 1);
  candidates(0, 0) = 1;
  events(0, 0) = 0;
  events(1, 0) = 2;
  // Head 1 has logits 0 and 2 ln 2, weights 1/5 and 4/5, values 0 and 20; head 2 equal weights.
  funnel::inference_context<double> context;
  const auto y = layer(context, candidates.view(), events.view(), offsets{0, 2});
  CHECK(tolerance::within(y(0, 0), 16, tolerance::elementwise<double>(16)));
  CHECK(tolerance::within(y(0, 1), 1, tolerance::elementwise<double>(1)));
}

TEST_CASE("multi_head_attention: the definition, head by head") {
  for (const std::size_t d : size_list{1, 5, 17}) {
    const std::size_t heads = 3, dim = 4;
    const auto layer = heads_of<double>(d, heads, dim);
    const matrix<double> q = random_matrix<double>(4, d, 1), x = random_matrix<double>(9, d, 2);
    const offsets lists{0, 5, 5, 6, 9};
    funnel::inference_context<double> context;
    const auto y = layer(context, q.view(), x.view(), lists);
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t h = 0; h < heads; ++h) {
        std::vector<double> expected(dim);
        double sum = 0;
        for (std::size_t j = lists[i]; j < lists[i + 1]; ++j) {
          const auto a = projected(layer.heads[h].query.weight.value, q, i);
          const auto b = projected(layer.heads[h].key.weight.value, x, j, true);
          const auto v = projected(layer.heads[h].value.weight.value, x, j);
          double product = 0;
          for (std::size_t c = 0; c < dim; ++c) product += a[c] * b[c];
          const double weight = std::exp(product / 2);
          sum += weight;
          for (std::size_t c = 0; c < dim; ++c) expected[c] += weight * v[c];
        }
        for (std::size_t c = 0; c < dim; ++c)
          CHECK(tolerance::within(y(i, h * dim + c), sum == 0 ? 0 : expected[c] / sum,
                                  tolerance::iterative<double>(d + 20, static_cast<double>(d))));
      }
  }
}

// The expected values are those of a reference in Python that forms every pair [q, x, q - x, q * x] and
// projects every event. Matrix p holds 0.8 sin(1.7 i + p) at position i, row by row.
TEST_CASE("din_attention, multi_head_attention: values of an independent reference") {
  const auto wave = [](std::size_t rows, std::size_t cols, double p) {
    matrix<double> values(rows, cols);
    for (std::size_t i = 0; i < values.size(); ++i)
      values.flat()[i] = 0.8 * std::sin(1.7 * static_cast<double>(i) + p);
    return values;
  };
  const auto fill = [&](auto& layer) {
    double p = 0;
    for_each_parameter(layer, [&](std::string_view, auto& parameter) {
      parameter.value = wave(parameter.rows(), parameter.cols(), p++);
    });
  };
  const matrix<double> q = wave(2, 3, 11), x = wave(4, 3, 12);
  const auto check = [&](const auto& layer, const std::vector<double>& expected) {
    funnel::inference_context<double> context;
    const auto y = layer(context, q.view(), x.view(), offsets{0, 3, 4});
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(tolerance::within(y(i / y.cols(), i % y.cols()), expected[i], tolerance::printed(7)));
  };
  din_attention<double> din(3, {.hidden = {4}});
  fill(din);
  check(din, {-.5028883, .2153571, .4473931, .0604254, -.0484697, -.0479353});
  din.normalize = true;
  check(din, {-.4667127, .0581082, .4517389, .6618623, -.5309071, -.5250534});
  multi_head_attention<double> heads(3, {.heads = 2, .head_dim = 2});
  fill(heads);
  check(heads,
        {-.0772240, -.1614732, .0686421, .1615019, .5639865, -.2206449, -.5794006, .1422237});
}

TEST_CASE("multi_head_attention: one head without projections is target_attention") {
  constexpr std::size_t d = 8;
  multi_head_attention<double> layer(d, {.heads = 1, .head_dim = d});
  auto& head = layer.heads[0];
  for (auto* p : {&head.query, &head.key, &head.value})
    for (std::size_t k = 0; k < d; ++k)
      for (std::size_t c = 0; c < d; ++c) p->weight.value(k, c) = k == c ? 1 : 0;
  const matrix<double> q = random_matrix<double>(6, d, 1), x = random_matrix<double>(20, d, 2);
  funnel::inference_context<double> context;
  const auto y = layer(context, q.view(), x.view(), offsets{0, 20});
  const auto expected = target_attention(context, q.view(), x.view(), offsets{0, 20});
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t c = 0; c < d; ++c)
      CHECK(tolerance::within(y(i, c), expected(i, c), tolerance::iterative<double>(40, 1)));
}

TEST_CASE("multi_head_attention: serving, frozen or not, agrees with training to the bit") {
  for (const std::size_t d : size_list{1, 16, 33}) {
    const auto layer = heads_of<float>(d, 2, 5);
    const matrix<float> q = random_matrix<float>(6, d, 1), x = random_matrix<float>(30, d, 2);
    for (const offsets& lists : {offsets{0, 30}, offsets{0, 3, 3, 4, 29, 30, 30}}) {
      funnel::training_context<float> tape;
      funnel::inference_context<float> context;
      const auto served = layer(context, q.view(), x.view(), lists);
      CHECK(same_bits(view(layer(tape, tape.input(q), tape.input(x), lists)), served));
      CHECK(same_bits(funnel::freeze(layer)(context, q.view(), x.view(), lists), served));
    }
    const offsets shared{0, 30};
    funnel::inference_context<float> context;
    const auto whole = layer(context, q.view(), x.view(), shared);
    for (const std::size_t i : size_list{0, 5})
      CHECK(same_bits(layer(context, q.view().middle_rows(i, 1), x.view(), shared),
                      whole.middle_rows(i, 1)));
  }
}

TEST_CASE("multi_head_attention: nothing, and one event") {
  const auto layer = heads_of<float>(4, 2, 3);
  const matrix<float> q = random_matrix<float>(3, 4, 1), x = random_matrix<float>(1, 4, 2),
                      none(0, 4);
  funnel::inference_context<float> context;
  const auto empty = layer(context, q.view(), none.view(), offsets{0, 0});
  const auto single = layer(context, q.view(), x.view(), offsets{0, 1});
  for (std::size_t i = 0; i < 3; ++i) {
    for (const float v : empty.row(i)) CHECK(v == 0);
    for (std::size_t h = 0; h < 2; ++h)
      CHECK(same_bits(single.middle_rows(i, 1).middle_cols(3 * h, 3),
                      layer.heads[h].value(context, x.view())));
  }
  CHECK(layer(context, none.view(), none.view(), offsets{0}).rows() == 0);
}

TEST_CASE("attention over lists that candidates share is that over copies of them") {
  const offsets lists{0, 4, 4, 9}, of{2, 0, 2, 1, 0, 2};
  const matrix<float> q = random_matrix<float>(6, 7, 1), x = random_matrix<float>(9, 7, 2);
  matrix<float> copies(3 * 5 + 2 * 4, 7);
  offsets copied{0};
  for (const std::uint32_t l : of) {
    for (std::size_t j = lists[l]; j < lists[l + 1]; ++j)
      std::ranges::copy(x.row(j), copies.row(copied.back() + j - lists[l]).begin());
    copied.push_back(copied.back() + lists[l + 1] - lists[l]);
  }
  const auto check = [&](const auto& layer) {
    funnel::inference_context<float> context;
    const auto expected = layer(context, q.view(), copies.view(), copied);
    CHECK(same_bits(layer(context, q.view(), x.view(), lists, of), expected));
    CHECK(same_bits(funnel::freeze(layer)(context, q.view(), x.view(), lists, of), expected));
    funnel::training_context<float> tape;
    CHECK(same_bits(view(layer(tape, tape.input(q), tape.input(x), lists, of)), expected));
    // One list for all.
    const offsets one{0, 9}, first(6);
    CHECK(same_bits(layer(context, q.view(), x.view(), one, first),
                    layer(context, q.view(), x.view(), one)));
    const char* name = "funnel::";
    CHECK(refuses(
        [&] {
          layer(context, q.view(), x.view(), lists, offsets{0, 0, 0, 0, 0, 3});
        },
        name, "lists[5] is 3, expected below 3, the number of lists"));
    CHECK(refuses(
        [&] {
          layer(context, q.view(), x.view(), lists, offsets{0, 0});
        },
        name, "lists has 2 values, expected 6 as in candidates"));
    CHECK(refuses([&] { layer(context, q.view(), x.view(), offsets{}, of); }, name,
                  "offsets is empty"));
  };
  check(heads_of<float>(7, 2, 3));
  check(with_random_parameters(din_attention<float>(7, {.hidden = {6}})));
  check(with_random_parameters(din_attention<float>(7, {.hidden = {6}, .normalize = true})));
}

TEST_CASE("multi_head_attention, din_attention: gradients") {
  const auto heads = heads_of<double>(5, 2, 3);
  const din_attention<double> din(5, {.hidden = {4}, .function = funnel::activation::tanh});
  const offsets ragged{0, 3, 3, 4, 9}, shared{0, 9}, three{0, 4, 4, 9}, of{2, 0, 2, 0}, four{0, 4};
  for (const offsets& lists : {ragged, shared})
    check_layer(heads, {{4, 5}, {9, 5}},
                [&](auto& context, const auto& layer, const double_values& x) {
                  return layer(context, x[0], x[1], lists);
                });
  const auto over_lists = [&](auto& context, const auto& layer, const double_values& x) {
    return layer(context, x[0], x[1], three, of);
  };
  check_layer(heads, {{4, 5}, {9, 5}}, over_lists);
  check_layer(din, {{4, 5}, {9, 5}}, over_lists);
  // One history per request; candidates or events that learn nothing.
  const request_offsets requests = offsets_of({2, 1, 1, 4});
  check_layer(heads, {{8, 5}, {9, 5}},
              [&](auto& context, const auto& layer, const double_values& x) {
                context.group_rows(requests);
                return layer(context, x[0], x[1], ragged);
              });
  const matrix<double> fixed = random_matrix<double>(4, 5, 3);
  check_layer(heads, {{4, 5}}, [&](auto& context, const auto& layer, const double_values& x) {
    return layer(context, context.input(fixed), x[0], four);
  });
  check_layer(heads, {{4, 5}}, [&](auto& context, const auto& layer, const double_values& x) {
    return layer(context, x[0], context.input(fixed), four);
  });
}

TEST_CASE("multi_head_attention: what is refused") {
  const char* name = "funnel::multi_head_attention";
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  const auto refused_options = [&](std::size_t dim, const multi_head_attention_options& options,
                                   const char* words) {
    return refuses([&] { multi_head_attention<float>(dim, options); }, "funnel::", words);
  };
  CHECK(refused_options(0, {}, "dim is 0"));
  CHECK(refused_options(4, {.heads = 0}, "heads is 0"));
  CHECK(refused_options(4, {.head_dim = 0}, "head_dim is 0"));
  CHECK(refused_options(4, {.heads = largest, .head_dim = largest}, "heads x head_dim is"));
  CHECK(refused_options(4, {.heads = std::size_t{1} << 63, .head_dim = 2}, "heads x head_dim is"));
  const multi_head_attention<float> layer(4);
  const matrix<float> q(3, 4), x(6, 4), narrow(6, 3);
  funnel::inference_context<float> context;
  const auto refused = [&](const matrix<float>& a, const matrix<float>& b, const offsets& lists,
                           const char* words) {
    return refuses([&] { layer(context, a.view(), b.view(), lists); }, name, words);
  };
  CHECK(refused(narrow, x, {0, 6}, "candidates has 3 columns, expected 4"));
  CHECK(refused(q, narrow, {0, 6}, "events has 3 columns, expected 4"));
  CHECK(refused(q, x, {0, 3, 6}, "offsets has 3 values, expected 2, or 4 for 3 candidates"));
  CHECK(refused(q, x, {0, 5}, "offsets[1] is 5, expected 6, the number of events"));
  CHECK(refuses(
      [&] {
        multi_head_attention<float>()(context, q.view(), x.view(), offsets{0, 6});
      },
      name, "heads is empty"));
}
