"""Trained classifiers as packages: of lesson 02's network, of lesson 06's models, and one of digits made here."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.errors import UsageError
from labkit.serving.package.classifier import (
    FORMAT,
    MANIFEST,
    SHOWN_DIGITS,
    VERSION,
    PackageError,
    checksum,
    load_package,
    problem_of,
)  # fmt: skip

SUFFIX = ".labkit-model"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of all files in a package: equal models give equal bytes
WIDE = 512  # a layer above it is large enough to learn from few steps
NARROW_TRAINING, WIDE_TRAINING = (20, 64, 3e-3), (2, 128, 1e-3)  # epochs, samples of a batch, learning rate


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """A package that was written.

    Attributes
    ----------
    path : Path
    checksum : str
        64 hexadecimal digits.
    num_features, num_classes, num_bytes : int
        Numbers of a row; classes; the size of the file.
    about : dict
    """

    path: Path
    checksum: str
    num_features: int
    num_classes: int
    num_bytes: int
    about: dict

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return (
            f"{self.path.name}: {self.num_features} numbers to {self.num_classes} classes, {self.num_bytes / 1e6:.3g} MB, "
            f"model {self.checksum[:SHOWN_DIGITS]}"
        )


def save_package(
    path: str | Path, model, *, preprocessing: Mapping | None = None, class_names: Sequence[str] | None = None,
    temperature: float = 1.0, about: Mapping | None = None,
) -> PackageInfo:  # fmt: skip
    """Save a classifier with all that its answers depend on.

    Parameters
    ----------
    path : str or Path
        ``.labkit-model`` is added if it ends otherwise. Another file there is replaced at the end, in one step.
    model : Network of lesson 02, MLP of lesson 06, or torch.nn.Sequential
        Products with ReLU between them: of a Sequential, ``Linear`` and ``ReLU`` in turn, after ``Flatten`` if there is
        one; ``Dropout`` is left out, as in evaluation.
    preprocessing : mapping, optional
        ``{"subtract": ..., "divide": ...}``, each a number or one for every feature: rows are sent as they were measured
        and become ``(row - subtract) / divide``. Pixels of the digits: ``{"divide": 16}``.
    class_names : sequence of str, optional
        ``"0"``, ``"1"``, ... by default.
    temperature : float
        Divides the logits: see :mod:`labkit.softmax.calibration.temperature`.
    about : mapping, optional
        Anything that JSON can hold, such as ``{"trained_on": "digits", "accuracy": 0.97}``.

    Raises
    ------
    UsageError
        The model is of another kind, or a part does not fit it.

    Examples
    --------
    >>> import tempfile
    >>> from labkit.softmax.calibration.network import Network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = save_package(f"{folder}/digits", Network.random(64, 8, 10), preprocessing={"divide": 16})
    ...     model = load_package(info.path)
    ...     classes, probabilities = model.predict(np.zeros((3, 64)))
    >>> info.path.name, info.num_features, probabilities.shape
    ('digits.labkit-model', 64, (3, 10))
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    layers = [(_float32("weights", w), _float32("biases", b)) for w, b in _layers(model)]
    unknown = set(preprocessing or ()) - {"subtract", "divide"}
    if unknown:
        raise UsageError(
            f"save_package: preprocessing has the keys subtract and divide, not {sorted(unknown)}: pass "
            '{"divide": 16}, for example.'
        )
    scaling = {"subtract": 0, "divide": 1, **(preprocessing or {})}
    scaling = {name: _float32(name, value) for name, value in scaling.items()}
    if class_names is None:
        class_names = [str(number) for number in range(layers[-1][0].shape[-1])]
    names = [str(name) for name in class_names]
    temperature = float(temperature) if isinstance(temperature, np.floating) else temperature
    wrong = problem_of(layers, names, temperature, **scaling)
    if wrong:
        raise UsageError(f"save_package: {wrong}: pass parts that fit.")
    about = _plain(about or {})
    files = {}
    manifest = {
        "format": FORMAT, "version": VERSION, "class_names": names, "temperature": temperature, "about": about,
        "layers": [], "preprocessing": {name: f"{name}.npy" for name in scaling},
    }
    for number, (weights, biases) in enumerate(layers):
        manifest["layers"].append({"weights": f"weights_{number}.npy", "biases": f"biases_{number}.npy"})
        files[f"weights_{number}.npy"], files[f"biases_{number}.npy"] = _npy(weights), _npy(biases)
    files |= {f"{name}.npy": _npy(array) for name, array in scaling.items()}
    manifest["checksum"] = checksum(manifest, files)
    _write(path, {MANIFEST: json.dumps(manifest, indent=1).encode(), **files})
    return PackageInfo(path, manifest["checksum"], len(layers[0][0]), len(names), path.stat().st_size, about)


def _layers(model) -> list[tuple]:
    """Weights (inputs, outputs) and biases of each layer."""
    from labkit.softmax.calibration.network import Network

    if isinstance(model, Network):
        return [(model.w1, model.b1), (model.w2, model.b2)]
    import torch

    from labkit.training.models.mlp import MLP

    if isinstance(model, MLP):
        modules = list(model.layers)
    elif isinstance(model, torch.nn.Sequential):
        modules = _linear_of(model)
    else:
        raise UsageError(
            f"save_package: a model is lesson 02's Network, an MLP of labkit.training or a torch.nn.Sequential of Linear "
            f"and ReLU, not {type(model).__name__}: pass one of these."
        )
    return [
        (m.weight.detach().cpu().T.numpy(), np.zeros(m.out_features) if m.bias is None else m.bias.detach().cpu().numpy())
        for m in modules
    ]


def _linear_of(model) -> list:
    from torch import nn

    modules = [module for module in model if not isinstance(module, nn.Dropout | nn.Identity)]
    if modules and isinstance(modules[0], nn.Flatten):
        modules = modules[1:]
    kinds = [nn.ReLU if number % 2 else nn.Linear for number in range(len(modules))]
    if len(modules) % 2 == 0 or not all(type(m) is kind for m, kind in zip(modules, kinds, strict=True)):
        raise UsageError(
            "save_package: a Sequential has Linear and ReLU in turn and a Linear at the end, not "
            f"{[type(m).__name__ for m in modules]}: build it so."
        )
    return modules[::2]


def _float32(name: str, value) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            return np.asarray(np.asarray(value, np.float64), np.float32, order="C")
    except (TypeError, ValueError):
        raise UsageError(f"save_package: {name} has numbers only, not {value!r}: pass a number or an array.") from None


def _plain(about: Mapping) -> dict:
    try:
        return json.loads(json.dumps(dict(about), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"save_package: about is what JSON can hold ({error}): pass texts, numbers and lists.") from None


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _write(path: Path, files: dict[str, bytes]) -> None:
    """A reader finds the file that was there or the new one, and never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, data in files.items():
                    archive.writestr(zipfile.ZipInfo(name, FIRST_DATE), data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def digits_package(
    folder: str | Path, hidden: Sequence[int] = (2048, 2048), *, seed: int = 0
) -> PackageInfo:
    """Train a classifier of scikit-learn's digits and save it; a few seconds, and no time if it is there already.

    Rows are 64 pixels from 0 to 16. The wide default has 17 MB of weights: the time of one row is that of reading them,
    and a batch reads them once. ``hidden=(64,)`` is the size of lesson 02.

    Parameters
    ----------
    folder : str or Path
        The file is ``digits-2048x2048.labkit-model`` in it.
    hidden : sequence of int
        Width of each hidden layer; may be empty.
    seed : int
        The same gives the same model on the same machine.

    Returns
    -------
    PackageInfo
        ``about["accuracy"]`` is the share of right answers on the 359 pictures it was not trained on.
    """
    hidden = tuple(hidden)
    if not all(type(width) is int and width >= 1 for width in hidden):
        raise UsageError(f"digits_package: hidden has whole numbers from 1, not {hidden!r}: pass (64,), for example.")
    path = Path(folder) / f"digits-{'x'.join(map(str, hidden)) or 'linear'}{SUFFIX}"
    made = {"trained_on": "scikit-learn's digits", "hidden": list(hidden), "seed": seed}
    try:
        there = load_package(path)
    except PackageError:
        there = None
    if there is not None and made.items() <= there.about.items():
        size = path.stat().st_size
        return PackageInfo(path, there.checksum, there.num_features, there.num_classes, size, there.about)
    model, accuracy = _train(hidden, seed)
    return save_package(path, model, preprocessing={"divide": 16}, about={**made, "accuracy": accuracy})


def _train(hidden: tuple[int, ...], seed: int):
    """A model after a few steps of Adam, and its accuracy on the part to test on."""
    import torch

    from labkit.training.data import load_digits
    from labkit.training.models.mlp import MLP

    data = load_digits(seed=seed)
    model = MLP((64, *hidden, 10), seed=seed)
    num_epochs, batch_size, rate = WIDE_TRAINING if max(hidden, default=0) > WIDE else NARROW_TRAINING
    optimizer = torch.optim.Adam(model.parameters(), rate)
    generator = torch.Generator().manual_seed(seed)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps this small are slower with a team, above all beside others
    try:
        for _ in range(num_epochs):
            for batch in torch.randperm(len(data), generator=generator).split(batch_size):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(data.inputs[batch]), data.targets[batch]).backward()
                optimizer.step()
        with torch.no_grad():
            right = (model(data.test_inputs).argmax(1) == data.test_targets).float().mean().item()
    finally:
        torch.set_num_threads(num_threads)
    return model, round(right, 4)
