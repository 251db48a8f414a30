// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/retrieval/split_quota.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel {

/// An item that a retrieval channel found, by an id of any kind.
struct channel_item {
  std::int64_t item = 0;
  float score = 0;
};

namespace detail {

/// The state of `merge_channels`: how far each list was read, and how many it may still add.
template <class Found>
struct channel_cursors {
  std::span<const std::span<const Found>> lists;
  candidates& to;
  std::array<std::size_t, candidates::most_sources> next = {}, allowed = {};

  /// Skips what is there already; whether an item is left.
  bool skip_known(std::size_t c) {
    while (next[c] < lists[c].size() &&
           to.find(static_cast<std::int64_t>(lists[c][next[c]].item)) != candidates::none)
      ++next[c];
    return next[c] < lists[c].size();
  }
  /// Adds the next item of a list, if it may add one and has one.
  bool take(std::size_t c) {
    if (allowed[c] == 0 || !skip_known(c)) return false;
    const Found& found = lists[c][next[c]];
    to.add(c, static_cast<std::int64_t>(found.item), found.score,
           static_cast<std::uint32_t>(next[c]++));
    --allowed[c];
    return true;
  }
  /// Takes turns until no list adds any more.
  void take_turns() {
    const std::size_t channels = lists.size();
    bool taken = true;
    for (bool forward = true; taken; forward = !forward) {
      taken = false;
      for (std::size_t i = 0; i < channels; ++i)
        if (take(forward ? i : channels - 1 - i)) taken = true;
    }
  }
};

}  // namespace detail

/// Merges what several retrieval channels found into one list of candidates without duplicates, by a
/// quota for each.
///
/// Channels take turns (from the first to the last, then back: the snake order), and each adds its next
/// item that is not there yet, until it has added as many as its quota. An item that several channels
/// found counts for the one that added it, and keeps all of them as its sources, with their scores and
/// ranks. What a channel leaves of its quota, because it found too few, was late or failed, goes to
/// those that have items left, in proportion to their quotas (`split_quota`). A channel with a quota of
/// 0 adds nothing, but is a source of what others added.
///
/// So there are as many candidates as the sum of the quotas, or all that channels with a quota found,
/// if that is fewer; and each channel adds at most its quota and its part of what others left.
///
///     const std::array lists{std::span<const scored_item>(by_swing), std::span<const scored_item>(by_towers)};
///     std::array<std::size_t, 2> quotas;
///     split_quota(1000, std::array{1., 3.}, quotas);
///     candidates merged({"swing", "towers"});
///     merge_channels<scored_item>(lists, quotas, merged);
///
/// Shapes      lists [channels], each best first; quotas [channels]; `to` has a source for each channel.
///             What `to` has before counts as found by others.
/// Errors      std::invalid_argument if the sizes differ, `to` has fewer sources, or the sum of the
///             quotas is above 2^53; `to` is unchanged then.
/// Cost        two or three look-ups by hash per item of the lists. Allocates only what `to` needs.
/// Source      docs/formulas.md#quotas-and-merging.
template <class Found>
requires requires(const Found& f) {
  { f.item } -> std::convertible_to<std::int64_t>;
  { f.score } -> std::convertible_to<float>;
}
void merge_channels(std::span<const std::span<const Found>> lists,
                    std::span<const std::size_t> quotas, candidates& to) {
  constexpr std::string_view name = "merge_channels";
  const std::size_t channels = lists.size();
  detail::check_size(name, "quotas", quotas.size(), channels, "lists");
  detail::check_that(name, "the number of lists", channels, channels <= to.sources().size(),
                     "at most ", to.sources().size(), ", the sources of the candidates");
  constexpr std::size_t most = std::size_t{1} << 53;
  std::size_t total = 0;
  for (const std::size_t quota : quotas) {
    detail::check_that(name, "a quota", quota, quota <= most - total,
                       "at most 2^53 with those before it");
    total += quota;
  }
  detail::channel_cursors<Found> cursors{lists, to};
  std::ranges::copy(quotas, cursors.allowed.begin());
  cursors.take_turns();
  for (;;) {  // what is left goes to those that have items
    std::array<double, candidates::most_sources> shares = {};
    std::size_t left = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      left += cursors.allowed[c];
      if (cursors.skip_known(c)) shares[c] = static_cast<double>(quotas[c]);
    }
    if (left == 0 || std::ranges::all_of(shares, [](double share) { return share == 0; })) break;
    split_quota(left, std::span<const double>(shares).first(channels),
                std::span(cursors.allowed).first(channels));
    cursors.take_turns();
  }
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t i = 0; i < lists[c].size(); ++i) {
      const auto id = static_cast<std::int64_t>(lists[c][i].item);
      if (to.find(id) != candidates::none)
        to.add(c, id, lists[c][i].score, static_cast<std::uint32_t>(i));
    }
}

}  // namespace funnel
