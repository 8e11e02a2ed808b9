"""Headers of many files are held in columns, and come out as they went in."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasdist.archive.build import Built, build
from dasdist.archive.header import Header
from dasdist.archive.headers import Headers, Known
from dasdist.archive.scan_journal import Journal, journal_path
from dasdist.archive.store import load, save
from dasdist.storage.json_lines import JsonLines

from .test_archive import FAST, FORM, header

INTS = st.integers(-(2**62), 2**62)
SIZES = st.integers(1, 2**40)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@st.composite
def headers(draw):
    ties = draw(st.lists(st.tuples(st.integers(0, 2**40), INTS), min_size=1, max_size=4))
    counts, values = zip(*ties, strict=True)
    return Header(
        "/" + draw(TEXTS) + "\udcff" * draw(st.booleans()),
        draw(SIZES),
        draw(INTS),
        draw(st.sampled_from([FORM, FAST])),
        draw(st.none() | st.tuples(SIZES, SIZES)),
        draw(SIZES),
        counts,
        values,
        draw(st.none() | st.tuples(SIZES, SIZES)),
        draw(st.none() | SIZES),
        draw(st.sampled_from([(), ("a guess",), ("a guess", "another")])),
    )


@given(st.lists(headers(), max_size=6))
def test_what_goes_in_comes_out(tmp_path_factory, given_ones):
    held = Headers(given_ones)
    assert list(held) == given_ones
    assert list(held.paths()) == [one.path for one in given_ones]
    order = np.arange(len(held))[::-1]
    assert list(held.taken(order)) == given_ones[::-1]
    assert held[1:] == given_ones[1:]
    with pytest.raises(IndexError):
        held[len(given_ones)]
    path = Path(tmp_path_factory.mktemp("held")) / "index.nc"
    save(path, {}, held, Built([], np.full(len(held), -1), []), [])
    assert list(load(path)) == given_ones


@given(st.lists(headers(), max_size=6), st.data())
def test_the_last_header_of_a_file_counts(given_ones, data):
    known = Known(given_ones)
    expected = {one.path: one for one in given_ones}
    gone = data.draw(st.lists(st.sampled_from(sorted(expected)))) if expected else []
    known.forget(gone)
    for path in gone:
        expected.pop(path, None)
    assert len(known) == len(expected)
    assert all(path in known for path in expected)
    assert list(known.by_path()) == [expected[path] for path in sorted(expected)]


def test_a_header_in_columns_takes_little_memory():
    count, step = 20_000, 10**9
    one = header("/archive/2024/000/000000.h5", 0)
    tracemalloc.start()
    held = Headers()
    for number in range(count):
        values = tuple(value + number * step for value in one.values)
        path = f"/archive/2024/{number // 1440:03d}/{number:06d}.h5"
        held.append(
            Header(
                path,
                *(one.bytes, one.modified, one.form, one.chunk),
                100,
                *(one.counts, values, one.rate, one.tolerance),
            )
        )
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == count
    assert size < 300 * count
    (member,) = build(held).members
    assert member.sizes["time"] == 100 * count


def test_what_a_scan_withdrew_is_not_in_its_journal(tmp_path):
    path, asked = journal_path(tmp_path / "index.nc"), {"version": 2}
    ones = [header(f"/{number}.h5", 1000 * number) for number in range(3)]
    with JsonLines(path) as lines:
        journal = Journal(path, lines, asked)
        for one in ones:
            journal.add(one)
        journal.withdraw(["/0.h5", "/2.h5"])
        journal.add(ones[2])
    with JsonLines(path) as lines:
        assert list(Journal(path, lines, asked).headers) == ones[1:]
