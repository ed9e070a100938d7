"""labkit: learn parallel computing and distributed machine learning on real hardware."""

__version__ = "0.1.0"

# What lessons import from here, and the modules it comes from: they are loaded when it is first asked for.
_FROM_MODULES = {
    "check": "labkit.widgets.check",
    "course_map": "labkit.widgets.course_map",
    "flashcards": "labkit.widgets.flashcards",
    "quiz": "labkit.widgets.quiz",
    "summary": "labkit.widgets.summary",
}


def __getattr__(name: str):
    if name not in _FROM_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_FROM_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM_MODULES})


def load_ipython_extension(ipython) -> None:
    """``%load_ext labkit``: add the magics."""
    from labkit.magics import load_ipython_extension as load

    load(ipython)
