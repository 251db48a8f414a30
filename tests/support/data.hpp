// SPDX-License-Identifier: MIT
#pragma once

#include "support/catch.hpp"

#include <cstdlib>
#include <fstream>
#include <string>

// Real data is no part of the repository. It is looked for in FUNNEL_DATA_DIR of the environment,
// else where the build says (a folder beside the checkout).

/// The path of a file of the shared data, such as "ml-latest-small/ratings.csv"; empty, with a note
/// in the test's output, where the file is not there: the test then ends early.
inline std::string data_file(const std::string& name) {
  const char* folder = std::getenv("FUNNEL_DATA_DIR");
#ifdef FUNNEL_SHARED_DATA
  if (folder == nullptr) folder = FUNNEL_SHARED_DATA;
#endif
  const std::string path = std::string(folder != nullptr ? folder : ".") + "/" + name;
  if (std::ifstream(path)) return path;
  WARN("skipped: there is no " << path);
  return {};
}
