// SPDX-License-Identifier: MIT
#include <funnel/core/state.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace {

struct counter {
  std::vector<double> sums;
  std::int64_t time = 0;
  std::size_t checked = 0;

  void visit_state(auto&& visit) {
    visit("sums", sums);
    visit("time", time);
    if (funnel::is_loading(visit)) ++checked;
  }
};

struct store {
  std::uint32_t count = 0;
  std::vector<counter> counters;
  std::string name;

  void visit_state(auto&& visit) {
    visit("count", count);
    counters.resize(count);  // loaded before
    visit("counters", counters);
    visit("name", name);
  }
};

using saved = std::map<std::string, std::vector<double>>;

struct saver {
  saved& to;
  void operator()(std::string_view path, const auto& field) const {
    std::vector<double>& values = to[std::string(path)];
    if constexpr (requires { field.size(); })
      for (const auto value : field) values.push_back(static_cast<double>(value));
    else
      values.push_back(static_cast<double>(field));
  }
};

struct loader {
  static constexpr bool loads = true;
  const saved& from;
  void operator()(std::string_view path, auto& field) const {
    const std::vector<double>& values = from.at(std::string(path));
    if constexpr (requires { field.size(); }) {
      field.resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i)
        field[i] = static_cast<std::remove_cvref_t<decltype(field[0])>>(values[i]);
    } else {
      field = static_cast<std::remove_cvref_t<decltype(field)>>(values[0]);
    }
  }
};

store example() {
  return {.count = 2,
          .counters = {{.sums = {1, 2}, .time = -5}, {.sums = {}, .time = 7}},
          .name = "ab"};
}

static_assert(funnel::HasState<store> && funnel::HasState<counter>);
static_assert(!funnel::HasState<std::vector<double>> && !funnel::HasState<int>);

}  // namespace

TEST_CASE("the state of an object is saved by paths and loaded again") {
  const store original = example();
  saved file;
  funnel::for_each_state(original, saver{file});
  CHECK(file == saved{{"count", {2}},
                      {"counters.0.sums", {1, 2}},
                      {"counters.0.time", {-5}},
                      {"counters.1.sums", {}},
                      {"counters.1.time", {7}},
                      {"name", {'a', 'b'}}});
  store loaded;
  funnel::for_each_state(loaded, loader{file});
  saved again;
  funnel::for_each_state(loaded, saver{again});
  CHECK(again == file);
  CHECK(loaded.counters[0].checked == 1);  // a nested object knows that it is loaded
  CHECK(original.counters[0].checked == 0);
}

TEST_CASE("a prefix comes before all paths") {
  store object = example();
  saved file;
  funnel::for_each_state(object, saver{file}, "features");
  CHECK(file.contains("features.counters.1.time"));
  CHECK(file.size() == 6);
}

namespace {

enum class shape { round, square };

struct drawing {
  std::array<float, 2> sizes{};
  shape kind = shape::round;

  void visit_state(auto&& visit) {
    visit("sizes", sizes), visit("kind", kind);
    if (!funnel::is_loading(visit)) return;
    funnel::detail::check_loaded([&] {
      if (sizes[0] < 0) funnel::detail::fail("drawing: sizes[0] is below 0");
    });
  }
};

}  // namespace

TEST_CASE("an enumeration is saved as its number, and an array of fixed size by positions") {
  saved file;
  funnel::for_each_state(drawing{.sizes = {3, 4}, .kind = shape::square}, saver{file});
  CHECK(file == saved{{"sizes.0", {3}}, {"sizes.1", {4}}, {"kind", {1}}});
  drawing loaded;
  funnel::for_each_state(loaded, loader{file});
  CHECK(loaded.sizes == std::array<float, 2>{3, 4});
  CHECK(loaded.kind == shape::square);
  file["sizes.0"] = {-1};
  CHECK_THROWS_AS(funnel::for_each_state(loaded, loader{file}), funnel::format_error);
}
