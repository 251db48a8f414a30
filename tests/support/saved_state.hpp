// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <cstddef>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// The state of an object in memory: the bytes of each field, by path.
class saved_state {
 public:
  std::map<std::string, std::vector<std::byte>> fields;

  saved_state() = default;
  template <class Object>
  explicit saved_state(const Object& object) {
    funnel::for_each_state(object, [&](std::string_view path, const auto& field) {
      std::vector<std::byte>& bytes = fields[std::string(path)];
      if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(field)>>) {
        bytes.resize(sizeof field);
        std::memcpy(bytes.data(), &field, bytes.size());
      } else {
        bytes.resize(field.size() * sizeof *field.data());
        if (!bytes.empty()) std::memcpy(bytes.data(), field.data(), bytes.size());
      }
    });
  }

  /// Writes the fields to an object. A path that is missing throws std::out_of_range.
  template <class Object>
  void load(Object& object) const {
    funnel::for_each_state(object, loader{fields});
  }

  /// The same state with other values of a field.
  template <class V>
  saved_state with(const std::string& path, const std::vector<V>& values) const {
    saved_state changed = *this;
    std::vector<std::byte>& bytes = changed.fields.at(path);
    bytes.resize(values.size() * sizeof(V));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return changed;
  }

  bool operator==(const saved_state&) const = default;

 private:
  struct loader {
    static constexpr bool loads = true;
    const std::map<std::string, std::vector<std::byte>>& from;

    void operator()(std::string_view path, auto& field) const {
      const std::vector<std::byte>& bytes = from.at(std::string(path));
      if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(field)>>) {
        std::memcpy(&field, bytes.data(), sizeof field);
      } else {
        field.resize(bytes.size() / sizeof *field.data());
        if (!bytes.empty()) std::memcpy(field.data(), bytes.data(), bytes.size());
      }
    }
  };
};

/// True if the object refuses to load the state, with a format_error that says `words`.
template <class Object>
bool refuses_state(Object object, const saved_state& state, std::string_view words) {
  try {
    state.load(object);
  } catch (const funnel::format_error& error) {
    return std::string_view(error.what()).find(words) != std::string_view::npos;
  }
  return false;
}
