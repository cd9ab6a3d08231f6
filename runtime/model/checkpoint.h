#pragma once
// A Hugging Face checkpoint folder: one `model.safetensors`, or `model.safetensors.index.json`
// that says which of many shards holds which tensor. Every shard is mapped, not read; what the
// Read calls touch is all that becomes resident.
//
// Read calls take the shape the caller expects and refuse any other; they convert on the way out
// with chip/half.h, so the same file gives the same bits on every host.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model/safetensors.h"

namespace lockstep {

// A rectangle of a matrix, in elements. A one-dimensional tensor of n is a matrix of 1 x n.
struct MatrixBlock {
  int64_t row_begin = 0, row_count = 0;
  int64_t col_begin = 0, col_count = 0;
};

class Checkpoint {
 public:
  // NotFound when the folder holds neither file; else the error of the file at fault. Shard names
  // in the index must be plain file names: nothing outside the folder is ever opened.
  static absl::StatusOr<Checkpoint> Open(const std::string& folder);

  const std::string& folder() const { return folder_; }
  std::vector<std::string> Names() const;  // sorted
  bool Contains(std::string_view name) const;
  int shard_count() const { return static_cast<int>(files_.size()); }

  // The tensor where it lies, valid as long as the Checkpoint. NotFound names tensor and folder.
  absl::StatusOr<TensorView> Find(std::string_view name) const;

  // Row-major elements of `block` as fp16, rounded to nearest even. `out.size()` must be
  // row_count x col_count (CHECK). Errors: missing tensor, other shape than `expected`, a dtype
  // other than F32, F16, BF16, a block outside the tensor, a finite weight that fp16 cannot hold.
  absl::Status ReadRowsF16(std::string_view name, std::span<const int64_t> expected,
                           const MatrixBlock& block, std::span<uint16_t> out) const;

  // The whole tensor as fp32 (exact). Errors as above.
  absl::Status ReadF32(std::string_view name, std::span<const int64_t> expected,
                       std::span<float> out) const;
  absl::Status ReadRowsF32(std::string_view name, std::span<const int64_t> expected,
                           const MatrixBlock& block, std::span<float> out) const;

 private:
  explicit Checkpoint(std::string folder) : folder_(std::move(folder)) {}

  absl::Status OpenSingle(const std::string& path);
  absl::Status OpenSharded(const std::string& index_path);
  absl::StatusOr<TensorView> FindForRead(std::string_view name, std::span<const int64_t> expected,
                                         const MatrixBlock& block) const;

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;            // by first use
  std::map<std::string, const TensorView*, std::less<>> tensors_;  // into files_
};

}  // namespace lockstep
