// SPDX-License-Identifier: MIT
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/histories.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::target_attention;

namespace {

using offsets = std::vector<std::uint32_t>;

matrix<double> rows_of(std::initializer_list<std::initializer_list<double>> rows) {
  matrix<double> values(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const auto& row : rows) std::ranges::copy(row, values.row(i++).begin());
  return values;
}

}  // namespace

TEST_CASE("target_attention: worked by hand") {
  // d = 4, so scores are halved: 2 ln 3 / 2 and 0 give the weights 3/4 and 1/4.
  const double l = std::log(3.);
  const matrix<double> candidates = rows_of({{1, 0, 0, 0}, {0, 0, 1, 0}, {2, 0, 0, 0}});
  const matrix<double> events = rows_of({{2 * l, 4, 0, 0}, {0, 8, 0, 0}});
  funnel::inference_context<double> context;
  const auto y = target_attention(context, candidates.view(), events.view(), offsets{0, 2});
  const double expected[3][4] = {
      {1.5 * l, 5, 0, 0}, {l, 6, 0, 0}, {1.8 * l, 4.4, 0, 0}};  // weights 9/10 and 1/10
  REQUIRE(y.rows() == 3);
  REQUIRE(y.cols() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 4; ++j)
      CHECK(tolerance::within(y(i, j), expected[i][j], tolerance::iterative<double>(4, 8)));
  }
}

TEST_CASE("target_attention: lists of any length, against the definition") {
  for (const std::size_t d : size_list{1, 8, 19}) {
    const offsets lists{0, 3, 3, 4, 30, 30};
    const matrix<float> candidates = random_matrix<float>(5, d, d, -3, 3);
    const matrix<float> events = random_matrix<float>(30, d, d + 1);
    funnel::inference_context<float> context;
    const auto y = target_attention(context, candidates.view(), events.view(), lists);
    REQUIRE(y.rows() == 5);
    REQUIRE(y.cols() == d);
    for (std::size_t i = 0; i < 5; ++i) {
      std::vector<double> weights, expected(d);
      double sum = 0;
      for (std::size_t e = lists[i]; e < lists[i + 1]; ++e) {
        double score = 0;
        for (std::size_t j = 0; j < d; ++j)
          score += static_cast<double>(candidates(i, j)) * static_cast<double>(events(e, j));
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
        sum += weights.back();
      }
      for (std::size_t e = lists[i]; e < lists[i + 1]; ++e) {
        for (std::size_t j = 0; j < d; ++j)
          expected[j] += weights[e - lists[i]] / sum * static_cast<double>(events(e, j));
      }
      // A score of n terms, an exponential, a sum of weights.
      for (std::size_t j = 0; j < d; ++j) {
        CHECK(tolerance::within(static_cast<double>(y(i, j)), expected[j],
                                tolerance::iterative<float>(d, 3)));
      }
    }
  }
}

TEST_CASE("target_attention: one history shared by all is that history given to each") {
  constexpr std::size_t n = 70, length = 13, d = 11;
  const matrix<float> candidates = random_matrix<float>(n, d, 1);
  const matrix<float> events = random_matrix<float>(length, d, 2);
  const copied_history<float> copies(events, n);
  const offsets& ragged = copies.offsets;
  const offsets shared{0, length};
  funnel::inference_context<float> context;
  const auto whole = target_attention(context, candidates.view(), events.view(), shared);
  CHECK(
      same_bits(target_attention(context, candidates.view(), copies.events.view(), ragged), whole));
  // A candidate gives the same bits alone and among others.
  for (const std::size_t i : size_list{0, 33, n - 1}) {
    CHECK(same_bits(
        target_attention(context, candidates.view().middle_rows(i, 1), events.view(), shared),
        whole.middle_rows(i, 1)));
  }
  funnel::training_context<float> tape;
  CHECK(same_bits(view(target_attention(tape, tape.input(candidates), tape.input(events), shared)),
                  whole));
}

TEST_CASE("target_attention: an empty history gives zeros, not the mean of anything") {
  const matrix<double> candidates = random_matrix<double>(3, 4, 1);
  const matrix<double> none(0, 4);
  const matrix<double> events = random_matrix<double>(2, 4, 2);
  funnel::inference_context<double> context;
  std::fill_n(context.scratch().allocate<double>(1000), 1000, 5.);  // what a request leaves behind
  context.reset();
  const auto nothing = target_attention(context, candidates.view(), none.view(), offsets{0, 0});
  const auto some =
      target_attention(context, candidates.view(), events.view(), offsets{0, 0, 2, 2});
  for (std::size_t j = 0; j < 4; ++j) {
    for (std::size_t i = 0; i < 3; ++i) CHECK(nothing(i, j) == 0);
    CHECK(some(0, j) == 0);
    CHECK(some(1, j) != 0);
    CHECK(some(2, j) == 0);
  }
  CHECK(target_attention(context, candidates.view().middle_rows(0, 0), events.view(), offsets{0, 2})
            .rows() == 0);
  CHECK(target_attention(context, candidates.view().middle_rows(0, 0), none.view(), offsets{0})
            .rows() == 0);
}

TEST_CASE("target_attention: one event has weight 1, whatever it is") {
  const matrix<float> candidates = random_matrix<float>(2, 5, 1, -100, 100);
  const matrix<float> events = random_matrix<float>(2, 5, 2, -100, 100);
  funnel::inference_context<float> context;
  const auto y = target_attention(context, candidates.view(), events.view(), offsets{0, 1, 2});
  CHECK(same_bits(y, events));
}

TEST_CASE("target_attention: the order of events does not matter; huge scores; NaN") {
  constexpr std::size_t length = 9, d = 6;
  const matrix<double> candidates = random_matrix<double>(2, d, 1);
  matrix<double> events = random_matrix<double>(length, d, 2);
  matrix<double> reversed(length, d);
  for (std::size_t e = 0; e < length; ++e)
    std::ranges::copy(events.row(e), reversed.row(length - 1 - e).begin());
  funnel::inference_context<double> context;
  const offsets all{0, length};
  const auto y = target_attention(context, candidates.view(), events.view(), all);
  const auto z = target_attention(context, candidates.view(), reversed.view(), all);
  for (std::size_t j = 0; j < d; ++j)
    CHECK(tolerance::within(y(0, j), z(0, j), tolerance::reduction<double>(length, 1)));

  matrix<double> huge = candidates;
  for (double& v : huge.flat()) v *= 1e200;
  const auto picked = target_attention(context, huge.view(), events.view(), all);
  for (std::size_t i = 0; i < 2; ++i) {
    bool is_an_event = false;  // all weight on one
    for (std::size_t e = 0; e < length; ++e)
      is_an_event = is_an_event || std::ranges::equal(picked.row(i), events.row(e));
    CHECK(is_an_event);
  }

  huge(0, 3) = std::numeric_limits<double>::quiet_NaN();
  const auto half = target_attention(context, huge.view(), events.view(), all);
  CHECK(std::isnan(half(0, 0)));
  CHECK(same_bits(half.middle_rows(1, 1), picked.middle_rows(1, 1)));
}

TEST_CASE("target_attention: gradients of candidates and events") {
  const offsets ragged{0, 3, 3, 4, 9}, shared{0, 9}, four{0, 4};
  for (const offsets& lists : {ragged, shared}) {
    check_operation({{4, 5}, {9, 5}}, [&](auto& context, const double_values& x) {
      return target_attention(context, x[0], x[1], lists);
    });
  }
  // Candidates among their own history.
  check_operation({{4, 5}}, [&](auto& context, const double_values& x) {
    return target_attention(context, x[0], x[0], four);
  });
}

TEST_CASE("target_attention: gradients where one side learns nothing") {
  const matrix<double> four = random_matrix<double>(4, 5, 3);
  const matrix<double> nine = random_matrix<double>(9, 5, 4);
  const offsets shared{0, 9};
  check_operation({{9, 5}}, [&](auto& context, const double_values& x) {
    return target_attention(context, context.input(four), x[0], shared);
  });
  check_operation({{4, 5}}, [&](auto& context, const double_values& x) {
    return target_attention(context, x[0], context.input(nine), shared);
  });
}

TEST_CASE("target_attention: one history per request is that history given to each candidate") {
  constexpr std::size_t d = 11;
  for (const request_offsets& requests :
       {offsets_of({1}), offsets_of({5}), offsets_of({1, 1, 1}), offsets_of({3, 1, 70, 2, 200})}) {
    const matrix<float> candidates = random_matrix<float>(requests.back(), d, 1, -3, 3);
    const request_histories<float> lists(requests, {13, 0, 1, 64, 300}, d, 2);
    funnel::inference_context<float> plain, context;
    context.group_rows(requests);
    const auto expected =
        target_attention(plain, candidates.view(), lists.copies.view(), lists.of_rows);
    CHECK(same_bits(
        target_attention(context, candidates.view(), lists.events.view(), lists.of_requests),
        expected));
    funnel::training_context<float> tape;
    tape.group_rows(requests);
    CHECK(same_bits(view(target_attention(tape, tape.input(candidates), tape.input(lists.events),
                                          lists.of_requests)),
                    expected));
    // A list for each candidate, and one for all, keep their meaning.
    CHECK(
        same_bits(target_attention(context, candidates.view(), lists.copies.view(), lists.of_rows),
                  expected));
    const request_offsets shared{0, lists.of_requests.back()};
    CHECK(same_bits(target_attention(context, candidates.view(), lists.events.view(), shared),
                    target_attention(plain, candidates.view(), lists.events.view(), shared)));
  }
}

TEST_CASE("target_attention: gradients, one history per request") {
  const request_offsets requests = offsets_of({2, 1, 1, 4}), lists{0, 3, 3, 4, 9};
  check_operation({{8, 5}, {9, 5}}, [&](auto& context, const double_values& x) {
    context.group_rows(requests);
    return target_attention(context, x[0], x[1], lists);
  });
  const matrix<double> eight = random_matrix<double>(8, 5, 3),
                       nine = random_matrix<double>(9, 5, 4);
  check_operation({{9, 5}}, [&](auto& context, const double_values& x) {
    context.group_rows(requests);
    return target_attention(context, context.input(eight), x[0], lists);
  });
  check_operation({{8, 5}}, [&](auto& context, const double_values& x) {
    context.group_rows(requests);
    return target_attention(context, x[0], context.input(nine), lists);
  });
  // One query per request, over its own history.
  check_operation({{4, 5}, {9, 5}, {8, 5}}, [&](auto& context, const double_values& x) {
    context.group_rows(requests);
    return add(context, target_attention(context, x[0], x[1], lists), x[2]);
  });
}

TEST_CASE("target_attention: what is refused") {
  const matrix<float> candidates(3, 4), events(6, 4), narrow(6, 3);
  funnel::inference_context<float> context;
  const auto refused = [&](const matrix<float>& of, const offsets& lists, std::string_view words) {
    return refuses([&] { target_attention(context, candidates.view(), of.view(), lists); },
                   "funnel::target_attention", words);
  };
  CHECK(refused(narrow, {0, 6}, "3 columns, expected 4"));
  CHECK(refused(events, {}, "offsets has 0 values, expected 2, or 4 for 3 candidates"));
  CHECK(refused(events, {0, 3, 6}, "offsets has 3 values, expected 2, or 4 for 3 candidates"));
  CHECK(refused(events, {0, 5}, "offsets[1] is 5, expected 6, the number of events"));
  CHECK(refused(events, {1, 6}, "offsets[0] is 1, expected 0"));
  CHECK(refused(events, {0, 4, 3, 6}, "offsets[2] is 3, expected 4 or more"));
  CHECK(refused(events, {0, 7, 7, 6}, "offsets[3] is 6, expected 7 or more"));
  context.group_rows(request_offsets{0, 1, 3});
  CHECK_NOTHROW(target_attention(context, candidates.view(), events.view(), offsets{0, 2, 6}));
  CHECK(refused(events, {0, 2, 2, 2, 6},
                "offsets has 5 values, expected 2, 3 for 2 requests, or 4 for 3 candidates"));
  CHECK(refused(events, {0, 2, 5}, "offsets[2] is 5, expected 6, the number of events"));
  CHECK(refused(events, {}, "offsets has 0 values, expected 2, 3 for 2 requests, or 4"));
}
