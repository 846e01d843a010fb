"""titanctl push, from a file to a server, and its pace and its progress bar."""

from __future__ import annotations

import json

import pytest

from tests.client.reference_server import Script
from titan.cli.main import main
from titan.cli.push import PACE_SECONDS, Bar, Source, paced
from titan.cli.target import Piece
from titan.records import PushTotals


@pytest.fixture
def rows(tmp_path):
    """A table of ten samples for the reference server: four bytes each."""
    path = tmp_path / "ten.csv"
    path.write_text("".join(f"{n},{n},{n},{n},{'cat' if n % 2 else 'dog'}\n" for n in range(10)))
    return str(path)


def push(server, capsys, *words):
    code = main(["--address", server.address, "push", *words])
    return (code, *capsys.readouterr())


def test_a_file_is_pushed_and_counted(serve, capsys, rows):
    server = serve()
    assert push(server, capsys, rows) == (0, "10 pushed: 10 accepted, 0 rejected, 0 shed\n", "")
    assert [kept.data for kept in server.kept] == [bytes([n] * 4) for n in range(10)]
    assert [kept.label for kept in server.kept] == [1, 0] * 5
    assert server.openings[0].producer == "titanctl"


def test_repeat_and_limit(serve, capsys, rows):
    server = serve()
    push(server, capsys, rows, "--repeat", "3", "--limit", "24")
    assert [kept.data[0] for kept in server.kept] == [*range(10), *range(10), *range(4)]


def test_what_was_not_accepted_is_told_by_reason_and_exits_1(serve, capsys, rows):
    fate = {2: "shed", 3: "shed", 5: "reject"}
    server = serve(Script(verdict=lambda sequence: fate.get(sequence, "accept")))
    code, out, _ = push(server, capsys, rows)
    assert code == 1
    assert out.splitlines() == [
        "10 pushed: 7 accepted, 1 rejected, 2 shed",
        "  2 shed  SHED  no",
        "  1 rejected  REJECT  no",
    ]
    code, out, _ = push(serve(server.script, "other.sock"), capsys, rows, "--json")
    found = json.loads(out)
    assert (code, found["status"]) == (1, "degraded")
    assert found["data"]["totals"]["shed"] == 2


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("a.txt", [], "no folder, .npz, .csv or IDX file"),
        ("a.csv", ["--as", "float32"], "the model takes uint8"),
        ("a.csv", [], "4 values"),
        ("a.csv", ["--rate", "0"], "'0' is not a number above 0"),
        ("a.csv", ["--rate=-5"], "not a number above 0"),
        ("a.csv", ["--rate", "nan"], "not a number above 0"),
        ("a.csv", ["--rate", "fast"], "'fast' is not a number above 0"),
        ("a.csv", ["--rate", "inf"], "not a number above 0"),
        ("a.csv", ["--limit=-1"], "'-1' is not a whole number from 1"),
        ("a.csv", ["--repeat", "0"], "'0' is not a whole number from 1"),
    ],
)
def test_what_cannot_be_pushed_is_said_before_anything_is(serve, capsys, tmp_path, name, words, said):
    server = serve()
    (tmp_path / name).write_text("1,2,cat\n")
    code, out, err = push(server, capsys, str(tmp_path / name), *words)
    assert (code, out) == (2, "")
    assert said.replace("4 values", "the model takes 4") in err
    assert server.kept == []


def test_a_file_without_samples_is_a_mistake_and_no_success(serve, capsys, tmp_path):
    (tmp_path / "a.csv").write_text("a,b,c,d,label\n")
    code, out, err = push(serve(), capsys, str(tmp_path / "a.csv"))
    assert (code, out) == (2, "")
    assert "holds no samples" in err


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("rate", [3, 20, 1000, 10**6])
def test_samples_go_out_at_the_rate_in_small_portions(rate):
    time = Time()
    sent = []
    for piece in paced(iter([Piece(bytes(700), [0] * 700)] * 3), rate, time, time.sleep):
        sent.append((time.now - 100.0, len(piece.labels)))
    assert sum(count for _, count in sent) == 2100
    given = 0
    for at, count in sent:
        assert at == pytest.approx(given / rate)
        assert count <= max(rate * PACE_SECONDS, 1)
        given += count


@pytest.mark.parametrize("limit", [None, 0, 1, 10, 11, 25, 30, 99])
def test_a_source_yields_no_more_than_the_limit(limit):
    source = Source(lambda: iter([Piece(b"abcdefg", list(range(7))), Piece(b"hij", [7, 8, 9])]), 10)
    labels = [label for piece in source.pieces(3, limit) for label in piece.labels]
    assert labels == ([*range(10)] * 3)[:limit]
    assert source.total(3, limit) == len(labels)


def test_the_bar_tells_share_rate_and_fate():
    time = Time()
    bar = Bar(1000, time)
    time.now += 2
    line = bar.line(PushTotals(300, 240, 5, 5, 0, 50, 0))
    assert line == "[######                  ] 250/1,000  125/s  accepted 240  shed 5  rejected 5"
    assert Bar(None, time).line(PushTotals(0, 0, 0, 0, 0, 0, 0)) == "0  0/s  accepted 0  shed 0  rejected 0"


def test_the_bar_is_drawn_for_people_only(capsys, monkeypatch):
    totals = PushTotals(10, 10, 0, 0, 0, 0, 0)
    bar = Bar(10, Time())
    bar.draw(totals)
    bar.finish(totals)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    bar = Bar(10, Time())
    for _ in range(50):
        bar.draw(totals)
    bar.finish(totals)
    err = capsys.readouterr().err
    assert err.count("\r") == 2
    assert err.endswith("rejected 0\n")
