#pragma once
// The text of a queue from what it dispatches in which cycle: gaps as NOPs, runs as REPEATs, runs
// that continue each other as one. A MEM queue may read and write in one cycle, as a joined pair:
//
//   reads    r0 r1 r2 r3 r4        read | repeat 1      (r0 r1)
//   writes         w0              read | & write       (r2 w0)
//                                  read | repeat 1      (r3 r4)

#include <vector>

#include "chip/isa.h"
#include "runtime/kernels/block.h"

namespace lockstep {

// REQUIRES: items do not meet, but for reads and writes of a MEM queue.
std::vector<Instruction> WriteQueue(int queue, const std::vector<Block::Item>& items);

}  // namespace lockstep
