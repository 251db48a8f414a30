// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace feed {

/// What the program is told.
struct arguments {
  std::string data;  ///< folder of KuaiRand-Pure; empty runs the simulator
  std::int32_t train_until = 20220430;
  std::int32_t test_from = 20220501;
  std::int32_t test_until = 20220505;
  std::uint64_t seed = 1;
  std::size_t threads = 1;
  std::string json;  ///< file for the numbers; empty writes none
  bool small = false;
};

/// Reads the command line; nothing where help was asked for, and printed.
/// Errors      std::invalid_argument that says which argument is wrong.
std::optional<arguments> read_arguments(int argc, const char* const* argv);

}  // namespace feed
