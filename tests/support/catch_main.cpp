// SPDX-License-Identifier: MIT
// Catch2 2's main, for flags that its installed library was not built with (-D_GLIBCXX_DEBUG).
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
