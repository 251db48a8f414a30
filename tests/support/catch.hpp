// SPDX-License-Identifier: MIT
#pragma once

// Catch2 v2 and v3 name their header differently.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
