// The event handler that builds the value. It keeps a stack of the containers that are open;
// pointers into them stay valid because only the innermost one grows.

#include "runtime/files/strict_json.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

using nlohmann::json;

absl::string_view Abseil(std::string_view s) { return {s.data(), s.size()}; }

class Builder : public json::json_sax_t {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  json& root() { return root_; }
  const std::string& error() const { return error_; }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Fail("binary data is not JSON"); }

  bool start_object(std::size_t) override { return Open(json::object()); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      return Fail(absl::StrCat("the key ", Quoted(name), " occurs twice in one object"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not JSON at byte ", position, ", near ", Quoted(token)));
  }

 private:
  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
  }

  bool Add(json value) { return Place(std::move(value)) != nullptr; }

  bool Open(json container) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Fail(absl::StrCat("nested deeper than ", limits_.max_depth));
    }
    json* const placed = Place(std::move(container));
    if (placed == nullptr) return false;
    open_.push_back(placed);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  // Puts a value where the text has it; null when there are too many.
  json* Place(json value) {
    if (++values_ > limits_.max_values) {
      Fail(absl::StrCat("more than ", limits_.max_values, " values"));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  const JsonLimits limits_;
  json root_;
  std::vector<json*> open_;
  std::string key_;
  int64_t values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, std::string_view origin,
                                     const JsonLimits& limits) {
  Builder builder(limits);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(absl::StrCat(Abseil(origin), ": ", builder.error()));
  }
  return std::move(builder.root());
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 80;
  const std::string shown = absl::CEscape(Abseil(text.substr(0, kShown)));
  return absl::StrCat("\"", shown, text.size() > kShown ? "..." : "", "\"");
}

std::string QuotedJson(const json& value) {
  if (value.is_string()) return Quoted(std::string_view(value.get_ref<const std::string&>()));
  if (!value.is_structured()) return value.dump();
  return absl::StrCat("an ", value.type_name(), " of ", value.size());
}

}  // namespace lockstep
