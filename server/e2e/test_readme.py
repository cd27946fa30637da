"""What the README tells a newcomer to type, typed."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import urllib.request

import chromium
import media
import pytest
import rtmp
import sandbox
import wait
import yaml
from crosspoint import BINARY, REPOSITORY, Crosspoint
from ear import Ear
from eye import Eye
from process import Process
from runtime import any_runtime

README = (REPOSITORY / "README.md").read_text()
TUTORIALS = [README, *((REPOSITORY / name).read_text() for name in ("CONTRIBUTING.md", "deploy/README.md"))]
# The face and the voice of the recipe's media, as samples/virtual-inputs/make_media.sh makes them.
VOICE = 440


def section_of(title: str) -> str:
    return README.split(f"\n### {title}\n")[1].split("\n### ")[0].split("\n## ")[0]


def recipe(title: str) -> str:
    """The commands below a title."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", section_of(title), re.DOTALL))


@pytest.fixture
def place(tmp_path):
    """A folder that looks like a checkout, for what a recipe writes into it."""
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    return tmp_path


@pytest.fixture
def typed(crosspoint, place):
    """Types a recipe's commands into a shell, with the addresses of the server under test."""

    def run(commands: str, **other: str) -> Process:
        for there, here in {"localhost:10001": crosspoint.listen, "localhost:1935": crosspoint.rtmp, **other}.items():
            assert there in commands or there.startswith("localhost"), f"{there} is not in the recipe"
            commands = commands.replace(there, here)
        shell = Process(["bash", "-euo", "pipefail", "-c", f"cd {place}\n{commands}"], place / "recipe.log")
        shells.append(shell)
        return shell

    shells: list[Process] = []
    yield run
    for shell in shells:
        shell.end()


def until_done(shell: Process) -> str:
    wait.until(lambda: not shell.alive, lambda: f"the commands to be done:\n{shell.output()}", 30)
    assert shell.code == 0, shell.output()
    return shell.output()


@any_runtime
def test_agent_with_a_talking_face(crosspoint, typed, sound):
    with contextlib.closing(Eye(crosspoint.camera_file)) as eye, contextlib.closing(Ear(sound)) as ear:
        heard = ear.mark()
        typed(recipe("An agent with a talking face"))
        ear.until_heard(VOICE, heard, 40)
        eye.until_looked(2)
        wait.until(lambda: eye.frames()[-1][3] > 40, "the face in the camera")


@any_runtime
def test_persons_webcam_by_the_sample_page(folder, env, browser, tmp_path):
    port = rtmp.free_port()
    commands = recipe("A person's webcam into a sandbox").split("#")[0].replace("8080", str(port))
    crosspoint = Crosspoint(tmp_path / "webcam", "auto", env, flags=["--allow-origin", f"http://localhost:{port}", "--microphone", "off"])
    serving = Process(["bash", "-c", f"cd {REPOSITORY} && exec {commands}"], tmp_path / "serving.log")
    page = browser.new_page()
    try:
        address = f"http://localhost:{port}/?server=http://{crosspoint.listen}"
        wait.until(lambda: _opened(page, address), lambda: f"the page to be served: {serving.output()}")
        page.click("button")
        said = lambda: page.evaluate("document.querySelector('output').value")
        wait.until(lambda: crosspoint.stats()["frames_in"] > 10, lambda: f"the webcam's pictures (the page says: {said()})")
        assert said() == "connected"
    finally:
        page.close()
        serving.end()
        crosspoint.end()


def _opened(page, address: str) -> bool:
    try:
        return page.goto(address).ok
    except Exception:
        return False


@any_runtime
def test_watch_a_sandbox(crosspoint, typed):
    until_done(typed(recipe("Watch a sandbox")))
    assert crosspoint.streams()["screen"]["mode"] == "webrtc"


@any_runtime
def test_push_to_a_platform(crosspoint, typed, tmp_path):
    platform = rtmp.Platform(tmp_path / "platform")
    platform.start()
    try:
        mapped = {"rtmps://a.rtmps.youtube.com/live2": f"rtmp://127.0.0.1:{platform.port}/app"}
        told = until_done(typed(recipe("Push to YouTube or Twitch"), **mapped))
        wait.until(lambda: crosspoint.streams()["push"]["is_streaming"], "the platform to take it")
        assert "your-stream-key" not in told.split("started_at", 1)[1], "the list does not tell the key"
    finally:
        platform.stop()


@any_runtime
def test_record_with_ffmpeg(typed, place):
    until_done(typed(recipe("Record with ffmpeg"), **{"-t 5": "-t 1"}))
    words = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", str(place / "recording.mp4")]
    streams = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["streams"]
    assert {stream["codec_name"] for stream in streams} == {"h264", "aac"}


@any_runtime
def test_browser_gets_the_camera_by_what_use_it_types(crosspoint, place, playwright, env, display, check_url):
    write, start = re.search(r"^    (target/release/crosspoint browser-wrapper .*)\n    (chromium .*)$", README, re.MULTILINE).groups()
    there = shlex.split(start)[-1].removeprefix("--utility-cmd-prefix=")
    assert shlex.split(start) == ["chromium", f"--utility-cmd-prefix={there}"], "no other flag"
    wrapper = place / "crosspoint-wrapper"
    words = write.replace("target/release/crosspoint", str(BINARY)).replace(there, str(wrapper))
    subprocess.run(["bash", "-ec", words], env={**os.environ, "CROSSPOINT_CAMERA": crosspoint.camera}, check=True)
    browser = chromium.launch(playwright, crosspoint, place, env, display.name, wrapper)
    try:
        page = chromium.CameraPage(browser.new_page(), check_url)
        assert page.frames(), "pictures of the camera"
    finally:
        browser.close()


@any_runtime
def test_every_configure_of_the_table_is_taken(typed):
    (function,) = re.findall(r"^    (configure\(\) .*)$", README, re.MULTILINE)
    bodies = re.findall(r"`(configure '\{.*?\}')`", README)
    assert len(bodies) > 6
    clip = media.file(media.Recipe("mp4", "h264", "aac", size=(320, 180), seconds=1))
    # Files are looked for at once; addresses are not.
    lines = [re.sub(r"/media/[a-z.0-9]+", str(clip), body) + "; echo" for body in bodies]
    told = until_done(typed("\n".join([function, *lines])))
    answers = [json.loads(line) for line in told.splitlines() if line]
    assert len(answers) == len(bodies)
    for body, answer in zip(bodies, answers):
        assert "error" not in answer and answer["state"] == "running", f"{body}: {answer}"


@any_runtime
def test_pushes_that_scale_viewers_reach_their_platform(crosspoint, typed, tmp_path):
    pushes = re.findall(r"^    (curl .*\"remote\".*)$", TUTORIALS[2], re.MULTILINE)
    assert len(pushes) == 2
    platform = rtmp.Platform(tmp_path / "platform")
    platform.start()
    try:
        for number, push in enumerate(pushes):
            target = re.search(r'rtmps://[^"]*', push)[0]
            told = until_done(typed(push + "; echo", **{target: f"rtmp://127.0.0.1:{platform.port}/app/{number}"}))
            started = json.loads(told.splitlines()[-1])
            wait.until(lambda: crosspoint.streams()[started["id"]]["is_streaming"], "the platform to take it")
    finally:
        platform.stop()


def test_make_run_shows_a_browsers_screen_and_leaves_nothing_behind(folder):
    cameras = lambda: set(pathlib.Path("/dev/shm").glob("crosspoint-run-*"))
    before = cameras()
    env = {"PORT": str(rtmp.free_port()), "CROSSPOINT_BIN": str(BINARY), "TMPDIR": str(folder)}
    # Whatever runs this may have left Ctrl-C's signal ignored, as a shell does for what it starts in the background.
    words = ["env", "--default-signal=INT", "make", "-C", str(REPOSITORY), "run"]
    shown = Process(words, folder / "run.log", env=env)
    try:
        shown.until(lambda: "Ctrl-C ends it all" in shown.output(), "it to run", 90)
        page = re.search(r"The browser's screen +(http\S+)", shown.output())[1]
        with urllib.request.urlopen(page, timeout=wait.DEADLINE_S) as answer:
            assert b"<video" in answer.read()
        os.killpg(shown.pid, signal.SIGINT)
        wait.until(lambda: not shown.alive, shown.output, 30)
    finally:
        shown.end()
    assert not list(folder.glob("crosspoint-run-*")) and cameras() == before
    # Each of its processes has the folder on its command line, or in its environment.
    assert not [path.parent.name for path in pathlib.Path("/proc").glob("[0-9]*/environ") if f"{folder}/crosspoint-run-" in _text(path)]


def _text(path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_scripts_that_measure_take_what_they_are_told():
    scripts = {found for text in TUTORIALS for found in re.findall(r"\.venv/bin/python server/e2e/(\w+)\.py([^`\n]*)", text)}
    assert {name for name, _ in scripts} == {"idle_cpu", "screen_cpu"}
    for name, flags in scripts:
        # With --help what stands before it is parsed, and nothing runs.
        words = [f"{name}.py", *shlex.split(flags), "--help"] if flags else ["-c", f"import {name}"]
        subprocess.run([sys.executable, *words], cwd=REPOSITORY / "server/e2e", check=True, capture_output=True)


@any_runtime
def test_memory_at_rest_is_read_by_what_the_figures_name(crosspoint):
    (command,) = re.findall(r"`(grep [^`]*smaps_rollup)`", README)
    told = subprocess.run(["bash", "-c", command.replace("$(pidof crosspoint)", str(crosspoint.process.pid))], capture_output=True, text=True)
    assert {line.split(":")[0] for line in told.stdout.splitlines()} == {"Rss", "Private_Dirty"}


def test_display_that_is_missing_is_there_once_it_is_started_as_told(tmp_path):
    (started,) = re.findall(r"`(Xvfb :0 [^`]*)`", README)
    program, _, *flags = started.split()
    check = [BINARY, "--check", "--listen=127.0.0.1:0", "--rtmp-listen=off", "--rtmps-listen=off", "--camera=off", "--microphone=off"]
    missing = subprocess.run([*check, "--display=:4242"], capture_output=True, text=True)
    assert missing.returncode and "no X server answers" in missing.stdout + missing.stderr
    display = sandbox.Display(tmp_path, server=[program, *flags])
    try:
        subprocess.run([*check, f"--display={display.name}"], check=True, capture_output=True)
    finally:
        display.end()


def test_command_lines_of_ours_are_taken():
    lines = [line for text in TUTORIALS for line in re.findall(r"^    crosspoint (--.*)$", text, re.MULTILINE)]
    assert lines
    for line in lines:
        subprocess.run([BINARY, *shlex.split(line), "--print-config"], check=True, capture_output=True)


@any_runtime
def test_what_mediamtx_is_told_to_pull_is_there(crosspoint):
    (block,) = re.findall(r"^(    paths:\n(?:    .*\n)+)", TUTORIALS[2], re.MULTILINE)
    sources = [path["source"] for path in yaml.safe_load(textwrap.dedent(block))["paths"].values()]
    assert sources == ["whep://sandbox:10001/whep/screen", "rtmp://sandbox:1935/live/tv"]
    assert "/whep/{id}" in crosspoint.call("GET", "/openapi.json")["paths"]


def test_every_crates_first_page_has_an_example_that_is_compiled():
    for crate in ("ffi", "router", "server", "benches", "loadtest"):
        page = "".join(re.findall(r"^//!.*\n", (REPOSITORY / crate / "src/lib.rs").read_text(), re.MULTILINE))
        assert re.search(r"^//! ```(?:rust)?\n//! .*\buse crosspoint_|^//! ```\n(?://!.*\n)*?//! use crosspoint_", page, re.MULTILINE), crate


def test_every_target_of_make_is_one():
    targets = {target for text in TUTORIALS for target in re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE)}
    assert {"run", "test", "bench"} <= targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=REPOSITORY, check=True, capture_output=True, text=True)


def test_every_file_and_heading_that_is_linked_is_there():
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "deploy/README.md"):
        path = REPOSITORY / name
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            file, _, anchor = link.partition("#")
            if file.startswith(("http", "mailto")):
                continue
            target = path.parent / file if file else path
            assert target.exists(), f"{name} links to {link}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in slugs, f"{name} links to {link}"


def test_every_file_of_the_code_that_is_named_is_there():
    # What the worked example has a reader make.
    made = {"router/src/wire/ogg.rs"}
    texts = [*TUTORIALS, *((REPOSITORY / name).read_text() for name in ("SECURITY.md", "CHANGELOG.md"))]
    named = {name for text in texts for name in re.findall(r"`((?:benches|deploy|ffi|loadtest|router|samples|server)/[\w./-]+)`", text)}
    assert len(named) >= 10
    rooms = [name for name in named - made if not (REPOSITORY / name).exists() and not (REPOSITORY / f"{name}.rs").exists()]
    assert not rooms, rooms


def test_error_texts_that_are_explained_are_said():
    """A text in the tables of what to do stands in the code that says it."""
    section = section_of("When something is missing").split("What else is seen")[1]
    said = [text for row in section.splitlines() if re.match(r"\| 4\d\d ", row) for text in re.findall(r"`([a-z][^`…]+)`", row.split("|")[1]) if " " in text]
    assert len(said) >= 3
    code = "\n".join(path.read_text() for crate in ("server", "router", "ffi") for path in (REPOSITORY / crate / "src").rglob("*.rs"))
    rows = re.findall(r"^\| (`.*?`) \|", section_of("When something is missing").split("What else is seen")[0], re.MULTILINE)
    for row in rows:
        # What is checked, and then what is said of it.
        checked, _, first = row.split("`")[1].partition(" ")
        assert f'"{checked}"' in code, checked
        said += [part.strip() for text in (first, *row.split("`")[3::2]) for part in re.split("…|, ", text)]
    # The system's own words stand in no code of ours.
    theirs = {"", "Address already in use", "Connection refused"}
    for text in said:
        assert text in theirs or text.replace(" N", " {") in code, text
