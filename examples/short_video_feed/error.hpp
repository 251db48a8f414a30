// SPDX-License-Identifier: MIT
#pragma once

#include <sstream>
#include <stdexcept>

namespace feed {

/// Throws an exception with a message built from the arguments.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  text << "short_video_feed: ";
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

}  // namespace feed
