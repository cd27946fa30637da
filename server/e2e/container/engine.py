"""Containers as Podman runs them: no privilege, no root, nothing to write on but what is in memory, the usual seccomp profile."""

import pathlib
import subprocess

import usage
from namespace import Namespace
from process import Process

# Some machines mount a part of the old control groups beside the new; crun stumbles over it.
_AROUND = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]
# The network is that of the namespace that Podman is started in: ten sandboxes need no ports of this machine's.
_AS_OFFERED = ["--rm", "--cgroups=disabled", "--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
# Podman has its timer kept by systemd, which need not be here: who wants to know runs the command.
_HEALTH = ["--no-healthcheck"]
# What a machine's own limits allow may be less than Podman asks for.
_LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]

# What compose files are run by where there is no Docker. A machine without systemd keeps nobody to its share.
COMPOSE = [*_AROUND, ".venv/bin/podman-compose", f"--podman-run-args={' '.join([*_LIMITS, *_HEALTH, '--cgroups=disabled'])}"]


class Container:
    """A running container; what it says is in its log, and its exit code is Podman's."""

    def __init__(self, image: str, folder: pathlib.Path, name: str, inside: Namespace, *, env=None, volumes=None, flags=(), arguments=()):
        self.name, self._inside = name, inside
        words = [*inside.prefix, *_AROUND, "podman", "run", f"--name={name}", *_AS_OFFERED, *_LIMITS, *_HEALTH, *flags]
        words += [f"--env={key}={value}" for key, value in (env or {}).items()]
        words += [f"--volume={here}:{there}" for here, there in (volumes or {}).items()]
        self.process = Process([*words, image, *arguments], folder / f"{name}.log")

    def until_healthy(self):
        self.process.until(lambda: self.run("crosspoint-health").returncode == 0, f"{self.name} is healthy", 60)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Runs a command beside what runs in there."""
        return subprocess.run([*self._inside.prefix, *_AROUND, "podman", "exec", self.name, *words], capture_output=True, text=True)

    def pids(self) -> list[int]:
        """The processes in it, as this machine numbers them."""
        first = subprocess.run(["podman", "inspect", "--format={{.State.Pid}}", self.name], capture_output=True, text=True, check=True)
        own = _pid_namespace(int(first.stdout))
        numbers = [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdecimal()]
        return [number for number in numbers if own and _pid_namespace(number) == own]

    def end(self):
        self.process.end()
        subprocess.run(["podman", "rm", "--force", "--ignore", "--time=0", self.name], capture_output=True)


def _pid_namespace(pid: int) -> str | None:
    try:
        return str(pathlib.Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


class Share:
    """What processes have at a moment: processor time so far; their part of memory (PSS), of it what is theirs alone; and what is resident."""

    def __init__(self, pids: list[int]):
        self.processor_s, self.bytes, self.private_bytes, self.resident_bytes = 0.0, 0, 0, 0
        for pid in pids:
            try:
                self.processor_s += usage.processor_s(pid)
                fields = dict(line.split(":") for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
            except (OSError, ValueError):
                continue
            kib = lambda name: int(fields[name].split()[0])
            self.bytes += kib("Pss") * 1024
            self.resident_bytes += kib("Rss") * 1024
            # Clean pages are a file's, which others that are started share.
            self.private_bytes += kib("Private_Dirty") * 1024


def command_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
