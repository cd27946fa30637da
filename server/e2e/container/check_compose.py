"""The compose file as README has it, by podman-compose: its ports lead to a sandbox that works."""

import json
import re
import subprocess

import pytest
import wait
from container.engine import COMPOSE
from crosspoint import REPOSITORY
from namespace import Namespace

PORTS = {"444": "10001", "10001": "10001", "1935": "1935", "1936": "1936"}


@pytest.fixture
def inside(tmp_path):
    """Where every port is free."""
    inside = Namespace(tmp_path)
    yield inside
    inside.end()


@pytest.fixture
def typed(inside, tmp_path):
    """Runs a command where the sandbox's ports are."""

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*inside.prefix, *words], capture_output=True, text=True, cwd=REPOSITORY)

    return run


def test_compose_brings_up_a_sandbox_at_its_ports(typed):
    (file,) = set(re.findall(r"docker compose -f (\S+) up --build", (REPOSITORY / "README.md").read_text()))
    compose = [*COMPOSE, "-f", file]
    # What is built is what the other checks look at.
    up = typed(*compose, "up", "-d", "--no-build")
    try:
        assert up.returncode == 0, up.stderr

        def asks(path: str, *words: str) -> dict | None:
            answer = typed("curl", "-sf", "--max-time", "5", f"http://localhost:444{path}", *words).stdout
            return json.loads(answer) if answer else None

        wait.until(lambda: asks("/readyz") is not None, lambda: typed("podman", "logs", "deploy_sandbox_1").stderr[-2000:], 60)
        assert asks("/input/devices/virtual/status")["mode"] == "virtual-file"
        started = asks("/stream/start", "-d", '{"mode": "internal", "id": "tv"}')
        secure = ["-tls_verify", "0"]
        for url, words in ((started["playback_url"], []), (started["secure_playback_url"], secure)):
            told = typed("ffprobe", "-v", "error", *words, "-show_entries", "stream=codec_name", "-of", "csv=p=0", url)
            assert set(told.stdout.split()) == {"h264", "aac"}, f"{url}: {told.stderr}"
        mapped = typed("podman", "port", "deploy_sandbox_1").stdout
        for there, here in PORTS.items():
            assert f"{here}/tcp -> 0.0.0.0:{there}" in mapped, mapped
    finally:
        typed(*compose, "down", "--timeout", "1")
