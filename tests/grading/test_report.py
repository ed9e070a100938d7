"""Reports: escaped, complete, and without a network."""

import html.parser
import re

import pytest

from labkit.grading.outcomes import Status, Verdict
from labkit.grading.report import page_name, write_reports
from labkit.grading.sheet import Row

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&"


class Tags(html.parser.HTMLParser):
    """All tags with their attributes, and what is text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pages(tmp_path):
    verdict = Verdict(
        EVIL, Status.INCORRECT, 0, 3, EVIL, case=EVIL, rank=2, expected=EVIL, actual=EVIL, details=EVIL, slip=EVIL, cost=EVIL,
    )
    rows = [
        Row(EVIL, "t", "t/a", 0.0, 3.0, "incorrect", message=EVIL, file=EVIL, sandbox=EVIL, source=f"x = '''{EVIL}'''", verdict=verdict),
        Row("Ann", "t", "t/a", 3.0, 3.0, "passed", message="all well", sandbox="limits"),
        Row("ann", "", "", 0.0, 0.0, "unreadable", message="broken", file="a.ipynb"),
    ]
    written = write_reports(rows, tmp_path / "new" / "folder")
    return {path.name: path.read_text(encoding="utf-8") for path in written}


def test_a_page_for_everybody(pages):
    assert set(pages) == {"index.html", page_name(EVIL), page_name("Ann"), page_name("ann")} and len(pages) == 4
    assert "3 of 3 points" in pages[page_name("Ann")]


def test_everything_of_the_answer_is_text(pages):
    page = Tags(pages[page_name(EVIL)])
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.text.count("<script>alert(1)</script>") >= 9
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    policy = next(attrs for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy["content"].startswith("default-src 'none'")


def test_the_overview_has_its_figures_and_the_library_once(pages):
    page = pages["index.html"]
    tags = Tags(page).tags
    assert [attrs["id"] for tag, attrs in tags if attrs.get("id", "").startswith("figure-")] == ["figure-0", "figure-1", "figure-2"]
    assert len(re.findall(r"\* plotly\.js v", page)) == 1
    assert not [attrs for tag, attrs in tags if tag in ("script", "link", "img") and ("src" in attrs or "href" in attrs)]
    links = {attrs["href"] for tag, attrs in tags if tag == "a"}
    assert links == set(pages) - {"index.html"}
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "alert(1)</script>" not in body and "&lt;script&gt;alert(1)" in body


def test_what_goes_into_figures_cannot_end_their_script(pages):
    assert "<script>alert(1)" not in pages["index.html"]


@pytest.mark.parametrize("student", ["", "../../etc/passwd", "a" * 300, "Ü", "\ud800"])
def test_names_of_pages_are_plain(student):
    assert re.fullmatch(r"[a-z0-9-]{1,50}\.html", page_name(student))
