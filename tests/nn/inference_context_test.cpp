// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <memory>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

using ids = std::span<const std::uint32_t>;

struct ranker {
  funnel::embedding<float> user{10, 16};
  funnel::embedding<float> item{1000, 16};
  funnel::embedding_bag<float> history{1000, 16};
  funnel::mlp<float> tower{50, {64, 32, 1}, {.hidden = funnel::activation::gelu}};

  template <funnel::Context C>
  auto operator()(C& context, ids users, const funnel::id_lists& seen, ids items,
                  matrix_view<const float> numbers) const {
    return tower(context, concat(context, user(context, users), history(context, seen),
                                 item(context, items), numbers));
  }
  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("history", history);
    visit("tower", tower);
  }
};

}  // namespace

TEST_CASE("inference_context: after the first request serving asks for no memory") {
  ranker model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);
  const auto frozen = funnel::freeze(model);

  const std::vector<std::uint32_t> users{3};
  const std::vector<std::uint32_t> seen{1, 5, 999};
  const std::vector<std::uint32_t> offsets{0, 3};
  std::vector<std::uint32_t> items(700);
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = static_cast<std::uint32_t>(i);
  const matrix<float> numbers = random_matrix<float>(items.size(), 2, 2);

  funnel::inference_context<float> context;
  float sum = 0;
  const auto serve = [&](const auto& served, std::size_t n) {
    const auto scores = served(context, ids(users), funnel::id_lists{seen, offsets},
                               ids(items).subspan(0, n), numbers.view().middle_rows(0, n));
    for (std::size_t i = 0; i < n; ++i) sum += scores(i, 0);
    context.reset();
  };
  CHECK(allocations_of([&] { serve(model, 700); }) > 0);  // the counter counts
  const std::size_t held = context.scratch().capacity();
  CHECK(allocations_of([&] {
          for (const std::size_t n : size_list{700, 1, 0, 13, 700}) {
            serve(model, n);
            serve(frozen, n);
          }
        }) == 0);
  CHECK(context.scratch().capacity() == held);
  CHECK(sum == sum);
}

TEST_CASE("allocations_of: sees every form of new") {
  CHECK(allocations_of([] {
          std::vector<int> v(10);
          needed = v.data();
        }) == 1);
  CHECK(allocations_of([] {
          matrix<float> aligned(3, 3);
          needed = aligned.data();
        }) == 1);
  CHECK(allocations_of([] {
          const auto p = std::make_unique<int[]>(4);
          needed = p.get();
        }) == 1);
  CHECK(allocations_of([] {
          const std::unique_ptr<int> p(new (std::nothrow) int);
          needed = p.get();
        }) == 1);
  CHECK(allocations_of([] {}) == 0);
}

TEST_CASE("inference_context: values are the arena's, inputs the caller's") {
  funnel::inference_context<double> context;
  const matrix<double> data = random_matrix<double>(3, 2, 3);
  CHECK(context.input(data).data() == data.data());
  const matrix_view<double> a = context.make(3, 2);
  const matrix_view<double> b = context.make(3, 2);
  CHECK(a.rows() == 3);
  CHECK(a.cols() == 2);
  CHECK(a.data() != b.data());
  a(2, 1) = 5;
  b(0, 0) = 6;
  CHECK(view(matrix_view<const double>(a))(2, 1) == 5);
  context.reset();
  CHECK(context.make(3, 2).data() == a.data());
}
