"""What a process has: descriptors, threads, memory."""

import contextlib
import os
import pathlib
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    descriptors: int
    threads: int
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        process = pathlib.Path(f"/proc/{pid}")
        return cls(len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), _status_bytes(pid, "VmRSS"))


def forget_peak(pid: int):
    """Lets `peak_bytes` start anew at what is resident now."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The most that was resident at once since `forget_peak`."""
    return _status_bytes(pid, "VmHWM")


def processor_s(pid: int) -> float:
    """The processor time that a process used so far, the kernel's for it included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads_ns(pid: int) -> dict[int, int]:
    """The same of each thread that it has, by the scheduler's own clock: what takes less than a tick of the other counts here."""
    used = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return used


def _status_bytes(pid: int, name: str) -> int:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
