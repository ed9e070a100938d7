"""What can become of a request."""

from enum import IntEnum


class Outcome(IntEnum):
    """What became of a request; with ANSWERED there is a status of HTTP."""

    ANSWERED = 0
    TIMEOUT = 1
    REFUSED = 2
    CONNECTION_LOST = 3
    NO_HTTP = 4
    NO_CONNECTION = 5
    UNDER_WAY = 6

    @property
    def words(self) -> str:
        """As in the table of errors."""
        return WORDS[self]


WORDS = {
    Outcome.ANSWERED: "answered",
    Outcome.TIMEOUT: "time limit passed",
    Outcome.REFUSED: "connection refused",
    Outcome.CONNECTION_LOST: "connection lost",
    Outcome.NO_HTTP: "answer is not HTTP",
    Outcome.NO_CONNECTION: "no connection",
    Outcome.UNDER_WAY: "unanswered when stopped",
}
