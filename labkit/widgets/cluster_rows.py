"""What the panel of clusters shows, as values and words: found here, drawn in cluster_panel."""

from __future__ import annotations

import contextlib
import html
from dataclasses import dataclass

from labkit.cluster import manage
from labkit.cluster.activity import RankActivity
from labkit.cluster.engines import Engines
from labkit.cluster.schedulers import find_scheduler
from labkit.cluster.schedulers.scheduler import QueuePosition
from labkit.errors import LabkitError
from labkit.views.cluster_map import MapNode, MapRank

HERE = ""  # the key of ranks that no file tells of: those of this notebook on its own machine, or over SSH


@dataclass(frozen=True)
class Row:
    """A cluster in the list.

    Attributes
    ----------
    key : str
        Its name, or ``HERE``.
    status : ClusterStatus or None
        What its file and its batch system say; None for ``HERE``.
    is_own : bool
        Whether this notebook works with it.
    position : QueuePosition or None
        Its job's place in the queue, where the batch system tells.
    where : str
        For ``HERE``: in words.
    num_ranks : int
    """

    key: str
    status: manage.ClusterStatus | None
    is_own: bool
    num_ranks: int
    position: QueuePosition | None = None
    where: str = ""

    @property
    def word(self) -> str:
        return self.status.word if self.status is not None else "running"

    @property
    def label(self) -> str:
        """For the list: short."""
        ranks = f"{self.num_ranks} rank{'s' if self.num_ranks != 1 else ''}"
        mine = "● " if self.is_own else "   "
        if self.status is None:
            return f"{mine}{ranks} on {self.where}"
        return f"{mine}{self.key} — {self.status.record.kind}, {ranks}, {self.word}"

    @property
    def can_connect(self) -> bool:
        """Whether this notebook can work with it."""
        if self.status is None or self.is_own:
            return False
        record = self.status.record
        return record.kept and record.is_here() and not record.is_in_use() and self.word not in ("lost", "ended")

    @property
    def sentence(self) -> str:
        """All that is known, for people."""
        if self.status is None:
            return f"The ranks of this notebook, on {self.where}. %%mpi cells run there."
        record, job = self.status.record, self.status.job
        parts = [f"{self.key}: {self._job_text()}."]
        if self.word == "lost":
            parts.append("Its controller is gone, so it cannot be used any more.")
            parts.append("Stop cancels its job and removes what is left.")
        if job.nodes:
            more = f" and {len(job.nodes) - 4} more" if len(job.nodes) > 4 else ""
            parts.append(f"Nodes: {', '.join(job.nodes[:4])}{more}.")
        if self.is_own:
            parts.append("This notebook works with it.")
        elif not record.is_here():
            parts.append(f"It was started on {record.host}: connect from there.")
        elif record.is_in_use():
            parts.append(f"Another notebook works with it (process {record.user_pid}).")
        ends = f"It ends with its notebook (process {record.owner_pid})."
        parts.append("It is kept when its notebook ends." if record.kept else ends)
        return " ".join(parts)

    def _job_text(self) -> str:
        record, job = self.status.record, self.status.job
        if not record.job_id:
            return f"no job yet ({record.kind})"
        place = f", position {self.position.place} of {self.position.waiting}" if self.position else ""
        reason = f": {job.reason.rstrip('.')}" if job.reason else ""
        words = {"unknown": f"is unknown to {record.kind} at present", "ended": "has ended"}
        word = words.get(job.word, f"is {job.word}")
        return f"{record.kind} job {record.job_id} {word}{place}{reason}"


def find_rows(engines: Engines) -> tuple[Row, ...]:
    """The clusters of this user, and first the ranks of this notebook; asks the batch system.

    Parameters
    ----------
    engines : Engines
        Of this notebook.
    """
    own = own_name(engines)
    rows = [Row(s.record.name, s, s.record.name == own, s.record.num_ranks, _position(s)) for s in manage.statuses()]
    if engines.ranks and not any(row.is_own for row in rows):
        rows.insert(0, Row(HERE, None, True, engines.num_ranks, where=engines.where))
    return tuple(sorted(rows, key=lambda row: not row.is_own))


def own_name(engines: Engines) -> str | None:
    """The name of the cluster that a notebook works with; None if it has none."""
    return getattr(engines, "name", None)


def _position(status: manage.ClusterStatus) -> QueuePosition | None:
    if status.job.word != "queued":
        return None
    with contextlib.suppress(LabkitError):
        return find_scheduler(status.record.kind).position(status.record.job_id)
    return None


def map_nodes(row: Row, ranks: tuple[RankActivity, ...], num_cpus: dict[str, int]) -> tuple[MapNode, ...]:
    """The nodes of a row for its map, with the ranks where this notebook sees them."""
    if row.is_own and ranks:
        by_host: dict[str, list[MapRank]] = {}
        for one in ranks:
            by_host.setdefault(one.host, []).append(MapRank(one.rank, one.state, one.text, one.gpu))
        return tuple(MapNode(host, tuple(found), num_cpus.get(host, 0)) for host, found in by_host.items())
    return tuple(MapNode(name) for name in row.status.job.nodes) if row.status is not None else ()


def last_lines(row: Row, num_lines: int) -> str:
    """What the job and its worlds have printed last; "" for ranks without a job."""
    return manage.logs(row.key, num_lines) if row.status is not None else ""


def error_sentence(error: BaseException) -> str:
    """An error for people: those of labkit are sentences already."""
    if isinstance(error, LabkitError):
        return str(error)
    words = str(error).strip() or "no reason was given"
    return f"This did not work ({type(error).__name__}): {words}"


def as_html(text: str, tone: str = "") -> str:
    """Plain text as HTML that wraps; ``tone`` is ``"wrong"`` for what went wrong."""
    from labkit.views.theme import ACCENT

    style = "line-height:1.45;white-space:pre-wrap;overflow-wrap:anywhere;"
    style += f"border-left:3px solid {ACCENT};padding-left:8px;" if tone == "wrong" else ""
    return f'<div style="{style}">{html.escape(text)}</div>' if text else ""


def as_code(text: str, max_height_px: int) -> str:
    """Text in lines of its own, with bars to scroll."""
    style = (
        f"max-height:{max_height_px}px;overflow:auto;margin:2px 0;padding:6px 10px;border-radius:4px;line-height:1.35;"
        "font-size:12px;background:rgba(128,128,128,0.12);white-space:pre;"
    )
    return f'<div style="width:0;min-width:100%"><pre style="{style}">{html.escape(text)}</pre></div>' if text else ""
