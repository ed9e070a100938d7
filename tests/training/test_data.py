"""Data sets: what they contain, and that every rank sees the same."""

import gzip
from importlib import resources

import numpy as np
import pytest
import torch

from labkit.errors import UsageError
from labkit.training.data import (
    DataSet,
    load_characters,
    load_digits,
    load_mnist,
    load_reviews,
    make_data,
)


def raw(name):
    return gzip.decompress((resources.files("labkit.training") / "datasets" / name).read_bytes()).decode()


def test_mnist_is_the_file():
    data = load_mnist(seed=3)
    rows = np.array([line.split(",") for line in raw("mnist_5k.csv.gz").split()], int)
    pixels = torch.cat([data.inputs, data.test_inputs]).view(5000, -1) * 255
    found = np.column_stack([pixels.round().numpy().astype(int), torch.cat([data.targets, data.test_targets]).numpy()])
    assert found.shape == rows.shape == (5000, 785)
    assert sorted(map(bytes, found.astype(np.uint8))) == sorted(map(bytes, rows.astype(np.uint8)))
    assert torch.cat([data.targets, data.test_targets]).bincount().tolist() == [500] * 10


def test_split_depends_on_the_seed_alone():
    first, same, other = load_digits(seed=1), load_digits(seed=1), load_digits(seed=2)
    assert first.digest() == same.digest() != other.digest()
    assert len(first) + len(first.test_inputs) == 1797 and len(load_digits(test_share=0)) == 1797


def test_digest_sees_one_changed_value():
    data = load_digits()
    changed = DataSet(data.name, data.inputs.clone(), data.targets, data.test_inputs, data.test_targets, 10)
    changed.inputs[700, 0, 3, 3] += 1e-6
    assert changed.digest() != data.digest()


def test_words_of_reviews():
    data = load_reviews(num_words=500, length=8)
    lines = [line.split("\t", 2) for line in raw("movie_review_sentiment.tsv.gz").splitlines()]
    num_rated = sum(float(rating) != 0 for _, rating, _ in lines)
    assert len(data) + len(data.test_inputs) == num_rated
    assert int(data.targets.sum() + data.test_targets.sum()) == sum(float(rating) > 0 for _, rating, _ in lines)
    assert data.inputs.shape[1] == 8 and data.num_tokens == len(data.vocabulary) == 500 and data.inputs.max() == 499
    sentences = {" ".join(text.lower().replace("''", " ").split()[:2]) for _, _, text in lines}
    known = [row for row in data.inputs[:300] if (row[:2] > 1).all()]
    words = [" ".join(data.vocabulary[token] for token in row[:2]) for row in known]
    assert sum(text in sentences for text in words) > 0.7 * len(words) > 50  # the others have punctuation in between


def test_characters_are_the_text():
    data = load_characters(length=50, test_share=0)
    text = "\n".join(line.split("\t", 2)[2] for line in raw("movie_review_sentiment.tsv.gz").splitlines())
    windows = {"".join(data.vocabulary[token] for token in row) for row in data.inputs.tolist()}
    assert windows == {text[start : start + 50] for start in range(0, len(text) - 50, 50)}
    assert torch.equal(data.inputs[:, 1:], data.targets[:, :-1]) and data.targets.max() < data.num_classes


def test_own_data_and_bad_input():
    data = make_data(np.zeros((10, 3), np.float32), np.arange(10), num_classes=10, test_share=0.3)
    assert len(data) == 7 and sorted(data.targets.tolist() + data.test_targets.tolist()) == list(range(10))
    assert len(data.head(4, 1)) == 4 and len(data.head(4, 1).test_inputs) == 1
    with pytest.raises(UsageError, match="test_share"):
        load_digits(test_share=1.0)
    with pytest.raises(UsageError, match="7 samples but its targets 6"):
        DataSet("own", data.inputs, data.targets[:6], data.inputs, data.targets, 10)
    with pytest.raises(UsageError, match="length"):
        load_reviews(length=0)
