#pragma once
// Instructions by name, for code that emits programs: operands in the order of chip/isa.cc.

#include <bit>
#include <cstdint>

#include "chip/isa.h"

namespace lockstep::ops {

// Streams by direction: East(3) is e3, West(3) is w3.
constexpr int East(int index) { return StreamNumber(Direction::kEast, index); }
constexpr int West(int index) { return StreamNumber(Direction::kWest, index); }

inline Instruction Nop(int cycles) { return {Opcode::kNop, false, {cycles}}; }
inline Instruction Repeat(int times, int period) { return {Opcode::kRepeat, false, {times, period}}; }

inline Instruction Read(int address, int stride, int out) {
  return {Opcode::kRead, false, {address, stride, out}};
}
inline Instruction Write(int address, int stride, int stream) {
  return {Opcode::kWrite, false, {address, stride, stream}};
}
inline Instruction Gather(int address, int stride, int map, int out) {
  return {Opcode::kGather, false, {address, stride, map, out}};
}
inline Instruction Scatter(int address, int stride, int map, int stream) {
  return {Opcode::kScatter, false, {address, stride, map, stream}};
}

inline Instruction Binary(Opcode op, int type, int a, int b, int out) {
  return {op, false, {type, 0, a, b, 0, out}};
}
inline Instruction BinaryImm(Opcode op, int type, int a, int32_t bits, int out) {
  return {op, false, {type, 0, a, kNoStream, bits, out}};
}
inline Instruction BinaryImm(Opcode op, int a, float value, int out) {
  return BinaryImm(op, kTypeF32, a, std::bit_cast<int32_t>(value), out);
}
inline Instruction Unary(Opcode op, int type, int a, int out) { return {op, false, {type, a, out}}; }
inline Instruction Convert(int from, int to, int a, int out) {
  return {Opcode::kConvert, false, {from, to, a, out}};
}

inline Instruction Lw(int type, int row, int stride, int count, int stream) {
  return {Opcode::kLw, false, {type, row, stride, count, stream}};
}
inline Instruction Iw(int type) { return {Opcode::kIw, false, {type}}; }
inline Instruction AbcLoad(int type, int entry, int stride, int stream) {
  return {Opcode::kAbcLoad, false, {type, entry, stride, stream}};
}
inline Instruction AbcFeed(int type, int entry, int stride) {
  return {Opcode::kAbcFeed, false, {type, entry, stride}};
}
inline Instruction AbcStream(int type, int half, int stream) {
  return {Opcode::kAbcStream, false, {type, half, stream}};
}
inline Instruction Acc(int type, int entry, int stride, int add, int out) {
  return {Opcode::kAcc, false, {type, entry, stride, add, out}};
}

inline Instruction Shift(int width, int n, int wrap, int stream, int out) {
  return {Opcode::kShift, false, {width, n, wrap, stream, out}};
}
inline Instruction Send(int stream) { return {Opcode::kSend, false, {stream}}; }
inline Instruction Receive(int slice, int address, int stride) {
  return {Opcode::kReceive, false, {slice, address, stride}};
}

}  // namespace lockstep::ops
