// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/training/train_options.hpp>

#include <cstdio>
#include <string>
#include <utility>

#include <unistd.h>

namespace examples {

/// Progress of a step in percent, on the standard error stream if that is a terminal. It can be
/// passed to `train` as a callback: `{.progress = std::ref(bar)}`.
class progress {
 public:
  explicit progress(std::string what)
      : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    if (terminal_) std::fputs("\r\033[K", stderr);
  }

  /// `done`: in [0, 1].
  void operator()(double done) {
    const int percent = static_cast<int>(100 * done);
    if (!terminal_ || percent == shown_) return;
    shown_ = percent;
    std::fprintf(stderr, "\r\033[K%s %d %%", what_.c_str(), percent);
    std::fflush(stderr);
  }
  void operator()(const funnel::train_progress& now) { (*this)(now.done); }

 private:
  std::string what_;
  int shown_ = -1;
  bool terminal_;
};

}  // namespace examples
