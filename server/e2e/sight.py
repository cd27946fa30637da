"""Judges what a page saw of a clip."""

import math
from dataclasses import dataclass

# How often a measurement is made anew on a machine that is too busy.
ATTEMPTS = 6
# The part of the pictures that it costs a look at most.
BUSY = 0.05
# The part of the frames that may be torn: reads that our writes may overlap are counted, not prevented.
TORN = 0.005


def assert_whole(look, share: float):
    """Judges what `look()` saw, at most a few times.

    What a busy machine costs is other pictures at every look, what we lose is lost each time: of looks that miss little, the pictures that
    one of them saw count. Too many torn ones count when no look was better. A wrong order counts at once.
    """
    seen = set()
    for left in reversed(range(ATTEMPTS)):
        sight = look()
        assert not sight.steps_back, f"out of order: {sight.steps_back}"
        try:
            sight.assert_whole(share - BUSY)
            seen |= set(sight.numbers)
            return sight.assert_whole(share, seen)
        except Poor:
            if not left:
                raise


class Poor(AssertionError):
    """Not enough of what was to be seen was seen, or too much of it torn."""


@dataclass
class Sight:
    """What was seen of `wanted` frame numbers."""

    wanted: range
    numbers: list[int]
    disagreements: int
    frames: int
    rate: float

    @classmethod
    def of(cls, log: list[list], wanted: range) -> "Sight":
        """Judges a page's log: a number counts when it stands at the top and at the bottom of the same frame."""
        coded = [(top, bottom) for _, top, bottom, _ in log if top is not None or bottom is not None]
        numbers = [top for top, bottom in coded if top == bottom]
        seconds = (log[-1][0] - log[0][0]) / 1000 if len(log) > 1 else 0
        return cls(wanted, numbers, len(coded) - len(numbers), len(coded), len(log) / seconds if seconds else 0)

    @property
    def share(self) -> float:
        """The part of the wanted numbers that was seen."""
        return len(set(self.numbers) & set(self.wanted)) / len(self.wanted)

    @property
    def steps_back(self) -> list[tuple[int, int]]:
        """Neighbours in time of which the later shows the lower number."""
        return [(a, b) for a, b in zip(self.numbers, self.numbers[1:]) if b < a]

    def assert_whole(self, share: float, seen: set[int] | None = None):
        """Judges it by what was `seen`, now or before too."""
        missing = sorted(set(self.wanted) - (set(self.numbers) if seen is None else seen))
        if len(missing) > (1 - share) * len(self.wanted) or self.disagreements > math.ceil(TORN * self.frames):
            raise Poor(
                f"missed {len(missing)} of {len(self.wanted)} in {self.frames} frames at {self.rate:.1f} fps, {self.disagreements} torn; "
                f"not {missing[:40]}"
            )
