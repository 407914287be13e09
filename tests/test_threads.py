"""Work in pieces: the same digits however many threads share it, in time that a busy machine cannot multiply."""

import threading
import time

import pytest
import torch

from cmcore.threads import available_threads, choose_threads, in_pieces, piecewise, team

ROWS = torch.arange(10.0)[:, None]


@pytest.fixture
def three_threads():
    """This thread's operations may take three threads, whatever the machine has."""
    with team(3):
        yield


def test_a_team_is_asked_for_and_given_back():
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        with team(threads):
            assert torch.get_num_threads() == threads
            with team(5):
                assert torch.get_num_threads() == 5
            assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match="inside"), team(7):
        raise ValueError("inside")
    assert torch.get_num_threads() == before


def test_a_team_is_that_of_one_thread_alone():
    counts = []

    def ask() -> None:
        counts.append(torch.get_num_threads())

    ask()
    with team(7):
        other = threading.Thread(target=ask)
        other.start()
        other.join()
    assert counts[0] == counts[1]


def test_pieces_come_in_order_and_are_cut_by_rows_alone(three_threads):
    whole = in_pieces(lambda rows: (len(rows), rows.sum()), ROWS, rows=4)
    with piecewise():
        shared = in_pieces(lambda rows: (len(rows), rows.sum()), ROWS, rows=4)
    assert [n for n, _ in whole] == [4, 4, 2]
    assert whole == shared


def test_pieces_are_shared_by_threads_that_each_compute_alone(three_threads):
    together = threading.Barrier(3, timeout=60)

    def piece(_: torch.Tensor) -> tuple[int, int, int]:
        together.wait()  # three at once, or never
        return threading.get_ident(), torch.get_num_threads(), available_threads()

    with piecewise():
        assert torch.get_num_threads() == 1
        assert available_threads() == 3
        answers = in_pieces(piece, ROWS[:3], rows=1)
        with piecewise():
            assert available_threads() == 3
    assert len({thread for thread, *_ in answers}) == 3
    assert {counts for _, *counts in map(tuple, answers) for counts in counts} == {1}
    assert torch.get_num_threads() == 3


def test_helpers_compute_as_their_caller_does(three_threads):
    together = threading.Barrier(3, timeout=60)
    asked = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            asked.append(threading.get_ident())
            return func(*args, **(kwargs or {}))

    def piece(rows: torch.Tensor) -> bool:
        together.wait()
        return (rows * 2).requires_grad_().sum().requires_grad

    with torch.no_grad(), Watch(), piecewise():
        assert not any(in_pieces(piece, ROWS[:3], rows=1))
    assert len(set(asked)) == 3


def test_what_goes_wrong_in_a_piece_goes_wrong_here(three_threads):
    def piece(rows: torch.Tensor) -> None:
        if float(rows[0, 0]) >= 5:
            raise ValueError(f"row {int(rows[0, 0])}")

    with piecewise(), pytest.raises(ValueError, match=r"row [5-9]"):
        in_pieces(piece, ROWS, rows=1)
    assert torch.get_num_threads() == 3


def test_pieces_of_pieces_and_of_many_callers_end(three_threads):
    def inner(rows: torch.Tensor) -> float:
        with piecewise():
            return sum(in_pieces(lambda r: float(r.sum()), rows, rows=1))

    sums = []

    def outer() -> None:
        with team(3), piecewise():
            sums.append(sum(in_pieces(inner, ROWS, rows=2)))

    callers = [threading.Thread(target=outer) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert sums == [45.0] * 8


def test_a_transform_stays_in_its_thread(three_threads):
    def f(x: torch.Tensor) -> torch.Tensor:
        with piecewise():
            return torch.cat(in_pieces(lambda rows: rows.sin(), x, rows=2))

    x = ROWS[:, 0]
    assert torch.equal(torch.func.jacrev(f)(x).diagonal(), x.cos())


def test_threads_that_do_not_help_are_not_taken():
    before = torch.get_num_threads()
    assert choose_threads(lambda: None, 1) == 1
    # A step that costs the same however many threads there are never shows a clear gain.
    assert choose_threads(lambda: sum(range(2000)), 2) == 1
    assert torch.get_num_threads() == before


def test_a_team_that_waits_is_left_at_once():
    """A step of a team that takes hundreds of times as long is not tried nine times."""
    tries = []

    def step() -> None:
        tries.append(torch.get_num_threads())
        if torch.get_num_threads() > 1:
            time.sleep(0.05)

    assert choose_threads(step, 2) == 1
    assert tries.count(2) == 1
