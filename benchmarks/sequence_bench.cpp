// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/inference_context.hpp>
#include <funnel/sequence/category_index.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <memory>

namespace {

using bench::add;
using bench::history_data;

/// What one or two conditions hold for in a history without an index, all of which is read.
template <std::size_t conditions>
void add_scan(const std::string& name) {
  add("filter/1000000/" + name, {.memory_bytes = 4.0 * conditions * history_data::events},
      []() -> bench::task {
        const auto data = std::make_shared<const history_data>();
        return [=, i = std::size_t{0}, found = std::vector<std::uint32_t>(1 << 16)]() mutable {
          const std::size_t user = i++ % history_data::many;
          const funnel::field_equals category{data->categories.row(user), history_data::category};
          const funnel::field_equals cluster{data->clusters.row(user), history_data::cluster};
          if constexpr (conditions == 1) {
            benchmark::DoNotOptimize(funnel::hard_search(category, found));
          } else {
            benchmark::DoNotOptimize(funnel::filter_union({category, cluster}, found));
          }
        };
      });
}

/// The positions of a category in the index of one history, of which there are 2^-category.
void add_lookup(std::uint32_t category) {
  const std::size_t found = history_data::events >> category;
  add("filter/1000000/lookup/found:" + std::to_string(found),
      {.cached_bytes = 8.0 * static_cast<double>(found)}, [=]() -> bench::task {
        const auto data = std::make_shared<history_data>(std::size_t{1});
        const auto index =
            std::make_shared<funnel::category_index>(std::as_const(data->categories).row(0));
        return [index, category, positions = std::vector<std::uint32_t>(found)]() mutable {
          benchmark::DoNotOptimize(hard_search(*index, category, positions));
        };
      });
}

/// The index of a history without one, which is read from memory; positions are written.
template <class Make>
void add_index(const std::string& categories, Make make) {
  add("category_index/1000000/categories:" + categories,
      {.memory_bytes = 8.0 * history_data::events}, [=]() -> bench::task {
        const auto histories = std::make_shared<const bench::matrix<std::uint32_t>>(make());
        const auto index = std::make_shared<funnel::category_index>();
        return [=, i = std::size_t{0}]() mutable {
          index->assign(histories->row(i++ % history_data::many));
        };
      });
}

const bool added = [] {
  add("target_attention/500x200x64", {.flops = 4.0 * 500 * 200 * 64}, []() -> bench::task {
    const auto data = std::make_shared<bench::attention_data>();
    const auto context = std::make_shared<funnel::inference_context<float>>();
    return [=] {
      context->reset();
      benchmark::DoNotOptimize(funnel::target_attention(*context, data->candidates.view(),
                                                        data->events.view(), data->offsets)
                                   .data());
    };
  });

  add_scan<1>("category");
  add_scan<2>("union");
  add_index("21", [] { return history_data().categories; });
  add_index("5000", [] { return history_data::uniform_categories(5000); });
  for (const std::uint32_t category : {5u, 8u, 11u, 14u}) add_lookup(category);
  return true;
}();

}  // namespace
