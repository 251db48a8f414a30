// SPDX-License-Identifier: MIT
#include "retriever.hpp"

#include <funnel/features/log1p.hpp>
#include <funnel/features/standardize.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/schedule.hpp>

#include <algorithm>
#include <cmath>

namespace feed {

retrieval_data::retrieval_data(const funnel::interaction_log& log, const features& known,
                               std::span<const rows> days,
                               std::vector<funnel::matrix<float>> item_numbers)
    : items(std::move(item_numbers)) {
  using funnel::user_history;
  const std::size_t users = log.users.size();
  past = {newest(log, &user_history::watched, history_length),
          newest(log, &user_history::long_watched, history_length),
          newest(log, &user_history::liked, history_length)};
  for (funnel::item_id item = 0; item < log.videos.size(); ++item) {
    tags.push_back(log.videos[item].category);
    durations.push_back(known.duration_bucket(item));
  }

  user_numbers.assign(users, log.user_numbers.size());
  user_fields.assign(users, log.user_fields.size());
  for (funnel::user_id user = 0; user < users; ++user) {
    std::ranges::transform(log.users[user].numeric, user_numbers.row(user).begin(),
                           funnel::log1p_count<float>);
    std::uint32_t first = 0;
    for (std::size_t f = 0; f < log.user_fields.size(); ++f) {
      user_fields(user, f) = first + log.users[user].categorical[f];
      first += log.user_fields[f].size;
    }
    field_values = first;
  }
  scaler(user_numbers.view()).apply(user_numbers);

  // Period 0: the videos watched long before the log, newest first. Each is to be found from the
  // rest of the history.
  positives.resize(1);
  clicked.resize(1);
  for (funnel::user_id user = 0; user < users; ++user) {
    clicked[0].append({}, log.videos);
    const history_lists& watched_long = past[1];
    for (std::uint32_t i = watched_long.offsets[user]; i < watched_long.offsets[user + 1]; ++i) {
      positives[0].push_back({user, watched_long.items[i]});
    }
  }
  std::vector<std::vector<funnel::item_id>> so_far(users);
  const auto remember = [&] {
    history_lists& lists = clicked.emplace_back();
    for (const auto& list : so_far) {
      const std::span<const funnel::item_id> all = list;
      lists.append(all.last(std::min<std::size_t>(20, all.size())), log.videos);
    }
  };
  for (const rows& day : days) {
    remember();
    auto& of_day = positives.emplace_back();
    for (std::size_t i = 0; i < day.size(); ++i) {
      if (day.labels(i, click) != 0) of_day.push_back({day.shown[i].user, day.shown[i].item});
    }
    for (const auto& [user, item] : of_day) so_far[user].push_back(item);
  }
  remember();
}

void user_batch::clear() {
  numbers_.clear();
  lengths_.clear();
  fields_.clear();
  for (history_lists& list : lists_) list.clear();
}

void user_batch::append(funnel::user_id user, std::size_t period, funnel::item_id hidden) {
  const auto numbers = data_.user_numbers.row(user);
  const auto fields = data_.user_fields.row(user);
  numbers_.insert(numbers_.end(), numbers.begin(), numbers.end());
  fields_.insert(fields_.end(), fields.begin(), fields.end());
  for (std::size_t k = 0; k < list_kinds; ++k) {
    const history_lists& from = k < data_.past.size() ? data_.past[k] : data_.clicked[period];
    history_lists& to = lists_[k];
    for (std::uint32_t i = from.offsets[user]; i < from.offsets[user + 1]; ++i) {
      if (from.items[i] == hidden) continue;
      to.items.push_back(from.items[i]);
      to.tags.push_back(from.tags[i]);
    }
    lengths_.push_back(std::log1p(static_cast<float>(to.items.size() - to.offsets.back())));
    to.offsets.push_back(static_cast<std::uint32_t>(to.items.size()));
  }
}

user_side user_batch::side() {
  const std::size_t n = lists_[0].size();
  user_side side{.numbers = {numbers_.data(), n, data_.user_numbers.cols()},
                 .fields = {fields_.data(), n, data_.user_fields.cols()},
                 .lengths = {lengths_.data(), n, list_kinds},
                 .items = {},
                 .tags = {}};
  for (std::size_t k = 0; k < list_kinds; ++k) {
    side.items[k] = lists_[k].item_lists();
    side.tags[k] = lists_[k].tag_lists();
  }
  return side;
}

namespace {

/// One training step: positives of one period, so that all features are as of the same time.
struct step {
  std::size_t period;
  std::vector<std::uint32_t> picked;
};

std::vector<step> make_steps(const retrieval_data& data, std::size_t first_period,
                             std::size_t end_period, std::size_t size,
                             funnel::random_generator& bits) {
  std::vector<step> steps;
  for (std::size_t period = first_period; period < end_period; ++period) {
    const std::vector<std::uint32_t> order = random_order(data.positives[period].size(), bits);
    for (std::size_t begin = 0; begin + 2 <= order.size(); begin += size) {
      const auto end = std::min(begin + size, order.size());
      steps.push_back({period,
                       {order.begin() + static_cast<std::ptrdiff_t>(begin),
                        order.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
  }
  funnel::shuffle(bits, steps);
  return steps;
}

}  // namespace

feed_towers train_towers(const retrieval_data& data, std::uint64_t seed, const progress& report) {
  constexpr std::size_t size = 512;
  constexpr double peak = 2e-3;
  funnel::random_generator bits(seed);
  const std::size_t tag_count = 1 + std::ranges::max(data.tags);
  feed_towers model{.user = {data.user_numbers.cols(), data.user_fields.cols(), data.field_values},
                    .item = {},
                    .shared = {.video = {data.items[0].rows(), 32},
                               .tag = {tag_count, 8, {.initial_scale = .1}}}};
  funnel::initialize(model, bits);

  // One pass over the history, then some over the log: few passes if users have few clicks, because
  // towers overfit quickly (on KuaiRand, with 1.5 clicks per user, recall falls from the third pass
  // on), more passes if users have many.
  std::size_t clicks = 0;
  for (std::size_t period = 1; period < data.positives.size(); ++period)
    clicks += data.positives[period].size();
  const std::size_t passes = std::clamp<std::size_t>(clicks / (3 * data.user_numbers.rows()), 2, 6);
  std::vector<step> steps = make_steps(data, 0, 1, size, bits);
  for (std::size_t pass = 0; pass < passes; ++pass) {
    std::ranges::move(make_steps(data, 1, data.positives.size(), size, bits),
                      std::back_inserter(steps));
  }
  std::vector<std::vector<float>> log_share;  // per period: ln of an item's share of the positives
  for (const auto& positives : data.positives) {
    std::vector<float>& share = log_share.emplace_back(data.tags.size());
    for (const auto& positive : positives) share[positive.item] += 1;
    for (float& s : share) s = std::log(s / static_cast<float>(positives.size()));
  }

  funnel::adam<float> optimizer({.learning_rate = peak, .weight_decay = 1e-4});
  const funnel::linear_schedule rate{.peak = peak, .steps = steps.size(), .last_fraction = .1};
  funnel::training_context<float> context(seed);
  user_batch users(data);
  std::vector<std::uint32_t> items, tags, durations;
  std::vector<float> log_q;
  funnel::matrix<float> numbers;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const auto& [period, picked] = steps[s];
    users.clear();
    for (auto* ids : {&items, &tags, &durations}) ids->clear();
    log_q.clear();
    numbers.assign(picked.size(), data.items[period].cols());
    for (std::size_t i = 0; i < picked.size(); ++i) {
      const auto [user, item] = data.positives[period][picked[i]];
      users.append(user, period, period == 0 ? item : nothing);
      items.push_back(item);
      tags.push_back(data.tags[item]);
      durations.push_back(data.durations[item]);
      log_q.push_back(log_share[period][item]);
      std::ranges::copy(data.items[period].row(item), numbers.row(i).begin());
    }
    const auto cosines = model(context, users.side(), item_side{items, tags, durations, numbers});
    context.backward(funnel::in_batch_softmax(
        context, cosines, {.temperature = .07f, .log_q = log_q, .items = items}));
    optimizer.options.learning_rate = rate(s);
    optimizer.step(model, context);
    context.clear();
    report(static_cast<double>(s + 1) / static_cast<double>(steps.size()));
  }
  return model;
}

funnel::flat_index<> build_index(const feed_towers& towers, const retrieval_data& data) {
  std::vector<std::uint32_t> items(data.tags.size());
  std::iota(items.begin(), items.end(), 0u);
  funnel::inference_context<float> context;
  return funnel::flat_index<>(
      towers.item_vectors(context, item_side{items, data.tags, data.durations, data.items.back()}));
}

}  // namespace feed
