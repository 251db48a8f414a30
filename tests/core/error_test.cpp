// SPDX-License-Identifier: MIT
#include <funnel/core/error.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

TEST_CASE("join_text: put together from texts and numbers") {
  using funnel::detail::join_text;
  CHECK(join_text() == "");
  CHECK(join_text("scores has ", std::size_t{3}, " of ", std::string("4")) == "scores has 3 of 4");
  CHECK(join_text(-1, ' ' - ' ', std::uint64_t{18446744073709551615u}) ==
        "-1018446744073709551615");
  struct size_in_a_class {
    operator std::size_t() const {
      return 12'345'678'901;
    }  // has more digits than text of a double
  };
  CHECK(join_text(size_in_a_class(), " rows") == "12345678901 rows");
  CHECK(join_text(.5f, " ", -1.25, " ", 1e300) == "0.5 -1.25 1e+300");
}

TEST_CASE("fail: throws the text as std::invalid_argument") {
  CHECK(refuses([] { funnel::detail::fail("funnel::mmr: picked has ", 12, " slots"); },
                "funnel::mmr", "picked has 12 slots"));
}

TEST_CASE("format_error: is a runtime error, not an invalid argument") {
  CHECK_THROWS_AS(throw funnel::format_error("log.csv:3"), std::runtime_error);
  try {
    throw funnel::format_error("log.csv:3");
  } catch (const std::exception& error) {
    CHECK(error.what() == std::string("log.csv:3"));
  }
}
