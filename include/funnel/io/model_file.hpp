// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/detail/xxh64.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/io/detail/nearest_name.hpp>
#include <funnel/io/detail/tensor_stream.hpp>
#include <funnel/io/load_parameters.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/io/safetensors.hpp>
#include <funnel/io/tensor.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `model_file::check_golden`.
struct golden_options {
  /// Largest difference to the golden value, relative to it if it is larger than 1.
  double tolerance = 1e-5;
};

namespace detail {

/// Visitor of a state that reads the fields from a file.
class state_loader {
 public:
  static constexpr bool loads = true;

  state_loader(const safetensors_file& file, std::string_view part)
      : file_(file), prefix_(join_text(part, ".")), used_(file.tensors().size()) {}

  template <class F>
  void operator()(std::string_view path, F& field) {
    const tensor* from = file_.find(path);
    if (from == nullptr)
      fail_tensor(file_.path(), path, "it is not in the file", did_you_mean(path, unused()));
    std::vector<bool>::reference used =
        used_[static_cast<std::size_t>(from - file_.tensors().data())];
    if (used) fail_tensor(file_.path(), path, "the object reads it twice");
    used = true;
    if constexpr (std::is_arithmetic_v<F>) {
      check_dimensions(*from, 0, "a number");
      field = tensor_values<F>(file_.path(), *from)[0];
    } else {
      using type = std::remove_cvref_t<decltype(*field.data())>;
      check_dimensions(*from, 1, "an array");
      const std::span<const type> values = tensor_values<type>(file_.path(), *from);
      field.resize(values.size());
      std::ranges::copy(values, field.data());
    }
  }

  /// Throws if the object did not read a field of the file.
  void finish() const {
    const auto left = unused();
    if (!left.empty())
      fail_tensor(file_.path(), left.front(), "the object has no field for it",
                  left.size() > 1 ? join_text(", nor for ", left.size() - 1, " more") : "");
  }

 private:
  void check_dimensions(const tensor& from, std::size_t expected, std::string_view what) const {
    if (from.shape.size() != expected)
      fail_tensor(file_.path(), from.name, "the file has ", tensor_text(from.type, from.shape),
                  ", expected ", what);
  }
  std::vector<std::string_view> unused() const {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < used_.size(); ++i)
      if (const tensor& t = file_.tensors()[i]; !used_[i] && t.name.starts_with(prefix_))
        names.push_back(t.name);
    return names;
  }

  const safetensors_file& file_;
  std::string prefix_;
  std::vector<bool> used_;
};

}  // namespace detail

/// A model file, as `model_writer` writes it (docs/io.md#model-files). Opening it checks everything: the structure of the
/// file and a checksum of every byte. The functions then copy all they are asked for, or nothing.
///
///     const model_file file("ranker.safetensors");
///     file.load_parameters("model", model);
///     file.load_state("schema", schema);
///
/// Errors      format_error with the file, the tensor, what the file has and what was expected, for
///             what `safetensors_file` names, for a file that is no model file or has a newer
///             format, and for checksums that differ: the file is damaged.
/// Cost        one pass over the file, at the speed of memory.
class model_file {
 public:
  explicit model_file(std::string path) : file_(std::move(path)) {
    check_format();
    check_sums();
    for (const auto& [key, kind] : file_.texts())
      if (key.starts_with(detail::part_key)) parts_.push_back(key.substr(detail::part_key.size()));
  }

  const std::string& path() const { return file_.path(); }
  /// The file as named tensors.
  const safetensors_file& tensors() const { return file_; }
  /// Names of the parts, sorted.
  const std::vector<std::string>& parts() const { return parts_; }

  /// The text of a key; null if there is none.
  const std::string* find_text(std::string_view key) const {
    return key.starts_with(detail::reserved_keys) ? nullptr : file_.find_text(key);
  }
  /// The text of a key; throws a format_error if there is none.
  const std::string& text(std::string_view key) const {
    if (const std::string* found = find_text(key)) return *found;
    std::vector<std::string_view> keys;
    for (const auto& [other, value] : file_.texts()) keys.push_back(other);
    refuse("there is no text \"", detail::printable(key), "\"", detail::did_you_mean(key, keys));
  }

  /// Reads the parameters of a model. They must be those of the part, in shape and type;
  /// floating-point types with fewer digits than the model's are converted. With options, a model
  /// takes the parameters that it has in common with the file: a warm start.
  ///
  /// Errors      format_error if a parameter is missing, has another shape or type, or is left
  ///             over. The model is unchanged then.
  template <HasParameters Model>
  load_report load_parameters(std::string_view part, Model& model,
                              const load_options& options = {}) const {
    check_part(part, "parameters");
    return detail::load_parameters_from("model_file::load_parameters", file_,
                                        detail::join_text(part, "."), model, {}, options);
  }

  /// Reads the state of an object: every field must be in the part, in its type, and none may be
  /// left over. The object is copied first, and replaced when all is read; options of it that are
  /// no fields keep their values.
  ///
  /// Errors      format_error if a field is missing, has another type, or is left over, and if
  ///             `visit_state` of the object throws std::invalid_argument, std::length_error or
  ///             format_error. The object is unchanged then.
  template <HasState Object>
  void load_state(std::string_view part, Object& object) const {
    static_assert(std::is_copy_constructible_v<Object> && std::is_nothrow_move_assignable_v<Object>,
                  "load_state copies the object, reads into the copy and moves it back: the object "
                  "needs a copy constructor and a move assignment that does not throw");
    check_part(part, "state");
    detail::state_loader loader(file_, part);
    Object read = object;
    read_state(part, read, loader);
    loader.finish();
    object = std::move(read);
  }

  /// Golden values of a name: one row for a vector.
  ///
  /// Errors      format_error if there are none, or if they have another type.
  template <class T>
  matrix_view<const T> golden(std::string_view name) const {
    return file_.view<T>(golden_name(name));
  }

  /// Compares scores with the golden values of a name. `scores` is a vector, span or matrix with as
  /// many values.
  ///
  /// Errors      format_error with the first value that differs by more than the tolerance. Two NaN
  ///             are equal.
  template <class Scores>
  requires requires(const Scores& scores) { scores.data(); }
  void check_golden(std::string_view name, const Scores& scores,
                    const golden_options& options = {}) const {
    using type = std::remove_cvref_t<decltype(*scores.data())>;
    const matrix_view<const type> expected = golden<type>(name);
    if (scores.size() != expected.size())
      refuse("golden \"", detail::printable(name), "\" has ", expected.size(), " values, expected ",
             scores.size(), " as in scores");
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double saved = static_cast<double>(expected.data()[i]);
      const double got = static_cast<double>(score_at(scores, i));
      const double allowed = options.tolerance * std::max(1., std::abs(saved));
      if (saved == got || std::abs(saved - got) <= allowed ||
          (std::isnan(saved) && std::isnan(got)))
        continue;
      refuse("golden \"", detail::printable(name), "\": row ", i / expected.cols(), ", column ",
             i % expected.cols(), " is ", got, ", expected ", saved,
             " as the saved model gave: do the options of this model differ from the saved one's?");
    }
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw format_error(detail::join_text(path(), ": ", parts...));
  }

  static std::string golden_name(std::string_view name) {
    return detail::join_text(detail::golden_part, ".", name);
  }
  template <class Scores>
  static auto score_at(const Scores& scores, std::size_t i) {
    if constexpr (requires { scores.stride(); })
      return scores(i / scores.cols(), i % scores.cols());
    else
      return scores.data()[i];
  }

  void check_format() const {
    const std::string* version = file_.find_text(detail::format_key);
    if (version == nullptr)
      refuse("it is not a model file of funnel: its metadata has no ", detail::format_key,
             "; safetensors_file and load_parameters read files of other programs");
    std::size_t number = 0;
    const char* const end = version->data() + version->size();
    const auto [rest, error] = std::from_chars(version->data(), end, number);
    if (error != std::errc() || rest != end || number == 0)
      refuse(detail::format_key, " is \"", detail::printable(*version), "\", expected a number");
    if (number > detail::model_format)
      refuse("the file has format ", number, ", this version of funnel reads formats up to ",
             detail::model_format);
  }

  void check_sums() const {
    const auto stored = file_.stored();
    const tensor* last = file_.find(detail::checksums_name);
    if (last == nullptr || last->bytes.data() != stored.back().data())
      refuse("the last tensor is not ", detail::checksums_name, ": the file is damaged");
    const auto sums = detail::tensor_values<std::int64_t>(path(), *last);
    if (sums.size() != stored.size())
      detail::fail_tensor(path(), last->name, "it has ", sums.size(), " values, expected ",
                          stored.size(), ", one for the header and each tensor before it");
    const auto differs = [&](std::size_t i, std::span<const std::byte> bytes) {
      return static_cast<std::uint64_t>(sums[i]) != detail::xxh64_of(bytes);
    };
    if (differs(0, file_.header()))
      refuse("byte 0: the header and its checksum differ: the file is damaged");
    std::size_t begin = file_.header().size();
    for (std::size_t i = 0; i + 1 < stored.size(); begin += stored[i++].size())
      if (differs(i + 1, stored[i])) fail_sum(begin, stored[i]);
  }
  [[noreturn]] void fail_sum(std::size_t begin, std::span<const std::byte> bytes) const {
    std::string_view name = "a filler";
    for (const tensor& t : file_.tensors())
      if (t.bytes.data() == bytes.data() && !t.bytes.empty()) name = t.name;
    refuse("byte ", begin, ": the ", bytes.size(), " bytes of \"", detail::printable(name),
           "\" and their checksum differ: the file is damaged");
  }

  void check_part(std::string_view part, std::string_view kind) const {
    const std::string* found = file_.find_text(detail::join_text(detail::part_key, part));
    if (found == nullptr) {
      std::string others;
      for (const std::string& p : parts_)
        others += detail::join_text(others.empty() ? "; it has " : ", ", "\"", p, "\"");
      refuse("there is no part \"", detail::printable(part), "\"", others);
    }
    if (*found != kind)
      refuse("part \"", detail::printable(part), "\" holds ", detail::printable(*found),
             ", expected ", kind);
  }

  template <class Object>
  void read_state(std::string_view part, Object& read, detail::state_loader& loader) const {
    const auto reported = [&](const std::exception& error) {
      const std::string_view what = error.what();
      if (what.starts_with(path())) throw format_error(std::string(what));
      refuse("part \"", part, "\": ", what);
    };
    try {
      for_each_state(read, loader, part);
    } catch (const format_error& error) {
      reported(error);
    } catch (const std::invalid_argument& error) {
      reported(error);
    } catch (const std::length_error& error) {  // an array resized to a number of the file
      reported(error);
    }
  }

  safetensors_file file_;
  std::vector<std::string> parts_;
};

}  // namespace funnel
