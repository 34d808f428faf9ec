"""The queue of writers, by threads and processes."""

import errno
import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import TimeoutError

from promptcrafter.database.write_queue import bulk_write_queue_lock, write_queue_lock


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    path.touch()
    return path


@pytest.fixture
def holder(database: Path) -> int:
    """The descriptor of the lock file, locked as another process would lock it."""
    file = os.open(f"{database}-queue", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def wait(database: Path, seconds: float) -> float | None:
    """Return how many seconds are left when the lock is granted, None if it is not."""
    try:
        with write_queue_lock(database, seconds) as left:
            return left
    except TimeoutError:
        return None


def test_a_wait_ends_in_time_while_another_process_keeps_the_lock(database: Path, holder: int) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: wait(database, 0.2), range(8))) == [None] * 8
    assert time.monotonic() - started < 2
    os.close(holder)
    assert wait(database, 5) is not None


def test_long_writers_wait_for_each_other_outside_of_the_queue(database: Path) -> None:
    def wait_in_bulk(seconds: float) -> float | None:
        try:
            with bulk_write_queue_lock(database, seconds) as left:
                return left
        except TimeoutError:
            return None

    other = os.open(f"{database}-bulk", os.O_RDWR | os.O_CREAT)  # of another process whose turn it is
    fcntl.flock(other, fcntl.LOCK_EX)
    assert wait_in_bulk(0.1) is None
    assert wait(database, 0) is not None, "the queue itself is free"
    os.close(other)
    with bulk_write_queue_lock(database, 10):
        assert (wait(database, 0.1), wait_in_bulk(0.1)) == (None, None)
    left = wait_in_bulk(30)
    assert left is not None
    assert left > 20


def test_those_who_have_left_the_line_do_not_get_the_lock_later(database: Path, holder: int) -> None:
    assert wait(database, 0.05) is None
    os.close(holder)
    for _ in range(3):
        left = wait(database, 30)
        assert left is not None
        assert left > 20


def test_writers_are_served_in_the_order_of_their_arrival(database: Path, holder: int) -> None:
    served: list[int] = []

    def write(number: int) -> None:
        with write_queue_lock(database, 10):
            served.append(number)

    with ThreadPoolExecutor(6) as pool:
        for number in range(6):
            pool.submit(write, number)
            time.sleep(0.05)
        os.close(holder)
    assert served == list(range(6))


def test_the_lock_excludes_threads_and_forks(database: Path, holder: int) -> None:
    """Each adds 1 to a number in a file, which loses additions without the lock."""
    assert wait(database, 0.01) is None  # the helper thread runs, and is not there in the forks
    os.close(holder)
    time.sleep(0.2)  # a fork would share the descriptor that the helper is about to close
    counter = database.with_suffix(".txt")
    counter.write_text("0")

    def add(_: int) -> None:
        with write_queue_lock(database, 10):
            number = int(counter.read_text())
            time.sleep(0.0005)
            counter.write_text(str(number + 1))

    def add_all() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(40)))

    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                add_all()
            finally:
                os._exit(0)
        children.append(child)
    add_all()
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert counter.read_text() == "120"


def test_an_unusable_lock_file_is_an_error_for_all_who_wait(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "a.db"
    with pytest.raises(FileNotFoundError), write_queue_lock(missing, 1):
        pass


def test_a_lock_that_is_refused_while_it_is_waited_for_keeps_no_descriptor_open(
    database: Path, holder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def refuse_to_wait(file: int, operation: int) -> None:
        if not operation & fcntl.LOCK_NB:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", refuse_to_wait)

    def count_after_refusal() -> int:
        with pytest.raises(OSError, match=f"No locks available: '{database}-queue'"), write_queue_lock(database, 30):
            pass
        return len(os.listdir("/dev/fd"))

    before = count_after_refusal()
    assert {count_after_refusal() for _ in range(5)} == {before}
    os.close(holder)


def test_writers_wait_in_line_again_after_the_system_has_refused_a_thread(
    database: Path, holder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            wait(database, 30)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait, database, 30)
        time.sleep(0.1)
        os.close(holder)
        assert waiting.result() is not None
    assert wait(database, 0) is not None, "no line is left"
