// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace examples {

/// The arguments of a command line: `--name VALUE`, and flags without a value.
///
///     arguments given("short_video_feed", "trains a feed and reports how good it is");
///     given.option("--seed", "N", "of the models", seed);
///     given.flag("--small", "a small feed", small);
///     if (!given.read(argc, argv)) return 0;   // --help was asked for, and printed
class arguments {
 public:
  arguments(std::string program, const std::string& about)
      : program_(std::move(program)), help_(program_ + ": " + about + "\n\n") {}

  /// `value` keeps what it has if the option is not given.
  template <class T>
  void option(const std::string& name, const std::string& what, const std::string& about,
              T& value) {
    add(name, ' ' + what, about, true, [this, name, &value](std::string_view text) {
      if (!parse(text, value))
        refuse(name + " is \"" + std::string(text) + "\", expected a number");
    });
  }
  void flag(const std::string& name, const std::string& about, bool& value) {
    add(name, "", about, false, [&value](std::string_view) { value = true; });
  }

  /// Returns false if `--help` is given; it is printed then.
  ///
  /// Errors      std::invalid_argument that names the wrong argument.
  bool read(int argc, const char* const* argv) const {
    for (int i = 1; i < argc; ++i) {
      const std::string_view name = argv[i];
      if (name == "--help" || name == "-h") return std::fputs(help_.c_str(), stdout), false;
      const argument* found = nullptr;
      for (const argument& a : arguments_)
        if (a.name == name) found = &a;
      if (found == nullptr)
        refuse("unknown argument \"" + std::string(name) + "\"; --help lists them");
      if (found->has_value && i + 1 == argc) refuse(found->name + " needs a value");
      found->take(found->has_value ? argv[++i] : "");
    }
    return true;
  }

  /// Throws a message that begins with the name of the program.
  [[noreturn]] void refuse(const std::string& message) const {
    throw std::invalid_argument(program_ + ": " + message);
  }

 private:
  static bool parse(std::string_view text, std::string& value) {
    value = text;
    return true;
  }
  static bool parse(std::string_view text, auto& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  }

  struct argument {
    std::string name;
    bool has_value;
    std::function<void(std::string_view)> take;
  };

  void add(const std::string& name, const std::string& what, const std::string& about,
           bool has_value, std::function<void(std::string_view)> take) {
    std::string line = "  " + name + what;
    line.resize(std::max<std::size_t>(line.size() + 1, 27), ' ');
    help_ += line + about + '\n';
    arguments_.push_back({name, has_value, std::move(take)});
  }

  std::string program_, help_;
  std::vector<argument> arguments_;
};

}  // namespace examples
