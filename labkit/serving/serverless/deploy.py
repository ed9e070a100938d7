"""A serverless function as a folder and as a zip file for AWS Lambda.

``python -m labkit.serving.serverless.deploy PACKAGE function.zip --numpy`` makes the file; docs/serving_on_aws.md says what
is done with it.

References
----------
AWS Lambda developer guide, "Lambda quotas": a deployment package has at most 50 MB zipped, if it is uploaded directly, and
250 MB unzipped, with all layers. "Working with .zip file archives for Python Lambda functions": files lie at the root
of the archive and are readable by everybody.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from labkit.errors import LabkitError, NotAvailableError, UsageError
from labkit.serving.package import classifier
from labkit.serving.package.classifier import PackageError, load_package

MAX_ZIPPED_BYTES, MAX_UNZIPPED_BYTES = 50 * 1024**2, 250 * 1024**2
HANDLER = "lambda_function.handler"
HANDLER_FILE = Path(__file__).parent / "handler" / "lambda_function.py"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of all files: equal contents give equal archives
READABLE = 0o100644 << 16
LEFT_OUT = ("tests", "__pycache__", "include", "f2py", "distutils")  # folders of NumPy that no model needs
LEFT_OUT_ENDINGS = (".pyc", ".pyi", ".a", ".h", ".c")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A zip file for AWS.

    Attributes
    ----------
    path : Path
    num_bytes, unzipped_bytes : int
    python : str or None
        The runtime that the NumPy within was made for, such as "python3.11"; None without one: add a layer that has NumPy.
    machine : str or None
        Likewise "x86_64" or "arm64".
    """

    path: Path
    num_bytes: int
    unzipped_bytes: int
    python: str | None
    machine: str | None

    def __str__(self) -> str:
        numpy = f"with NumPy for {self.python} on {self.machine}" if self.python else "without NumPy: add a layer that has it"
        return (
            f"{self.path}: {self.num_bytes / 1e6:.1f} MB zipped of {MAX_ZIPPED_BYTES / 1e6:.1f}, "
            f"{self.unzipped_bytes / 1e6:.1f} MB unzipped of {MAX_UNZIPPED_BYTES / 1e6:.1f}, {numpy}; handler {HANDLER}"
        )


def make_folder(folder: str | Path, package) -> Path:
    """The folder of a function: the handler, classifier.py and the model. What the local Lambda runs is what is deployed.

    Parameters
    ----------
    folder : str or Path
        Made if need be; another model in it is replaced.
    package : path or PackageInfo

    Raises
    ------
    PackageError
        There is no such package, or it is damaged.
    """
    folder = Path(folder)
    files = _function_files(package)
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.glob("*.labkit-model"):
        if other.name not in files:
            other.unlink()
    for name, source in files.items():
        if not ((folder / name).exists() and source.samefile(folder / name)):
            shutil.copyfile(source, folder / name)
    return folder


def make_zip(path: str | Path, package, *, with_numpy: bool = False) -> Deployment:
    """The same as a zip file for AWS Lambda.

    Parameters
    ----------
    path : str or Path
        Of the zip file, replaced at the end in one step.
    package : path or PackageInfo
    with_numpy : bool
        Put the installed NumPy into it. It must have been made for the runtime: for Linux, the Python version and the
        processor of the function.

    Raises
    ------
    PackageError
    NotAvailableError
        The installed NumPy is not for Linux, or its files are not known.
    UsageError
        The archive would exceed 50 MB zipped or 250 MB unzipped; no file is left.
    """
    path = Path(path)
    files = dict(_function_files(package))
    if with_numpy:
        files |= _numpy_files()
    unzipped = sum(source.stat().st_size for source in files.values())
    _check("unzipped", unzipped, MAX_UNZIPPED_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, source in sorted(files.items()):
                info = zipfile.ZipInfo(name, FIRST_DATE)
                info.external_attr, info.compress_type = READABLE, zipfile.ZIP_DEFLATED
                archive.writestr(info, source.read_bytes())
        size = part.stat().st_size
        _check("zipped", size, MAX_ZIPPED_BYTES)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return Deployment(path, size, unzipped, version if with_numpy else None, machine if with_numpy else None)


def _function_files(package) -> dict[str, Path]:
    source = Path(os.path.abspath(package))
    load_package(source)
    name = source.name if source.suffix == ".labkit-model" else f"{source.name}.labkit-model"
    return {HANDLER_FILE.name: HANDLER_FILE, "classifier.py": Path(classifier.__file__), name: source}


def _numpy_files() -> dict[str, Path]:
    """By their names in the archive: those that the installer wrote down, without tests and headers."""
    if sys.platform != "linux":
        raise NotAvailableError(
            f"AWS Lambda runs Linux, and the NumPy here is for {sys.platform}: make the zip without NumPy and add a layer "
            "that has it, or make it on Linux."
        )
    listed = metadata.files("numpy")
    if not listed:
        raise NotAvailableError("the installer of NumPy did not write down its files: install it with pip, or add a layer.")
    found = {}
    for file in listed:
        inside = file.parts[0] in ("numpy", "numpy.libs") and not set(file.parts[:-1]) & set(LEFT_OUT)
        if inside and not file.name.endswith(LEFT_OUT_ENDINGS) and Path(file.locate()).is_file():
            found["/".join(file.parts)] = Path(file.locate())
    return found


def _check(what: str, num_bytes: int, most: int) -> None:
    if num_bytes > most:
        raise UsageError(
            f"a function has at most {most / 1024**2:.0f} MiB {what} on AWS Lambda, but this one has "
            f"{num_bytes / 1024**2:.1f} MiB: take a smaller model, or put NumPy into a layer, or deploy a container image "
            "(up to 10 GB)."
        )


def main(argv: list[str] | None = None) -> int:
    """Make the zip file."""
    parser = argparse.ArgumentParser(prog="python -m labkit.serving.serverless.deploy", description=main.__doc__)
    parser.add_argument("package", help="a *.labkit-model file")
    parser.add_argument("zip", help="the file to write, such as function.zip")
    parser.add_argument("--numpy", action="store_true", help="put the installed NumPy into it")
    options = parser.parse_args(argv)
    try:
        print(make_zip(options.zip, options.package, with_numpy=options.numpy))
    except (LabkitError, PackageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
