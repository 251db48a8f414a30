// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>

#include <unistd.h>

namespace feed {
namespace {

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> words;
  for (std::size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    words.push_back(name.substr(0, dot));
    name.remove_prefix(dot + 1);
  }
  words.push_back(name);
  return words;
}

}  // namespace

double report::operator[](const std::string& name) const {
  const auto found = std::ranges::find(numbers_, name, &std::pair<std::string, double>::first);
  return found == numbers_.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

std::string report::json() const {
  std::string text;
  std::vector<std::string_view> open;  // objects that are not closed yet
  for (const auto& [name, value] : numbers_) {
    std::vector<std::string_view> path = split(name);
    const std::string_view leaf = path.back();
    path.pop_back();
    std::size_t common = 0;
    while (common < open.size() && common < path.size() && open[common] == path[common]) ++common;
    for (std::size_t i = open.size(); i > common; --i) text += '}';
    text += text.empty() ? "{" : ",";
    text += "\n";
    for (std::size_t i = common; i < path.size(); ++i)
      text += std::string(2 * (i + 1), ' ') + '"' + std::string(path[i]) + "\": {\n";
    open = path;
    char digits[32];
    std::snprintf(digits, sizeof digits, std::isfinite(value) ? "%.8g" : "null", value);
    text += std::string(2 * (open.size() + 1), ' ') + '"' + std::string(leaf) + "\": " + digits;
  }
  return text + std::string(open.size(), '}') + (text.empty() ? "{}\n" : "}\n");
}

terminal_progress::terminal_progress(const char* what)
    : what_(what), terminal_(isatty(STDERR_FILENO) == 1) {}

terminal_progress::~terminal_progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void terminal_progress::operator()(double done) {
  const int percent = static_cast<int>(100 * done);
  if (!terminal_ || percent == shown_) return;
  shown_ = percent;
  std::fprintf(stderr, "\r\033[K%s %d %%", what_, percent);
  std::fflush(stderr);
}

}  // namespace feed
