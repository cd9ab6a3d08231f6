// VXM dispatches: operands in, chip/numerics.h, result out (chip/vxm.h).
#include "chip/vxm.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/numerics.h"

namespace lockstep {
namespace {

// Operand values of the ISA are the numbers of NumericType in another order.
NumericType TypeOf(int operand) {
  switch (operand) {
    case kTypeI8: return NumericType::kInt8;
    case kTypeI16: return NumericType::kInt16;
    case kTypeI32: return NumericType::kInt32;
    case kTypeF16: return NumericType::kFp16;
    default: return NumericType::kFp32;
  }
}

BinaryOp BinaryOf(Opcode op, bool saturate) {
  switch (op) {
    case Opcode::kAdd: return saturate ? BinaryOp::kAddSaturating : BinaryOp::kAdd;
    case Opcode::kSub: return saturate ? BinaryOp::kSubSaturating : BinaryOp::kSub;
    case Opcode::kMul: return saturate ? BinaryOp::kMulSaturating : BinaryOp::kMul;
    case Opcode::kMax: return BinaryOp::kMax;
    case Opcode::kMin: return BinaryOp::kMin;
    case Opcode::kCmpEq: return BinaryOp::kEqual;
    case Opcode::kCmpGt: return BinaryOp::kGreater;
    case Opcode::kCmpGe: return BinaryOp::kGreaterEqual;
    case Opcode::kMask: return BinaryOp::kMask;
    case Opcode::kAnd: return BinaryOp::kAnd;
    case Opcode::kOr: return BinaryOp::kOr;
    case Opcode::kXor: return BinaryOp::kXor;
    default: LOCKSTEP_FAIL("%s has not two operands", Info(op).name);
  }
}

UnaryOp UnaryOf(Opcode op) {
  switch (op) {
    case Opcode::kNegate: return UnaryOp::kNegate;
    case Opcode::kAbs: return UnaryOp::kAbs;
    case Opcode::kRelu: return UnaryOp::kRelu;
    case Opcode::kTanh: return UnaryOp::kTanh;
    case Opcode::kExp: return UnaryOp::kExp;
    case Opcode::kRsqrt: return UnaryOp::kRsqrt;
    default: LOCKSTEP_FAIL("%s has not one operand", Info(op).name);
  }
}

// The low `width` bytes of an immediate in every lane.
const uint8_t* Broadcast(int32_t value, int width, uint8_t out[kGroupBytes]) {
  if (width == 1) {
    std::memset(out, value & 0xff, kLanes);
  } else if (width == 2) {
    std::fill_n(reinterpret_cast<uint16_t*>(out), kLanes, static_cast<uint16_t>(value));
  } else {
    std::fill_n(reinterpret_cast<int32_t*>(out), kLanes, value);
  }
  return out;
}

}  // namespace

bool VxmUnit::Binary(const Dispatched& d) {
  const NumericType type = TypeOf(d.arg(0));
  const int width = ElementBytes(type);
  const bool saturate = d.arg(1) != 0;
  if (saturate && IsFloat(type)) {
    return core_.Fail(FaultKind::kBadInstruction, d, "floats do not saturate");
  }
  alignas(64) uint8_t scratch_a[kGroupBytes], scratch_b[kGroupBytes];
  const uint8_t* a = core_.ReadGroup(d, d.arg(2), width, scratch_a);
  if (a == nullptr) return false;
  const uint8_t* b = d.arg(3) == kNoStream ? Broadcast(d.arg(4), width, scratch_b)
                                           : core_.ReadGroup(d, d.arg(3), width, scratch_b);
  if (b == nullptr) return false;
  uint8_t* out = core_.NewGroup(d, width);
  VxmBinary(BinaryOf(d.run.instr.op, saturate), type, a, b, out, kLanes);
  return core_.Emit(d, d.arg(5), width, out);
}

bool VxmUnit::Unary(const Dispatched& d) {
  const NumericType type = TypeOf(d.arg(0));
  const UnaryOp op = UnaryOf(d.run.instr.op);
  if (!IsSupported(op, type)) {
    return core_.Fail(FaultKind::kBadInstruction, d, "of floats only");
  }
  const int width = ElementBytes(type);
  alignas(64) uint8_t scratch[kGroupBytes];
  const uint8_t* a = core_.ReadGroup(d, d.arg(1), width, scratch);
  if (a == nullptr) return false;
  uint8_t* out = core_.NewGroup(d, width);
  VxmUnary(op, type, a, out, kLanes);
  return core_.Emit(d, d.arg(2), width, out);
}

bool VxmUnit::Convert(const Dispatched& d) {
  const NumericType from = TypeOf(d.arg(0)), to = TypeOf(d.arg(1));
  alignas(64) uint8_t scratch[kGroupBytes];
  const uint8_t* a = core_.ReadGroup(d, d.arg(2), ElementBytes(from), scratch);
  if (a == nullptr) return false;
  uint8_t* out = core_.NewGroup(d, ElementBytes(to));
  VxmConvert(from, to, a, out, kLanes);
  return core_.Emit(d, d.arg(3), ElementBytes(to), out);
}

}  // namespace lockstep
