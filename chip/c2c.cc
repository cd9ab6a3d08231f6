// Links as the chip sees them (chip/c2c.h).
#include "chip/c2c.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {
int LinkOf(const Dispatched& d) { return d.queue() - kC2cQueue0; }
}  // namespace

void C2cUnit::Restart() {
  for (Link& link : links_) {
    link.serialiser = {};
    link.received = 0;
    link.taken.assign(core_.timing.receive_fifo, INT64_MIN);
  }
  stores_.clear();
  next_store_ = kNoCycle;
}

bool C2cUnit::CheckCabled(const Dispatched& d, const LinkPort& port, int link) {
  if (port.IsCabled(link)) return true;
  return core_.Fail(FaultKind::kLinkAbsent, d, absl::StrCat("link ", link, " has no cable"));
}

std::optional<int64_t> C2cUnit::TakeSlot(const Dispatched& d, const LinkPort& port, int link) {
  if (!CheckCabled(d, port, link)) return std::nullopt;
  LinkSerialiser& serialiser = links_[link].serialiser;
  if (!serialiser.Takes(d.cycle)) {
    core_.Fail(FaultKind::kLinkSlot, d,
               absl::StrCat("link ", link, " is free from cycle ", serialiser.NextCycle()));
    return std::nullopt;
  }
  return serialiser.Send(d.cycle, core_.timing.link_ticks);
}

bool C2cUnit::Send(const Dispatched& d, LinkPort& port) {
  const int link = LinkOf(d);
  const std::optional<int64_t> start = TakeSlot(d, port, link);
  if (!start) return false;
  alignas(64) uint8_t scratch[kLanes];
  const uint8_t* from = core_.ReadPlane(d, d.arg(0), scratch);
  if (from == nullptr) return false;
  Vector value;
  std::memcpy(value.bytes.data(), from, kLanes);
  port.Send(link, *start, &value);
  return true;
}

bool C2cUnit::Transmit(const Dispatched& d, LinkPort& port) {
  const int link = LinkOf(d);
  const std::optional<int64_t> start = TakeSlot(d, port, link);
  if (!start) return false;
  port.Transmit(link, *start);
  return true;
}

Receipt C2cUnit::Receive(const Dispatched& d, LinkPort& port) {
  const int number = LinkOf(d);
  if (!CheckCabled(d, port, number)) return Receipt::kFault;
  LinkPort::Arrival arrival;
  const Poll poll = port.Peek(number, &arrival);
  if (poll == Poll::kPending) return Receipt::kBlocked;
  if (poll == Poll::kNever || arrival.cycle > d.cycle) {
    core_.Fail(FaultKind::kReceiveEmpty, d,
               poll == Poll::kNever
                   ? absl::StrCat("no vector comes on link ", number)
                   : absl::StrCat("link ", number, "'s next arrives in cycle ", arrival.cycle));
    return Receipt::kFault;
  }
  Link& link = links_[number];
  const int64_t fifo = static_cast<int64_t>(link.taken.size());
  // Vector k finds the FIFO full if vector k - fifo was still in it.
  const int64_t before = fifo == 0 ? d.cycle : link.taken[link.received % fifo];
  if (before > arrival.cycle) {
    core_.FailAt(FaultKind::kFifoOverflow, d, arrival.cycle,
                 absl::StrCat("link ", number, " holds ", fifo, " vectors until cycle ", before));
    return Receipt::kFault;
  }
  if (fifo > 0) link.taken[link.received % fifo] = d.cycle;
  ++link.received;
  d.age += d.cycle - arrival.cycle;
  stores_.push_back({&d.run, d.i,
                     d.cycle + core_.timing.d_func[static_cast<int>(Opcode::kReceive)] +
                         core_.timing.receive_turnaround,
                     d.arg(0), d.Strided(1), *arrival.payload});
  next_store_ = stores_.front().cycle;
  port.Pop(number);
  return Receipt::kTaken;
}

bool C2cUnit::StoreNext() {
  const Store& s = stores_.front();
  int64_t age = 0;
  const Dispatched d = {*s.run, s.i, s.cycle, C2cPosition(s.run->queue - kC2cQueue0), age};
  const bool ok = mem_.StoreReceived(d, s.slice, s.address, s.cycle, s.value);
  stores_.pop_front();
  next_store_ = stores_.empty() ? kNoCycle : stores_.front().cycle;
  return ok;
}

bool C2cUnit::CheckAllReceived(LinkPort& port, int64_t end) {
  for (int link = 0; link < kC2cLinks; ++link) {
    LinkPort::Arrival arrival;
    if (!port.IsCabled(link) || port.Peek(link, &arrival) != Poll::kReady) continue;
    core_.fault = Fault{FaultKind::kReceiveMissing, core_.chip, C2cQueue(link), end, Instruction{},
                        absl::StrCat("the vector that arrived in cycle ", arrival.cycle,
                                     " on link ", link, " was not received")};
    return false;
  }
  return true;
}

}  // namespace lockstep
