"""What is served: a trained classifier in one file, with its preprocessing and a checksum.

=================  ==================================================================================================
classifier.py      reads a package, checks requests, answers; stands alone, so it can be copied beside a handler
save.py            writes packages: of lesson 02's network, of lesson 06's MLP, and one of digits
=================  ==================================================================================================
"""

import importlib

_NAMES = {
    "Classifier": "classifier", "PackageError": "classifier", "RequestError": "classifier", "answer": "classifier",
    "load_package": "classifier", "parse_request": "classifier", "PackageInfo": "save", "digits_package": "save",
    "save_package": "save",
}  # fmt: skip
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    return found
