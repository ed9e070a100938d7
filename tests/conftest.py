"""On CI a test may be skipped for want of a GPU and for nothing else."""

import os

import pytest

ON_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
_refused: list[str] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail") and ON_CI and "gpu" not in item.keywords:
        _refused.append(f"{item.nodeid}: {report.longrepr[2] if report.longrepr else ''}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if _refused and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    for reason in _refused:
        terminalreporter.write_line(f"skipped on CI, where nothing may be but GPU tests: {reason}", red=True)
