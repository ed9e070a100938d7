"""Checks of single options of a cluster: text in, the same thing in its one form out, or UsageError.

What passes here is put into job scripts and command lines, so every pattern says what is allowed
rather than what is not: no check lets a newline, a quote or a leading ``-`` through by accident.
"""

from __future__ import annotations

import ipaddress
import os
import re

from labkit.errors import UsageError

_TIME = re.compile(r"(?:(?P<days>\d{1,4})-)?(?P<rest>\d{1,6}(?::\d{1,2}){0,2})", re.ASCII)
_MEMORY = re.compile(r"(\d{1,9})\s*([KMGT])I?B?", re.ASCII | re.IGNORECASE)
_SITE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:/,-]{0,199}", re.ASCII)
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:/@=~-]{0,199}", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]{0,199}", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,49}", re.ASCII)
_DIRECTIVE_PREFIX = re.compile(r"#(?:SBATCH|PBS|BSUB|\$)\s+")

TIME_FORMATS = "minutes (30), MM:SS (30:00), HH:MM:SS (1:30:00) or D-HH:MM:SS (1-12:00:00)"


def check_count(option: str, value: object, least: int) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1_000_000:
        raise UsageError(f"{option} {value!r}: a whole number of at least {least} is needed, for example {option} 4.")
    return value


def check_text(option: str, value: object) -> str:
    """Text of one line, without control characters."""
    if not isinstance(value, str):
        raise UsageError(f"{option} {value!r}: a text is needed, and this is of type {type(value).__name__}.")
    if not value.strip():
        raise UsageError(f"{option}: the text is empty; give a value or leave {option} out.")
    if not value.isprintable():
        raise UsageError(
            f"{option} {value!r}: it has to be one line without control characters, "
            f"because it goes into a job script. Write it without them."
        )
    return value


def check_time(value: object, option: str = "--time") -> str:
    """A time limit as ``HH:MM:SS``; the hours may exceed 24.

    Examples
    --------
    >>> check_time("30"), check_time(90), check_time("45:30"), check_time("1-12:00:00")
    ('00:30:00', '01:30:00', '00:45:30', '36:00:00')
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else check_text(option, value).strip()
    match = _TIME.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} {text!r}: not a time. Write {TIME_FORMATS}.")
    parts = [int(part) for part in match["rest"].split(":")]
    if match["days"] is not None:  # D-HH, D-HH:MM, D-HH:MM:SS
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        hours_limit = 24
    else:  # MM, MM:SS, HH:MM:SS
        hours, minutes, seconds = parts if len(parts) == 3 else (0, *parts, 0)[:3]
        hours_limit = 1_000_000
    if seconds > 59 or hours >= hours_limit or (minutes > 59 and (len(parts) == 3 or match["days"] is not None)):
        raise UsageError(
            f"{option} {text!r}: minutes and seconds after a colon go to 59, hours after days to 23. "
            f"Write {TIME_FORMATS}."
        )
    total = ((int(match["days"] or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    if total == 0:
        raise UsageError(f"{option} {text!r}: a job of no time cannot run. Write {TIME_FORMATS}.")
    return f"{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}"


def seconds_of(time: str) -> int:
    """Seconds of a time as :func:`check_time` returns it.

    Examples
    --------
    >>> seconds_of("01:00:05")
    3605
    """
    hours, minutes, seconds = map(int, time.split(":"))
    return (hours * 60 + minutes) * 60 + seconds


def check_memory(value: object) -> str:
    """Memory a node as a number and a unit.

    Examples
    --------
    >>> check_memory("4G"), check_memory("512 MiB"), check_memory("4gb")
    ('4G', '512M', '4G')
    """
    text = check_text("--memory", str(value)).strip()
    match = _MEMORY.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise UsageError(
            f"--memory {text!r}: memory a node is a whole number with its unit K, M, G or T. Write --memory 4G or 512M."
        )
    return f"{int(match[1])}{match[2].upper()}"


def check_site_name(option: str, value: object) -> str:
    """The name of a partition, queue, account or project."""
    return _check_pattern(option, value, _SITE_NAME, "letters, digits and _ . @ + : / , -, the first a letter or digit")


def check_module(value: object) -> str:
    """The name of an environment module, as ``module load`` takes it."""
    return _check_pattern(
        "--module",
        value,
        _MODULE,
        "letters, digits and _ . + : / @ = ~ -, the first a letter or digit; one --module each",
    )


def check_host(value: object) -> str:
    """A host for ssh: ``name`` or ``user@name``."""
    return _check_pattern("--hosts", value, _HOST, "name or user@name of letters, digits, dots and dashes")


def check_name(value: object) -> str:
    """The name of a cluster or a profile; also the name of its job."""
    return _check_pattern("--name", value, _NAME, "at most 50 letters, digits and _ . -, the first a letter")


def check_directive(value: object) -> str:
    """An extra directive without its prefix; it has to begin with ``-``.

    Examples
    --------
    >>> check_directive("#SBATCH --constraint=ib")
    '--constraint=ib'
    """
    text = _DIRECTIVE_PREFIX.sub("", check_text("--directive", value).strip(), count=1)
    if not re.match(r"--?[A-Za-z]", text):
        raise UsageError(
            f"--directive {text!r}: a directive is an option of the scheduler and begins with a dash. "
            f'Write for example --directive "--constraint=ib".'
        )
    return text


def check_path(option: str, value: object) -> str:
    """A path, absolute, with ``~`` replaced."""
    text = check_text(option, value)
    return os.path.abspath(os.path.expanduser(text))


def check_address(value: object) -> str:
    """An IP address of this machine, one and not all of them."""
    text = check_text("--address", value).strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(
            f"--address {text!r}: not an IP address. See `ip -brief address` for those of this machine and give "
            f"the one that the nodes reach, for example --address 10.0.0.1."
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise UsageError(
            f"--address {text}: the controller listens on one address and not on all networks of this machine. "
            f"Give the one that the nodes reach, for example --address 10.0.0.1."
        )
    return str(address)


def _check_pattern(option: str, value: object, pattern: re.Pattern, allowed: str) -> str:
    text = check_text(option, value)
    if pattern.fullmatch(text) is None:
        raise UsageError(f"{option} {text!r}: allowed are {allowed}. Correct it or leave {option} out.")
    return text
