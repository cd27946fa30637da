"""A port mapping as Docker's `-p` makes one: the kernel of a machine between rewrites where packets go."""

import subprocess

from namespace import Namespace, Wire

# The container's network, as Podman would lay it.
DOOR, INSIDE = "10.88.0.1", "10.88.0.2"


class Mapping:
    """Two namespaces: a door that is reached at an address, and inside of it the container's. 444 leads to 10001, and so
    do 1935, 1936 and 10001 to themselves: the last is for browsers, which send no media to a port as low as 444."""

    def __init__(self, folder, *, udp: bool):
        self._ends = []
        try:
            self._lay(folder, udp)
        except BaseException:
            self.end()
            raise

    def _lay(self, folder, udp):
        (folder / "door").mkdir(exist_ok=True)
        (folder / "inside").mkdir(exist_ok=True)
        self._door, self.inside = self._with_end(Namespace(folder / "door")), self._with_end(Namespace(folder / "inside"))
        wire = self._with_end(Wire(self._door))
        self.address = wire.THERE
        door, inside = self._door.prefix, self.inside.prefix
        # Whatever address of ours a packet comes from, its answer finds the way back.
        self._run(*door, "ip", "route", "add", "default", "via", wire.HERE)
        self._run(*door, "ip", "link", "add", "bridge", "type", "veth", "peer", "name", "eth0", "netns", str(self.inside.pid))
        self._run(*door, "ip", "address", "add", f"{DOOR}/24", "dev", "bridge")
        self._run(*door, "ip", "link", "set", "bridge", "up")
        self._run(*inside, "ip", "address", "add", f"{INSIDE}/24", "dev", "eth0")
        self._run(*inside, "ip", "link", "set", "eth0", "up")
        self._run(*inside, "ip", "route", "add", "default", "via", DOOR)
        self._run(*door, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        rules = [f"tcp dport 444 dnat to {INSIDE}:10001", f"tcp dport {{ 1935, 1936, 10001 }} dnat to {INSIDE}"]
        rules += [f"udp dport {{ 444, 10001 }} dnat to {INSIDE}:10001"] if udp else []
        lines = "".join(f"ip daddr {self.address} {rule}\n" for rule in rules)
        chain = f"chain prerouting {{\ntype nat hook prerouting priority dstnat;\n{lines}}}"
        subprocess.run([*door, "nft", "-f", "-"], input=f"table ip mapping {{\n{chain}\n}}", text=True, check=True)

    def _with_end(self, part):
        self._ends.append(part)
        return part

    @staticmethod
    def _run(*words: str):
        subprocess.run(words, check=True, capture_output=True, text=True)

    def end(self):
        # The wire goes with the namespace that it leads to.
        for part in self._ends[:2]:
            part.end()
