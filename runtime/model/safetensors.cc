// Header first, each entry alone, then all entries together: sorted by offset they must tile the
// data exactly.

#include "runtime/model/safetensors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "chip/check.h"
#include "runtime/files/strict_json.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

struct DTypeFact {
  DType dtype;
  std::string_view name;
  int bytes;
};
constexpr std::array<DTypeFact, 15> kDTypes = {{
    {DType::kBool, "BOOL", 1},
    {DType::kU8, "U8", 1},
    {DType::kI8, "I8", 1},
    {DType::kF8E5M2, "F8_E5M2", 1},
    {DType::kF8E4M3, "F8_E4M3", 1},
    {DType::kI16, "I16", 2},
    {DType::kU16, "U16", 2},
    {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2},
    {DType::kI32, "I32", 4},
    {DType::kU32, "U32", 4},
    {DType::kF32, "F32", 4},
    {DType::kI64, "I64", 8},
    {DType::kU64, "U64", 8},
    {DType::kF64, "F64", 8},
}};

const DTypeFact& FactOf(DType dtype) {
  const DTypeFact& fact = kDTypes[static_cast<size_t>(dtype)];
  LOCKSTEP_CHECK(fact.dtype == dtype, "dtype table out of order at %d", static_cast<int>(dtype));
  return fact;
}

// Begins every error: file and, where known, tensor.
struct Place {
  std::string_view origin;
  std::string tensor;

  template <typename... Parts>
  absl::Status Error(const Parts&... parts) const {
    const std::string of = tensor.empty() ? "" : absl::StrCat("tensor ", Quoted(tensor), ": ");
    return absl::InvalidArgumentError(absl::StrCat(std::string(origin), ": ", of, parts...));
  }
};

// A non-negative integer that fits int64.
std::optional<int64_t> NonNegative(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const uint64_t number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(number);
}

absl::StatusOr<std::string_view> HeaderText(std::span<const uint8_t> file, const Place& place) {
  if (file.size() < kLengthBytes) {
    return place.Error("too short: ", file.size(), " bytes, the header length alone takes 8");
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{file[i]} << (8 * i);
  if (length > kMaxSafetensorsHeaderBytes) {
    return place.Error("header length ", length, " exceeds the limit of ",
                       kMaxSafetensorsHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    return place.Error("header length ", length, " exceeds the ", file.size() - kLengthBytes,
                       " bytes that follow it (file truncated?)");
  }
  return std::string_view(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
}

absl::Status ReadMetadata(const json& value, const Place& place, SafetensorsIndex& index) {
  if (!value.is_object()) return place.Error("__metadata__ is not an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      return place.Error("__metadata__ ", Quoted(key), " is not a string: ", QuotedJson(text));
    }
    index.metadata.emplace(key, text.get_ref<const std::string&>());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> ReadShape(const json& value, const Place& place) {
  if (!value.is_array()) return place.Error("shape is not an array: ", QuotedJson(value));
  if (value.size() > kMaxTensorRank) {
    return place.Error("shape has ", value.size(), " dimensions, at most ", kMaxTensorRank);
  }
  std::vector<int64_t> shape;
  for (const json& dim : value) {
    const std::optional<int64_t> size = NonNegative(dim);
    if (!size) return place.Error("shape holds ", QuotedJson(dim), ", not a size");
    shape.push_back(*size);
  }
  return shape;
}

// Begin and end within the data.
absl::StatusOr<std::pair<int64_t, int64_t>> ReadOffsets(const json& value, int64_t data_bytes,
                                                        const Place& place) {
  if (!value.is_array() || value.size() != 2) {
    return place.Error("data_offsets is not a pair: ", QuotedJson(value));
  }
  const std::optional<int64_t> begin = NonNegative(value[0]), end = NonNegative(value[1]);
  if (!begin || !end) {
    return place.Error("data_offsets [", QuotedJson(value[0]), ", ", QuotedJson(value[1]),
                       "] are not two offsets");
  }
  if (*begin > *end) return place.Error("data_offsets [", *begin, ", ", *end, "] descend");
  if (*end > data_bytes) {
    return place.Error("data_offsets [", *begin, ", ", *end, "] end beyond the ", data_bytes,
                       " bytes of data in the file");
  }
  return std::pair(*begin, *end);
}

absl::StatusOr<DType> ReadDType(const json& value, const Place& place) {
  if (!value.is_string()) return place.Error("dtype is not a string: ", QuotedJson(value));
  const std::optional<DType> dtype = DTypeByName(value.get_ref<const std::string&>());
  if (!dtype) return place.Error("unknown dtype ", QuotedJson(value));
  return *dtype;
}

// The bytes a shape takes; nullopt when they do not fit int64.
std::optional<int64_t> BytesOf(DType dtype, std::span<const int64_t> shape) {
  int64_t bytes = DTypeBytes(dtype);
  // A zero makes the tensor empty whatever the other sizes are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  for (const int64_t dim : shape) {
    if (__builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
  }
  return bytes;
}

absl::StatusOr<TensorView> ReadTensor(const json& entry, std::span<const uint8_t> data,
                                      const Place& place) {
  if (!entry.is_object()) return place.Error("its entry is not an object: ", QuotedJson(entry));
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(field)) return place.Error("its entry has no ", field);
  }
  if (entry.size() != 3) return place.Error("its entry has ", entry.size(), " fields, not 3");
  TensorView view{};
  ASSIGN_OR_RETURN(view.dtype, ReadDType(entry["dtype"], place));
  ASSIGN_OR_RETURN(view.shape, ReadShape(entry["shape"], place));
  ASSIGN_OR_RETURN(const auto offsets,
                   ReadOffsets(entry["data_offsets"], static_cast<int64_t>(data.size()), place));
  const auto [begin, end] = offsets;
  const std::optional<int64_t> bytes = BytesOf(view.dtype, view.shape);
  const std::string what =
      absl::StrCat(std::string(DTypeName(view.dtype)), " of shape ", ShapeText(view.shape));
  if (!bytes) return place.Error(what, " takes more than 2^63 bytes");
  if (*bytes != end - begin) {
    return place.Error(what, " takes ", *bytes, " bytes, but data_offsets [", begin, ", ", end,
                       "] span ", end - begin);
  }
  view.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return view;
}

// Sorted by where they lie, tensors must follow each other from the data's first byte to its last.
absl::Status CheckTiling(const SafetensorsIndex& index, std::span<const uint8_t> data,
                         Place place) {
  struct Extent {
    size_t begin, end;
    const std::string* name;
  };
  std::vector<Extent> extents;
  for (const auto& [name, view] : index.tensors) {
    const size_t begin = static_cast<size_t>(view.bytes.data() - data.data());
    extents.push_back({begin, begin + view.bytes.size(), &name});
  }
  std::stable_sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  size_t next = 0;
  const std::string* before = nullptr;
  for (const Extent& extent : extents) {
    place.tensor = *extent.name;
    if (extent.begin < next) {
      return place.Error("its data begin at ", extent.begin, " inside those of ", Quoted(*before),
                         ", which end at ", next);
    }
    if (extent.begin > next) {
      return place.Error("its data begin at ", extent.begin, ", which leaves a hole of ",
                         extent.begin - next, " bytes before it");
    }
    next = extent.end;
    before = extent.name;
  }
  place.tensor.clear();
  if (next != data.size()) {
    return place.Error("the tensors end at byte ", next, " of ", data.size(), " bytes of data");
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view DTypeName(DType dtype) { return FactOf(dtype).name; }
int DTypeBytes(DType dtype) { return FactOf(dtype).bytes; }

std::optional<DType> DTypeByName(std::string_view name) {
  for (const DTypeFact& fact : kDTypes) {
    if (fact.name == name) return fact.dtype;
  }
  return std::nullopt;
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ", "), "]");
}

absl::StatusOr<SafetensorsIndex> ParseSafetensors(std::span<const uint8_t> file,
                                                  std::string_view origin) {
  Place place{origin, ""};
  ASSIGN_OR_RETURN(const std::string_view header, HeaderText(file, place));
  const std::string header_origin = absl::StrCat(std::string(origin), ": header");
  ASSIGN_OR_RETURN(const json entries, ParseStrictJson(header, header_origin));
  if (!entries.is_object()) return place.Error("the header is not a JSON object");
  const std::span<const uint8_t> data = file.subspan(kLengthBytes + header.size());
  SafetensorsIndex index;
  for (const auto& [name, entry] : entries.items()) {
    if (name == kMetadataKey) {
      RETURN_IF_ERROR(ReadMetadata(entry, place, index));
      continue;
    }
    if (name.empty()) return place.Error("a tensor has an empty name");
    place.tensor = name;
    ASSIGN_OR_RETURN(TensorView view, ReadTensor(entry, data, place));
    index.tensors.emplace(name, std::move(view));
    place.tensor.clear();
  }
  RETURN_IF_ERROR(CheckTiling(index, data, place));
  return index;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(SafetensorsIndex index, ParseSafetensors(file.bytes(), path));
  return SafetensorsFile(std::move(file), std::move(index));
}

}  // namespace lockstep
