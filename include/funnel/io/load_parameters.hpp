// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/io/detail/nearest_name.hpp>
#include <funnel/io/parameter_map.hpp>
#include <funnel/io/safetensors.hpp>
#include <funnel/io/tensor.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `load_parameters`.
struct load_options {
  /// Whether parameters that the file does not have keep their values; otherwise they are an error.
  bool allow_missing = false;
  /// Whether tensors that the model has no parameter for are ignored; otherwise they are an error.
  bool allow_unused = false;
};

/// What `load_parameters` did.
struct load_report {
  std::size_t loaded = 0;            ///< number of parameters that were read from the file
  std::vector<std::string> missing;  ///< parameters that the file does not have
  std::vector<std::string> unused;   ///< tensors that the model has no parameter for
};

namespace detail {

/// A part of a tensor that is to be copied into a parameter.
struct planned_copy {
  const tensor* from;
  bool transposed;
  std::size_t from_cols;  // of the whole tensor
  tensor_range rows, cols;
  void* to;  // the first value in the parameter
  std::size_t to_stride;
  void (*run)(const planned_copy&);
};

template <class T>
void run_copy(const planned_copy& c) {
  T* const to = static_cast<T*>(c.to);
  const bool whole = c.rows.begin == 0 && c.cols.begin == 0 && c.cols.count == c.from_cols &&
                     c.rows.count * c.from_cols == c.from->size();
  if (!c.transposed && whole && c.to_stride == c.from_cols) {
    copy_tensor(*c.from, to);
    return;
  }
  const std::size_t step = tensor_type_size(c.from->type);
  with_reader<T>(c.from->type, [&](auto read) {
    for (std::size_t i = 0; i < c.rows.count; ++i) {
      const std::byte* from =
          c.from->bytes.data() + ((c.rows.begin + i) * c.from_cols + c.cols.begin) * step;
      for (std::size_t j = 0; j < c.cols.count; ++j, from += step)
        to[c.transposed ? j * c.to_stride + i : i * c.to_stride + j] = read(from);
    }
  });
}

/// Finds out what has to be copied into which parameter, and checks all of it; `run` then copies.
class parameter_loader {
 public:
  /// Only tensors whose names begin with `prefix` count.
  parameter_loader(const safetensors_file& file, std::string_view prefix, const parameter_map& map)
      : file_(file), prefix_(prefix), map_(map), used_(file.tensors().size()) {}

  template <class T>
  void plan(std::string_view path, parameter<T>& to) {
    names_.emplace_back(path);
    const std::size_t before = copies_.size();
    bool mapped = false, complete = true;
    for (const parameter_source& source : map_.sources) {
      if (source.parameter != path) continue;
      mapped = true;
      const tensor* from = file_.find(source.tensor);
      if (from == nullptr) {
        complete = false;
        missing_.push_back({std::string(path), source.tensor});
      } else {
        plan_part(path, to, *from, source);
      }
    }
    if (mapped) {
      if (complete) check_covered(path, to, before);
    } else if (const tensor* from = file_.find(prefix_ + std::string(path))) {
      plan_whole(path, to, *from);
    } else {
      missing_.push_back({std::string(path), prefix_ + std::string(path)});
    }
    if (copies_.size() > before && complete) ++report_.loaded;
    if (!complete) copies_.resize(before);
  }

  /// Throws if something is missing or left over that must not be.
  load_report finish(std::string_view function, const load_options& options) {
    for (const parameter_source& source : map_.sources)
      if (std::ranges::find(names_, source.parameter) == names_.end())
        fail("funnel::", function, ": the map has parameter \"", printable(source.parameter),
             "\", expected one of the model's", did_you_mean(source.parameter, views(names_)));
    std::vector<std::string_view> unused;
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const std::string_view name = file_.tensors()[i].name;
      const bool ignored = std::ranges::find(map_.ignored, name) != map_.ignored.end();
      if (!used_[i] && !ignored && name.starts_with(prefix_)) unused.push_back(name);
    }
    if (!options.allow_missing && !missing_.empty()) {
      const auto& [parameter, name] = missing_.front();
      throw format_error(join_text(file_.path(), ": the model's parameter \"", printable(parameter),
                                   "\" is not in the file, which has no tensor \"", printable(name),
                                   "\"", more(missing_.size()), did_you_mean(name, unused)));
    }
    if (!options.allow_unused && !unused.empty()) {
      const std::string_view name = unused.front();
      throw format_error(join_text(file_.path(), ": the model has no parameter for tensor \"",
                                   printable(name), "\"", more(unused.size()),
                                   ": was it constructed as the saved one?"));
    }
    for (auto& [parameter, name] : missing_)
      if (report_.missing.empty() || report_.missing.back() != parameter)
        report_.missing.push_back(parameter);
    report_.unused.assign(unused.begin(), unused.end());
    return std::move(report_);
  }

  void run() const {
    for (const planned_copy& c : copies_) c.run(c);
  }

 private:
  struct missing_tensor {
    std::string parameter, tensor;
  };

  static std::string more(std::size_t count) {
    return count > 1 ? join_text(" (and ", count - 1, " more)") : std::string();
  }
  static std::vector<std::string_view> views(const std::vector<std::string>& names) {
    return {names.begin(), names.end()};
  }
  template <class... Parts>
  [[noreturn]] void fail_parameter(std::string_view path, const Parts&... parts) const {
    throw format_error(
        join_text(file_.path(), ": parameter \"", printable(path), "\": ", parts...));
  }

  void use(const tensor& from) {
    used_[static_cast<std::size_t>(&from - file_.tensors().data())] = true;
  }

  template <class T>
  void check_type(std::string_view path, const tensor& from) const {
    if (!holds_all<T>(from.type))
      fail_parameter(path, "tensor \"", printable(from.name), "\" has type ",
                     tensor_type_name(from.type), ", expected ",
                     tensor_type_name(tensor_type_of<T>),
                     " or a floating-point type with fewer digits");
  }

  /// A tensor that is the parameter: of its shape, or of one dimension if the parameter has one
  /// row or one column.
  template <class T>
  void plan_whole(std::string_view path, parameter<T>& to, const tensor& from) {
    check_type<T>(path, from);
    const std::size_t rows = to.rows(), cols = to.cols();
    const std::vector<std::size_t>& shape = from.shape;
    const bool fits = shape.size() == 2 ? shape[0] == rows && shape[1] == cols
                                        : shape.size() < 2 && (rows == 1 || cols == 1) &&
                                              from.size() == rows * cols;
    if (!fits) {
      const bool swapped = shape.size() == 2 && shape[0] == cols && shape[1] == rows;
      fail_parameter(path, "the file has ", tensor_text(from.type, shape), ", expected ",
                     tensor_text(tensor_type_of<T>, std::array{rows, cols}),
                     swapped ? ": it may have to be transposed, see parameter_map" : "");
    }
    use(from);
    copies_.push_back(
        {&from, false, cols, {0, rows}, {0, cols}, to.value.data(), cols, run_copy<T>});
  }

  template <class T>
  void plan_part(std::string_view path, parameter<T>& to, const tensor& from,
                 const parameter_source& source) {
    check_type<T>(path, from);
    const std::size_t all_cols = from.shape.empty() ? 1 : from.shape.back();
    const std::size_t all_rows = all_cols == 0 ? 0 : from.size() / all_cols;
    const auto resolve = [&](const tensor_range& range, std::size_t all, std::string_view what) {
      const std::size_t begin = range.begin;
      if (begin > all || (range.count != tensor_range::to_end && range.count > all - begin))
        fail_parameter(path, "the map takes ", what, " from ", begin, " on of tensor \"",
                       printable(from.name), "\", which has ", all, " of them: the file has ",
                       tensor_text(from.type, from.shape));
      return tensor_range{begin, range.count == tensor_range::to_end ? all - begin : range.count};
    };
    const tensor_range rows = resolve(source.rows, all_rows, "rows");
    const tensor_range cols = resolve(source.cols, all_cols, "columns");
    const std::size_t height = source.transposed ? cols.count : rows.count;
    const std::size_t width = source.transposed ? rows.count : cols.count;
    if (source.to_row > to.rows() || height > to.rows() - source.to_row ||
        source.to_col > to.cols() || width > to.cols() - source.to_col)
      fail_parameter(path, "the file has ", tensor_text(from.type, from.shape), " in tensor \"",
                     printable(from.name), "\", of which the map puts [", height, ", ", width,
                     "] at row ", source.to_row, ", column ", source.to_col, ", expected to fit [",
                     to.rows(), ", ", to.cols(), "]");
    use(from);
    copies_.push_back({&from, source.transposed, all_cols, rows, cols,
                       to.value.data() + source.to_row * to.cols() + source.to_col, to.cols(),
                       run_copy<T>});
  }

  /// Throws unless the parts since copy `first` fill the parameter, each value once.
  template <class T>
  void check_covered(std::string_view path, parameter<T>& to, std::size_t first) const {
    struct box {
      std::size_t row, col, rows, cols;
    };
    std::vector<box> boxes;
    std::size_t covered = 0;
    for (std::size_t i = first; i < copies_.size(); ++i) {
      const planned_copy& c = copies_[i];
      const auto at = static_cast<std::size_t>(static_cast<T*>(c.to) - to.value.data());
      const std::size_t cols = std::max<std::size_t>(to.cols(), 1);
      const box b{at / cols, at % cols, c.transposed ? c.cols.count : c.rows.count,
                  c.transposed ? c.rows.count : c.cols.count};
      for (const box& o : boxes)
        if (b.row < o.row + o.rows && o.row < b.row + b.rows && b.col < o.col + o.cols &&
            o.col < b.col + b.cols)
          fail_parameter(path, "the map fills a value twice, the second time from tensor \"",
                         printable(c.from->name), "\"");
      boxes.push_back(b);
      covered += b.rows * b.cols;
    }
    if (covered != to.value.size())
      fail_parameter(path, "the map fills ", covered, " values, expected the ", to.value.size(),
                     " of [", to.rows(), ", ", to.cols(), "]");
  }

  const safetensors_file& file_;
  std::string prefix_;
  const parameter_map& map_;
  std::vector<bool> used_;
  std::vector<std::string> names_;
  std::vector<planned_copy> copies_;
  std::vector<missing_tensor> missing_;
  load_report report_;
};

template <HasParameters Model>
load_report load_parameters_from(std::string_view function, const safetensors_file& file,
                                 std::string_view prefix, Model& model, const parameter_map& map,
                                 const load_options& options) {
  parameter_loader loader(file, prefix, map);
  for_each_parameter(model, [&](std::string_view path, auto& p) { loader.plan(path, p); });
  load_report report = loader.finish(function, options);
  loader.run();
  return report;
}

}  // namespace detail

/// Reads the parameters of a model from a safetensors file that another program may have written.
///
/// The map says where each parameter comes from. A parameter that the map does not name is read
/// from the tensor of its own name. A tensor of one dimension is taken as one row or one column.
/// Floating-point types with fewer digits than the parameter's are converted.
///
/// Errors      format_error, naming the file, the parameter, what the file has and what was
///             expected, if a parameter is not in the file, has another shape or type, or a tensor
///             is left over, each unless the options allow it; std::invalid_argument if the map
///             names a parameter that the model does not have. The model is unchanged then.
/// Cost        one pass over the values.
template <HasParameters Model>
load_report load_parameters(const safetensors_file& file, Model& model,
                            const parameter_map& map = {}, const load_options& options = {}) {
  return detail::load_parameters_from("load_parameters", file, "", model, map, options);
}

}  // namespace funnel
