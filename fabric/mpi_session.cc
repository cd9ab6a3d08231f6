// Start-up and end of MPI. Errors inside MPI itself end all ranks (MPI_ERRORS_ARE_FATAL), which is
// what must happen when a peer is gone.
#include "fabric/mpi_session.h"

#include <fcntl.h>
#include <mpi.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

#ifdef __SANITIZE_ADDRESS__
// A process that joins MPI checks for no leaks: Open MPI leaves memory of modules behind that it
// has unloaded, which no list of suppressions can name. Runs in one process keep the check.
extern "C" int __lsan_is_turned_off() { return 1; }
#endif

namespace lockstep {
namespace {

// A number that mpirun sets; 0 if it did not.
int FromMpirun(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atoi(text);
}

int RanksOfHost() { return std::max(1, FromMpirun("OMPI_COMM_WORLD_LOCAL_SIZE")); }

// Whether Open MPI started all ranks on this host.
bool OneHost() {
  const int ranks = FromMpirun("OMPI_COMM_WORLD_SIZE");
  return ranks > 0 && ranks == FromMpirun("OMPI_COMM_WORLD_LOCAL_SIZE");
}

// 100 us for each rank that competes for the host, in ns.
unsigned long StartSlack() { return 100'000ul * std::min(RanksOfHost(), 2000); }

// What the libraries below read when they start; whoever set them keeps his values. hwloc need not
// look for devices (each rank would load its plugins and read the PCI bus), and ranks of one host end
// without a barrier in MPI_Finalize, since all have said that they are done before it.
void SetEnvironment() {
  setenv("HWLOC_PLUGINS_PATH", "/nonexistent", 0);
  setenv("HWLOC_COMPONENTS", "linux,stop", 0);
  if (OneHost()) setenv("OMPI_MCA_async_mpi_finalize", "1", 0);
}

// Many ranks that end at once starve mpirun, which then misses how they ended. So those of one host
// queue for a lock on their own program, which each holds until it is gone. Where MPI_Finalize
// waits for all ranks, they cannot.
void QueueForTheEnd() {
  const char* no_barrier = std::getenv("OMPI_MCA_async_mpi_finalize");
  if (!OneHost() || no_barrier == nullptr || std::strcmp(no_barrier, "1") != 0) return;
  const int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (program >= 0) flock(program, LOCK_EX);  // stays open
}

// MPI's own waits look again and again; where many ranks share a core, they keep each other, and
// mpirun, from running. This sleeps between looks, longer and longer, up to 50 us a rank.
void Await(MPI_Request* request) {
  int ranks = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const useconds_t longest = 50u * static_cast<useconds_t>(ranks);
  int done = 0;
  for (useconds_t nap = 20; MPI_Test(request, &done, MPI_STATUS_IGNORE), !done;
       nap = std::min(nap * 2, longest)) {
    usleep(nap);
  }
}

}  // namespace

// What Open MPI's mpirun, other PMI launchers and Slurm set in a rank's environment.
bool MpiSession::StartedAsRank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<MpiSession>> MpiSession::Init(int* argc, char*** argv,
                                                             int expected_ranks) {
  if (!StartedAsRank() && expected_ranks != 1) {
    const std::string program = *argc > 0 ? (*argv)[0] : "PROGRAM";
    return absl::FailedPreconditionError(
        absl::StrCat("not started as an MPI rank; start it as `mpirun ",
                     geteuid() == 0 ? "--allow-run-as-root " : "", "--oversubscribe -n ",
                     expected_ranks == 0 ? std::string("RANKS") : absl::StrCat(expected_ranks), " ",
                     program, " ...`"));
  }
  auto session = absl::WrapUnique(new MpiSession);
  SetEnvironment();
  prctl(PR_SET_TIMERSLACK, StartSlack(), 0, 0, 0);
  int level = 0;
  MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level);
  prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0);
  if (level < MPI_THREAD_FUNNELED) {
    return absl::FailedPreconditionError("this MPI library refuses processes that have threads");
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &session->rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &session->size_);
  if (expected_ranks != 0 && session->size_ != expected_ranks) {
    return absl::FailedPreconditionError(
        absl::StrCat("started with ", session->size_, " MPI ranks, but this run needs ",
                     expected_ranks, ": `mpirun -n ", expected_ranks, " ...`"));
  }
  session->FindHosts();
  return session;
}

void MpiSession::FindHosts() {
  host_of_.assign(size_, 0);
  if (OneHost()) return;
  MPI_Comm host;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host);
  int lowest = rank_;
  MPI_Bcast(&lowest, 1, MPI_INT, 0, host);
  MPI_Comm_free(&host);
  MPI_Allgather(&lowest, 1, MPI_INT, host_of_.data(), 1, MPI_INT, MPI_COMM_WORLD);
}

void MpiSession::AwaitAll() const {
  MPI_Request request;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  Await(&request);
}

absl::Status MpiSession::AgreeOnStatus(const absl::Status& mine) const {
  const int vote = mine.ok() ? size_ : rank_;
  int first = size_;
  MPI_Request request;
  MPI_Iallreduce(&vote, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &request);
  Await(&request);
  if (first == size_) return absl::OkStatus();
  std::string text(mine.message());
  int size = static_cast<int>(text.size());
  MPI_Bcast(&size, 1, MPI_INT, first, MPI_COMM_WORLD);
  text.resize(static_cast<size_t>(size));
  MPI_Bcast(text.data(), size, MPI_CHAR, first, MPI_COMM_WORLD);
  if (first == rank_) return mine;
  return absl::AbortedError(first == 0 ? text : absl::StrCat("rank ", first, ": ", text));
}

MpiSession::~MpiSession() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (!initialized || finalized) return;
  AwaitAll();
  QueueForTheEnd();
  MPI_Finalize();
}

}  // namespace lockstep
