"""A notebook's kernel on the controller host, as a user has it: cells go in as lines of JSON, what they gave comes back.

It is also the program that runs there: ``python notebook_process.py``.
"""

import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue


@dataclass
class Given:
    """What a cell gave: all text it showed, and the error that ended it."""

    text: str
    error: str = ""  # its type
    message: str = ""
    seconds: float = 0.0

    def value(self):
        """The last line, as a Python value."""
        import ast

        return ast.literal_eval(self.text.strip().splitlines()[-1])


class Notebook:
    """A user's notebook on host ctl."""

    def __init__(self, slurm, user, env=None):
        self.slurm, self.user = slurm, user
        code = Path(__file__).read_text()
        self.process = slurm.popen(user, "ctl", "python", "-u", "-c", code, env=env or {}, stdin=-1)
        self.lines: Queue = Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.pid = int(self._answer(60)["pid"])

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _answer(self, timeout):
        """The next answer; what else is printed, progress among it, is kept in ``seen``."""
        import time

        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                raise TimeoutError(f"no answer within {timeout} s; so far: {''.join(self.seen)[-3000:]}") from None
            if line is None:
                raise EOFError(f"the notebook ended: {''.join(self.seen)[-3000:]}")
            if line.startswith("@@"):
                return json.loads(line[2:])
            self.seen.append(line)

    def send(self, cell):
        """Start a cell."""
        self.seen.clear()
        self.process.stdin.write(json.dumps(cell) + "\n")
        self.process.stdin.flush()

    def wait(self, timeout=90):
        """The end of the cell that was sent."""
        return Given(**self._answer(timeout))

    def run(self, cell, timeout=90):
        """Run a cell, magics included."""
        self.send(cell)
        return self.wait(timeout)

    def wait_for_text(self, words, timeout=60):
        """Until the running cell has shown ``words``."""
        self.slurm.wait_until(lambda: words in self.shown(), timeout, words)

    def shown(self):
        while not self.lines.empty():
            line = self.lines.queue[0]
            if line is None or line.startswith("@@"):
                break
            self.seen.append(self.lines.get())
        return "".join(self.seen)

    def interrupt(self):
        """The Stop button."""
        self.slurm.as_root("ctl", "kill", "-INT", str(self.pid), check=True)

    def kill(self):
        """The kernel dies."""
        self.slurm.as_root("ctl", "kill", "-KILL", str(self.pid), check=True)

    def end(self):
        """Close the notebook in the orderly way."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(timeout=60)


def serve():
    """Run cells until standard input ends."""
    import contextlib
    import io
    import os
    import time

    from IPython.core.interactiveshell import InteractiveShell

    sys.argv = ["notebook"]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")

    class Tee(io.StringIO):
        def write(self, text):
            sys.__stdout__.write(text)
            sys.__stdout__.flush()
            return super().write(text)

    print("@@" + json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        shown = Tee()
        began = time.monotonic()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            result = shell.run_cell(json.loads(line))
        error = result.error_in_exec or result.error_before_exec
        answer = {
            "text": shown.getvalue(), "error": type(error).__name__ if error is not None else "",
            "message": str(error) if error is not None else "", "seconds": time.monotonic() - began,
        }
        print("\n@@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
