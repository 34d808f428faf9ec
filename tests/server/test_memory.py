"""The memory of large requests is returned, whatever else the process has run out of."""

import subprocess
import sys

import pytest

from tests.support.environment import ROOT

_WITHOUT_DESCRIPTORS = """
import gc, resource, time, weakref
from promptcrafter.server.memory import reclaimer

class Node:
    pass

gc.disable()  # only the reclaimer collects
reclaimer.start()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
time.sleep(1)  # in which the reclaimer has looked at the memory
node = Node()
node.itself, node.large, gone = node, b"x" * 50_000_000, weakref.ref(node)
del node
deadline = time.monotonic() + 30
while gone() is not None:
    assert time.monotonic() < deadline, "nothing was collected"
    time.sleep(0.05)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))  # to end, the process opens a library
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory in use is read from /proc")
def test_garbage_is_collected_while_no_descriptor_is_left() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT_DESCRIPTORS], cwd=ROOT, check=True, timeout=60)
