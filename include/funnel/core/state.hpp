// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace funnel {
namespace detail {

/// Visitor that does nothing: used to check whether a type has `visit_state`.
struct ignore_state {
  void operator()(std::string_view, auto&&) const {}
};

/// True if a visitor of state writes to the fields: it loads what another visitor saved.
template <class Visit>
inline constexpr bool loads_state = requires {
  requires std::remove_cvref_t<Visit>::loads;
};

}  // namespace detail

/// Concept of an object that can be saved and loaded. `visit_state(visit)` calls `visit(name,
/// field)` for each field. A field is
///
/// - a number, or an enumeration, which is saved as its number,
/// - an array of numbers that can be resized, such as std::vector<double> or std::string,
/// - an object with `visit_state`,
/// - a range of these that is not resized, such as a std::array.
///
/// The same function saves and loads: a visitor that loads resizes the arrays and writes to the
/// fields, one after another, so a field may depend on those before it. An object that has to
/// check or rebuild something after loading does so at the end of `visit_state`; see
/// `is_loading`. If the fields do not fit together, it throws a format_error.
template <class S>
concept HasState = requires(S& object, detail::ignore_state visit) {
  object.visit_state(visit);
};

/// True if a visitor that was passed to `visit_state` loads.
template <class Visit>
constexpr bool is_loading(const Visit&) {
  return detail::loads_state<Visit>;
}

namespace detail {

/// Calls `run`, which checks loaded values as it would check arguments; what it refuses is a
/// format_error.
template <class Run>
void check_loaded(const Run& run) {
  try {
    run();
  } catch (const std::invalid_argument& error) {
    throw format_error(error.what());
  }
}

template <class F>
concept StateArray = requires(F& field) {
  field.resize(std::size_t{});
  requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*field.data())>>;
};

/// Passes the fields of an object on to a visitor, with the path of the object before their names.
template <class Visit>
struct state_path {
  static constexpr bool loads = loads_state<Visit>;

  Visit& visit;
  std::string path;

  void operator()(std::string_view name, auto&& field) const {
    using type = std::remove_cvref_t<decltype(field)>;
    std::string full = path.empty() ? std::string(name) : path + '.' + std::string(name);
    if constexpr (std::is_arithmetic_v<type> || StateArray<type>) {
      visit(std::string_view(full), field);
    } else if constexpr (std::is_enum_v<type>) {
      auto number = static_cast<std::underlying_type_t<type>>(field);
      visit(std::string_view(full), number);
      if constexpr (loads) field = static_cast<type>(number);
    } else if constexpr (HasState<type>) {
      state_path below{visit, std::move(full)};
      field.visit_state(below);
    } else {
      static_assert(
          requires { field.begin(); }, "a field of a state is a number, an enumeration, an array "
                                       "of numbers that can be resized, "
                                       "an object with visit_state, or a range of these");
      std::size_t i = 0;
      const state_path below{visit, std::move(full)};
      for (auto& inner : field) below(std::to_string(i++), inner);
    }
  }
};

}  // namespace detail

/// Calls `visit(path, field)` for every number and every array of an object's state, in the order in
/// which the object names them. A path is the names joined by dots, "counters.2.sums".
///
/// `prefix` is the first part of all paths; it may be empty. A visitor that loads has a member
/// `static constexpr bool loads = true`.
template <HasState Object, class Visit>
void for_each_state(Object& object, Visit&& visit, std::string_view prefix = {}) {
  detail::state_path<std::remove_reference_t<Visit>> below{visit, std::string(prefix)};
  object.visit_state(below);
}

/// The same for a const object, whose fields the visitor gets as const.
template <HasState Object, class Visit>
void for_each_state(const Object& object, Visit&& visit, std::string_view prefix = {}) {
  // An object has only a non-const `visit_state`; here its visitor gets const fields.
  static_assert(!detail::loads_state<Visit>, "a const object cannot be loaded");
  const auto constant = [&](std::string_view path, auto& field) {
    visit(path, std::as_const(field));
  };
  for_each_state(const_cast<Object&>(object), constant, prefix);
}

}  // namespace funnel
