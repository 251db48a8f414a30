// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/nn/parameter.hpp>

#include "support/matrices.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// What the tests of model files save: a small model, and an object with every kind of field.

// In a namespace: other tests of the same program have types of such names.
namespace small_parts {

template <class T>
struct small_model {
  funnel::parameter<T> table{4, 3};
  std::vector<funnel::parameter<T>> layers{{3, 2}, {1, 2}};
  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("layers", layers);
  }
};

template <class T>
small_model<T> trained_model(std::uint64_t seed) {
  small_model<T> m;
  funnel::for_each_parameter(m, [&](std::string_view, auto& p) {
    p.value = random_matrix<T>(p.rows(), p.cols(), seed++);
  });
  return m;
}

template <class T>
std::vector<T> values_of(const small_model<T>& m) {
  std::vector<T> values;
  funnel::for_each_parameter(m, [&](std::string_view, const auto& p) {
    values.insert(values.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return values;
}

struct small_list {
  std::vector<double> sums;
  void visit_state(auto&& visit) { visit("sums", sums); }
  friend bool operator==(const small_list&, const small_list&) = default;
};

struct small_state {
  std::int64_t time = 0;
  bool open = false;
  float rate = 0;
  std::string name;
  std::vector<std::uint32_t> ids;
  std::uint64_t count = 0;
  std::vector<small_list> lists;
  std::size_t option = 0;  // no field
  std::size_t loads = 0;

  void visit_state(auto&& visit) {
    visit("time", time);
    visit("open", open);
    visit("rate", rate);
    visit("name", name);
    visit("ids", ids);
    visit("count", count);
    if (count > 100) throw std::invalid_argument("small_state: count is large, expected 100");
    lists.resize(count);
    visit("lists", lists);
    if (funnel::is_loading(visit)) ++loads;
  }
  friend bool operator==(const small_state&, const small_state&) = default;
};

inline small_state filled_state() {
  return {.time = -5,
          .open = true,
          .rate = .25f,
          .name = "likes \xc3\xa9",
          .ids = {7, 8, 9},
          .count = 2,
          .lists = {{{1, 2}}, {{}}},
          .option = 3};
}

}  // namespace small_parts
