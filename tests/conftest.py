"""On CI a test may be skipped for want of a GPU and for nothing else."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "on_ranks"))  # what tests of several folders import

ON_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


class SkipAccounts:
    """Refuses skips. A plugin, because hooks of a conftest.py see no doctests of the package."""

    def __init__(self):
        self.refused = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("gpu") is None:
            self.refuse(report)

    @pytest.hookimpl
    def pytest_collectreport(self, report):
        if report.skipped:  # a whole file: its tests never came into being
            self.refuse(report)

    def refuse(self, report):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        self.refused.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if self.refused and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for skip in self.refused:
            terminalreporter.write_line(f"On CI nothing but GPU tests may be skipped: {skip}", red=True)


def pytest_configure(config):
    # Nothing of whoever runs the tests is read or changed; kernels and servers inherit it.
    folder = tempfile.mkdtemp(prefix="labkit-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["LABKIT_PROGRESS"] = os.path.join(folder, "progress.json")
    os.environ["XDG_STATE_HOME"] = os.path.join(folder, "state")  # where the records of clusters are
    # A shell starts background jobs with SIGINT ignored, and the tests of the Stop button need it.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if ON_CI:
        config.pluginmanager.register(SkipAccounts(), "skip-accounts")
