"""What a container is run beside."""

import pytest
import sandbox


@pytest.fixture(scope="session")
def open_display(folder):
    """A display for clients of another user: a container's."""
    (folder / "open").mkdir()
    display = sandbox.Display(folder / "open", flags=["-ac"])
    yield display
    display.end()
