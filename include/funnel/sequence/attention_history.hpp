// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/sequence/detail/packed_events.hpp>

#include <cstddef>

namespace funnel {

/// A history of events prepared for `target_attention`: keys and values are packed once and can be
/// used for several blocks of candidates.
///
/// Shapes      events [m, d]; m may be 0.
/// Cost        two packed copies of the events; valid until the context is reset.
template <Context C>
class attention_history {
 public:
  attention_history(C& context, const value_of<C>& events)
      : events_(events), packed_(context.scratch(), view(events)) {}

  std::size_t rows() const { return packed_.count; }
  std::size_t cols() const { return packed_.dim; }

  const value_of<C>& events() const { return events_; }
  const detail::packed_events<typename C::arch, scalar_of<C>>& packed() const { return packed_; }

 private:
  value_of<C> events_;
  detail::packed_events<typename C::arch, scalar_of<C>> packed_;
};

}  // namespace funnel
