#!/usr/bin/python3
"""Who may speak to a controller: addresses, tokens, certificates in both directions, what a reload
may change; and where clients take address, token and certificates from. Controllers of their own.

    security_test.py BIN_DIR SOURCE_DIR [unittest arguments]
"""

import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import grpc
from harness import BIN, Client, Controller, controller_pb2, os, until

LOCKSTEP = str(BIN / "lockstep")
TOKEN = "0123456789abcdef"


class TlsController(Controller):
    """One on a TCP port with TLS; its own client brings the token and, if told, a certificate."""

    def __init__(self, ca, *flags, cert=None, key=None, listen="127.0.0.1:0"):
        self.trust = {"ca": ca, "cert": cert, "key": key, "token": TOKEN}
        super().__init__(*flags, listen=listen)

    @property
    def server(self):
        """By the name that the certificate has."""
        return "localhost:" + self.address.rpartition(":")[2]

    def client(self, **options):
        return Client(self.server, **{**self.trust, **options})


def refused(client):
    """The code with which a call ends that must not go through."""
    with client:
        try:
            client.stub.GetVersion(controller_pb2.GetVersionRequest(), timeout=5,
                                   metadata=client._metadata)  # pylint: disable=protected-access
        except grpc.RpcError as error:
            return error.code()
    return None


def lockstep(*arguments, code=0, **environment):
    """Output of a command whose environment names no controller but what is given."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
    done = subprocess.run([LOCKSTEP, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, env={**clean, "HOME": "/nosuch", **environment})
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


class SecurityTest(unittest.TestCase):
    """Files of a test lie in a folder of its own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.token = self.file("token", TOKEN + "\n")

    def file(self, name, text=None, mode=0o600):
        """Its path; written if text is given."""
        path = pathlib.Path(self.folder.name, name)
        if text is not None:
            path.write_text(text, encoding="utf-8")
            path.chmod(mode)
        return str(path)

    def openssl(self, *arguments):
        """One command."""
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def authority(self, name):
        """A key and a certificate that signs others."""
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout",
                     self.file(name + ".key"), "-out", self.file(name + ".pem"))

    def certificate(self, name, authority, days=2):
        """A key and a certificate for localhost that `authority` signed."""
        names = self.file("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", self.file(name + ".key"), "-out",
                     self.file(name + ".csr"))
        self.openssl("x509", "-req", "-in", self.file(name + ".csr"), "-CA",
                     self.file(authority + ".pem"), "-CAkey", self.file(authority + ".key"),
                     "-CAcreateserial", "-days", str(days), "-extfile", names, "-out",
                     self.file(name + ".pem"))

    def tls(self):
        """Flags of a server with a certificate of the authority `ca`."""
        self.authority("ca")
        self.certificate("server", "ca")
        return [f"--tls-cert={self.file('server.pem')}", f"--tls-key={self.file('server.key')}"]

    def fails(self, *flags):
        """What lockstepd says when it does not start."""
        done = subprocess.run([BIN / "lockstepd", f"--state={self.folder.name}/s", *flags],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr + done.stdout

    def reload(self, controller, word):
        """SIGHUP, until the log says `word` once more."""
        before = controller.text_of_log().count(word)
        controller.process.send_signal(signal.SIGHUP)
        until(lambda: controller.text_of_log().count(word) > before, word)

    def test_open_addresses_need_tls_and_a_token(self):
        """Each one missing is named; so are files that others can read."""
        tls = self.tls()
        for address in ("0.0.0.0:0", "[::]:0", "example.org:0", "127.evil.org:0"):
            self.assertIn("needs TLS and a token", self.fails(f"--listen={address}"))
        self.assertIn("needs a token", self.fails("--listen=0.0.0.0:0", *tls))
        self.assertIn("needs TLS", self.fails("--listen=0.0.0.0:0", f"--token-file={self.token}"))
        open_file = self.file("open", TOKEN + "\n", 0o644)
        self.assertIn("can be read by others", self.fails(f"--token-file={open_file}"))
        self.assertIn("loopback only", self.fails("--metrics=0.0.0.0:0"))
        self.assertIn("needs its key", self.fails(tls[0]))

    def test_a_token_lets_in_whom_it_should(self):
        """Over TLS; SIGHUP takes a new one, after which the old one no longer opens."""
        flags = [*self.tls(), f"--token-file={self.token}"]
        denied = grpc.StatusCode.UNAUTHENTICATED
        with TlsController(self.file("ca.pem"), *flags) as controller:
            for bad in ("", "wrong", "0123456789abcdeg", "0123456789abcdef0", TOKEN * 2):
                self.assertEqual(refused(controller.client(token=bad)), denied, bad)
            self.assertIsNone(refused(controller.client()))
            self.file("token", "another-token-of-mine\n")
            self.reload(controller, "reloaded")
            self.assertEqual(refused(controller.client()), denied)
            self.assertIsNone(refused(controller.client(token="another-token-of-mine")))
            self.file("token", "short\n")
            self.reload(controller, "reload refused")
            self.assertIsNone(refused(controller.client(token="another-token-of-mine")))

    def test_only_certificates_of_the_clients_authority_open(self):
        """Mutual TLS: none, a stranger's, one that is over, the wrong server, and the right one."""
        flags = [*self.tls(), f"--token-file={self.token}"]
        self.authority("clients")
        self.authority("strangers")
        self.certificate("alice", "clients")
        self.certificate("late", "clients", days=-1)
        self.certificate("mallory", "strangers")
        flags.append(f"--tls-client-ca={self.file('clients.pem')}")
        pair = lambda name: {"cert": self.file(name + ".pem"),  # noqa: E731
                             "key": self.file(name + ".key")}
        away = grpc.StatusCode.UNAVAILABLE
        with TlsController(self.file("ca.pem"), *flags, **pair("alice")) as controller:
            self.assertIsNone(refused(controller.client()))
            self.assertEqual(refused(controller.client(cert=None, key=None)), away)
            for bad in ("mallory", "late"):
                self.assertEqual(refused(controller.client(**pair(bad))), away, bad)
            # A certificate does not stand for the token, nor does it make any server the right one.
            self.assertEqual(refused(controller.client(token="")),
                             grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(refused(controller.client(ca=self.file("strangers.pem"))), away)
            command = ["controller", f"--server={controller.server}", f"--ca={self.file('ca.pem')}",
                       f"--token-file={self.token}", "--timeout=2"]
            alice = [f"--cert={self.file('alice.pem')}", f"--key={self.file('alice.key')}"]
            self.assertIn("version", lockstep(*command, *alice))
            lockstep(*command, code=5)
            lockstep(*command, f"--cert={self.file('mallory.pem')}",
                     f"--key={self.file('mallory.key')}", code=5)

    def test_a_reload_cannot_open_what_is_closed(self):
        """Without its token an open address stays as it is, whatever the new file listens on."""
        self.tls()
        config = self.file("config.toml", f'''listen = ["0.0.0.0:0"]
tls-cert = "{self.file("server.pem")}"
tls-key = "{self.file("server.key")}"
token-file = "{self.token}"
''')
        with TlsController(self.file("ca.pem"), f"--config={config}", listen="") as controller:
            self.file("config.toml", 'listen = ["127.0.0.1:0"]\n')
            self.reload(controller, "reload refused")
            self.assertEqual(refused(controller.client(token="")),
                             grpc.StatusCode.UNAUTHENTICATED)

    def test_clients_take_address_and_token_from_flag_environment_or_file(self):
        """In this order."""
        flags = [*self.tls(), f"--token-file={self.token}"]
        ca = self.file("ca.pem")
        wrong = self.file("wrong", "wrong-wrong-wrong\n")
        with TlsController(ca, *flags) as controller:
            server = controller.server
            config = self.file("client.toml", f'server = "{server}"\nca = "{ca}"\n'
                               f'token-file = "{self.token}"\n')
            ask = ("controller", "--timeout=2")
            self.assertIn("version", lockstep(*ask, LOCKSTEP_CONFIG=config))
            home = pathlib.Path(self.folder.name, "home", ".config", "lockstep")
            home.mkdir(parents=True)
            (home / "client.toml").write_bytes(pathlib.Path(config).read_bytes())
            self.assertIn("version", lockstep(*ask, HOME=str(home.parents[1])))
            self.assertIn("version", lockstep(*ask, LOCKSTEP_SERVER=server, LOCKSTEP_CA=ca,
                                              LOCKSTEP_TOKEN=TOKEN))
            self.assertIn("version", lockstep(*ask, LOCKSTEP_SERVER=server, LOCKSTEP_CA=ca,
                                              LOCKSTEP_TOKEN_FILE=self.token))
            # The environment goes before the file, a flag before both.
            lockstep(*ask, LOCKSTEP_CONFIG=config, LOCKSTEP_SERVER="localhost:1", code=5)
            self.assertIn("token is needed", lockstep(*ask, LOCKSTEP_CONFIG=config,
                                                      LOCKSTEP_TOKEN_FILE=wrong, code=1))
            self.assertIn("version", lockstep(
                *ask, f"--server={server}", f"--token-file={self.token}", LOCKSTEP_CONFIG=config,
                LOCKSTEP_SERVER="localhost:1", LOCKSTEP_TOKEN_FILE=wrong))
        self.assertIn("no controller is named", lockstep(*ask, code=2))
        self.assertIn("nosuch", lockstep(*ask, LOCKSTEP_CONFIG=self.file("nosuch"), code=1))
        bad = self.file("bad.toml", 'server = "x:1"\ntoken = "in clear"\n')
        self.assertIn("token", lockstep(*ask, LOCKSTEP_CONFIG=bad, code=1))
        lockstep(*ask, "--server=x:1", f"--cert={ca}", code=2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
