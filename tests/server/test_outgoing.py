"""Answers that a client does not read at once wait in memory, then in a file, and arrive whole and in order."""

import os
import random
import socket
from collections.abc import Iterator

import pytest

from promptcrafter.server.outgoing import ClientGone, DiskBudget, Outgoing

MEBIBYTE = 1024 * 1024


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


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
    held = Outgoing(ends[0], DiskBudget(disk))
    at, received = 0, b""
    while at < len(sent):
        while at < len(sent) and not held.is_full:
            size = rng.choice([0, 1, 100, 70_000, 300_000])
            held.sendall(sent[at : at + size])
            at += size
        received += read(ends[1], held) if rng.random() < 0.5 or held.is_full else b""
    received += read(ends[1], held)
    assert received == sent
    assert held.is_empty
    assert held.sent == len(sent)


def test_a_file_gives_its_bytes_back_when_it_was_sent_or_is_not_needed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    budget = DiskBudget(4 * MEBIBYTE)
    first, second = Outgoing(ends[0], budget), Outgoing(ends[0], budget)
    while not first.is_full:
        first.sendall(bytes(100_000))
    while not second.is_full:
        second.sendall(bytes(100_000))
    assert not second.is_in_file
    second.close()
    assert first.is_in_file
    first.close()
    assert budget.take(4 * MEBIBYTE)


def test_a_disk_without_room_is_no_failure(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_nothing(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", write_nothing)
    budget = DiskBudget(MEBIBYTE)
    held = Outgoing(ends[0], budget)
    sent = b""
    while not held.is_full:
        piece = random.Random(len(sent)).randbytes(90_000)
        held.sendall(piece)
        sent += piece
    assert read(ends[1], held) == sent
    assert budget.take(MEBIBYTE)


def test_a_client_that_has_gone_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    held = Outgoing(ends[0], DiskBudget(0))
    ends[1].close()
    with pytest.raises(ClientGone):
        held.sendall(bytes(100_000))
