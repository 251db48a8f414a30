// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace feed {

/// Named numbers, in the order they were set. Names are dotted: "rank.is_click.auc".
class report {
 public:
  void set(std::string name, double value) { numbers_.emplace_back(std::move(name), value); }
  double operator[](const std::string& name) const;
  /// The numbers as nested JSON objects; null for numbers that are not finite.
  std::string json() const;

 private:
  std::vector<std::pair<std::string, double>> numbers_;
};

/// Progress bar; prints only to a terminal.
class terminal_progress {
 public:
  explicit terminal_progress(const char* what);
  ~terminal_progress();
  terminal_progress(const terminal_progress&) = delete;
  terminal_progress& operator=(const terminal_progress&) = delete;
  void operator()(double done);

 private:
  const char* what_;
  int shown_ = -1;
  bool terminal_;
};

}  // namespace feed
