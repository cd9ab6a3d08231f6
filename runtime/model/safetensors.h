#pragma once
// One *.safetensors file (the format of the Hugging Face library of that name):
//
//   | n: 8 bytes LE | header: n bytes of JSON            | data: the rest                      |
//                     {"w": {"dtype": "F16",               offsets count from here, ascend and
//                            "shape": [2, 3],              tile the data: no overlap, no hole,
//                            "data_offsets": [0, 12]}}     no rest
//
// Nothing is trusted: sizes are bounded before anything is allocated, arithmetic is checked for
// overflow, and an error names the tensor and the value.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/files/mapped_file.h"

namespace lockstep {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64
};
// The name in a file ("BF16"), the bytes of one element, and the way back from the name.
std::string_view DTypeName(DType dtype);
int DTypeBytes(DType dtype);
std::optional<DType> DTypeByName(std::string_view name);

// A tensor where it lies: little-endian, row-major, not necessarily aligned. The bytes belong to
// the file.
struct TensorView {
  DType dtype;
  std::vector<int64_t> shape;  // empty: a scalar
  std::span<const uint8_t> bytes;
};

// "[2, 3]"
std::string ShapeText(std::span<const int64_t> shape);

struct SafetensorsIndex {
  std::map<std::string, TensorView, std::less<>> tensors;  // by name
  std::map<std::string, std::string> metadata;             // "__metadata__"
};

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // as the format's own library
inline constexpr int kMaxTensorRank = 8;

// The tensors of `file`, which must outlive them; `origin` begins every error.
absl::StatusOr<SafetensorsIndex> ParseSafetensors(std::span<const uint8_t> file,
                                                  std::string_view origin);

// A mapped file and its tensors.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafetensorsIndex& index() const { return index_; }

 private:
  SafetensorsFile(MappedFile file, SafetensorsIndex index)
      : file_(std::move(file)), index_(std::move(index)) {}

  MappedFile file_;
  SafetensorsIndex index_;
};

}  // namespace lockstep
