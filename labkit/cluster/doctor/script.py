"""The line that starts one process of the probe, and the job script around it."""

from __future__ import annotations

import base64
import shlex
import zlib
from pathlib import Path

from labkit.cluster import script as parts
from labkit.cluster.doctor.evidence import NEEDED
from labkit.cluster.options import ClusterOptions

#: Without Python there is a report, too: bash can write files and open connections. {python} is tried first,
#: so that its own words are known if it does not start.
SHELL = """\
python=$1; shift
if words=$("$python" -c pass 2>&1); then exec "$python" "$@"; fi
words=${words#*line 2: }
clean() { printf %s "$1" | tr '\\n\\t' '  ' | tr -d '"\\\\' | cut -c1-300; }
report=$(printf '{"host":"%s","pid":%d,"stage":"shell","python":"%s","python_error":"%s","folder_seen":%s}' \\
  "$(hostname)" $$ "$(clean "$python")" "$(clean "$words")" \\
  "$([ -e "$LABKIT_PROBE_FOLDER/token" ] && echo true || echo false)")
printf 'LABKIT-PROBE %s\\n' "$report"
{ printf '%s' "$report" >"$LABKIT_PROBE_FOLDER/report-$(hostname)-$$-shell.json"; } 2>/dev/null
export report
timeout 5 bash -c 'printf "%s\\n%s\\n" "$LABKIT_PROBE_TOKEN" "$report" \\
  >"/dev/tcp/$LABKIT_PROBE_ADDRESS/$LABKIT_PROBE_PORT"' 2>/dev/null || true
"""
UNPACK = "import sys, zlib, base64; exec(compile(zlib.decompress(base64.b64decode(sys.argv.pop(1))), 'probe', 'exec'))"


def process_command(python: str) -> list[str]:
    """The command of one process; what it needs to know comes by :func:`environment`."""
    source = Path(__file__).with_name("probe.py").read_bytes()
    packed = base64.b64encode(zlib.compress(source, 9)).decode()
    return ["/bin/bash", "-c", SHELL, "labkit-probe", python, "-c", UNPACK, packed, *NEEDED]


def environment(folder: Path, token: str, address: str, port: int, num_asked: int) -> dict[str, str]:
    """What a process of the probe is told."""
    return {
        "LABKIT_PROBE_FOLDER": str(folder),
        "LABKIT_PROBE_TOKEN": token,
        "LABKIT_PROBE_ADDRESS": address,
        "LABKIT_PROBE_PORT": str(port),
        "LABKIT_PROBE_COUNT": str(num_asked),
    }


#: Its output goes to the folder if that is seen, and to the doctor by a connection otherwise: a job whose output
#: file cannot be made would not even start, so the scheduler is told none.
BEGIN = r"""
if [ -d "$LABKIT_PROBE_FOLDER" ]; then log=$LABKIT_PROBE_FOLDER/job.log; else log=$(mktemp); fi
exec >"$log" 2>&1 </dev/null
finish() { # says how it went
  echo "LABKIT-PROBE-LAUNCHER $1"
  said=$(grep -v '^LABKIT-PROBE' "$log" | tail -n 20 | tr -d '"\\' | tr '\n\t' '| ' | tr -cd '\40-\176' | tail -c 2000)
  report=$(printf '{"launcher":%d,"said":"%s"}' "$1" "$said")
  export report
  timeout 5 bash -c 'printf "%s\n%s\n" "$LABKIT_PROBE_TOKEN" "$report" \
    >"/dev/tcp/$LABKIT_PROBE_ADDRESS/$LABKIT_PROBE_PORT"' 2>/dev/null
  if [ ! -d "$LABKIT_PROBE_FOLDER" ]; then rm -f "$log"; fi
}
trap 'finish $?' EXIT
"""
END = """
}
set -m # the ranks get a process group of their own, so that they can be ended together
start_ranks &
ranks=$!
{ sleep @LIMIT@; kill -- "-$ranks"; } &
watch=$!
status=0
wait "$ranks" || status=$?
kill -- "-$watch" 2>/dev/null || true
exit "$status"
"""


def job_script(options: ClusterOptions, scheduler, command: list[str], told: dict[str, str], limit_s: int) -> str:
    """The probe's job: the directives, modules, environment and launcher of the engines' own job.

    Parameters
    ----------
    options : ClusterOptions
    scheduler : Scheduler
    command : list of str
        Of one process.
    told : dict
        What it needs to know, as environment variables.
    limit_s : int
        Seconds after which the ranks are ended.
    """
    lines = [
        "#!/bin/bash",
        *scheduler.directives(options, "/dev/null"),
        "# Written by labkit: a short job that looks at the nodes.",
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
    lines += [BEGIN, *parts.module_lines(options), *parts.environment_lines(options), *parts.variable_lines(options, scheduler)]
    lines += ["start_ranks() {", *parts.launch_lines(options, scheduler, command, carried=tuple(told))]
    return "\n".join(lines) + END.replace("@LIMIT@", str(limit_s))
