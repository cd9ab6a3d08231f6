// Finding the files of a checkpoint and converting rectangles of its tensors.

#include "runtime/model/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/half.h"
#include "runtime/files/strict_json.h"

namespace lockstep {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensors are little-endian in the file");

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = 100'000'000;

bool Exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

template <typename T>
T Load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// An element of the file as fp32: exact for the three dtypes that weights have.
float LoadFloat(DType dtype, const uint8_t* at) {
  switch (dtype) {
    case DType::kF32:
      return Load<float>(at);
    case DType::kF16:
      return HalfToFloat(Load<uint16_t>(at));
    default:
      return BFloat16ToFloat(Load<uint16_t>(at));
  }
}

bool IsWeightType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

struct Matrix {
  int64_t rows, cols;
};

// A tensor as a matrix; REQUIRES: rank 1 or 2.
Matrix AsMatrix(std::span<const int64_t> shape) {
  return shape.size() == 1 ? Matrix{1, shape[0]} : Matrix{shape[0], shape[1]};
}

bool Inside(int64_t begin, int64_t count, int64_t size) {
  return begin >= 0 && count >= 0 && begin <= size && count <= size - begin;
}

// Calls fn(place in the output, address in the file) for each element of the block.
template <typename Fn>
void ForEach(const TensorView& view, const MatrixBlock& block, const Fn& fn) {
  const size_t width = static_cast<size_t>(DTypeBytes(view.dtype));
  const size_t cols = static_cast<size_t>(AsMatrix(view.shape).cols);
  size_t next = 0;
  for (int64_t row = 0; row < block.row_count; ++row) {
    const size_t first =
        static_cast<size_t>(block.row_begin + row) * cols + static_cast<size_t>(block.col_begin);
    const uint8_t* at = view.bytes.data() + first * width;
    for (int64_t col = 0; col < block.col_count; ++col, at += width) fn(next++, at);
  }
}

void CheckOutSize(const MatrixBlock& block, size_t out_size) {
  LOCKSTEP_CHECK(block.row_count >= 0 && block.col_count >= 0 &&
                     out_size == static_cast<size_t>(block.row_count * block.col_count),
                 "%d elements of room for %d x %d", out_size, block.row_count, block.col_count);
}

// The shard of each tensor, from the text of an index file.
absl::StatusOr<std::map<std::string, std::string>> ReadWeightMap(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > kMaxIndexBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", file.bytes().size(),
                                                   " bytes exceed the limit of ", kMaxIndexBytes));
  }
  ASSIGN_OR_RETURN(const json index, ParseStrictJson(file.text(), path));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has no object \"weight_map\""));
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor ", Quoted(tensor), ": shard ", QuotedJson(shard),
                       " is not a plain file name inside the folder"));
    }
    shard_of.emplace(tensor, shard.get_ref<const std::string&>());
  }
  return shard_of;
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  Checkpoint checkpoint(folder);
  const std::string single = absl::StrCat(folder, "/", kSingleFile);
  const std::string index = absl::StrCat(folder, "/", kIndexFile);
  if (Exists(single)) {
    RETURN_IF_ERROR(checkpoint.OpenSingle(single));
  } else if (Exists(index)) {
    RETURN_IF_ERROR(checkpoint.OpenSharded(index));
  } else {
    return absl::NotFoundError(
        absl::StrCat("no checkpoint in ", folder, ": neither ", kSingleFile, " nor ", kIndexFile));
  }
  return checkpoint;
}

absl::Status Checkpoint::OpenSingle(const std::string& path) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(file)));
  for (const auto& [name, view] : files_.back()->index().tensors) tensors_.emplace(name, &view);
  return absl::OkStatus();
}

absl::Status Checkpoint::OpenSharded(const std::string& index_path) {
  ASSIGN_OR_RETURN(const auto shard_of, ReadWeightMap(index_path));
  std::map<std::string, const SafetensorsFile*> opened;
  for (const auto& [tensor, shard] : shard_of) {
    const SafetensorsFile*& file = opened[shard];
    if (file == nullptr) {
      ASSIGN_OR_RETURN(SafetensorsFile next,
                       SafetensorsFile::Open(absl::StrCat(folder_, "/", shard)));
      files_.push_back(std::make_unique<SafetensorsFile>(std::move(next)));
      file = files_.back().get();
    }
    const auto found = file->index().tensors.find(tensor);
    if (found == file->index().tensors.end()) {
      return absl::InvalidArgumentError(absl::StrCat(index_path, ": tensor ", Quoted(tensor),
                                                     " is not in its shard ", Quoted(shard)));
    }
    tensors_.emplace(tensor, &found->second);
  }
  return absl::OkStatus();
}

std::vector<std::string> Checkpoint::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

bool Checkpoint::Contains(std::string_view name) const { return tensors_.contains(name); }

absl::StatusOr<TensorView> Checkpoint::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(
        absl::StrCat("tensor ", Quoted(name), " is missing from the checkpoint ", folder_));
  }
  return *found->second;
}

absl::StatusOr<TensorView> Checkpoint::FindForRead(std::string_view name,
                                                   std::span<const int64_t> expected,
                                                   const MatrixBlock& block) const {
  ASSIGN_OR_RETURN(TensorView view, Find(name));
  const std::string where = absl::StrCat(folder_, ": tensor ", Quoted(name), ": ");
  if (!std::equal(view.shape.begin(), view.shape.end(), expected.begin(), expected.end())) {
    return absl::InvalidArgumentError(absl::StrCat(where, "has shape ", ShapeText(view.shape),
                                                   ", expected ", ShapeText(expected)));
  }
  if (!IsWeightType(view.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(where, "has dtype ",
                                                   std::string(DTypeName(view.dtype)),
                                                   "; weights must be F32, F16 or BF16"));
  }
  LOCKSTEP_CHECK(expected.size() == 1 || expected.size() == 2, "rank %d", expected.size());
  const Matrix matrix = AsMatrix(expected);
  if (!Inside(block.row_begin, block.row_count, matrix.rows) ||
      !Inside(block.col_begin, block.col_count, matrix.cols)) {
    return absl::OutOfRangeError(absl::StrCat(
        where, "rows ", block.row_begin, " + ", block.row_count, ", columns ", block.col_begin,
        " + ", block.col_count, " lie outside ", ShapeText(view.shape)));
  }
  return view;
}

absl::Status Checkpoint::ReadRowsF16(std::string_view name, std::span<const int64_t> expected,
                                     const MatrixBlock& block, std::span<uint16_t> out) const {
  ASSIGN_OR_RETURN(const TensorView view, FindForRead(name, expected, block));
  CheckOutSize(block, out.size());
  if (view.dtype == DType::kF16) {
    ForEach(view, block, [&](size_t i, const uint8_t* at) { out[i] = Load<uint16_t>(at); });
    return absl::OkStatus();
  }
  std::optional<size_t> overflow;  // the first element that fp16 cannot hold
  ForEach(view, block, [&](size_t i, const uint8_t* at) {
    const float value = LoadFloat(view.dtype, at);
    if (OverflowsHalf(value) && !overflow) overflow = i;
    out[i] = FloatToHalf(value);
  });
  if (!overflow) return absl::OkStatus();
  const int64_t row = block.row_begin + static_cast<int64_t>(*overflow) / block.col_count;
  const int64_t col = block.col_begin + static_cast<int64_t>(*overflow) % block.col_count;
  const size_t at = static_cast<size_t>(row * AsMatrix(view.shape).cols + col);
  const float value =
      LoadFloat(view.dtype, view.bytes.data() + at * static_cast<size_t>(DTypeBytes(view.dtype)));
  return absl::OutOfRangeError(absl::StrCat(folder_, ": tensor ", Quoted(name), ": the weight ",
                                            value, " at row ", row, ", column ", col,
                                            " is beyond fp16's largest, 65504"));
}

absl::Status Checkpoint::ReadRowsF32(std::string_view name, std::span<const int64_t> expected,
                                     const MatrixBlock& block, std::span<float> out) const {
  ASSIGN_OR_RETURN(const TensorView view, FindForRead(name, expected, block));
  CheckOutSize(block, out.size());
  ForEach(view, block, [&](size_t i, const uint8_t* at) { out[i] = LoadFloat(view.dtype, at); });
  return absl::OkStatus();
}

absl::Status Checkpoint::ReadF32(std::string_view name, std::span<const int64_t> expected,
                                 std::span<float> out) const {
  LOCKSTEP_CHECK(expected.size() == 1 || expected.size() == 2, "rank %d", expected.size());
  const Matrix matrix = AsMatrix(expected);
  return ReadRowsF32(name, expected, MatrixBlock{0, matrix.rows, 0, matrix.cols}, out);
}

}  // namespace lockstep
