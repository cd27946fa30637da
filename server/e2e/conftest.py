"""What every real-peer test stands on: a private sandbox, the server on both of its runtimes, a browser, clips."""

import functools
import pathlib
import shutil
import sys
import tempfile
import threading

import pytest
from playwright.sync_api import sync_playwright

import chromium
import clip
import crosspoint as server
import sandbox
import seccomp

sys.path.insert(0, str(server.REPOSITORY / "samples/camera"))
import serve  # noqa: E402


@pytest.fixture(scope="session")
def folder():
    """A folder with a short path: it will hold sockets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="crosspoint-e2e-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def display(folder):
    display = sandbox.Display(folder)
    yield display
    display.end()


@pytest.fixture(scope="session")
def sound(folder):
    sound = sandbox.Sound(folder)
    yield sound
    sound.end()


@pytest.fixture(scope="session")
def env(display, sound):
    """The environment of everything that lives inside the sandbox."""
    return {**sound.env, "DISPLAY": display.name}


@pytest.fixture(scope="session", params=["uring", "epoll"])
def running(request, folder, env):
    """One server for all tests of a runtime."""
    if request.param == "uring" and (refusal := seccomp.io_uring_refusal()):
        pytest.skip(f"this kernel gives no io_uring: {refusal}")
    crosspoint = server.Crosspoint(folder / request.param, request.param, env)
    yield crosspoint
    crosspoint.end()


@pytest.fixture
def crosspoint(running, request):
    """The server with nothing configured and nothing streamed, before and after."""
    request.node.log = (running.process, running.process.log.stat().st_size)
    running.reset()
    yield running
    assert running.process.alive, f"crosspoint ended with code {running.process.code}"
    running.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and hasattr(item, "log"):
        process, start = item.log
        report.sections.append(("crosspoint's log", process.output(start)[-8000:]))
    return report


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright, running, folder, env, display):
    context = chromium.launch(playwright, running, folder / running.io, env, display.name)
    yield context
    context.close()
    shutil.rmtree(folder / running.io / "profile", ignore_errors=True)


@pytest.fixture(scope="session")
def check_url():
    serving = serve.server()
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://localhost:{serving.server_port}/"
    serving.shutdown()


@pytest.fixture
def camera(browser, check_url, crosspoint):
    """The check page with Crosspoint's camera and microphone open."""
    page = chromium.CameraPage(browser.new_page(), check_url)
    yield page
    page.close()


@pytest.fixture(scope="session")
def clips(folder):
    return Clips(folder / "clips")


class Clips:
    """Clips as bytes, each made once."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir()
        self._folder = folder
        self._made = 0
        self.video = functools.cache(functools.partial(self._make, clip.video, "ts"))
        self.switching = functools.cache(functools.partial(self._make, clip.switching, "ts"))
        self.tone = functools.cache(functools.partial(self._make, clip.tone, "mp3"))

    def _make(self, maker, ending: str, **options) -> bytes:
        self._made += 1
        return maker(self._folder / f"{self._made}.{ending}", **options).read_bytes()
