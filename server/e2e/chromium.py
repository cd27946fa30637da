"""A stock Chromium that has Crosspoint's camera and microphone, and the camera check page inside it."""

import os
import pathlib
import stat
import subprocess

import crosspoint as server
import wait

EXECUTABLE = "/usr/bin/chromium"
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
]
OPEN = ["--auto-accept-camera-and-microphone-capture", "--autoplay-policy=no-user-gesture-required"]

# The mean luma of black, 16 in limited range, with a little room for rounding.
BLACK = 18


def launch(playwright, crosspoint, folder: pathlib.Path, env: dict[str, str], display: str, wrapper: pathlib.Path | None = None):
    """Starts Chromium with the wrapper that `crosspoint browser-wrapper` writes, or wrote, and a fresh profile."""
    if wrapper is None:
        wrapper = folder / "wrapper"
        subprocess.run([str(server.BINARY), "browser-wrapper", "--camera", crosspoint.camera, "--write", str(wrapper)], check=True)
    assert wrapper.stat().st_mode & stat.S_IXUSR, "the wrapper is executable"
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    context = playwright.chromium.launch_persistent_context(
        str(folder / "profile"),
        executable_path=EXECUTABLE,
        headless=True,
        args=[*QUIET, *OPEN, *sandbox, f"--utility-cmd-prefix={wrapper}"],
        ignore_default_args=["--mute-audio"],
        env={**os.environ, **env, "DISPLAY": display},
        viewport={"width": 1280, "height": 860},
    )
    # Accepting automatically stores no permission, and without one a page may not see the devices' labels.
    context.grant_permissions(["camera", "microphone"])
    return context


def launch_faking(playwright):
    """Starts a Chromium that knows nothing of Crosspoint, and has the devices that it makes up itself."""
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    faking = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return playwright.chromium.launch(executable_path=EXECUTABLE, headless=True, args=[*QUIET, *faking, *sandbox])


class CameraPage:
    """The check page with camera and microphone open; every frame it gets is logged."""

    def __init__(self, page, url: str):
        self.page = page
        page.goto(url)
        wait.until(self._running, lambda: f"the page to get frames ({self.check('error')})", 30)

    def _running(self):
        error = self.check("error")
        assert not error, f"the page has no camera and microphone: {error}"
        return self.check("frames.length") > 0

    def check(self, what: str):
        return self.page.evaluate(f"window.check?.{what}")

    def frames(self, start: int = 0) -> list[list]:
        """The log: [milliseconds, top code, bottom code, mean luma] a frame."""
        return self.page.evaluate("start => window.check.frames.slice(start)", start)

    def mark(self) -> int:
        """Where the log stands now."""
        return self.check("frames.length")

    def until_seen(self, number: int, start: int = 0, deadline=wait.DEADLINE_S):
        """Waits until a frame with this number or a later one has been seen since `start`."""
        ask = "([start, number]) => window.check.frames.slice(start).some(([, top]) => top !== null && top >= number)"
        said = lambda: f"frame {number} (seen: {[frame[1] for frame in self.frames(start)][-5:]})"
        wait.until(lambda: self.page.evaluate(ask, [start, number]), said, deadline)

    def until_moving(self, start: int):
        """Waits until two different numbers have been seen since `start`."""
        ask = "start => new Set(window.check.frames.slice(start).map(([, top]) => top).filter(top => top !== null)).size > 1"
        wait.until(lambda: self.page.evaluate(ask, start), "a moving clip")

    def until_black(self):
        """Waits until the newest frame is black."""
        wait.until(lambda: self.newest()[3] <= BLACK, lambda: f"a black picture (luma {self.newest()[3]})")

    def newest(self) -> list:
        return self.page.evaluate("window.check.frames.at(-1)")

    def sound(self) -> dict:
        return self.check("sound")

    def until_pitch(self, hertz: float, within: float = 3.0):
        """Waits until the strongest pitch of the microphone is this one, twice in a row."""

        def heard():
            first = self.sound()
            second = wait.until(lambda: (now := self.sound())["measured"] > first["measured"] and now, "a new measurement")
            return all(abs(sound["pitch"] - hertz) <= within for sound in (first, second))

        wait.until(heard, lambda: f"{hertz} Hz in the microphone ({self.sound()})")

    def until_silent(self):
        wait.until(lambda: self.sound()["level"] < 0.001, lambda: f"silence in the microphone ({self.sound()})")

    def close(self):
        self.page.close()
