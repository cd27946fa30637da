"""Judges what a page saw of a clip."""

from dataclasses import dataclass

# Two frames of a 30 Hz camera are this far apart only when the browser missed one.
SKIPPED_MS = 55
# How often a measurement is made anew on a machine that is too busy.
ATTEMPTS = 4


def assert_whole(look, share: float):
    """Judges what `look()` saw; looks again where the browser was too starved to see everything, whatever was in its camera."""
    for _ in range(ATTEMPTS - 1):
        sight = look()
        try:
            return sight.assert_whole(share)
        except AssertionError:
            if not sight.starved:
                raise
    look().assert_whole(share)


@dataclass
class Sight:
    """What was seen of `wanted` frame numbers."""

    wanted: range
    numbers: list[int]
    disagreements: int
    frames: int
    rate: float
    # Whether the browser itself skipped ticks of its camera: a machine that is too busy to judge by.
    starved: bool

    @classmethod
    def of(cls, log: list[list], wanted: range) -> "Sight":
        """Judges a page's log: a number counts when it stands at the top and at the bottom of the same frame."""
        coded = [(top, bottom) for _, top, bottom, _ in log if top is not None or bottom is not None]
        numbers = [top for top, bottom in coded if top == bottom]
        seconds = (log[-1][0] - log[0][0]) / 1000 if len(log) > 1 else 0
        gaps = [later - earlier for (earlier, *_), (later, *_) in zip(log, log[1:])]
        starved = sum(gap > SKIPPED_MS for gap in gaps) > 0.005 * len(gaps)
        return cls(wanted, numbers, len(coded) - len(numbers), len(coded), len(log) / seconds if seconds else 0, starved)

    @property
    def share(self) -> float:
        """The part of the wanted numbers that was seen."""
        return len(set(self.numbers) & set(self.wanted)) / len(self.wanted)

    @property
    def missing(self) -> list[int]:
        return sorted(set(self.wanted) - set(self.numbers))

    @property
    def steps_back(self) -> list[tuple[int, int]]:
        """Neighbours in time of which the later shows the lower number."""
        return [(a, b) for a, b in zip(self.numbers, self.numbers[1:]) if b < a]

    def assert_whole(self, share: float):
        assert self.share >= share, (
            f"saw {self.share:.1%} of {len(self.wanted)} in {self.frames} frames at {self.rate:.1f} fps, {self.disagreements} torn, not {self.missing[:40]}"
        )
        assert not self.steps_back, f"out of order: {self.steps_back}"
        allowed = max(0.005 * self.frames, 1)
        assert self.disagreements <= allowed, f"{self.disagreements} of {self.frames} frames show two pictures"
