// SPDX-License-Identifier: MIT
#pragma once

#include <sstream>
#include <stdexcept>

namespace feed {

/// Ends the program with a message that is put together from texts and numbers.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  text << "short_video_feed: ";
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

}  // namespace feed
