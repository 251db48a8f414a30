// SPDX-License-Identifier: MIT
#include <funnel/evaluation/row_users.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

/// Whether rows have equal numbers exactly where they have equal names, and all numbers are below
/// the number of names.
template <class Name>
bool numbers_are(const std::vector<funnel::user_id>& numbers, const std::vector<Name>& names,
                 std::size_t different) {
  if (numbers.size() != names.size()) return false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (numbers[i] >= different) return false;
    for (std::size_t j = 0; j < names.size(); ++j)
      if ((numbers[i] == numbers[j]) != (names[i] == names[j])) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("row_users: ids of 64 bits that are equal in 32 are different users") {
  const std::int64_t far = std::int64_t{1} << 32;
  const std::vector<std::int64_t> ids{7, 7 + far, 7, -1, 8};
  const std::vector<std::uint32_t> rows{4, 0, 1, 2, 1, 3};
  CHECK(numbers_are(funnel::row_users(rows, std::span(ids)),
                    std::vector<std::int64_t>{8, 7, 7 + far, 7, 7 + far, -1}, 4));
  CHECK(funnel::row_users({}, std::span(ids)).empty());
}

TEST_CASE("row_users: text, and rows whose id is missing") {
  const std::vector<std::string> dictionary{"ann", "bob", "cy"};
  const std::vector<std::uint32_t> codes{1, 0, 1, 2, 0};
  const std::vector<std::uint8_t> present{1, 1, 1, 0, 0};
  const funnel::column names(codes, dictionary);
  const std::vector<std::uint32_t> rows{0, 1, 2, 3, 4};
  CHECK(numbers_are(funnel::row_users(rows, names),
                    std::vector<std::string>{"bob", "ann", "bob", "cy", "ann"}, 3));
  CHECK(numbers_are(funnel::row_users(rows, names.with_presence(present)),
                    std::vector<std::string>{"bob", "ann", "bob", "", ""}, 3));
}

TEST_CASE("row_users: refuses rows that the log does not have, and lists") {
  const std::vector<std::int64_t> ids{7, 8};
  const std::vector<std::uint32_t> rows{1, 2};
  const std::vector<std::uint64_t> offsets{0, 2};
  const funnel::column users = std::span(ids);
  CHECK(refuses([&] { funnel::row_users(rows, users); }, "funnel::row_users",
                "rows[1] is 2, expected below 2"));
  CHECK(refuses([&] { funnel::row_users({}, users.with_lists(offsets)); }, "funnel::row_users",
                "expected one value per row"));
}
