// SPDX-License-Identifier: MIT
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/attention_history.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/histories.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

using funnel::attention_history;
using funnel::matrix;
using funnel::target_attention;

namespace {

using offsets = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("attention_history: one serves any number of blocks of candidates") {
  constexpr std::size_t d = 24;
  for (const std::size_t m : size_list{0, 1, 7, 8, 9, 64, 130}) {
    // More candidates than are attended at once.
    const std::size_t n = m == 64 ? 1000 : 40;
    const matrix<float> candidates = random_matrix<float>(n, d, 1, -3, 3);
    const matrix<float> events = random_matrix<float>(m, d, 2);
    const offsets all{0, static_cast<std::uint32_t>(m)};
    funnel::inference_context<float> context;
    const auto whole = target_attention(context, candidates.view(), events.view(), all);
    const attention_history history(context, events.view());
    CHECK(history.rows() == m);
    CHECK(history.cols() == d);
    std::size_t begin = 0;
    for (const std::size_t count : {std::size_t{1}, std::size_t{0}, std::size_t{13}, n - 14}) {
      const auto part =
          target_attention(context, candidates.view().middle_rows(begin, count), history);
      CHECK(same_bits(part, whole.middle_rows(begin, count)));
      begin += count;
    }
    funnel::training_context<float> tape;
    const auto x = tape.input(events);
    const attention_history taped(tape, x);
    CHECK(same_bits(view(target_attention(tape, tape.input(candidates), taped)), whole));
  }
}

TEST_CASE("attention_history: its gradients are those of copies of it") {
  constexpr std::size_t n = 300, length = 70, d = 9;  // several blocks of candidates
  const matrix<double> candidates = random_matrix<double>(n, d, 1);
  const matrix<double> events = random_matrix<double>(length, d, 2);
  const copied_history<double> copies(events, n);
  const offsets& ragged = copies.offsets;
  const auto learn = [](double_training& tape, const matrix<double>& from) {
    const auto value = tape.make(from.rows(), from.cols());
    std::ranges::copy(from.flat(), value.values.data());
    return value;
  };
  double_training tape, tape_of_copies;
  const auto q = learn(tape, candidates), x = learn(tape, events);
  const attention_history history(tape, x);
  tape.backward(weighted_sum(tape, target_attention(tape, q, history)));
  const auto p = learn(tape_of_copies, candidates), c = learn(tape_of_copies, copies.events);
  tape_of_copies.backward(
      weighted_sum(tape_of_copies, target_attention(tape_of_copies, p, c, ragged)));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < d; ++j) {
      CHECK(tolerance::within(q.gradient(i, j), p.gradient(i, j),
                              tolerance::iterative<double>(length, d)));
    }
  }
  for (std::size_t e = 0; e < length; ++e) {
    for (std::size_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += c.gradient(i * length + e, j);
      CHECK(tolerance::within(x.gradient(e, j), sum, tolerance::iterative<double>(n, d)));
    }
  }
}

TEST_CASE("attention_history: gradients where two parts of the candidates meet one") {
  check_operation({{4, 5}, {9, 5}}, [&](auto& context, const double_values& x) {
    const attention_history history(context, x[1]);
    return funnel::add(context, target_attention(context, x[0], history),
                       target_attention(context, x[0], history));
  });
}

TEST_CASE("attention_history: another number of columns than the candidates' is refused") {
  const matrix<float> candidates(3, 4), narrow(6, 3);
  funnel::inference_context<float> context;
  const attention_history history(context, narrow.view());
  CHECK(refuses([&] { target_attention(context, candidates.view(), history); },
                "funnel::target_attention", "3 columns, expected 4"));
}
