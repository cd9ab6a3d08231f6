#!/usr/bin/python3
"""What docs/controller.md and docs/lockstepd.service show, done: the session of a generic client, line by
line; the Slurm script in an allocation that is not one; the systemd unit as systemd reads it.

    documents_test.py BIN_DIR SOURCE_DIR [unittest arguments]
"""

import json
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import grpc
from harness import BIN, SOURCE, Client, Controller, controller_pb2, os, until
from stranger_test import Stranger

PAGE = (SOURCE / "docs" / "controller.md").read_text(encoding="utf-8")


def block(first):
    """The indented block of the page that begins with a line so."""
    lines = PAGE.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("    " + first))
    end = next(n for n in range(start, len(lines)) if lines[n] and not lines[n].startswith("    "))
    return "\n".join(line[4:] for line in lines[start:end]).strip() + "\n"


class DocumentsTest(unittest.TestCase):
    """One test a document."""

    def test_the_generic_clients_session_is_as_shown(self):
        """`grpcurl` is not among Debian 12's packages; what it would send is sent through
        reflection alone."""
        commands = re.split(r"^\$ ", block("$ grpcurl"), flags=re.M)[1:]
        self.assertGreaterEqual(len(commands), 5)
        answers = []
        with Controller() as controller, grpc.insecure_channel(controller.address) as channel:
            stranger = Stranger(channel)
            for command in commands:
                words = shlex.split(command.replace("\\\n", " "))
                self.assertEqual(words[:2], ["grpcurl", "-plaintext"])
                request = "{}"
                if words[2] == "-d":
                    request = words[3]
                    del words[2:4]
                _, _, _, what, *more = words
                if what == "list":
                    answers.append(stranger.services())
                elif what == "describe":
                    stranger.learn(more[0])
                    answers.append(stranger.pool.FindMessageTypeByName(more[0]).fields_by_name)
                else:
                    stranger.learn(what.partition("/")[0])
                    answers.append(stranger.call(what, json.loads(request)))
        self.assertIn("lockstep.v1.Controller", answers[0])
        self.assertIn("generate", answers[1])
        self.assertEqual(answers[2][0]["id"], "j1")
        text = "".join(event.get("text", "") for event in answers[3])
        self.assertTrue(text.startswith("Nora was"), text)
        self.assertEqual(answers[3][-1]["state"]["state"], "SUCCEEDED")
        self.assertTrue(answers[4][0]["data"])

    def test_the_slurm_script_starts_a_controller(self):
        """Its syntax, and what it does where $SLURM_NTASKS is set. No scheduler is asked."""
        script = block("#!/bin/bash")
        self.assertIn("#SBATCH --ntasks=72", script)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "job.sh")
            path.write_text(script, encoding="utf-8")
            subprocess.run(["bash", "-n", path], check=True)
            (pathlib.Path(folder) / "lockstep").mkdir()
            environment = {**os.environ, "HOME": folder, "SLURM_NTASKS": "72",
                           "PATH": f"{BIN}:{os.environ['PATH']}"}
            # pylint: disable-next=consider-using-with
            process = subprocess.Popen(["bash", path], env=environment, start_new_session=True,
                                       stderr=subprocess.DEVNULL)
            try:
                socket = pathlib.Path(folder, "lockstep", "socket")
                until(lambda: socket.exists() or process.poll() is not None, "the socket")
                with Client(f"unix:{socket}") as client:
                    version = client.call(client.stub.GetVersion,
                                          controller_pb2.GetVersionRequest())
                self.assertIn("generate", version.job_kinds)
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_systemd_reads_the_unit_without_complaint(self):
        """With the path of this build for that of an installation."""
        text = (SOURCE / "docs" / "lockstepd.service").read_text(encoding="utf-8")
        self.assertIn("/opt/lockstep/build/release/bin/lockstepd", text)
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder, "lockstepd.service")
            unit.write_text(text.replace("/opt/lockstep/build/release/bin", str(BIN)),
                            encoding="utf-8")
            done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True,
                                  text=True, check=False, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            broken = pathlib.Path(folder, "broken.service")
            broken.write_text(text, encoding="utf-8")  # there is no such program here
            done = subprocess.run(["systemd-analyze", "verify", broken], capture_output=True,
                                  text=True, check=False, timeout=60)
            self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
