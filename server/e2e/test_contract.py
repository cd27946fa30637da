"""The API is what its description says: live answers against it, and whatever schemathesis thinks up."""

import asyncio
import concurrent.futures
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

import aiortc
import pytest
import requests
import schemathesis
import seccomp
import wait
import yaml
from crosspoint import REPOSITORY, Crosspoint
from prometheus_client.parser import text_string_to_metric_families

IO = "epoll" if seccomp.io_uring_refusal() else "auto"
INPUT = "/input/devices/virtual"
BOTH = {"video": {"type": "socket"}, "audio": {"type": "socket"}}


@pytest.fixture(scope="module")
def server(folder, env, display):
    crosspoint = Crosspoint(folder / "contract", IO, env, flags=["--microphone", "off"])
    yield crosspoint
    crosspoint.end()


@pytest.fixture(scope="module")
def contract(server):
    return schemathesis.openapi.from_url(f"http://{server.listen}/openapi.json")


class Caller:
    """Calls, and holds each answer against the description."""

    def __init__(self, server, contract):
        self.base, self.contract = f"http://{server.listen}", contract

    def __call__(self, method: str, path: str, *, template=None, status=200, **options):
        answer = requests.request(method, self.base + path, timeout=wait.DEADLINE_S, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        described = self.contract[template or path][method]
        assert str(status) in described.definition.raw["responses"], f"{status} of {method} {path} is not described"
        described.validate_response(answer)
        return answer


@pytest.fixture
def call(server, contract):
    server.reset()
    yield Caller(server, contract)
    server.reset()


def offer(direction: str) -> str:
    async def make():
        peer = aiortc.RTCPeerConnection()
        try:
            peer.addTransceiver("video", direction)
            peer.addTransceiver("audio", direction)
            await peer.setLocalDescription(await peer.createOffer())
            return peer.localDescription.sdp
        finally:
            await peer.close()

    # On a thread of its own: a browser's driver may have a loop on this one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


def test_inputs_answer_as_described(call):
    configure = f"{INPUT}/configure"
    call("GET", f"{INPUT}/status")
    call("POST", f"{INPUT}/pause", status=400)
    call("GET", f"{INPUT}/feed/socket/info", status=409)
    for video, audio in [
        ({"type": "socket", "format": "mpegts", "width": 640, "height": 360, "frame_rate": 15}, {"type": "socket", "format": "mp3"}),
        ({"type": "webrtc"}, {"type": "webrtc", "destination": "speaker"}),
        ({"type": "stream", "url": "http://user:secret@127.0.0.1:9/a.mp4?x=1"}, None),
        (None, {"type": "stream", "url": "rtmp://127.0.0.1:9/a/b"}),
        ({"type": "socket"}, {"type": "socket", "format": "mpegts"}),
    ]:
        call("POST", configure, json={key: value for key, value in (("video", video), ("audio", audio)) if value})
    call("GET", f"{INPUT}/feed/socket/info")
    for verb in ("pause", "resume", "stop"):
        call("POST", f"{INPUT}/{verb}")
    for wrong in ({}, {"video": {}}, {"video": {"type": "tape"}}, {"video": {"type": "socket", "colour": 1}}, {"videos": {}}, []):
        call("POST", configure, status=400, json=wrong)
    told = call("POST", configure, status=400, json={"video": {"type": "tape"}}).json()["message"]
    assert "video.type" in told and "webrtc" in told, "it says where, and what would be right"
    call("POST", configure, status=413, data=b" " * (1 << 20) + b"{}")
    call("GET", f"{INPUT}/feed", params={"fit": "contain"})
    for socket in ("socket/video", "socket/audio", "feed/socket"):
        call("GET", f"{INPUT}/{socket}", status=426)


def test_streams_answer_as_described(call):
    for mode, more in [("internal", {}), ("remote", {"target_url": "rtmp://127.0.0.1:9/app/key"}), ("socket", {"framerate": 15}), ("webrtc", {})]:
        started = call("POST", "/stream/start", status=201, json={"mode": mode, "id": mode, **more}).json()
        assert started["mode"] == mode
    call("POST", "/stream/start", status=409, json={"mode": "socket", "id": "socket"})
    call("POST", "/stream/start", status=400, json={"mode": "remote", "id": "x"})
    assert [stream["id"] for stream in call("GET", "/stream/list").json()] == ["internal", "remote", "socket", "webrtc"]
    call("GET", "/stream/socket/socket", template="/stream/socket/{id}", status=426)
    call("GET", "/watch/socket", template="/watch/{id}")
    call("POST", "/stream/stop", json={"id": "socket"})
    call("POST", "/stream/stop", status=404, json={"id": "socket"})
    call("POST", "/stream/stop", status=404)


def test_peers_are_answered_as_described(call):
    call("POST", f"{INPUT}/webrtc/offer", status=409, json={"sdp": offer("sendonly")})
    call("POST", f"{INPUT}/configure", json={"video": {"type": "webrtc"}, "audio": {"type": "webrtc"}})
    call("POST", f"{INPUT}/webrtc/offer", json={"type": "offer", "sdp": offer("sendonly")})
    call("POST", f"{INPUT}/webrtc/offer", status=400, json={"sdp": "v=0"})
    call("POST", "/stream/start", status=201, json={"mode": "webrtc", "id": "live"})
    call("POST", "/stream/webrtc/offer", json={"id": "live", "sdp": offer("recvonly")})
    call("POST", "/stream/webrtc/offer", status=404, json={"id": "dead", "sdp": offer("recvonly")})
    sdp = {"Content-Type": "application/sdp"}
    for path, template, direction in (("/whip/camera", "/whip/camera", "sendonly"), ("/whep/live", "/whep/{id}", "recvonly")):
        session = call("POST", path, template=template, status=201, data=offer(direction), headers=sdp).headers["Location"]
        at = template + "/{token}"
        fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
        call("PATCH", session, template=at, status=204, data="a=end-of-candidates\r\n", headers=fragment)
        call("PATCH", session, template=at, status=415, data="")
        call("PATCH", session, template=at, status=412, data="", headers=fragment | {"If-Match": '"x"'})
        call("DELETE", session, template=at)
        call("DELETE", session, template=at, status=404)
        call("POST", path, template=template, status=415, data="")
        call("POST", path, template=template, status=406, data="", headers=sdp | {"Accept": "text/html"})


def test_operation_answers_as_described(call):
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        call("GET", path)
    described = call("GET", "/spec.json").json()
    assert yaml.safe_load(call("GET", "/spec.yaml").text) == described
    call("GET", "/livez", status=421, headers={"Host": "evil.example"})
    call("GET", f"{INPUT}/status", status=403, headers={"Origin": "http://evil.example"})


def test_metrics_are_read_by_prometheus_and_told_in_the_readme(call):
    families = list(text_string_to_metric_families(call("GET", "/metrics").text))
    told = set(re.findall(r"`([a-z_]+)`", (REPOSITORY / "README.md").read_text().split("### Metrics")[1].split("###")[0]))
    assert {family.name.removeprefix("crosspoint_") for family in families} <= {name.removesuffix("_total") for name in told}
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels <= {"version", "backend", "mode", "queue", "stage", "camera", "device", "track", "transport", "codec", "packing", "state", "role", "le"}
    for family in families:
        assert family.name.startswith("crosspoint_") and family.documentation and family.type in ("counter", "gauge", "histogram"), family
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family
        if family.type == "histogram":
            series = {}
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    series.setdefault(tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le")), []).append(sample)
            for buckets in series.values():
                counts = [bucket.value for bucket in buckets]
                assert counts == sorted(counts) and buckets[-1].labels["le"] == "+Inf", family


def test_events_tell_changes(call):
    with contextlib.closing(requests.get(f"{call.base}/events", stream=True, timeout=wait.DEADLINE_S)) as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        lines = events.iter_lines(chunk_size=1, decode_unicode=True)

        def until(event: str, data: str):
            deadline = time.monotonic() + wait.DEADLINE_S
            for line in lines:
                assert time.monotonic() < deadline, f"no {event} with {data}"
                if line == f"event: {event}" and data in next(lines):
                    return

        until("input", '"state":"idle"')
        call("POST", f"{INPUT}/configure", json=BOTH)
        until("input", '"state":"running"')
        call("POST", "/stream/start", status=201, json={"mode": "socket", "id": "live"})
        until("stream", '"id":"live"')
        call("POST", "/stream/stop")
        until("gone", '"id":"live"')


def test_nothing_that_schemathesis_thinks_up_breaks_it(server, call, tmp_path):
    """Bounded: a dozen cases a call beside those that cover the schemas' edges. /events has no end, and what is right by its schema may
    name a file that is not there or be no SDP, so that valid data is accepted is not asked."""
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    words = [str(program), "run", f"http://{server.listen}/openapi.json", "--exclude-path", "/events", "--seed", "1", "--no-color"]
    words += ["--exclude-checks", "positive_data_acceptance", "--phases", "coverage,fuzzing", "--max-examples", "12", "--request-timeout", "10"]
    here = pathlib.Path(__file__).parent
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_bodies", "PYTHONPATH": str(here)}
    run = subprocess.run([*words, "--continue-on-failure"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=150)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert server.process.alive
