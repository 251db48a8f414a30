// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>

#include <xgboost/c_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `xgboost_calibration`.
struct xgboost_calibration_options {
  /// Number of rows from which on trees are fitted; with fewer, p stays as it is. 1 or more. N_min.
  std::size_t min_rows = 1000;
  /// Number of trees, 1 to 10,000.
  std::size_t trees = 50;
  /// Most leaves of a tree, 2 to 1024.
  std::size_t leaves = 8;
  /// Step of each tree, in (0, 1]. eta.
  double learning_rate = .1;
  /// Least sum of p (1 - p) in a leaf, 0 or more. min_child_weight.
  double min_leaf_weight = 10;
  /// Penalty of squared leaf values, 0 or more. lambda.
  double l2 = 1;
};

/// Calibrating trees: gradient-boosted trees of XGBoost that correct the probabilities of a big
/// model for a group of users. Link `funnel::xgboost` to use it; funnel.hpp does not include this
/// header.
///
///     logit p' = logit p + sum of trees([inputs | logit p])
///
/// The inputs are features of the user and, for example, the big model's other rates. logit p is the
/// base margin that the trees start from, and the last input, named "logit", in which p' never
/// falls. Fit on rows of the group that the big model was not trained on; call it for rows of the
/// group only, and users outside of it keep p.
///
/// One thread at a time may use an object: each serving thread has a copy, which holds a booster of
/// its own. All rows of a request are one call of XGBoost, on this thread alone.
///
/// Shapes      inputs [n, d] with d names; p, labels and calibrated [n].
/// Units       p in [0, 1], clipped to [1e-6, 1 - 1e-6] where the logit is taken. An input that is NaN
///             is missing: each split has a side for such rows.
/// Errors      std::invalid_argument for an option outside its range, another number of inputs, an
///             infinite input, a p outside [0, 1] (also NaN), labels other than 0 and 1, and what
///             XGBoost refuses. Nothing is changed or written then.
/// Cost        O(trees * log(leaves)) per row; a call allocates.
/// Numerics    without trees, because there were fewer rows than `min_rows`, p' has the bits of p.
/// Source      docs/formulas.md#calibrating-trees.
class xgboost_calibration {
 public:
  /// Without trees, for no inputs.
  xgboost_calibration() = default;
  /// Fits trees, if there are rows enough. `names` are those of the columns of `inputs`.
  xgboost_calibration(const std::vector<std::string>& names, matrix_view<const float> inputs,
                      std::span<const float> p, std::span<const float> labels,
                      const xgboost_calibration_options& options = {}) {
    check(options);
    take_names(names);
    check_inputs(function, inputs, p);
    detail::check_size(function, "labels", labels.size(), p.size(), "p");
    detail::check_binary(function, "labels", labels);
    if (p.size() >= options.min_rows) fit(inputs, p, labels, options);
  }
  /// Reads a model that XGBoost saved, as JSON or UBJSON (`Booster.save_model` in Python). It must
  /// have been trained with objective "binary:logistic" and base margins logit p, on the inputs with
  /// these names and then logit p. Names are compared if the model has names, otherwise their number.
  ///
  /// Errors      format_error if the file is not a model, or one of other features or another
  ///             objective. Read only files that you trust: XGBoost does not check everything.
  static xgboost_calibration read(const std::string& path, const std::vector<std::string>& names) {
    xgboost_calibration loaded;
    loaded.take_names(names);
    const booster model = new_booster();
    format_of(path, [&] {
      call(XGBoosterLoadModel(model.get(), path.c_str()));
      loaded.use(saved(model.get()));
    });
    return loaded;
  }

  xgboost_calibration(const xgboost_calibration& other) : names_(other.names_) {
    if (other.has_trees()) use(other.model_);
  }
  xgboost_calibration(xgboost_calibration&&) noexcept = default;
  xgboost_calibration& operator=(const xgboost_calibration& other) {
    *this = xgboost_calibration(other);
    return *this;
  }
  xgboost_calibration& operator=(xgboost_calibration&&) noexcept = default;
  ~xgboost_calibration() = default;

  /// False if p stays as it is.
  bool has_trees() const { return booster_ != nullptr; }
  /// Names of the inputs, without "logit".
  const std::vector<std::string>& names() const { return names_; }
  /// The model as XGBoost saves it (UBJSON); empty without trees.
  std::span<const std::byte> model() const { return std::as_bytes(std::span(model_)); }

  /// Calibrates the probabilities of rows of the group. `calibrated` may be p itself.
  void operator()(matrix_view<const float> inputs, std::span<const float> p,
                  std::span<float> calibrated) {
    check_inputs(function, inputs, p);
    detail::check_size(function, "calibrated", calibrated.size(), p.size(), "p");
    if (!has_trees() || p.empty()) {
      if (calibrated.data() != p.data()) std::ranges::copy(p, calibrated.begin());
      return;
    }
    fill(inputs, p);
    DMatrixHandle made = nullptr;
    call(XGProxyDMatrixCreate(&made));
    const dmatrix margins(made);
    const std::size_t n = p.size();
    call(XGDMatrixSetInfoFromInterface(made, "base_margin",
                                       array_text(margins_.data(), detail::join_text(n)).c_str()));
    const bst_ulong* shape = nullptr;
    bst_ulong dims = 0;
    const float* margin = nullptr;
    call(XGBoosterPredictFromDense(
        booster_.get(),
        array_text(rows_.data(), detail::join_text(n, ",", names_.size() + 1)).c_str(),
        R"({"type":1,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false,)"
        R"("missing":NaN,"cache_id":0})",
        made, &shape, &dims, &margin));
    if (dims != 1 || shape[0] != n)
      detail::fail("funnel::xgboost_calibration: the model has several outputs, expected one");
    for (std::size_t i = 0; i < n; ++i) calibrated[i] = sigmoid(margin[i]);
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a state, and is unchanged then.
  void visit_state(auto&& visit) {
    std::string names;
    for (const std::string& name : names_) names += name + '\n';
    std::string model = model_;
    visit("names", names), visit("model", model);
    if (!is_loading(visit)) return;
    xgboost_calibration loaded;
    format_of("the state", [&] {
      std::vector<std::string> list;
      for (std::size_t begin = 0, end = 0; begin < names.size(); begin = end + 1) {
        end = std::min(names.find('\n', begin), names.size());
        list.push_back(names.substr(begin, end - begin));
      }
      loaded.take_names(list);
      if (!model.empty()) loaded.use(std::move(model));
    });
    *this = std::move(loaded);
  }

 private:
  static constexpr std::string_view function = "xgboost_calibration";
  struct free_booster {
    void operator()(void* handle) const { XGBoosterFree(handle); }
  };
  struct free_dmatrix {
    void operator()(void* handle) const { XGDMatrixFree(handle); }
  };
  using booster = std::unique_ptr<void, free_booster>;
  using dmatrix = std::unique_ptr<void, free_dmatrix>;

  /// Throws what XGBoost said, without the addresses that follow the first line.
  static void call(int result) {
    if (result == 0) return;
    const std::string_view text = XGBGetLastError();
    detail::fail("funnel::xgboost_calibration: XGBoost fails, expected what it accepts; it says: ",
                 text.substr(0, text.find('\n')));
  }
  /// Runs what may find wrong content; what is refused is a format_error that names the place.
  template <class Run>
  static void format_of(std::string_view place, const Run& run) {
    try {
      run();
    } catch (const std::invalid_argument& error) {
      throw format_error(detail::join_text(place, ": ", error.what()));
    }
  }

  static booster new_booster(const DMatrixHandle* data = nullptr) {
    BoosterHandle handle = nullptr;
    call(XGBoosterCreate(data, data == nullptr ? 0 : 1, &handle));
    booster made(handle);
    set(handle, "verbosity", 0);
    set(handle, "nthread", 1);
    return made;
  }
  template <class Value>
  static void set(BoosterHandle handle, const char* name, Value value) {
    call(XGBoosterSetParam(handle, name, detail::join_text(value).c_str()));
  }
  static std::string saved(BoosterHandle handle) {
    bst_ulong size = 0;
    const char* bytes = nullptr;
    call(XGBoosterSaveModelToBuffer(handle, R"({"format":"ubj"})", &size, &bytes));
    return std::string(bytes, size);
  }

  static void check(const xgboost_calibration_options& options) {
    detail::check_at_least_one(function, "min_rows", options.min_rows);
    detail::check_that(function, "trees", options.trees,
                       options.trees >= 1 && options.trees <= 10000, "1 to 10,000");
    detail::check_that(function, "leaves", options.leaves,
                       options.leaves >= 2 && options.leaves <= 1024, "2 to 1024");
    detail::check_that(function, "learning_rate", options.learning_rate,
                       options.learning_rate > 0 && options.learning_rate <= 1,
                       "a number in (0, 1]");
    detail::check_not_negative<float>(function, "min_leaf_weight", options.min_leaf_weight);
    detail::check_not_negative<float>(function, "l2", options.l2);
  }
  void take_names(const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string& name = names[i];
      if (name.empty() || name == "logit" || std::count(names.begin(), names.end(), name) > 1 ||
          name.find_first_of(std::string_view("[]<\n\0", 5)) != std::string::npos)
        detail::fail_check(function, "names", "[", i, "] is \"", name,
                           "\", expected distinct names other than \"logit\", without [, ], < and "
                           "line breaks");
    }
    names_ = names;
  }
  void check_inputs(std::string_view name, matrix_view<const float> inputs,
                    std::span<const float> p) const {
    detail::check_rows(name, "inputs", inputs.rows(), p.size(), "p");
    detail::check_cols(name, "inputs", inputs.cols(), names_.size(), "names");
    detail::check_unit_interval(name, "p", p);
    for (std::size_t i = 0; i < inputs.rows(); ++i)
      for (std::size_t j = 0; j < inputs.cols(); ++j)
        if (std::isinf(inputs(i, j)))
          detail::fail_check(name, "inputs", "(", i, ", ", j, ") is ", inputs(i, j),
                             ", expected a finite number, or NaN if it is missing");
  }

  /// Puts the rows together as the trees see them.
  void fill(matrix_view<const float> inputs, std::span<const float> p) {
    const std::size_t n = p.size(), d = names_.size();
    rows_.resize(detail::array_size<float>("funnel::xgboost_calibration: inputs", n, d + 1));
    margins_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      margins_[i] = logit(std::clamp(p[i], 1e-6f, 1 - 1e-6f));
      float* row = rows_.data() + i * (d + 1);
      std::copy_n(inputs.row(i).data(), d, row);
      row[d] = margins_[i];
    }
  }
  /// Numbers in memory, as XGBoost's functions are told of them.
  static std::string array_text(const float* data, std::string_view shape) {
    return detail::join_text("{\"data\":[", reinterpret_cast<std::uintptr_t>(data),
                             ",true],\"shape\":[", shape, "],\"typestr\":\"<f4\",\"version\":3}");
  }
  /// Names of all columns, with "logit".
  std::vector<const char*> all_names() const {
    std::vector<const char*> all;
    for (const std::string& name : names_) all.push_back(name.c_str());
    all.push_back("logit");
    return all;
  }

  void fit(matrix_view<const float> inputs, std::span<const float> p, std::span<const float> labels,
           const xgboost_calibration_options& options) {
    fill(inputs, p);
    const std::size_t n = p.size(), columns = names_.size() + 1;
    DMatrixHandle made = nullptr;
    call(XGDMatrixCreateFromMat(rows_.data(), n, columns, std::numeric_limits<float>::quiet_NaN(),
                                &made));
    const dmatrix data(made);
    call(XGDMatrixSetFloatInfo(made, "label", labels.data(), n));
    call(XGDMatrixSetFloatInfo(made, "base_margin", margins_.data(), n));
    const booster model = new_booster(&made);
    BoosterHandle handle = model.get();
    std::string constraints = "(";
    for (std::size_t j = 0; j + 1 < columns; ++j) constraints += "0,";
    set(handle, "objective", "binary:logistic");
    set(handle, "base_score", .5);
    set(handle, "tree_method", "hist");
    set(handle, "grow_policy", "lossguide");
    set(handle, "max_depth", 0);
    set(handle, "max_leaves", options.leaves);
    set(handle, "eta", options.learning_rate);
    set(handle, "min_child_weight", options.min_leaf_weight);
    set(handle, "lambda", options.l2);
    set(handle, "monotone_constraints", constraints + "1)");
    for (std::size_t t = 0; t < options.trees; ++t)
      call(XGBoosterUpdateOneIter(handle, static_cast<int>(t), made));
    std::vector<const char*> names = all_names();
    call(XGBoosterSetStrFeatureInfo(handle, "feature_name", names.data(), names.size()));
    use(saved(handle));
  }

  /// Takes a saved model, after a look at whether it is one of these inputs.
  void use(std::string bytes) {
    booster loaded = new_booster();
    call(XGBoosterLoadModelFromBuffer(loaded.get(), bytes.data(), bytes.size()));
    bst_ulong count = 0;
    call(XGBoosterGetNumFeature(loaded.get(), &count));
    const std::vector<const char*> expected = all_names();
    if (count != expected.size())
      detail::fail_check(function, "the model", " has ", count, " features, expected ",
                         expected.size(), ": ", expected.size() - 1, " inputs and \"logit\"");
    const char** found = nullptr;
    call(XGBoosterGetStrFeatureInfo(loaded.get(), "feature_name", &count, &found));
    for (std::size_t j = 0; j < count; ++j)
      if (std::string_view(found[j]) != expected[j])
        detail::fail_check(function, "the model's feature ", j, " is \"", found[j],
                           "\", expected \"", expected[j], "\"");
    const char* text = nullptr;
    call(XGBoosterSaveJsonConfig(loaded.get(), &count, &text));
    if (std::string_view(text, count).find(R"("objective":{"name":"binary:logistic")") ==
        std::string_view::npos)
      detail::fail_check(function, "the model", "'s objective is another one, expected ",
                         "binary:logistic");
    model_ = std::move(bytes);
    booster_ = std::move(loaded);
  }

  std::vector<std::string> names_;
  std::string model_;  // as XGBoost saves it
  booster booster_;
  std::vector<float> rows_, margins_;  // of a call
};

}  // namespace funnel
