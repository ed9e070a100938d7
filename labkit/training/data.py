"""Data sets as tensors: digits, film reviews as words, film reviews as characters.

Every set is read from files that ship with the package (or with scikit-learn), and cut into a part to learn from
and a part to test on in a way that depends on nothing but ``seed``: all ranks hold the same data.
"""

from __future__ import annotations

import functools
import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import torch

from labkit.errors import UsageError

TEST_SHARE = 0.2
DIGEST_BYTES = 1 << 22
PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples with their targets, and others to test on.

    Attributes
    ----------
    name : str
    inputs, test_inputs : torch.Tensor, (N, ...) and (M, ...)
        Pixels of float32, or tokens of int64.
    targets, test_targets : torch.Tensor
        Classes (N,) of int64; or, of a language model, the token that follows each one, (N, T); or of float: values.
    num_classes : int
        Also the number of tokens that a language model chooses from.
    num_tokens : int
        How many different tokens the inputs have; 0 of pixels.
    vocabulary : tuple of str
        The text of each token.
    """

    name: str
    inputs: torch.Tensor
    targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    num_classes: int
    num_tokens: int = 0
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self):
        for part, inputs, targets in (
            ("inputs", self.inputs, self.targets), ("test_inputs", self.test_inputs, self.test_targets)
        ):
            if len(inputs) != len(targets):
                raise UsageError(
                    f"data {self.name!r}: {part} has {len(inputs)} samples but its targets {len(targets)}: "
                    "give every sample one target."
                )

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return (
            f"<data {self.name!r}: {len(self)} samples of {tuple(self.inputs.shape[1:])}, {len(self.test_inputs)} to test on, "
            f"{self.num_classes} classes>"
        )

    def head(self, num_samples: int, num_test_samples: int | None = None) -> DataSet:
        """The first samples only."""
        m = num_samples if num_test_samples is None else num_test_samples
        return replace(
            self, inputs=self.inputs[:num_samples], targets=self.targets[:num_samples],
            test_inputs=self.test_inputs[:m], test_targets=self.test_targets[:m],
        )

    def digest(self) -> str:
        """A short text that differs when shapes, types or values do; of large sets, parts of the values are read."""
        words = [self.name, str(self.num_classes), str(self.num_tokens)]
        for tensor in (self.inputs, self.targets, self.test_inputs, self.test_targets):
            array = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
            stride = max(1, array.size // DIGEST_BYTES)
            words.append(f"{tuple(tensor.shape)}{tensor.dtype}{zlib.crc32(np.ascontiguousarray(array[::stride])):08x}")
        return " ".join(words)


def load_mnist(*, test_share: float = TEST_SHARE, seed: int = 0) -> DataSet:
    """5000 handwritten digits, (N, 1, 28, 28) from 0 to 1; 500 of each class.

    Examples
    --------
    >>> load_mnist()
    <data 'mnist': 4000 samples of (1, 28, 28), 1000 to test on, 10 classes>
    """
    rows = _mnist_rows()
    pixels = torch.from_numpy(rows[:, :-1].astype(np.float32) / 255).view(-1, 1, 28, 28)
    return _split("mnist", pixels, torch.from_numpy(rows[:, -1].astype(np.int64)), 10, test_share, seed)


def load_digits(*, test_share: float = TEST_SHARE, seed: int = 0) -> DataSet:
    """1797 handwritten digits of scikit-learn, (N, 1, 8, 8) from 0 to 1.

    Examples
    --------
    >>> load_digits(test_share=0.5)
    <data 'digits': 899 samples of (1, 8, 8), 898 to test on, 10 classes>
    """
    from sklearn.datasets import load_digits as load

    digits = load()
    pixels = torch.from_numpy(digits.images.astype(np.float32) / 16).view(-1, 1, 8, 8)
    return _split("digits", pixels, torch.from_numpy(digits.target.astype(np.int64)), 10, test_share, seed)


def load_reviews(
    *, num_words: int = 2000, length: int = 32, test_share: float = TEST_SHARE, seed: int = 0
) -> DataSet:
    """Sentences of film reviews as words, (N, length) of int64; class 1 is praise, class 0 is not.

    Parameters
    ----------
    num_words : int
        The size of the vocabulary: the most frequent words of the part to learn from. Token 0 fills up short
        sentences, token 1 stands for every other word.
    length : int
        Of a sentence, in words; longer ones are cut.

    Notes
    -----
    Sentences with the mean rating 0 belong to neither class and are left out.
    """
    if num_words < 3 or length < 1:
        raise UsageError(
            f"load_reviews: num_words is 3 or more and length 1 or more, not {num_words} and {length}: pass such numbers."
        )
    rated = [(rating, text) for rating, text in _reviews() if rating != 0]
    order = _order(len(rated), seed)
    num_test = _num_test(len(rated), test_share)
    words = [re.findall(r"[a-z0-9]+|[!?]", text.lower()) for _, text in rated]
    counts = Counter(word for sample in order[num_test:] for word in words[sample])
    by_count = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = ("<padding>", "<unknown>", *by_count[: num_words - 2])
    number = {word: token for token, word in enumerate(vocabulary)}
    tokens = np.full((len(rated), length), PADDING, np.int64)
    for row, sentence in zip(tokens, words, strict=True):
        found = [number.get(word, UNKNOWN) for word in sentence[:length]]
        row[: len(found)] = found
    classes = np.array([rating > 0 for rating, _ in rated], np.int64)
    data = _split("reviews", torch.from_numpy(tokens), torch.from_numpy(classes), 2, test_share, seed)
    return replace(data, num_tokens=len(vocabulary), vocabulary=vocabulary)


def load_characters(*, length: int = 64, test_share: float = TEST_SHARE, seed: int = 0) -> DataSet:
    """The text of the reviews cut into windows of characters: learn which character comes next.

    ``inputs`` and ``targets`` are (N, length) of int64; the targets are the inputs one character later.

    Examples
    --------
    >>> data = load_characters(length=16)
    >>> "".join(data.vocabulary[token] for token in data.inputs[0][1:]) == "".join(
    ...     data.vocabulary[token] for token in data.targets[0][:-1])
    True
    """
    if length < 1:
        raise UsageError(f"load_characters: length is 1 or more, not {length}: pass the number of characters of a window.")
    text = "\n".join(text for _, text in _reviews())
    letters, tokens = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    num_windows = (len(tokens) - 1) // length
    tokens = torch.from_numpy(tokens.astype(np.int64))
    inputs = tokens[: num_windows * length].view(num_windows, length)
    targets = tokens[1 : num_windows * length + 1].view(num_windows, length)
    data = _split("characters", inputs, targets, len(letters), test_share, seed)
    return replace(data, num_tokens=len(letters), vocabulary=tuple(map(chr, letters)))


def make_data(inputs, targets, *, num_classes: int, test_share: float = TEST_SHARE, seed: int = 0, name: str = "own") -> DataSet:
    """A data set of tensors or arrays of your own, split like the others."""
    return _split(name, torch.as_tensor(inputs), torch.as_tensor(targets), num_classes, test_share, seed)


def _split(name: str, inputs, targets, num_classes: int, test_share: float, seed: int) -> DataSet:
    order = torch.from_numpy(_order(len(inputs), seed))
    num_test = _num_test(len(inputs), test_share)
    test, rest = order[:num_test], order[num_test:]
    return DataSet(name, inputs[rest], targets[rest], inputs[test], targets[test], num_classes)


def _order(num_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(num_samples)


def _num_test(num_samples: int, test_share: float) -> int:
    if not 0 <= test_share < 1:
        raise UsageError(f"test_share is a share from 0 to below 1, not {test_share!r}: pass 0.2, for example.")
    return int(num_samples * test_share)


def _lines(name: str) -> str:
    path = resources.files("labkit.training") / "datasets" / name
    return gzip.decompress(path.read_bytes()).decode()


@functools.lru_cache(maxsize=1)
def _mnist_rows() -> np.ndarray:
    """(5000, 785) of uint8: pixels, then the class."""
    return np.fromstring(_lines("mnist_5k.csv.gz").replace("\n", ","), np.uint8, sep=",").reshape(-1, 785)


@functools.lru_cache(maxsize=1)
def _reviews() -> tuple[tuple[float, str], ...]:
    rows = (line.split("\t", 2) for line in _lines("movie_review_sentiment.tsv.gz").splitlines())
    return tuple((float(rating), text) for _, rating, text in rows)
