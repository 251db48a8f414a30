// SPDX-License-Identifier: MIT
#include "server.hpp"

#include <funnel/core/top_k.hpp>
#include <funnel/diversity/dpp.hpp>

#include <algorithm>

namespace feed {
namespace {

constexpr funnel::item_version version{.model = 1, .features = 1};

/// Copies the picked rows of `from` to `to`.
void pick_rows(funnel::matrix_view<const float> from, std::span<const std::uint32_t> picked,
               funnel::matrix<float>& to) {
  to.assign(picked.size(), from.cols());
  for (std::size_t i = 0; i < picked.size(); ++i)
    std::ranges::copy(from.row(picked[i]), to.row(i).begin());
}

}  // namespace

server::server(const models& shared, const funnel_sizes& sizes)
    : shared_(shared), sizes_(sizes), users_(shared.retrieval),
      cache_(2 * shared.item_numbers.rows(), pre_item_tower<float>::out), found_(sizes.retrieved) {}

void server::serve(funnel::user_id user, moment when) {
  using clock = std::chrono::steady_clock;
  auto last = clock::now();
  const auto lap = [&](stage s) {
    const auto now = clock::now();
    milliseconds_[s] = std::chrono::duration<double, std::milli>(now - last).count();
    last = now;
  };
  context_.reset();
  scratch_.reset();
  retrieve_items(user);
  lap(retrieve);
  collect_features(user, when);
  lap(collect);
  prerank_items();
  lap(prerank);
  rank_items();
  lap(rank);
  fuse_items();
  lap(fuse);
  make_page();
  lap(rerank);
}

void server::retrieve_items(funnel::user_id user) {
  users_.clear();
  users_.append(user, shared_.retrieval.periods() - 1, nothing);
  const auto user_vectors = [](const auto& model, auto& context, const auto& users) {
    return model.user_vectors(context, users);
  };
  const auto query = shared_.towers.call(context_, user_vectors, users_.side());
  const std::vector<funnel::item_id>& seen = shared_.seen[user];
  const std::size_t count = shared_.index.search(query.row(0), found_, [&](funnel::item_id item) {
    return !std::ranges::binary_search(seen, item);
  });
  retrieved_.resize(count);
  std::ranges::transform(std::span(found_).first(count), retrieved_.begin(),
                         &funnel::scored_item::item);
}

void server::collect_features(funnel::user_id user, moment when) {
  const features& known = shared_.source.known;
  user_.assign(1, known.user_width());
  known.user_numbers(user, when, user_.row(0));
  shared_.user_scale.apply(user_);
  pick_rows(shared_.item_numbers, retrieved_, item_);
  cross_.assign(retrieved_.size(), features::cross_width);
  for (std::size_t i = 0; i < retrieved_.size(); ++i)
    known.cross_numbers(user, retrieved_[i], when, cross_.row(i));
  shared_.cross_scale.apply(cross_);
  tab_ = when.tab;
  watched_.clear();
  watched_.append(shared_.source.watched, user);
  long_watched_.clear();
  long_watched_.append(shared_.source.long_watched, user);
}

candidates server::input(std::span<const funnel::item_id> items,
                         funnel::matrix_view<const float> item,
                         funnel::matrix_view<const float> cross) {
  tags_.clear();
  durations_.clear();
  for (const funnel::item_id i : items) {
    tags_.push_back(shared_.source.tags[i]);
    durations_.push_back(shared_.source.durations[i]);
  }
  return {.user = user_,
          .tab = {&tab_, 1},
          .slot = {&slot_, 1},
          .watched = watched_.item_lists(),
          .watched_tags = watched_.tag_lists(),
          .long_watched = long_watched_.item_lists(),
          .long_watched_tags = long_watched_.tag_lists(),
          .items = items,
          .tags = tags_,
          .durations = durations_,
          .item = item,
          .cross = cross};
}

void server::prerank_items() {
  const auto item_tower = [&](auto& context, const auto& items) {
    return shared_.preranker.call(context, &feed_preranker::item, items);
  };
  const auto vectors = funnel::cached_item_vectors(
      context_, item_tower, cache_, retrieved_, version, [&](auto missing) {
        pick_rows(shared_.item_numbers, missing, kept_item_);
        return input(missing, kept_item_, {});
      });
  const candidates x = input(retrieved_, item_, cross_);
  const auto with_item_vectors = [](const auto& model, auto& context, const auto&... inputs) {
    return model.with_item_vectors(context, inputs...);
  };
  const auto logits = shared_.preranker.call(context_, with_item_vectors, x, vectors, x);
  kept_.resize(std::min(sizes_.preranked, retrieved_.size()));
  funnel::top_k(std::span<const float>(logits.data(), logits.rows()), kept_);
}

void server::rank_items() {
  kept_items_.clear();
  for (const std::uint32_t i : kept_) kept_items_.push_back(retrieved_[i]);
  pick_rows(item_, kept_, kept_item_);
  pick_rows(cross_, kept_, kept_cross_);
  estimate_items(input(kept_items_, kept_item_, kept_cross_));
}

void server::estimate_items(const candidates& x) {
  const auto logits = shared_.ranker(context_, x);
  estimates_.assign(x.items.size(), tasks);
  for (std::size_t i = 0; i < x.items.size(); ++i) {
    for (std::size_t t = 0; t < tasks; ++t)
      estimates_(i, t) = shared_.calibrate(t, logits[t](i, 0));
  }
}

void server::fuse_items() {
  fused_.resize(estimates_.rows());
  funnel::fuse(formula, estimates_, fused_);
  best_.resize(std::min(sizes_.pool, fused_.size()));
  funnel::top_k(fused_, best_);
}

void server::make_page() {
  relevance_.clear();
  pool_.assign(best_.size(), shared_.content.cols());
  for (std::size_t i = 0; i < best_.size(); ++i) {
    relevance_.push_back(fused_[best_[i]]);
    std::ranges::copy(shared_.content.row(kept_items_[best_[i]]), pool_.row(i).begin());
  }
  picked_.resize(std::min(sizes_.page, best_.size()));
  funnel::dpp(relevance_, pool_.view(), picked_, diversity, scratch_);
  page_.clear();
  for (const std::size_t i : picked_) page_.push_back(kept_items_[best_[i]]);
}

std::vector<float> server::rank_everything() {
  estimate_items(input(retrieved_, item_, cross_));
  std::vector<float> scores(retrieved_.size());
  funnel::fuse(formula, estimates_, scores);
  return scores;
}

std::vector<std::uint32_t>
server::kept_by(const funnel::frozen<feed_preranker, funnel::default_arch>& preranker) {
  const candidates x = input(retrieved_, item_, cross_);
  const auto logits = preranker(context_, x, x, x);
  std::vector<std::uint32_t> kept(std::min(sizes_.preranked, retrieved_.size()));
  funnel::top_k(std::span<const float>(logits.data(), logits.rows()), kept);
  return kept;
}

}  // namespace feed
