"""What the doctor has to say, in a terminal and in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass

from labkit.cluster.doctor.diagnose import Finding
from labkit.cluster.doctor.evidence import Evidence
from labkit.hardware import doctor as machine

STATUSES = {"ok": "ok", "warn": "optional", "fail": "missing"}
COLOURS = {"ok": "#2a7f3f", "warn": "#b36b00", "fail": "#c0392b"}
MARKS = {"ok": "ok", "warn": "--", "fail": "NO"}


@dataclass(frozen=True)
class Report:
    """Findings on a cluster.

    Attributes
    ----------
    what : str
        Which cluster was looked at, in words.
    findings : tuple of Finding
        In the order of the checks.
    evidence : Evidence
        What they are made from.
    """

    what: str
    findings: tuple[Finding, ...]
    evidence: Evidence

    @property
    def cause(self) -> Finding | None:
        """What to see to first; None if nothing fails."""
        return next((finding for finding in self.findings if finding.status == "fail"), None)

    @property
    def is_well(self) -> bool:
        """Whether nothing fails."""
        return self.cause is None

    @property
    def summary(self) -> str:
        """One or two sentences."""
        cause = self.cause
        if cause is not None:
            later = [f.name for f in self.findings if f.status == "fail"][1:]
            more = f"\nAfter that, see to: {', '.join(later)}." if later else ""
            return f"Cause: {_sentence(cause.detail)}\nRemedy: {_sentence(cause.remedy)}{more}"
        unsure = [finding.name for finding in self.findings if finding.status == "warn"]
        if unsure:
            return f"Nothing fails; worth a look: {', '.join(unsure)}."
        return "Nothing is wrong."

    @property
    def text(self) -> str:
        """The findings as a table, and the cause."""
        return self.coloured(False)

    def coloured(self, colour: bool) -> str:
        """The same, for a terminal that knows colours."""
        rows = [machine.Finding(f.name, STATUSES[f.status], f.detail, f.remedy) for f in self.findings]
        return f"{self.what}\n{machine.report(rows, colour=colour)}\n\n{self.summary}"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        rows = []
        for finding in self.findings:
            remedy = (
                f"<br><b>&rarr;</b> {html.escape(finding.remedy)}" if finding.status != "ok" and finding.remedy else ""
            )
            rows.append(
                f"<tr><td style='color:{COLOURS[finding.status]};font-weight:bold'>{MARKS[finding.status]}</td>"
                f"<td style='text-align:left;white-space:nowrap'>{html.escape(finding.name)}</td>"
                f"<td style='text-align:left'>{html.escape(finding.detail)}{remedy}</td></tr>"
            )
        lines = "<br>".join(html.escape(line) for line in self.summary.splitlines())
        colour = COLOURS["fail" if self.cause else "ok"]
        return (
            f"<div><p><b>{html.escape(self.what)}</b></p><table>{''.join(rows)}</table>"
            f"<p style='border-left:4px solid {colour};padding-left:8px'>{lines}</p></div>"
        )


def _sentence(text: str) -> str:
    text = text.strip()
    return text + ("" if text.endswith((".", "!", "?")) else ".")  # it may begin with a command: no capital
