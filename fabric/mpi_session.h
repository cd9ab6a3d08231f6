#pragma once
// MPI from its start to its end, and which ranks share a host. At most one a process.
//
// Start-up of many ranks on few cores is slow because each waiting rank looks again every 100 us; a
// generous timer slack during MPI_Init makes these looks rarer, and is taken back afterwards. Ranks end
// one after the other where they are many.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lockstep {

class MpiSession {
 public:
  // `expected_ranks` 0: any number. Errors say how the program must be started: it was not started
  // by mpirun, or with another number of ranks. MPI ends with the process, or with the session.
  static absl::StatusOr<std::unique_ptr<MpiSession>> Init(int* argc, char*** argv,
                                                          int expected_ranks = 0);
  // Whether mpirun, Slurm or the like started this process.
  static bool StartedAsRank();
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Collective. Returns when all ranks are here; asleep meanwhile, while MPI's own barrier spins.
  void AwaitAll() const;
  // Collective. Ok if all ranks are, else the error of the lowest that is not, in all of them.
  absl::Status AgreeOnStatus(const absl::Status& mine) const;
  // By rank: the lowest rank on the same host.
  const std::vector<int>& host_of() const { return host_of_; }

 private:
  MpiSession() = default;
  void FindHosts();

  int rank_ = 0, size_ = 1;
  std::vector<int> host_of_;
};

}  // namespace lockstep
