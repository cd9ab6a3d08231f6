// MXM: weight buffers, installs, feeds and accumulators (chip/mxm.h).
#include "chip/mxm.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "chip/numerics.h"

namespace lockstep {
namespace {
constexpr int kIwCycles = static_cast<int>(Opcode::kIw);
}

uint8_t* MxmUnit::Weights::Copy(int row) {
  if (copies == nullptr) copies.reset(new uint8_t[kRows * kLanes]);
  return &copies[row * kLanes];
}

MxmUnit::MxmUnit(Core& core) : core_(core) {
  for (int p = 0; p < kPlanes; ++p) {
    planes_[p] = std::make_unique<Plane>();
    Plane& plane = *planes_[p];
    plane.buffer = std::make_unique<Weights>();
    plane.array = std::make_unique<Weights>();
    plane.buffer->bit = 2 * p;
    plane.array->bit = 2 * p + 1;
    plane.abc_type.fill(kNoType);
    plane.acc_type.fill(kNoType);
    plane.results.resize(1);
    plane.results[0] = std::make_unique<Result>();
  }
}

void MxmUnit::Restart() {
  for (auto& plane : planes_) {
    plane->head = plane->count = 0;
    plane->busy_until = 0;
    plane->last_feed = -1;
  }
}

bool MxmUnit::EvenOnly(const Dispatched& d, int type) {
  if (type == kTypeI8 || PlaneOfQueue(d.queue()) % 2 == 0) return true;
  return core_.Fail(FaultKind::kBadInstruction, d, "f16 belongs to the even plane's queues");
}

// ---- Weights ------------------------------------------------------------------------------------

const uint8_t* MxmUnit::Hold(Weights& w, const Streams::Entry& e) {
  const uint8_t mine = static_cast<uint8_t>(1 << w.bit);
  if ((holders[e.slice] & mine) == 0) {
    holders[e.slice] |= mine;
    w.slices.push_back(e.slice);
    w.lowest[e.slice] = w.highest[e.slice] = e.data;
  } else {
    w.lowest[e.slice] = std::min(w.lowest[e.slice], e.data);
    w.highest[e.slice] = std::max(w.highest[e.slice], e.data);
  }
  return e.data;
}

void MxmUnit::LoadRow8(Weights& w, int row, const Streams::Entry& e) {
  if (e.slice != kNoSlice) {
    w.rows8[row] = Hold(w, e);
    return;
  }
  uint8_t* copy = w.Copy(row);
  const uint8_t* from = PlaneOf(e, copy);
  if (from != copy) std::memcpy(copy, from, kLanes);
  w.rows8[row] = copy;
}

MxmUnit::Halves MxmUnit::LoadPlane16(Weights& w, int row, int plane, const Streams::Entry& e) {
  if (e.slice != kNoSlice) {
    const uint8_t* word = Hold(w, e);
    return {word, word + kHalf};
  }
  alignas(64) uint8_t scratch[kLanes];
  const uint8_t* from = PlaneOf(e, scratch);
  uint8_t* first = w.Copy(row) + plane * kHalf;
  uint8_t* second = w.Copy(row + kHalf) + plane * kHalf;
  std::memcpy(first, from, kHalf);
  std::memcpy(second, from + kHalf, kHalf);
  return {first, second};
}

void MxmUnit::LoadPair16(Weights& w, int row, const Streams::Entry& lo, const Streams::Entry& hi) {
  const Halves low = LoadPlane16(w, row, 0, lo), high = LoadPlane16(w, row, 1, hi);
  w.rows16[row] = {low.first, high.first};
  w.rows16[row + kHalf] = {low.second, high.second};
}

// What an LW of `rows` rows from its first may not do.
bool MxmUnit::CheckLw(const Dispatched& d, int type, int rows) {
  const int p = PlaneOfQueue(d.queue()), even = p & ~1;
  const int row = d.Strided(1);
  Weights& w = *plane(type == kTypeF16 ? even : p).buffer;
  if (w.type == type) {
    for (int r = row; r < row + rows; ++r) {
      const uint64_t bit = uint64_t{1} << (r % 64);
      if (w.loaded[r / 64] & bit) [[unlikely]] {
        return core_.Fail(FaultKind::kBufferFull, d, absl::StrCat("row ", r, " is loaded already"));
      }
      w.loaded[r / 64] |= bit;
    }
    return true;
  }
  const int odd_type = plane(even + 1).buffer->type, even_type = plane(even).buffer->type;
  const bool refused = type == kTypeF16 ? even_type == kTypeI8 || odd_type == kTypeI8
                                        : even_type == kTypeF16;
  if (refused) return core_.Fail(FaultKind::kTypeMismatch, d, "the buffer holds the other type");
  w.type = type;
  return CheckLw(d, type, rows);
}

bool MxmUnit::Lw(const Dispatched& d) {
  const int type = d.arg(0), row = d.Strided(1), count = d.arg(3), stream = d.arg(4);
  const int rows = type == kTypeF16 ? count / 2 : count;
  const int limit = type == kTypeF16 ? kHalf : kRows;
  if (row + rows > limit) {
    return core_.Fail(FaultKind::kBadInstruction, d, absl::StrCat("the last row is ", limit - 1));
  }
  const Streams::Entry* entries[16];
  const int u = Streams::Place(stream, d.position);
  int64_t age = 0;
  for (int i = 0; i < count; ++i) {
    entries[i] = core_.streams.Find(stream + i, u, d.cycle);
    if (entries[i] == nullptr) [[unlikely]] {
      core_.Read(d, stream + i);  // reports it
      return false;
    }
    age += u - entries[i]->place;
  }
  d.age += age;
  if (!CheckLw(d, type, rows)) return false;
  const int p = PlaneOfQueue(d.queue());
  if (type == kTypeF16) {
    Weights& w = *plane(p & ~1).buffer;
    for (int i = 0; i < rows; ++i) LoadPair16(w, row + i, *entries[2 * i], *entries[2 * i + 1]);
  } else {
    Weights& w = *plane(p).buffer;
    for (int i = 0; i < rows; ++i) LoadRow8(w, row + i, *entries[i]);
  }
  return true;
}

// Empties a buffer or array: all rows zero, nothing held.
void MxmUnit::Forget(Weights& w) {
  for (uint8_t slice : w.slices) holders[slice] &= static_cast<uint8_t>(~(1 << w.bit));
  w.slices.clear();
  if (w.type == kTypeF16) w.rows16.fill({});
  if (w.type == kTypeI8) w.rows8.fill(nullptr);
  w.loaded.fill(0);
  w.type = kNoType;
}

bool MxmUnit::Iw(const Dispatched& d) {
  const int type = d.arg(0), p = PlaneOfQueue(d.queue()), even = p & ~1;
  if (!EvenOnly(d, type)) return false;
  const int first = p, last = type == kTypeF16 ? p + 1 : p;
  for (int i = first; i <= last; ++i) {
    if (plane(i).last_feed == d.cycle) {
      return core_.Fail(FaultKind::kPlaneBusy, d, absl::StrCat("plane ", i, " is fed"));
    }
  }
  const int even_type = plane(even).buffer->type, own = plane(p).buffer->type;
  const int odd_type = plane(even + 1).buffer->type;
  const bool refused = type == kTypeF16 ? even_type == kTypeI8 || odd_type == kTypeI8
                                        : own == kTypeF16 || even_type == kTypeF16;
  if (refused) return core_.Fail(FaultKind::kTypeMismatch, d, "the buffer holds the other type");
  Compute(plane(even));
  Compute(plane(even + 1));
  // What the tandem held goes when either of its planes is filled with something else, and a tandem
  // takes both planes.
  for (int i = even; i <= even + 1; ++i) {
    if (type == kTypeF16 || plane(i).installed == kTypeF16) {
      if (i != p) Forget(*plane(i).array);
      plane(i).installed = kNoType;
    }
  }
  Plane& to = plane(p);
  std::swap(to.buffer, to.array);
  Forget(*to.buffer);
  to.array->type = type;
  for (int i = first; i <= last; ++i) {
    plane(i).installed = type;
    plane(i).busy_until = std::max(plane(i).busy_until, d.cycle + core_.timing.d_func[kIwCycles]);
  }
  return true;
}

void MxmUnit::SaveRows(Weights& w, const uint8_t* word) {
  for (int r = 0; r < kRows; ++r) {
    if (w.type == kTypeI8 && w.rows8[r] == word) {
      std::memcpy(w.Copy(r), word, kLanes);
      w.rows8[r] = w.Copy(r);
    }
    if (w.type != kTypeF16) continue;
    const uint8_t** planes[2] = {&w.rows16[r].lo, &w.rows16[r].hi};
    for (int j = 0; j < 2; ++j) {
      const uint8_t*& p = *planes[j];
      if (p != word && p != word + kHalf) continue;
      std::memcpy(w.Copy(r) + j * kHalf, p, kHalf);
      p = w.Copy(r) + j * kHalf;
    }
  }
}

void MxmUnit::SaveWord(int slice, const uint8_t* word) {
  for (auto& plane : planes_) {
    for (Weights* w : {plane->buffer.get(), plane->array.get()}) {
      if ((holders[slice] >> w->bit & 1) == 0) continue;
      if (word < w->lowest[slice] || word > w->highest[slice]) continue;
      SaveRows(*w, word);
    }
  }
}

// ---- Activations and results --------------------------------------------------------------------

bool MxmUnit::AbcLoad(const Dispatched& d) {
  const int type = d.arg(0), entry = d.Strided(1);
  if (!EvenOnly(d, type)) return false;
  Plane& to = plane(PlaneOfQueue(d.queue()));
  alignas(64) uint8_t scratch[kGroupBytes];
  if (type == kTypeI8) {
    const uint8_t* from = core_.ReadPlane(d, d.arg(3), scratch);
    if (from == nullptr) return false;
    std::memcpy(to.abc8[entry], from, kLanes);
    to.abc_type[entry] = kTypeI8;
    return true;
  }
  if (entry >= kAbcVectors / 2) {
    return core_.Fail(FaultKind::kBadInstruction, d, "the buffer has 32 vectors of f16");
  }
  const uint8_t* from = core_.ReadGroup(d, d.arg(3), 2, scratch);
  if (from == nullptr) return false;
  VxmConvert(NumericType::kFp16, NumericType::kFp32, from, to.abc16[entry], kLanes);
  to.abc_type[2 * entry] = to.abc_type[2 * entry + 1] = kTypeF16;
  return true;
}

bool MxmUnit::CheckFeed(const Dispatched& d, int type) {
  const int p = PlaneOfQueue(d.queue());
  const int last = type == kTypeF16 ? p + 1 : p;
  for (int i = p; i <= last; ++i) {
    if (d.cycle < plane(i).busy_until) {
      return core_.Fail(FaultKind::kPlaneBusy, d,
                        absl::StrCat("plane ", i, " installs until ", plane(i).busy_until));
    }
  }
  const int installed = plane(p).installed;
  if (installed == kNoType) return core_.Fail(FaultKind::kPlaneEmpty, d, "no weights installed");
  if (installed != type) {
    return core_.Fail(FaultKind::kTypeMismatch, d, "the installed weights are of the other type");
  }
  for (int i = p; i <= last; ++i) plane(i).last_feed = d.cycle;
  return true;
}

MxmUnit::Result& MxmUnit::NewResult(Plane& plane, int64_t cycle) {
  while (plane.count > 0 && plane.at(0).leaves < cycle) {
    plane.head = (plane.head + 1) % plane.results.size();
    --plane.count;
  }
  if (plane.count == plane.results.size()) {
    std::rotate(plane.results.begin(), plane.results.begin() + plane.head, plane.results.end());
    plane.head = 0;
    plane.results.push_back(std::make_unique<Result>());
  }
  Result& result = plane.at(plane.count++);
  result.leaves = cycle + core_.timing.mxm_array;
  result.computed = false;
  result.type = plane.installed;
  return result;
}

bool MxmUnit::AbcFeed(const Dispatched& d) {
  const int type = d.arg(0), entry = d.Strided(1);
  if (!EvenOnly(d, type)) return false;
  if (entry >= kAbcVectors) {
    return core_.Fail(FaultKind::kBadInstruction, d, "entries end at 63");
  }
  Plane& from = plane(PlaneOfQueue(d.queue()));
  const bool there = type == kTypeI8 ? from.abc_type[entry] == kTypeI8
                                     : from.abc_type[entry & ~1] == kTypeF16 &&
                                           from.abc_type[entry | 1] == kTypeF16;
  if (!there) {
    return core_.Fail(FaultKind::kBufferEmpty, d, absl::StrCat("entry ", entry));
  }
  if (!CheckFeed(d, type)) return false;
  Result& result = NewResult(from, d.cycle);
  if (type == kTypeI8) {
    std::memcpy(result.bytes, from.abc8[entry], kInt8Terms);
  } else {
    std::memcpy(result.activation, from.abc16[entry / 2] + entry % 2 * kHalf,
                sizeof result.activation);
  }
  return true;
}

bool MxmUnit::AbcStream(const Dispatched& d) {
  const int type = d.arg(0), half = d.arg(1);
  if (!EvenOnly(d, type)) return false;
  alignas(64) uint8_t scratch[kGroupBytes];
  const uint8_t* in = core_.ReadGroup(d, d.arg(2), type == kTypeI8 ? 1 : 2, scratch);
  if (in == nullptr || !CheckFeed(d, type)) return false;
  Result& result = NewResult(plane(PlaneOfQueue(d.queue())), d.cycle);
  if (type == kTypeI8) {
    std::memcpy(result.bytes, in, kInt8Terms);
  } else {
    VxmConvert(NumericType::kFp16, NumericType::kFp32, in + half * kHalf * 2, result.activation,
               kHalf);
  }
  return true;
}

// Multiplies what was fed and not yet multiplied; all of it is for the weights now installed.
void MxmUnit::Compute(Plane& plane) {
  const float* in[kMaxBatch];
  float* out[kMaxBatch];
  int batch = 0;
  const Weights& w = *plane.array;
  for (size_t i = 0; i < plane.count; ++i) {
    Result& r = plane.at(i);
    if (!r.computed) {
      r.computed = true;
      if (w.type == kTypeI8) {
        Int8MatVec(w.rows8.data(), kRows, r.bytes, reinterpret_cast<int32_t*>(r.value));
      } else {
        in[batch] = r.activation;
        out[batch++] = reinterpret_cast<float*>(r.value);
      }
    }
    if (batch == kMaxBatch || (batch > 0 && i + 1 == plane.count)) {
      Fp16MatMul(w.rows16.data(), kRows, in, batch, out);
      batch = 0;
    }
  }
}

bool MxmUnit::Acc(const Dispatched& d) {
  const int type = d.arg(0), entry = d.Strided(1), out = d.arg(4);
  if (!EvenOnly(d, type)) return false;
  Plane& from = plane(PlaneOfQueue(d.queue()));
  while (from.count > 0 && from.at(0).leaves < d.cycle) {
    from.head = (from.head + 1) % from.results.size();
    --from.count;
  }
  if (from.count == 0 || from.at(0).leaves != d.cycle) {
    return core_.Fail(FaultKind::kNoResult, d, "no result leaves the array in this cycle");
  }
  Result& result = from.at(0);
  if (result.type != type) {
    return core_.Fail(FaultKind::kTypeMismatch, d, "the result is of the other type");
  }
  if (!result.computed) Compute(from);
  d.age += core_.timing.mxm_array;
  uint32_t* acc = from.acc[entry];
  const bool add = d.arg(3) != 0;
  if (!add || from.acc_type[entry] != type) std::memset(acc, 0, sizeof from.acc[entry]);
  from.acc_type[entry] = static_cast<int8_t>(type);
  if (!add) {
    std::memcpy(acc, result.value, sizeof result.value);
  } else if (type == kTypeI8) {
    AddI32(reinterpret_cast<int32_t*>(acc), reinterpret_cast<int32_t*>(result.value), kRows);
  } else {
    AddF32(reinterpret_cast<float*>(acc), reinterpret_cast<float*>(result.value), kRows);
  }
  if (out == kNoStream) return true;
  uint8_t* group = core_.NewGroup(d, 4);
  std::memcpy(group, acc, kGroupBytes);
  return core_.Emit(d, out, 4, group);
}

}  // namespace lockstep
