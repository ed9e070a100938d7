"""Runs pytest and keeps a journal of it: ``python tools/one_part.py JOURNAL ARGUMENTS``.

The journal is a file of JSON lines, written while the tests run: what is in it stays when the process is ended. Each
is a list that begins with ``"tests"``, ``"begins"``, ``"test"``, ``"error"`` or ``"ended"``; see :mod:`part_results`.
"""

import json
import os
import sys

import pytest


class Journal:
    """A plugin of pytest."""

    def __init__(self, path: str):
        self.file = open(path, "a", encoding="utf-8", buffering=1)

    def write(self, *words) -> None:
        self.file.write(json.dumps(words) + "\n")

    def pytest_collection_finish(self, session):
        self.write("tests", [item.nodeid for item in session.items])

    def pytest_collectreport(self, report):
        if report.failed:
            self.write("error", report.nodeid, report.longreprtext)

    def pytest_runtest_logstart(self, nodeid, location):
        self.write("begins", nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        words = ""
        if report.failed:
            is_plain = not hasattr(item, "dtest") and call.excinfo is not None
            words = str(call.excinfo.getrepr(style="short")) if is_plain else report.longreprtext
        self.write("test", item.nodeid, report.when, report.outcome, report.duration, words)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        refused = getattr(session.config.pluginmanager.get_plugin("skip-accounts"), "refused", [])  # tests/conftest.py
        self.write("ended", int(session.exitstatus), refused)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as "python -m pytest"
    sys.exit(pytest.main(sys.argv[2:], plugins=[Journal(sys.argv[1])]))
