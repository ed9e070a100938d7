"""Durations and sizes in words."""

import pytest

from labkit.views.theme import bytes_text, time_text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (999.4, "999 ns"), (999.7, "1 µs"), (1000, "1 µs"), (1_234, "1.23 µs"),
        (999_499, "999 µs"), (999_500, "1 ms"), (999_700_000, "1 s"), (2_500_000_000, "2.5 s"),
    ],
)
def test_the_unit_of_a_duration_suits_what_is_read(duration_ns, text):
    assert time_text(duration_ns) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"), (1000, "1000 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (999 * 1024, "999 KiB"),
        (999.7 * 1024, "1000 KiB"), (1000 * 1024, "1000 KiB"), (1023 * 1024, "1023 KiB"), (1023.9 * 1024, "1 MiB"),
        (2**20, "1 MiB"), (1010 * 2**20, "1010 MiB"), (2**30 - 1, "1 GiB"), (5 * 2**30, "5 GiB"),
    ],
)
def test_the_unit_of_a_size_suits_what_is_read(num_bytes, text):
    assert bytes_text(num_bytes) == text
