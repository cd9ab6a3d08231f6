#pragma once
// The event-by-event core: thread blocks that hand units of data to each other through connections
// of few slots, over the ports of their GPUs. No formula: a block starts a unit when it is free, all
// inputs are in sight and all outputs have a free slot, and the earliest event comes first.
//
//   block A --unit--> [slot|slot|...] --wire--> block B        each unit: wait, work, post
//      |                  ^-------- credit ---------'          a port serves units in order of start
//      '-- port of A's GPU, shared by all its blocks
//
// A kernel is all blocks of one GPU: it ends with the last of them; the next launch begins
// launch_ps later. Time is whole picoseconds; ties go to the lower block id, so results are the same
// everywhere. All channels and ranks are simulated; no symmetry is assumed.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep::nccl {

inline constexpr int32_t kAll = -2;

// What one block does at once.
struct Unit {
  int64_t fixed_ps = 0;     // waits, barriers, flags
  int64_t copy_ps = 0;      // moving the bytes
  int64_t port_bytes = 0;   // on the wire, out of the block's GPU
  int32_t inputs = 0;       // a set of connections (Flow::AddSet); 0: none
  int32_t outputs = 0;
  int32_t to = -1;          // the GPU that they go to; kAll: the switch adds or copies for all
};

// Where the time of a chain of causes went, in ps. Its sum is the time of the chain.
struct Breakdown {
  int64_t launch = 0;  // between kernels
  int64_t fixed = 0;   // in blocks
  int64_t copy = 0;
  int64_t port = 0;    // waiting for the port, or longer on it than in the block
  int64_t wire = 0;    // data on its way
  int64_t credit = 0;  // a free slot on its way back

  int64_t Sum() const { return launch + fixed + copy + port + wire + credit; }
};

struct FlowResult {
  int64_t period_ps = 0;  // of a launch: all launches divided by their number, mean over GPUs
  int64_t events = 0;     // units that were executed
  Breakdown critical;     // of the chain that ends last, divided by the launches
};

class Flow {
 public:
  Flow(int gpus, int64_t launch_ps, int64_t wire_ps, int64_t port_mb_per_s,
       int64_t multicast_mb_per_s);

  int AddBlock(int gpu);
  int AddConnection(int slots);                   // slots in units, at least 1
  int AddSet(const std::vector<int>& connections);
  void Add(int block, const Unit& unit) { blocks_[block].units.push_back(unit); }

  // Executes `launches` times what was added. A connection that is written must be read as often, or
  // blocks wait for ever: checked.
  FlowResult Run(int launches);

  int64_t units() const;

 private:
  enum class Cause : uint8_t { kLaunch, kSelf, kWire, kCredit };
  struct Block {
    int gpu;
    std::vector<Unit> units;
    size_t next = 0;
    int record = -1;  // of the last unit
  };
  struct Slot {
    int64_t at = 0;    // when the unit is in sight, or the slot free again
    int record = -1;   // of whom
  };
  struct Connection {
    int slots;
    std::vector<Slot> posted, freed;  // rings of `slots`
    int64_t posts = 0, takes = 0;
    int receiver = -1, sender = -1;   // blocks that wait
  };
  struct Event {
    int64_t at;
    int block;
    bool operator>(const Event& o) const { return at != o.at ? at > o.at : block > o.block; }
  };
  struct Record {
    int64_t begin, end;
    int64_t fixed, copy;
    int32_t before;  // record that this one waited for last
    Cause cause;
  };
  struct Start {
    bool possible;
    int64_t at;
    int before;
    Cause cause;
  };

  Start Earliest(int block, int64_t now);
  void Execute(int block, int64_t now, const Start& start);
  int64_t Occupy(const Block& block, const Unit& unit, int64_t now);
  void EndKernel(int gpu, int record, int64_t end);
  void Push(int64_t at, int block);
  Breakdown Trace(int record) const;

  const int64_t launch_ps_, wire_ps_, port_mb_per_s_, multicast_mb_per_s_;
  std::vector<Block> blocks_;
  std::vector<Connection> connections_;
  std::vector<std::vector<int>> sets_;
  std::vector<std::vector<int>> kernels_;  // blocks by GPU
  std::vector<int> running_, left_;        // by GPU: blocks of this launch, launches to come
  std::vector<Slot> ended_, launched_;     // by GPU: its last kernel so far, its newest one
  std::vector<int64_t> out_free_, in_free_;  // by GPU: its port, each way
  std::vector<Event> events_;              // a heap
  std::vector<Record> records_;
};

}  // namespace lockstep::nccl
