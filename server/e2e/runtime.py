"""Which runtimes a test has to be run on: both, unless it says otherwise."""

import pytest

# For what no runtime can make different: a format, a codec, a page's layout, what a thread of its own does. The one that every kernel has will do.
any_runtime = pytest.mark.parametrize("running", ["epoll"], indirect=True)
