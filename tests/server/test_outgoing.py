"""Answers that a client does not read at once wait in memory, then in a file, and arrive whole and in order."""

import os
import random
import socket
import time
from collections.abc import Iterator

import pytest

from promptcrafter.server.outgoing import Budget, Budgets, ClientGone, Outgoing

MEBIBYTE = 1024 * 1024


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def budgets(disk: int, memory: int = 64 * MEBIBYTE) -> Budgets:
    return Budgets(memory=Budget(memory), files=Budget(disk))


def read(theirs: socket.socket, held: Outgoing) -> bytes:
    """Read all that is held and all that was sent."""
    theirs.setblocking(False)
    received = b""
    while True:
        is_sent = held.flush()
        try:
            received += theirs.recv(MEBIBYTE)
        except BlockingIOError:
            if is_sent:
                return received


@pytest.mark.parametrize("disk", [0, 3 * MEBIBYTE, 100 * MEBIBYTE])
def test_all_arrives_in_order_wherever_it_was_held(ends: tuple[socket.socket, socket.socket], disk: int) -> None:
    rng = random.Random(5)
    sent = rng.randbytes(9 * MEBIBYTE)
    held = Outgoing(ends[0], budgets(disk))
    at, received = 0, b""
    while at < len(sent):
        while at < len(sent) and not held.is_full:
            size = rng.choice([0, 1, 100, 70_000, 300_000])
            held.sendall(sent[at : at + size])
            at += size
        received += read(ends[1], held) if rng.random() < 0.5 or held.is_full else b""
    received += read(ends[1], held)
    assert received == sent
    assert (held.in_memory, held.is_in_file) == (0, False)


def test_a_file_gives_its_bytes_back_when_it_was_sent_or_is_not_needed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    both = budgets(4 * MEBIBYTE)
    first, second = Outgoing(ends[0], both), Outgoing(ends[0], both)
    while not first.is_full:
        first.sendall(bytes(100_000))
    while not second.is_full:
        second.sendall(bytes(100_000))
    second.close()
    assert first.is_in_file
    first.close()
    assert both.files.take(4 * MEBIBYTE)
    assert both.memory.take(64 * MEBIBYTE)


def test_a_disk_without_room_is_no_failure(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_nothing(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", write_nothing)
    of_worker = budgets(MEBIBYTE)
    held = Outgoing(ends[0], of_worker)
    sent = b""
    while not held.is_full:
        piece = random.Random(len(sent)).randbytes(90_000)
        held.sendall(piece)
        sent += piece
    assert read(ends[1], held) == sent
    assert of_worker.files.take(MEBIBYTE)


def test_a_client_that_has_gone_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    held = Outgoing(ends[0], budgets(0))
    ends[1].close()
    with pytest.raises(ClientGone):
        held.sendall(bytes(100_000))


def test_one_large_piece_waits_in_a_file_but_for_its_beginning(ends: tuple[socket.socket, socket.socket]) -> None:
    held = Outgoing(ends[0], budgets(100 * MEBIBYTE))
    sent = random.Random(1).randbytes(9 * MEBIBYTE)
    held.sendall(sent)
    assert held.in_memory <= MEBIBYTE // 4
    assert read(ends[1], held) == sent


def test_what_is_made_and_finds_no_room_exceeds_the_memory_of_the_worker(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    of_worker = budgets(0, MEBIBYTE)
    held = Outgoing(ends[0], of_worker)
    held.sendall(bytes(3 * MEBIBYTE))
    assert of_worker.memory.is_exceeded
    held.close()
    assert of_worker.memory.take(MEBIBYTE)


def test_only_what_arrives_at_the_client_counts_as_progress() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, theirs:
        ours.setblocking(False)
        held = Outgoing(ours, budgets(100 * MEBIBYTE))
        held.sendall(bytes(50 * MEBIBYTE))
        while held.measure():  # its system takes some
            time.sleep(0.1)
        theirs.settimeout(10)
        received = 0
        while received < 20 * MEBIBYTE:  # more than both systems hold
            received += len(theirs.recv(MEBIBYTE))
            held.flush()
        assert 10 * MEBIBYTE < held.measure() < 30 * MEBIBYTE
        held.close()
