// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace feed {

/// The command-line arguments.
struct arguments {
  std::string data;  ///< folder of KuaiRand-Pure; empty: simulated data
  std::int32_t train_until = 20220430;
  std::int32_t test_from = 20220501;
  std::int32_t test_until = 20220505;
  std::uint64_t seed = 1;
  std::size_t threads = 1;
  std::string json;  ///< file for the numbers; empty: none
  bool small = false;
};

/// Parses the command line; returns nothing if `--help` was given and printed.
/// Errors      std::invalid_argument that names the wrong argument.
std::optional<arguments> read_arguments(int argc, const char* const* argv);

}  // namespace feed
