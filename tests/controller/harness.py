"""What the tests of the controller share: a lockstepd of their own in a temporary folder, small jobs,
and a look at /proc for what it may have left behind."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
os.environ["LOCKSTEP_PYTHON"] = str(BIN.parent / "python")
sys.path.insert(0, str(SOURCE / "scripts"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position,unused-import
from lockstep_client import Client, JobError, controller_pb2, field_of, job_pb2

WAIT = 120


def until(condition, what):
    """The first true value of `condition`."""
    end = time.monotonic() + WAIT
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)
    return value


def marked(store):
    """(pid, name, job, attempt) of every process that jobs of this store have."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = pathlib.Path("/proc", entry, "environ").read_bytes()
            name = pathlib.Path("/proc", entry, "comm").read_text(encoding="utf-8").strip()
            stat = pathlib.Path("/proc", entry, "stat").read_text(encoding="utf-8")
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(b"LOCKSTEP_JOB=" + store.encode() + b"/"):
                _, job, attempt, _ = variable.decode().split("/")
                if stat.rpartition(")")[2].split()[0] not in "ZX":
                    found.append((int(entry), name, job, int(attempt)))
    return found


class Controller:
    """A lockstepd on a Unix socket, or where `listen` says, "" leaving that to the flags; `kill` and
    `start` as often as wanted."""

    def __init__(self, *flags, listen=None):
        self.folder = tempfile.mkdtemp(prefix="lsd-")
        self.address = f"unix:{self.folder}/socket" if listen is None else listen
        self.flags = [f"--state={self.folder}/state", f"--address-file={self.folder}/address",
                      *([f"--listen={self.address}"] if self.address else []), *flags]
        self.log = open(f"{self.folder}/log", "a", encoding="utf-8")
        self.process = None
        self.start()
        self.store = self.client().call(self.client().stub.GetVersion,
                                        controller_pb2.GetVersionRequest()).store_id

    def start(self):
        """Returns when it has said where it listens."""
        address = pathlib.Path(self.folder, "address")
        address.unlink(missing_ok=True)
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([BIN / "lockstepd", *self.flags], stderr=self.log)
        until(lambda: address.exists() or self.process.poll() is not None, "lockstepd starts")
        assert self.process.poll() is None, self.text_of_log()
        self.address = address.read_text(encoding="utf-8").splitlines()[0]

    def client(self, **options):
        """A client of its own channel."""
        return Client(self.address, **options)

    def kill(self):
        """SIGKILL, at once."""
        self.process.kill()
        self.process.wait()

    def text_of_log(self):
        """All that it has written."""
        return pathlib.Path(self.folder, "log").read_text(encoding="utf-8")

    def stop(self):
        """SIGTERM; checks that it ends well and leaves no process."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        assert code == 0, (code, self.text_of_log())
        assert not marked(self.store), marked(self.store)
        self.log.close()
        shutil.rmtree(self.folder)
        shutil.rmtree(f"/dev/shm/lockstep-{self.store}", ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
            return
        self.process.kill()
        print(self.text_of_log()[-8000:], file=sys.stderr)


def story(tokens=8, threads=1, chips=None, **more):
    """A generate job of the built-in model: one process, or with threads=None a rank a chip."""
    machine = {"topology": "groqnode", "chips": chips} if chips else {"topology": "groqcard"}
    spec = {"model": "story", "machine": machine, "prompt": "Nora was", "tokens": tokens,
            "ignore_eos": True, **more}
    if threads:
        spec["placement"] = {"threads": threads}
    return {"generate": spec}
