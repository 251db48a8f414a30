// SPDX-License-Identifier: MIT
#include "serving.hpp"

#include <chrono>

namespace feed {

served_feed::served_feed(trained_feed trained)
    : features(std::move(trained.features)), state(std::move(trained.past.state)),
      calibration(std::move(trained.calibration)), videos(std::move(trained.videos)),
      models(freeze(std::move(trained.models))) {
  request_encoder encode(features, state);
  inference_context<float> context;
  models.call(
      context,
      [this](const feed_models& m, auto& c, const row_batch& rows) {
        index = flat_index<>(m.towers.item_vectors(c, rows));
        three_tower_items = matrix<float>(m.three_towers.item_vectors(c, rows));
        multi_vector_items = matrix<float>(m.multi_vector.item_vectors(c, rows));
      },
      encode(0, videos.items, state.time(), feed_request().context(), no_slot));
}

template <class Score>
void feed_server::add_preranker(const char* name, std::size_t keeps, Score score) {
  cascade_.add_scorer({.name = name, .keeps = keeps},
                      [this, score](const feed_request& r, scorer_call& call) {
                        if (rows_ == nullptr) encode_candidates(r, call);
                        const auto sums = [&](auto& context, const row_batch& rows) {
                          return row_sum(context, score(context, **model_, rows));
                        };
                        scores_.assign(rows_->rows(), 1);
                        score_rows(context_, sums, *rows_, scores_);
                        for (std::size_t i = 0; i < call.size(); ++i)
                          call.scores()(i, 0) = scores_(call.slots()[i], 0);
                      });
}

feed_server::feed_server(const model_slot<served_feed>& slot, const feed_sizes& sizes,
                         const three_tower_preranker* compared)
    : slot_(slot), cascade_({.total = sizes.retrieved}) {
  const std::size_t all = sizes.retrieved;
  add_channels();
  const auto multi_vector = [this](auto& context, const served_feed& of, const row_batch& rows) {
    return of.models.call(context, [&](const feed_models& m, auto& c) {
      return m.multi_vector.score(c, rows, of.multi_vector_items, positions_);
    });
  };
  const auto undistilled = [compared](auto& context, const served_feed&, const row_batch& rows) {
    return (*compared)(context, rows);
  };
  if (compared != nullptr) {
    add_preranker("prerank_undistilled", all, undistilled);
    add_preranker("prerank_multi_vector", all, multi_vector);
  }
  add_preranker("prerank", compared != nullptr ? all : sizes.preranked,
                [this](auto& context, const served_feed& of, const row_batch& rows) {
                  return of.models.call(context, [&](const feed_models& m, auto& c) {
                    return m.three_towers.score(c, rows, of.three_tower_items, positions_);
                  });
                });
  cascade_.add_scorer(
      {.name = "rank", .outputs = {"click", "long_view", "like", "watch", "watch_order"}},
      [this](const feed_request&, scorer_call& call) {
        const auto rank = [this](auto& context, const row_batch& rows) {
          return (*model_)->models.call(context, &feed_models::rank, rows);
        };
        pick_rows(*rows_, call.slots(), kept_rows_);
        score_rows(context_, rank, kept_rows_, call.scores());
        calibrate((*model_)->calibration, call.scores());
      });
  cascade_.add_scorer({.name = "fuse", .keeps = compared != nullptr ? all : sizes.pool},
                      [](const feed_request&, scorer_call& call) {
                        fuse(formula, call.scores_of("rank"),
                             std::span(call.scores().data(), call.size()));
                      });
  cascade_.add_selector({.name = "rerank", .takes = sizes.pool, .keeps = sizes.page},
                        [this](const feed_request&, selector_call& call) { make_page(call); });
}

void feed_server::take_model() {
  auto model = slot_.get();
  if (encode_ && model->features.fingerprint() == (*model_)->features.fingerprint())
    encode_->follow(model->features, model->state);
  else
    encode_.emplace(model->features, model->state);
  if (expand_)
    expand_->follow(model->videos.similar);
  else
    expand_.emplace(model->videos.similar);
  model_.emplace(std::move(model));
}

std::span<const std::int64_t> feed_server::operator()(const feed_request& request) {
  rows_ = nullptr;
  take_model();
  page_.clear();
  for (const std::int64_t position : cascade_(request))
    page_.push_back(
        static_cast<std::int64_t>((*model_)->videos.items[static_cast<std::size_t>(position)]));
  return page_;
}

void feed_server::add_channels() {
  // The towers find most; the others are there for users and videos that the towers know little of.
  cascade_.add_source({.name = "towers", .share = 8},
                      [this](const feed_request& r, source_call& to) {
                        for (const scored_item& s : find(r, to.room())) to.add(s.item, s.score);
                      });
  cascade_.add_source(
      {.name = "similar", .share = 1}, [this](const feed_request& r, source_call& to) {
        const catalog& videos = (*model_)->videos;
        const sparse_row liked = videos.of(videos.liked, r.user);
        found_.resize(to.room());
        const std::size_t n =
            expand_->search(liked.columns, liked.values, found_, videos.unseen_by(r.user));
        for (const scored_item& s : std::span(found_).first(n)) to.add(s.item, s.score);
      });
  cascade_.add_source({.name = "popular", .share = 1},
                      [this](const feed_request& r, source_call& to) {
                        const auto unseen = (*model_)->videos.unseen_by(r.user);
                        for (const item_id i : (*model_)->videos.popular)
                          if (!to.full() && unseen(i)) to.add(i, 0);
                      });
}

std::span<const scored_item> feed_server::find(const feed_request& request, std::size_t most) {
  if (!model_) take_model();
  const served_feed& of = **model_;
  const auto user_vector = [](const feed_models& m, auto& c, const row_batch& rows) {
    return m.towers.user_vectors(c, rows);
  };
  context_.reset();
  const auto query = of.models.call(
      context_, user_vector, encode_->user(request.user, of.state.time(), request.context()));
  found_.resize(most);
  const std::size_t count =
      of.index.search(query.row(0), found_, of.videos.unseen_by(request.user));
  return std::span(found_).first(count);
}

void feed_server::encode_candidates(const feed_request& request, stage_call& call) {
  positions_.clear();
  ids_.clear();
  for (const std::int64_t position : call.all().ids()) {
    positions_.push_back(static_cast<std::uint32_t>(position));
    ids_.push_back((*model_)->videos.items[positions_.back()]);
  }
  const auto begin = std::chrono::steady_clock::now();
  rows_ = &(*encode_)(request.user, ids_, (*model_)->state.time(), request.context(), no_slot);
  const auto time = std::chrono::steady_clock::now() - begin;
  features_ms_ = std::chrono::duration<double, std::milli>(time).count();
  call.note("features_ms", features_ms_);
  call.note("feature_bytes", static_cast<double>(sizeof(float) * (rows_->item.numbers.size() +
                                                                  rows_->cross.numbers.size())));
  call.note("statistics_age_h", static_cast<double>(request.hour));  // counted until midnight
}

void feed_server::make_page(selector_call& call) {
  // Relevance is the fused score, whose values spread over some units; a page fits into the window.
  constexpr dpp_options diversity{.relevance_weight = .5, .window = 10};
  const catalog& videos = (*model_)->videos;
  const auto pool = call.scratch().allocate<std::uint32_t>(call.size());
  for (std::size_t i = 0; i < call.size(); ++i) pool[i] = positions_[call.slots()[i]];
  const matrix_view<float> vectors(call.scratch().allocate<float>(call.size() * videos.width()),
                                   call.size(), videos.width());
  videos.vectors({pool, call.size()}, vectors);
  dpp(call.relevance(), matrix_view<const float>(vectors), call.picked(), diversity,
      call.scratch());
}

}  // namespace feed
