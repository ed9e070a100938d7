"""A classifier as it is served: loaded from a package, asked with JSON, equal behind every server.

This file stands alone: it needs the standard library and NumPy, and nothing of labkit. It is copied beside the handler
of a serverless function, where labkit is not installed.

A package is an uncompressed zip file, ``manifest.json`` and one ``.npy`` file for every array. The manifest names the
arrays; a SHA-256 over the manifest and the arrays finds damage and names the version of the model in every answer.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np

FORMAT, VERSION = "labkit-model", 1
MANIFEST = "manifest.json"
MAX_ROWS = 256  # of one request, unless a server says otherwise
SHOWN_DIGITS = 12  # of the checksum, in an answer


class PackageError(ValueError):
    """A model package cannot be read: it is missing, damaged, of another kind, or newer than this program."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message says it all."""
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


class RequestError(ValueError):
    """A request that gets no classes.

    Attributes
    ----------
    status : int
        Of HTTP: 400 no JSON, 413 too large, 422 JSON that is no rows of numbers for this model.
    sentence : str
        The rule, the values, the next step.
    """

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Classifier:
    """Layers of products with ReLU between them, and a softmax at the end.

    ``softmax(layers((rows - subtract) / divide) / temperature)``, the layers in float32 and the softmax in float64.

    Parameters
    ----------
    layers : list of (weights, biases)
        Float32, of shapes (inputs, outputs) and (outputs,).
    class_names : list of str
    subtract, divide : ndarray of float32, shape (num_features,) or ()
    temperature : float
    checksum : str
        SHA-256 of the package, 64 hexadecimal digits.
    about : dict
        What its maker wrote about it.

    Attributes
    ----------
    num_features, num_classes, num_bytes : int
        Numbers of a row; classes; bytes of all weights.
    """

    def __init__(self, layers, class_names, *, subtract, divide, temperature=1.0, checksum="", about=None):
        self.layers, self.class_names = list(layers), list(class_names)
        self.subtract, self.divide, self.temperature = subtract, divide, float(temperature)
        self.checksum, self.about = checksum, dict(about or {})
        self.num_features, self.num_classes = len(self.layers[0][0]), self.layers[-1][0].shape[1]
        self.num_bytes = sum(array.nbytes for layer in self.layers for array in layer)

    def __repr__(self) -> str:
        sizes = [self.num_features, *(weights.shape[1] for weights, _ in self.layers)]
        return f"<classifier {' x '.join(map(str, sizes))}, model {self.checksum[:SHOWN_DIGITS]}>"

    def logits(self, rows) -> np.ndarray:
        """Logits of rows: (n, num_features) to (n, num_classes), float32."""
        values = np.asarray(rows, np.float32)
        if values.ndim != 2 or values.shape[1] != self.num_features:
            raise ValueError(
                f"rows have the shape (n, {self.num_features}), not {values.shape}: reshape them, for example with "
                f"rows.reshape(-1, {self.num_features})."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # enormous values: the caller sees a probability of NaN
            values = (values - self.subtract) / self.divide
            for number, (weights, biases) in enumerate(self.layers):
                if number:
                    np.maximum(values, 0, out=values)
                values = values @ weights
                values += biases
        return values

    def predict(self, rows) -> tuple[np.ndarray, np.ndarray]:
        """The class of every row, and the probability of every class.

        Parameters
        ----------
        rows : array (n, num_features)

        Returns
        -------
        classes : ndarray of int64, shape (n,)
        probabilities : ndarray of float64, shape (n, num_classes)
            NaN in a row whose numbers are so large that float32 overflows; other rows are not touched by that.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = self.logits(rows).astype(np.float64) / self.temperature
            scaled -= scaled.max(axis=1, keepdims=True)
            powers = np.exp(scaled)
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        return probabilities.argmax(axis=1), probabilities

    def response(self, classes, probabilities) -> dict:
        """The body of the answer 200 to one request, whose rows these are; RequestError 422 if they overflowed."""
        bad = ~np.isfinite(probabilities).all(axis=1)
        if bad.any():
            raise RequestError(
                422, f"rows[{int(bad.argmax())}] has numbers so large that the sums of this model overflow float32: "
                "send numbers in the range it was trained on.",
            )  # fmt: skip
        return {
            "classes": classes.tolist(), "probabilities": probabilities.tolist(),
            "model": self.checksum[:SHOWN_DIGITS],
        }


def parse_request(body: bytes | str, num_features: int, max_rows: int = MAX_ROWS) -> np.ndarray:
    """The rows that a body asks about.

    Parameters
    ----------
    body : bytes or str
        JSON, ``{"rows": [[...], ...]}``.
    num_features, max_rows : int

    Returns
    -------
    ndarray of float32, shape (n, num_features)
        All finite; n from 1 to ``max_rows``.

    Raises
    ------
    RequestError
        400: no JSON. 422: anything else that is wrong.

    Examples
    --------
    >>> parse_request(b'{"rows": [[1, 2.5]]}', 2)
    array([[1. , 2.5]], dtype=float32)
    >>> try:
    ...     parse_request('{"rows": [[1, NaN]]}', 2)
    ... except RequestError as error:
    ...     print(error.status, error)
    422 rows[0][1] is nan, but every number must be finite in float32: send numbers up to 3.4e38 and no NaN.
    """
    try:
        request = json.loads(body)
    except RecursionError:
        raise RequestError(400, "the body is nested too deeply: send {\"rows\": [[...], ...]}.") from None
    except ValueError as error:  # UnicodeDecodeError is one too
        raise RequestError(400, f"the body is no JSON ({error}): send {{\"rows\": [[...], ...]}}.") from None
    return parse_rows(request, num_features, max_rows)


def parse_rows(request: object, num_features: int, max_rows: int = MAX_ROWS) -> np.ndarray:
    """As :func:`parse_request`, of JSON that is parsed already."""
    if not isinstance(request, dict) or "rows" not in request:
        what = f"an object with the keys {_shown(sorted(request))}" if isinstance(request, dict) else _kind(request)
        raise RequestError(422, f"the body is an object with the key \"rows\", not {what}: send {{\"rows\": [[...], ...]}}.")
    rows = request["rows"]
    if not isinstance(rows, list) or not rows:
        what = "an empty list" if rows == [] else _kind(rows)
        raise RequestError(422, f"rows is a list of one row or more, not {what}: send {{\"rows\": [[...], ...]}}.")
    if len(rows) > max_rows:
        raise RequestError(
            422, f"a request has at most {max_rows} rows, but this one has {len(rows)}: send several requests."
        )
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise RequestError(422, f"rows[{number}] is {_kind(row)}, not a list of {num_features} numbers: send [[...], ...].")
        if len(row) != num_features:
            raise RequestError(
                422, f"rows[{number}] has {len(row)} numbers, but this model takes {num_features}: send that many."
            )
        if not set(map(type, row)) <= {int, float}:
            place = next(place for place, value in enumerate(row) if type(value) not in (int, float))
            raise RequestError(422, f"rows[{number}][{place}] is {_kind(row[place])}, not a number: send numbers only.")
    try:
        with np.errstate(over="ignore"):
            array = np.array(rows, np.float64).astype(np.float32)
    except OverflowError:  # a whole number of hundreds of digits
        raise RequestError(422, "a number is too large for float32: send numbers up to 3.4e38.") from None
    finite = np.isfinite(array)
    if not finite.all():
        number, place = map(int, np.unravel_index((~finite).argmax(), array.shape))
        raise RequestError(
            422, f"rows[{number}][{place}] is {_shown(rows[number][place])}, but every number must be finite in float32: "
            "send numbers up to 3.4e38 and no NaN.",
        )  # fmt: skip
    return array


def answer(classifier: Classifier, body: bytes | str, *, max_rows: int = MAX_ROWS) -> tuple[int, dict]:
    """The status and the body of the answer to a request, of one row or several."""
    try:
        rows = parse_request(body, classifier.num_features, max_rows)
        return 200, classifier.response(*classifier.predict(rows))
    except RequestError as error:
        return error.status, {"error": error.sentence}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def load_package(path: str | Path) -> Classifier:
    """Read a package and check it.

    Raises
    ------
    PackageError
        There is no such file; it is no package, damaged, cut off, changed, or made by a newer labkit.
    """
    path = Path(path)
    try:
        return _read(path)
    except FileNotFoundError:
        raise PackageError(f"there is no model package {path}: write one with labkit.serving.package.save_package.") from None
    except IsADirectoryError:
        raise PackageError(f"{path} is a folder, and a model package is one file: name the file in it.") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        raise PackageError(
            f"{path} is no model package, or it was cut off or damaged: write or copy it again."
        ) from None
    except OSError as error:
        raise PackageError(f"{path} cannot be read ({error}): look at its permissions and its disk.") from None


def _read(path: Path) -> Classifier:
    with zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            raise PackageError(f"{path} is a zip file without {MANIFEST}, so no model package: name another file.")
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in archive.infolist()):
            raise PackageError(f"{path} is compressed or encrypted, which a model package never is: write it again.")
        manifest = _manifest(path, archive.read(MANIFEST))
        try:
            names = [name for layer in manifest["layers"] for name in (layer["weights"], layer["biases"])]
            names += [manifest["preprocessing"]["subtract"], manifest["preprocessing"]["divide"]]
            files = {name: archive.read(name) for name in names}
        except (KeyError, TypeError, AttributeError):
            raise PackageError(f"{path}: its {MANIFEST} does not describe its arrays: write the package again.") from None
    found = checksum(manifest, files)
    if manifest.get("checksum") != found:
        raise PackageError(
            f"{path} was changed or damaged: its contents have the checksum {found[:SHOWN_DIGITS]}, its {MANIFEST} says "
            f"{str(manifest.get('checksum'))[:SHOWN_DIGITS]}. Write or copy it again."
        )
    arrays = {name: _array(path, name, data) for name, data in files.items()}
    layers = [(arrays[layer["weights"]], arrays[layer["biases"]]) for layer in manifest["layers"]]
    preprocessing = {name: arrays[manifest["preprocessing"][name]] for name in ("subtract", "divide")}
    wrong = problem_of(layers, manifest.get("class_names"), manifest.get("temperature"), **preprocessing)
    if wrong:
        raise PackageError(f"{path}: {wrong}; save the model again.")
    return Classifier(
        layers, manifest["class_names"], **preprocessing, temperature=manifest["temperature"], checksum=found,
        about=manifest.get("about"),
    )


def _manifest(path: Path, data: bytes) -> dict:
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError):
        raise PackageError(f"{path}: its {MANIFEST} is no JSON, so it was damaged: write or copy it again.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PackageError(f"{path} is a zip file of another kind, no model package: name another file.")
    version = manifest.get("version")
    if type(version) is not int or version < 1:
        raise PackageError(f"{path}: its {MANIFEST} has the version {version!r}, no number from 1: write it again.")
    if version > VERSION:
        raise PackageError(
            f"{path} has the version {version}, and this labkit reads up to {VERSION}: install the newer labkit that "
            "wrote it, or save the model again with this one."
        )
    return manifest


def _array(path: Path, name: str, data: bytes) -> np.ndarray:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise PackageError(f"{path}: its array {name} cannot be read ({error}): write the package again.") from None
    if array.dtype != np.float32:
        raise PackageError(f"{path}: its array {name} has {array.dtype}, not float32: save the model again.")
    return np.asarray(array, order="C")


def checksum(manifest: dict, files: dict[str, bytes]) -> str:
    """SHA-256 of a manifest without its checksum, and of the files of the arrays, in the order of their names."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(files):
        digest.update(f"\n{name} {len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()


def problem_of(layers, class_names, temperature, *, subtract, divide) -> str:
    """What is wrong with the parts of a classifier; "" if nothing is."""
    if not layers:
        return "it has no layers, and needs one at least"
    width = None
    for number, (weights, biases) in enumerate(layers):
        if weights.ndim != 2 or not weights.size or biases.shape != weights.shape[1:]:
            return f"layer {number} has weights {weights.shape} and biases {biases.shape}, not (inputs, outputs) and (outputs,)"
        if width not in (None, len(weights)):
            return f"layer {number} takes {len(weights)} numbers, but the layer before gives {width}"
        width = weights.shape[1]
    if not (isinstance(class_names, list) and all(isinstance(name, str) for name in class_names)):
        return "class_names is no list of texts"
    if len(class_names) != width:
        return f"there are {len(class_names)} class names for {width} classes"
    if type(temperature) not in (int, float) or not (math.isfinite(temperature) and temperature > 0):
        return f"the temperature is a number above 0, not {temperature!r}"
    for name, array in (("subtract", subtract), ("divide", divide)):
        if array.shape not in ((), layers[0][0].shape[:1]):
            return f"{name} has the shape {array.shape}, not () or ({len(layers[0][0])},)"
    if not all(np.isfinite(array).all() for array in (subtract, divide, *(a for layer in layers for a in layer))):
        return "it has numbers that are NaN or infinite in float32"
    if not divide.all():
        return "divide has a 0"
    return ""
