// SPDX-License-Identifier: MIT
#include "arguments.hpp"

#include "error.hpp"

#include <funnel/core/date.hpp>

#include <charconv>
#include <cstdio>
#include <string_view>

namespace feed {
namespace {

template <class T>
T number(std::string_view name, std::string_view text, T least) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) {
    fail(name, " is \"", text, "\", expected a number of ", least, " or more");
  }
  return value;
}

std::int32_t date(std::string_view name, std::string_view text) {
  const auto day = number<std::int32_t>(name, text, 0);
  if (!funnel::is_date(day)) fail(name, " is ", day, ", expected a date yyyymmdd");
  return day;
}

constexpr const char* help =
    "short_video_feed: trains a short-video feed and reports how good each stage of it is\n"
    "\n"
    "  --data DIR             folder of KuaiRand-Pure (default: the built-in simulator)\n"
    "  --train-until yyyymmdd last day to learn from (20220430)\n"
    "  --test-from yyyymmdd   first day to report on (20220501)\n"
    "  --test-until yyyymmdd  last day to report on (20220505)\n"
    "  --seed N               of the models and the simulator (1)\n"
    "  --threads N            for measuring (1)\n"
    "  --json FILE            writes the numbers there too\n"
    "  --small                a small simulated feed, for a quick look\n";

}  // namespace

std::optional<arguments> read_arguments(int argc, const char* const* argv) {
  arguments given;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(help, stdout);
      return {};
    }
    if (name == "--small") {
      given.small = true;
      continue;
    }
    const auto value = [&]() -> std::string_view {
      if (i + 1 == argc) fail(name, " needs a value");
      return argv[++i];
    };
    if (name == "--data") {
      given.data = value();
    } else if (name == "--train-until") {
      given.train_until = date(name, value());
    } else if (name == "--test-from") {
      given.test_from = date(name, value());
    } else if (name == "--test-until") {
      given.test_until = date(name, value());
    } else if (name == "--seed") {
      given.seed = number<std::uint64_t>(name, value(), 0);
    } else if (name == "--threads") {
      given.threads = number<std::size_t>(name, value(), 1);
    } else if (name == "--json") {
      given.json = value();
    } else {
      fail("unknown argument \"", name, "\"; --help lists them");
    }
  }
  if (given.test_from <= given.train_until || given.test_until < given.test_from) {
    fail("the days must be --train-until < --test-from <= --test-until");
  }
  return given;
}

}  // namespace feed
