"""The sandbox that Crosspoint serves: a private display and a private sound server."""

import os
import pathlib
import subprocess

from process import Process

DISPLAY_SIZE = (1280, 720)


class Display:
    """An Xvfb, or another X server, on a display number of its own choosing."""

    def __init__(self, folder: pathlib.Path, name: str | None = None, *, geometry: str | None = None, flags=(), server=None):
        reading, writing = os.pipe()
        geometry = geometry or "x".join(map(str, (*DISPLAY_SIZE, 24)))
        words = [*(server or ["Xvfb", "-screen", "0", geometry]), *([name] if name else []), "-displayfd", str(writing)]
        words += ["-nolisten", "tcp", "-noreset", *flags]
        self._process = Process(words, folder / "xvfb.log", pass_fds=(writing,))
        os.close(writing)
        os.set_blocking(reading, False)
        number = bytearray()

        def told():
            try:
                number.extend(os.read(reading, 16))
            except BlockingIOError:
                return False
            return number.endswith(b"\n")

        try:
            self._process.until(told, "the X server names its display")
        finally:
            os.close(reading)
        self.name = f":{number.decode().strip()}"
        self.pid = self._process.pid

    def end(self):
        self._process.end()


class Sound:
    """A PulseAudio daemon without devices; whoever needs sinks makes them."""

    def __init__(self, folder: pathlib.Path):
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.env = {
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": f"unix:{runtime}/pulse/native",
            # Neither the machine's own configuration nor its cookie take part.
            "PULSE_COOKIE": str(runtime / "cookie"),
            "HOME": str(runtime),
        }
        listen = ["-L", "module-native-protocol-unix auth-anonymous=1"]
        words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--log-target=stderr", *listen]
        self._process = Process(words, folder / "pulseaudio.log", env=self.env)
        self._process.until(lambda: self.pactl("info", check=False), "PulseAudio answers")
        self.pid = self._process.pid

    def pactl(self, *words: str, check=True) -> str:
        """What the sound server's console answers; empty when it fails and need not succeed."""
        answer = subprocess.run(["pactl", *words], env={**os.environ, **self.env}, capture_output=True, text=True)
        assert answer.returncode == 0 or not check, f"pactl {' '.join(words)}: {answer.stderr}"
        return answer.stdout if answer.returncode == 0 else ""

    def default(self, what: str) -> str:
        return self.pactl(f"get-default-{what}").strip()

    def names(self, what: str) -> set[str]:
        """The names of the `sinks` or `sources`."""
        return {line.split("\t")[1] for line in self.pactl("list", "short", what).splitlines()}

    def record(self, source: str, seconds: float, rate=48000) -> bytes:
        """Mono float samples of a source."""
        words = ["parec", "-d", source, "--rate", str(rate), "--channels", "1", "--format", "float32le", "--latency-msec", "20"]
        wanted = round(seconds * rate) * 4
        with subprocess.Popen(words, env={**os.environ, **self.env}, stdout=subprocess.PIPE) as recorder:
            assert recorder.stdout
            samples = recorder.stdout.read(wanted)
            recorder.terminate()
        assert len(samples) == wanted, f"{source} gave {len(samples)} bytes of {wanted}"
        return samples

    def end(self):
        self._process.end()
