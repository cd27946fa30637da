"""What lies in deploy/, as far as it can be told without running it (`make test-container` runs the images)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import urllib.request

import kubernetes_validate
import media
import pytest
import sandbox
import wait
import yaml
from crosspoint import BINARY, REPOSITORY
from process import Process
from rtmp import free_port
from runtime import any_runtime

DEPLOY = REPOSITORY / "deploy"
# The schemas that the manifests are held against; each newer cluster takes them, too.
KUBERNETES = "1.34"
# FFmpeg's names of decoders, where ours of the codec is another.
DECODERS = {"av1": "libdav1d", "dts": "dca", "flv1": "flv", "mpeg1": "mpeg1video", "mpeg2": "mpeg2video", "opus": "libopus", "raw": "rawvideo"}
DECODERS |= {"pcm": "pcm_s16le", "pcm24": "pcm_s24le", "pcm-alaw": "pcm_alaw", "pcm-float": "pcm_f32le", "pcm-u8": "pcm_u8"}
# Of 10, by systemd's own account: less is better.
MOST_EXPOSED = 2.0


def manifests() -> list[dict]:
    kinds = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    return [each for name in kinds for each in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())]


def the(kind: str) -> dict:
    (only,) = [each for each in manifests() if each["kind"] == kind]
    return only


def test_manifests_are_what_kubernetes_takes():
    for each in manifests():
        # The operator's kinds are not Kubernetes' own.
        if each["apiVersion"].startswith("monitoring.coreos.com"):
            continue
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_a_wrong_manifest_is_told():
    wrong = the("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_pods_are_restricted_and_found_by_what_looks_for_them():
    pod = the("Deployment")["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert the("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert the("Service")["spec"]["selector"].items() <= labels
    assert the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert the("PodMonitor")["spec"]["selector"]["matchLabels"].items() <= labels
    assert the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]
    # The pod security standard `restricted`.
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    security = container["securityContext"]
    assert not security["allowPrivilegeEscalation"] and security["capabilities"] == {"drop": ["ALL"]} and security["readOnlyRootFilesystem"]


def test_ports_are_the_same_everywhere():
    exposed = set(re.search(r"^EXPOSE (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[1].split())
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["sandbox"]
    assert compose["build"]["target"] in re.findall(r" AS (\w+)", (DEPLOY / "Dockerfile").read_text())
    mapped = dict(port.split(":") for port in sorted(compose["ports"]) if "tcp" in port)
    assert mapped == {"444": "10001/tcp", "10001": "10001/tcp", "1935": "1935/tcp", "1936": "1936/tcp"}
    assert {"444:10001/udp", "10001:10001/udp"} <= set(compose["ports"])
    assert {port.split(":")[1] for port in compose["ports"]} == exposed
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {f"{port['containerPort']}/{port['protocol'].lower()}" for port in container["ports"]} <= exposed


@any_runtime
def test_metrics_that_pods_are_scaled_by_exist(crosspoint):
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "watched"})
    with crosspoint.socket("/stream/socket/watched") as viewer:
        assert viewer.recv(timeout=wait.DEADLINE_S)
        told = {name.split("{")[0] for name in crosspoint.metrics()}
    wanted = {metric["pods"]["metric"]["name"] for metric in the("HorizontalPodAutoscaler")["spec"]["metrics"] if metric["type"] == "Pods"}
    assert wanted and wanted <= told


def test_units_are_in_order_and_leave_little_open(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/usr/local/bin/crosspoint", str(BINARY))
        (tmp_path / unit.name).write_text(text)
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    units = [str(path) for path in tmp_path.iterdir()]
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, env=env)
    assert (verified.returncode, verified.stderr) == (0, "")
    words = ["systemd-analyze", "security", "--offline=true", str(tmp_path / "crosspoint.service")]
    told = subprocess.run(words, capture_output=True, text=True, env=env).stdout
    assert float(re.search(r"exposure level for crosspoint.service: ([\d.]+)", told)[1]) <= MOST_EXPOSED, told


def flags_of_the_unit() -> list[str]:
    return re.search(r"^ExecStart=\S+ (.*)$", (DEPLOY / "systemd/crosspoint.service").read_text(), re.MULTILINE)[1].split()


def test_unit_names_flags_that_there_are():
    subprocess.run([BINARY, *flags_of_the_unit(), "--print-config"], check=True, capture_output=True)


def test_first_caller_of_the_units_sockets_starts_the_service(tmp_path):
    """By systemd's own hand, on what the two socket units say."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not here")
    ports = {}
    # Named as systemd names them: by the unit, or by what it says itself.
    for path in (DEPLOY / "systemd").glob("*.socket"):
        told = re.search(r"^FileDescriptorName=(.*)$", path.read_text(), re.MULTILINE)
        ports[told[1] if told else path.name] = free_port()
    assert set(ports) == {"crosspoint.socket", "rtmp"}
    words = ["systemd-socket-activate", *(f"--listen=127.0.0.1:{port}" for port in ports.values()), f"--fdname={':'.join(ports)}"]
    ready = tmp_path / "ready.json"
    words += [f"--setenv=XDG_STATE_HOME={tmp_path}", str(BINARY), *flags_of_the_unit(), "--camera=off", "--microphone=off", f"--ready-file={ready}"]
    process = Process(words, tmp_path / "log")
    try:
        process.until(lambda: "Listening on" in process.output(), "the sockets to listen")
        assert not ready.exists(), "nobody has called"
        assert answer(f"127.0.0.1:{ports['crosspoint.socket']}", "/livez") == 200
        told = json.loads(ready.read_text())
        assert [told["listen"], told["rtmp"], told["rtmps"]] == [f"127.0.0.1:{ports[name]}" for name in ("crosspoint.socket", "rtmp")] + [None]
    finally:
        process.end()


def test_images_run_as_nobody_in_particular_and_tell_their_health():
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL))
    for name in ("router", "sandbox"):
        assert re.findall(r"^USER (.*)$", stages[name], re.MULTILINE)[-1] == "1000:1000", name
        assert re.search(r"^HEALTHCHECK .*CMD \[\"crosspoint-health\"\]$", stages[name], re.MULTILINE), name
        assert re.search(r"^ENTRYPOINT \[", stages[name], re.MULTILINE), name
    told = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", stages["router"]))
    assert told >= {"title", "description", "licenses", "version", "revision"}


def answer(address: str, path: str) -> int:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=wait.DEADLINE_S) as told:
        return told.status


@any_runtime
def test_paths_and_variables_that_manifests_name_are_ours(crosspoint):
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    probes = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    scraped = {endpoint["path"] for endpoint in the("PodMonitor")["spec"]["podMetricsEndpoints"]}
    assert (probes, scraped) == ({"/livez", "/readyz"}, {"/metrics"})
    assert {path: answer(crosspoint.listen, path) for path in probes | scraped} == dict.fromkeys(probes | scraped, 200)
    # What nothing else says: that a variable is known. (`make run` has one of its own.)
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path != DEPLOY / "run"]
    named = {name for path in files for name in re.findall(r"\bCROSSPOINT_[A-Z_]+\b", path.read_text())}
    help = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True).stdout
    assert named and {name for name in named if f"[env: {name}=" not in help} == set()


def test_display_of_the_snippet_changes_its_size_while_it_runs(tmp_path):
    if not shutil.which("Xorg") or not shutil.which("xrandr") or not pathlib.Path("/usr/lib/xorg/modules/drivers/dummy_drv.so").exists():
        pytest.skip("Xorg and its dummy driver are not here")
    snippet = DEPLOY / "snippets/xorg-dummy.conf"
    display = sandbox.Display(tmp_path, server=["Xorg", "-config", str(snippet), "-logfile", str(tmp_path / "xorg.log")])
    try:
        sizes = lambda *words: re.findall(r"^ +(\d+x\d+)(.*)$", xrandr(display.name, *words), re.MULTILINE)
        assert {size for size, _ in sizes()} >= {"1280x720", "1920x1080"}
        xrandr(display.name, "--output", "DUMMY0", "--mode", "1920x1080")
        assert [size for size, rates in sizes() if "*" in rates] == ["1920x1080"]
    finally:
        display.end()


def xrandr(display: str, *words: str) -> str:
    return subprocess.run(["xrandr", *words], capture_output=True, text=True, check=True, env={**os.environ, "DISPLAY": display}).stdout


def test_sound_server_of_the_snippet_has_what_the_api_names(tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime), "HOME": str(runtime), "PULSE_SERVER": f"unix:{runtime}/pulse/native"}
    snippet = DEPLOY / "snippets/default.pa"
    process = Process(["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-F", str(snippet)], tmp_path / "log", env=env)
    try:
        ask = lambda *words: subprocess.run(["pactl", *words], env={**os.environ, **env}, capture_output=True, text=True).stdout
        wait.until(lambda: ask("get-default-source").strip() == "microphone", lambda: f"the sound server: {process.output()}")
        assert ask("get-default-sink").strip() == "audio_output"
        names = {line.split("\t")[1] for line in ask("list", "short", "sinks").splitlines()}
        assert names == {"audio_input", "audio_output"}
    finally:
        process.end()


@pytest.mark.parametrize("script", ["health", "sandbox", "ffmpeg"])
def test_scripts_of_the_images_are_in_order(script):
    path = DEPLOY / "container" / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


@any_runtime
def test_health_says_what_the_router_is(crosspoint):
    health = lambda port: subprocess.run([DEPLOY / "container/health"], env={**os.environ, "CROSSPOINT_LISTEN": f":{port}"}).returncode
    assert health(crosspoint.port) == 0
    assert health(1) != 0


def test_slim_ffmpeg_decodes_what_the_matrix_sends():
    lists = re.findall(r"^decoders=(?:\$decoders,)?(.*)$", (DEPLOY / "container/ffmpeg").read_text(), re.MULTILINE)
    decoders = set(",".join(lists).split(","))
    sent = {name.removesuffix("-interlaced").removesuffix("-b-frames") for name in (*media.VIDEO, *media.AUDIO)}
    missing = {name for name in sent if DECODERS.get(name, name) not in decoders}
    assert not missing
