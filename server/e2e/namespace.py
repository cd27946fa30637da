"""A network namespace of its own: every port is free in it, privileged ones included, and nothing outside is reached."""

import os
import pathlib
import subprocess

from process import Process

# Root may make a network namespace; others may inside a user namespace, where the kernel lets them.
_UNSHARE = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
# WebRTC peers offer no loopback address: one that looks like another machine's (RFC 5737), and leads here.
INSIDE = "198.51.100.1"
_UP = f"ip link set lo up && ip address add {INSIDE}/32 dev lo && exec sleep infinity"


def refusal() -> str | None:
    """Why there is no namespace here, or nothing when there is."""
    tried = subprocess.run([*_UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return None if tried.returncode == 0 else tried.stderr.strip() or f"unshare ends with {tried.returncode}"


class Namespace:
    """A namespace with a loopback and one more address on it, alive until it is ended."""

    def __init__(self, folder: pathlib.Path):
        self._holder = Process([*_UNSHARE, "sh", "-c", _UP], folder / "namespace.log")
        # The shell becomes `sleep` once the loopback is up.
        name = pathlib.Path(f"/proc/{self._holder.pid}/comm")
        self._holder.until(lambda: name.read_text().strip() == "sleep", "the namespace is up")

    @property
    def pid(self) -> int:
        """A process that is in it as long as it lives."""
        return self._holder.pid

    @property
    def prefix(self) -> list[str]:
        """The words in front of a command that make it run inside."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._holder.pid), "--net", *user, "--"]

    def map(self, protocol: str, ports: tuple[int, ...], to: int):
        """Leads what comes by a wire to any of these ports to one of `INSIDE`, as a container's runtime does. Only root can."""
        chain = "add table ip mapping; add chain ip mapping inward { type nat hook prerouting priority dstnat; }"
        rule = f"add rule ip mapping inward {protocol} dport {{ {', '.join(map(str, ports))} }} dnat to {INSIDE}:{to}"
        subprocess.run([*self.prefix, "nft", f"{chain}; {rule}"], check=True, capture_output=True, text=True)

    def end(self):
        self._holder.end()


class Wire:
    """A wire between here and a namespace, as wide as it is told to be. Only root can lay one."""

    # RFC 5737.
    HERE, THERE = "203.0.113.1", "203.0.113.2"

    def __init__(self, namespace: Namespace):
        self._namespace = namespace
        self._name = f"wire{namespace.pid}"
        self._run("ip", "link", "add", self._name, "type", "veth", "peer", "name", "wire", "netns", str(namespace.pid))
        self._run("ip", "address", "add", f"{self.HERE}/30", "dev", self._name)
        self._run("ip", "link", "set", self._name, "up")
        self._run(*namespace.prefix, "ip", "address", "add", f"{self.THERE}/30", "dev", "wire")
        self._run(*namespace.prefix, "ip", "link", "set", "wire", "up")

    def narrow(self, rate: str):
        """What comes from the namespace is carried at this rate from now on; 300 ms of it may wait."""
        self._run(*self._namespace.prefix, "tc", "qdisc", "replace", "dev", "wire", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms")

    def widen(self):
        self._run(*self._namespace.prefix, "tc", "qdisc", "delete", "dev", "wire", "root")

    def end(self):
        self._run("ip", "link", "delete", self._name)

    def _run(self, *words: str):
        subprocess.run(words, check=True, capture_output=True, text=True)
