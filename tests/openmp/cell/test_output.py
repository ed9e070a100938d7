"""Output of several runs: what is held back, and when it is shown."""

import re

from labkit.openmp.cell.output import MOST_SHOWN, TAIL, Captured, ProgramOutput


class Screen:
    def __init__(self, several=True):
        self.text = ""
        self.output = ProgramOutput(several, self.write)

    def write(self, stream, text):
        self.text += re.sub(r"\x1b\[[0-9;]*m", "", text)

    def run(self, num_threads, *pieces):
        self.output.begin(num_threads)
        for piece in pieces:
            self.output.add("stdout", piece)
        return self.output.end()


def test_what_repeats_the_first_run_is_held_back_until_it_differs():
    screen = Screen()
    screen.run(1, "a\nb", "c\nd\n")
    assert screen.text == "1 thread │ a\n1 thread │ bc\n1 thread │ d\n"
    screen.text = ""
    screen.output.begin(2)
    screen.output.add("stdout", "a\nbc\n")
    assert screen.text == ""
    screen.output.add("stdout", "e\n")
    assert screen.text == "2 threads │ a\n2 threads │ bc\n2 threads │ e\n"  # at once, not at the end
    screen.output.add("stdout", "f")
    assert screen.output.end() == ("a\nbc\ne\nf", "")
    assert screen.text.endswith("2 threads │ f\n")


def test_a_run_that_prints_less_or_nothing_is_shown_as_it_is():
    screen = Screen()
    screen.run(1, "a\nb\n")
    screen.text = ""
    screen.run(2, "a\n")
    assert screen.text == "2 threads │ a\n"
    screen.run(3, "a\nb\n")
    screen.output.finish()
    assert screen.text.endswith("(the same output with 3 threads)\n")


def test_one_number_of_threads_needs_no_label():
    screen = Screen(several=False)
    assert screen.run(2, "no end", " of line") == ("no end of line", "")
    assert screen.text == "no end of line"


def test_runs_without_output_say_nothing():
    screen = Screen()
    screen.run(1)
    screen.run(2)
    screen.output.finish()
    assert screen.text == ""


def test_the_middle_of_long_text_is_left_out_and_counted():
    captured = Captured()
    text = "".join(f"{k}\n" for k in range(40_000))
    for start in range(0, len(text), 777):
        captured.add(text[start : start + 777])
    left_out = len(text) - MOST_SHOWN - TAIL
    assert captured.text == f"{text[:MOST_SHOWN]}\n[... {left_out:,} characters are left out here ...]\n{text[-TAIL:]}"
