// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/detail/log_record.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// The names that the requests of a `funnel_log` have in common.
struct funnel_names {
  /// `schema::label` and `schema::fingerprint` of the features.
  std::string schema;
  std::uint64_t fingerprint = 0;
  std::vector<std::string> sources;      ///< `candidates::sources`
  std::vector<score_stage> scores;       ///< `candidates::stages`: those that write scores
  std::vector<std::string> stages;       ///< of the cascade: what `candidates::fate` numbers
  std::vector<std::string> causes = {};  ///< of drops, by the number of a `drop_cause`
  std::uint64_t sample_per_stage = 0;    ///< `funnel_log_options`
  std::uint64_t seed = 0;
};

namespace detail {

inline constexpr std::array<std::string_view, 5> cause_names{"none", "size", "filter", "not_sent",
                                                             "late"};
inline constexpr std::uint32_t funnel_log_version = 1;

inline void write_names(const funnel_names& names, const byte_writer& to) {
  const auto texts = [&](const auto& all) {
    to.size(all.size());
    for (const auto& text : all) to.text(text);
  };
  to.value(funnel_log_version);
  to.text(names.schema);
  to.value(names.fingerprint);
  texts(names.sources);
  to.size(names.scores.size());
  for (const score_stage& stage : names.scores) {
    to.text(stage.name);
    texts(stage.outputs);
  }
  texts(names.stages);
  texts(names.causes);
  to.value(names.sample_per_stage);
  to.value(names.seed);
}

inline funnel_names read_names(byte_reader from) {
  const auto texts = [&](std::vector<std::string>& all) {
    all.resize(from.count(4));
    for (std::string& text : all) text = from.text();
  };
  const auto version = from.value<std::uint32_t>();
  if (version != funnel_log_version)
    throw format_error(
        join_text("version ", version, " of the format, expected ", funnel_log_version));
  funnel_names names;
  names.schema = from.text();
  names.fingerprint = from.value<std::uint64_t>();
  texts(names.sources);
  names.scores.resize(from.count(8));
  for (score_stage& stage : names.scores) {
    stage.name = from.text();
    texts(stage.outputs);
    if (stage.outputs.empty()) throw format_error("a stage without outputs, expected 1 or more");
  }
  texts(names.stages);
  texts(names.causes);
  names.sample_per_stage = from.value<std::uint64_t>();
  names.seed = from.value<std::uint64_t>();
  if (names.sources.size() > candidates::most_sources)
    throw format_error(join_text(names.sources.size(), " sources, expected 64 or fewer"));
  if (!from.from.empty()) throw format_error("bytes are left over after the names");
  return names;
}

}  // namespace detail
}  // namespace funnel
