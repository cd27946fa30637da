"""What is inside TLS, the certificates that are shown, and ports that are another's."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys

import namespace
import pattern
import pytest
import rtmp
import seccomp
import wait
from crosspoint import BINARY, Crosspoint
from process import Process
from test_rtmp import SOON, first_picture
from websockets.sync.client import connect

# Nothing here hangs on the runtime: TLS and the binding of ports are the same on both.
IO = "epoll" if seccomp.io_uring_refusal() else "auto"
QUIET = ("--microphone", "off")


@pytest.fixture
def authority(tmp_path):
    return rtmp.Authority(tmp_path / "authority")


@contextlib.contextmanager
def running(folder, env, *flags: str, **options):
    crosspoint = Crosspoint(folder, IO, env, flags=[*QUIET, *flags], **options)
    try:
        yield crosspoint
    finally:
        crosspoint.end()


def shown_certificate(crosspoint) -> str:
    host, port = crosspoint.rtmps.rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)), timeout=wait.DEADLINE_S)


def test_player_that_checks_certificates_plays_with_the_one_that_the_flags_name(tmp_path, env, display, authority):
    screen = pattern.Screen(display.name)
    flags = ["--tls-cert", str(authority.certificate), "--tls-key", str(authority.key)]
    with contextlib.closing(screen), running(tmp_path / "server", env, *flags) as crosspoint:
        assert shown_certificate(crosspoint).split() == authority.certificate.read_text().split()
        info = crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "screen"})
        blocks = screen.draw(7)
        checking = ["-tls_verify", "1", "-ca_file"]
        pattern.assert_pixels(first_picture(info["secure_playback_url"], *checking, str(authority.root)), blocks)
        stranger = rtmp.Authority(tmp_path / "stranger")
        words = ["ffmpeg", "-nostdin", "-v", "error", *SOON, *checking, str(stranger.root), "-i", info["secure_playback_url"], "-f", "null", "-"]
        said = subprocess.run(words, capture_output=True, timeout=2 * wait.DEADLINE_S)
        assert said.returncode != 0, "who trusts another authority does not play"


def test_certificate_of_its_own_is_the_same_after_a_restart(tmp_path, env):
    shown = []
    for state in ("kept", "kept", "other"):
        folder = tmp_path / f"server{len(shown)}"
        with running(folder, env | {"XDG_STATE_HOME": str(tmp_path / state)}) as crosspoint:
            shown.append(shown_certificate(crosspoint))
    assert shown[0] == shown[1] != shown[2]


def test_main_port_serves_everything_inside_tls(tmp_path, env, display, authority):
    screen = pattern.Screen(display.name)
    flags = ["--tls-cert", str(authority.certificate), "--tls-key", str(authority.key)]
    with contextlib.closing(screen), running(tmp_path / "server", env, *flags) as crosspoint:
        blocks = screen.draw(11)
        crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "tv"})
        crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "live"})
        secure = f"127.0.0.1:{crosspoint.port}"
        words = ["curl", "-sS", "--max-time", str(wait.DEADLINE_S), "--cacert", str(authority.root), f"https://{secure}/input/devices/virtual/configure"]
        told = subprocess.run([*words, "-d", '{"video":{"type":"socket"}}'], capture_output=True, text=True, check=True).stdout
        url = json.loads(told)["ingest"]["video"]["url"]
        assert url == f"wss://{secure}/input/devices/virtual/socket/video"
        trust = ssl.create_default_context(cafile=authority.root)
        with connect(url, ssl=trust) as publisher:
            assert publisher.recv(timeout=wait.DEADLINE_S) == "mpegts"
            publisher.send(bytes(1 << 20))
            assert publisher.ping().wait(wait.DEADLINE_S)
            wait.until(lambda: crosspoint.stats()["video_publishers"] == 1, "the publisher to be counted")
        with connect(f"wss://{secure}/stream/socket/live", ssl=trust, max_size=None) as viewer:
            chunk = viewer.recv(timeout=wait.DEADLINE_S)
            assert len(chunk) % 188 == 0 and chunk[0] == 0x47, "whole packets of a transport stream"
            viewer.ping().wait(wait.DEADLINE_S)
        checking = ["-tls_verify", "1", "-ca_file", str(authority.root)]
        pattern.assert_pixels(first_picture(f"rtmps://{secure}/live/tv", *checking), blocks)


def test_certificate_that_is_replaced_is_shown_without_a_restart(tmp_path, env, authority):
    """As a renewing client does it: the new pair renamed over the old one."""
    shown = [tmp_path / "cert.pem", tmp_path / "key.pem"]

    def put(source):
        for path, file in zip(shown, (source.certificate, source.key)):
            part = path.with_suffix(".part")
            part.write_bytes(file.read_bytes())
            part.replace(path)

    put(authority)
    with running(tmp_path / "server", env, "--tls-cert", str(shown[0]), "--tls-key", str(shown[1])) as crosspoint:
        assert shown_certificate(crosspoint).split() == authority.certificate.read_text().split()
        renewed = rtmp.Authority(tmp_path / "renewed")
        put(renewed)
        words = ["openssl", "s_client", "-connect", crosspoint.listen, "-CAfile", str(renewed.root), "-verify_return_error", "-brief"]
        said = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=wait.DEADLINE_S)
        assert said.returncode == 0 and "Verification: OK" in said.stderr, said.stderr


def refused(*flags: str) -> str:
    """What it says when it does not start."""
    usual = {"--listen": "127.0.0.1:0", "--camera": "off", "--rtmp-listen": "off", "--rtmps-listen": "127.0.0.1:0"}
    words = [word for flag, value in usual.items() if flag not in flags for word in (flag, value)]
    done = subprocess.run([str(BINARY), *QUIET, *words, *flags], capture_output=True, text=True, timeout=wait.DEADLINE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 1, f"{flags}: {done.returncode} {done.stderr}"
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("certificate.pem", "gone.pem", ("gone.pem", "No such file")),
        ("gone.pem", "key.pem", ("gone.pem", "No such file")),
        ("certificate.pem", "root-key.pem", ("root-key.pem", "this is not the key of", "/certificate.pem")),
        ("rubbish.pem", "key.pem", ("rubbish.pem", "no certificate")),
        ("certificate.pem", "rubbish.pem", ("rubbish.pem", "no private key")),
    ],
)
def test_pair_that_is_none_is_refused_at_the_start_in_words(authority, certificate, key, words):
    folder = authority.key.parent
    (folder / "rubbish.pem").write_text("rubbish\n")
    said = refused("--tls-cert", str(folder / certificate), "--tls-key", str(folder / key))
    assert said.startswith("crosspoint: ") and all(word in said for word in words), said


def test_port_of_a_flag_that_is_taken_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for flag in ("--rtmp-listen", "--rtmps-listen", "--listen"):
            said = refused(flag, taken)
            assert flag in said and taken in said and "in use" in said, said


# Takes a port of every address until it is ended, and says when it has it.
TAKE = "import socket, time; taken = socket.create_server(('0.0.0.0', 1935)); print('taken', flush=True); time.sleep(1e9)"


def test_usual_port_that_is_taken_costs_a_warning(tmp_path, env):
    if refusal := namespace.refusal():
        pytest.skip(f"no network namespace here: {refusal}")
    with contextlib.ExitStack() as ends:
        house = namespace.Namespace(tmp_path)
        ends.callback(house.end)
        other = Process([*house.prefix, sys.executable, "-c", TAKE], tmp_path / "other.log")
        ends.callback(other.end)
        other.until(lambda: "taken" in other.output(), "the port to be taken")
        # The usual ports: no flag names any.
        crosspoint = ends.enter_context(running(tmp_path / "server", env, prefix=house.prefix, usual=True))
        assert crosspoint.rtmp is None and crosspoint.rtmps == "0.0.0.0:1936"
        warned = [line for line in crosspoint.process.output().splitlines() if "WARN" in line]
        assert len(warned) == 1 and "1935" in warned[0] and "--rtmp-listen" in warned[0], warned
