// SPDX-License-Identifier: MIT
#include "rows.hpp"

#include <algorithm>

namespace feed {

void scaler::apply(funnel::matrix_view<float> values) const {
  standard_.apply(values, values);
  for (std::size_t i = 0; i < values.rows(); ++i) {
    for (float& value : values.row(i)) value = std::clamp(value, -4.f, 4.f);
  }
}

rows make_rows(const features& known, std::vector<funnel::impression> shown) {
  rows made;
  made.user.assign(shown.size(), known.user_width());
  made.item.assign(shown.size(), features::item_width);
  made.cross.assign(shown.size(), features::cross_width);
  made.labels.assign(shown.size(), watch);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const moment when{shown[i].tab, shown[i].hour};
    known.user_numbers(shown[i].user, when, made.user.row(i));
    known.item_numbers(shown[i].item, made.item.row(i));
    known.cross_numbers(shown[i].user, shown[i].item, when, made.cross.row(i));
    known.write_labels(shown[i], made.labels.row(i));
  }
  made.shown = std::move(shown);
  return made;
}

rows join_rows(std::span<const rows> parts) {
  rows joined;
  for (const rows& part : parts)
    joined.shown.insert(joined.shown.end(), part.shown.begin(), part.shown.end());
  const auto join = [&](funnel::matrix<float> rows::*block) {
    (joined.*block).assign(joined.size(), (parts.front().*block).cols());
    float* to = (joined.*block).data();
    for (const rows& part : parts) to = std::ranges::copy((part.*block).flat(), to).out;
  };
  join(&rows::user);
  join(&rows::item);
  join(&rows::cross);
  join(&rows::labels);
  return joined;
}

void history_lists::append(std::span<const funnel::item_id> history,
                           const std::vector<funnel::video>& videos) {
  for (const funnel::item_id item : history) {
    items.push_back(item);
    tags.push_back(videos[item].category);
  }
  offsets.push_back(static_cast<std::uint32_t>(items.size()));
}

void history_lists::append(const history_lists& from, std::size_t user) {
  const auto begin = from.offsets[user];
  const auto end = from.offsets[user + 1];
  items.insert(items.end(), from.items.begin() + begin, from.items.begin() + end);
  tags.insert(tags.end(), from.tags.begin() + begin, from.tags.begin() + end);
  offsets.push_back(static_cast<std::uint32_t>(items.size()));
}

void history_lists::clear() {
  items.clear();
  tags.clear();
  offsets.assign(1, 0);
}

history_lists newest(const funnel::interaction_log& log,
                     std::vector<funnel::item_id> funnel::user_history::*kind, std::size_t most) {
  history_lists lists;
  for (const funnel::user_history& history : log.histories) {
    const std::span<const funnel::item_id> all = history.*kind;
    lists.append(all.last(std::min(most, all.size())), log.videos);
  }
  return lists;
}

std::vector<std::uint32_t> random_order(std::size_t n, funnel::random_generator& bits) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  funnel::shuffle(bits, order);
  return order;
}

}  // namespace feed
