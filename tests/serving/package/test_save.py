"""Packages: what was trained is what is served; a file that is anything else is refused."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score

from labkit.errors import UsageError
from labkit.serving.package import PackageError, digits_package, load_package, save_package
from labkit.serving.package import classifier as rules
from labkit.softmax.calibration.network import Network, train_network
from labkit.training.models.mlp import MLP


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return digits_package(tmp_path_factory.mktemp("package"), hidden=(64,))


def test_the_network_of_lesson_02_answers_as_in_training(tmp_path):
    digits = load_digits()
    pictures = digits.data / 16
    network, _ = train_network(pictures[:400], digits.target[:400], num_epochs=20, num_hidden=32)
    info = save_package(
        tmp_path / "digits", network, preprocessing={"divide": 16}, temperature=2.5, class_names=list("abcdefghij"),
        about={"lesson": "02"},
    )
    model = load_package(info.path)
    classes, probabilities = model.predict(digits.data[400:])
    logits = network.logits(pictures[400:]) / 2.5
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert (classes == logits.argmax(axis=1)).mean() > 0.999
    assert accuracy_score(digits.target[400:], classes) > 0.85
    assert model.class_names == list("abcdefghij") and model.about == {"lesson": "02"} and info.path.suffix == ".labkit-model"


@pytest.mark.parametrize("sizes", [(12, 5), (12, 8, 5), (12, 30, 20, 5)])
def test_a_torch_model_answers_as_in_torch(tmp_path, sizes):
    model = MLP(sizes, seed=3)
    offset, scale = np.arange(12.0), np.linspace(0.5, 4, 12)
    loaded = load_package(save_package(tmp_path / "m", model, preprocessing={"subtract": offset, "divide": scale}))
    rows = np.random.default_rng(0).standard_normal((50, 12)) * 5
    inside = torch.from_numpy((rows - offset) / scale)
    expected = torch.softmax(model.double()(inside), dim=1).detach().numpy()
    np.testing.assert_allclose(loaded.predict(rows)[1], expected, atol=1e-5)


def test_a_sequential_model(tmp_path):
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 6, bias=False), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)).eval()
    rows = np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)
    found = load_package(save_package(tmp_path / "m", model)).predict(rows)[1]
    np.testing.assert_allclose(found, torch.softmax(model(torch.from_numpy(rows)), 1).detach().numpy(), atol=1e-6)
    for wrong in (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Sequential(), nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))):
        with pytest.raises(UsageError, match="Linear and ReLU in turn"):
            save_package(tmp_path / "n", wrong)


def test_digits_are_learnt_and_kept(info):
    digits = load_digits()
    classes, _ = load_package(info).predict(digits.data)
    assert accuracy_score(digits.target, classes) > 0.95 and info.about["accuracy"] > 0.92
    before = info.path.stat().st_mtime_ns
    again = digits_package(info.path.parent, hidden=(64,))
    assert again == info and info.path.stat().st_mtime_ns == before
    data = info.path.read_bytes()
    info.path.write_bytes(data[:-100])  # it is made again, and the same
    assert digits_package(info.path.parent, hidden=(64,)).checksum == info.checksum and info.path.read_bytes() == data


def test_equal_models_make_equal_files_and_others_do_not(tmp_path):
    network = Network.random(6, 4, 3)
    first, second = (save_package(tmp_path / name, network).path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    seen = {load_package(first).checksum}
    network.b2[1] += 1e-3
    for options in ({}, {"temperature": 2.0}, {"preprocessing": {"divide": 2}}, {"about": {"x": 1}}, {"class_names": "xyz"}):
        seen.add(save_package(tmp_path / "c", network, **options).checksum)
    assert len(seen) == 6


def test_every_changed_byte_is_found(info, tmp_path):
    """Whichever byte changes: the package is refused, or it is the same model."""
    data, path = bytearray(info.path.read_bytes()), tmp_path / "changed.labkit-model"
    original = load_package(info)
    rng = np.random.default_rng(0)
    refused = 0
    for place in [*range(0, 60), *rng.integers(0, len(data), 200), *range(len(data) - 700, len(data), 5)]:
        changed = bytearray(data)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        try:
            found = load_package(path)
        except PackageError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert found.checksum == original.checksum
            for ours, theirs in zip(found.layers, original.layers, strict=True):
                assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert refused > 200


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_file_that_was_cut_off(info, tmp_path, share):
    path = tmp_path / "cut.labkit-model"
    path.write_bytes(info.path.read_bytes()[: int(share * info.path.stat().st_size)])
    with pytest.raises(PackageError, match="cut off or damaged"):
        load_package(path)


def rewrite(source: Path, path: Path, change, *, mend: bool = True, **zipping) -> Path:
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(rules.MANIFEST))
    change(manifest, files)
    if mend:
        manifest["checksum"] = rules.checksum(manifest, files)
    with zipfile.ZipFile(path, "w", **zipping) as archive:
        for name, data in {rules.MANIFEST: json.dumps(manifest).encode(), **files}.items():
            archive.writestr(name, data)
    return path


def npy(array):
    from labkit.serving.package.save import _npy

    return _npy(array)


def pickled():
    import io

    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    return file.getvalue()


WRONG = {
    "newer labkit": lambda m, f: m.update(version=99),
    "version 'x'": lambda m, f: m.update(version="x"),
    "another kind": lambda m, f: m.update(format="other"),
    "does not describe": lambda m, f: m.pop("layers"),
    "describe its arrays": lambda m, f: m.update(layers=[{"weights": "nowhere.npy", "biases": "biases_0.npy"}]),
    "no layers": lambda m, f: m.update(layers=[]) or [f.pop(n) for n in list(f) if "_" in n],
    "not float32": lambda m, f: f.update({"divide.npy": npy(np.float64(3))}),
    "cannot be read": lambda m, f: f.update({"divide.npy": b"no array"}),
    "array divide.npy cannot": lambda m, f: f.update({"divide.npy": pickled()}),
    "divide has a 0": lambda m, f: f.update({"divide.npy": npy(np.float32(0))}),
    "divide has the shape": lambda m, f: f.update({"divide.npy": npy(np.ones(3, np.float32))}),
    "NaN or infinite": lambda m, f: f.update({"biases_0.npy": npy(np.full(64, np.nan, np.float32))}),
    "layer 1 takes": lambda m, f: f.update({"weights_1.npy": npy(np.ones((3, 10), np.float32))}),
    "layer 0 has weights": lambda m, f: f.update({"biases_0.npy": npy(np.ones(3, np.float32))}),
    "2 class names for 10": lambda m, f: m.update(class_names=["a", "b"]),
    "no list of texts": lambda m, f: m.update(class_names=list(range(10))),
    "temperature is a number": lambda m, f: m.update(temperature=0),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_package_that_is_not_right_inside(info, tmp_path, words):
    with pytest.raises(PackageError, match=words):
        load_package(rewrite(info.path, tmp_path / "wrong.labkit-model", WRONG[words]))


def test_other_files(info, tmp_path):
    unmended = rewrite(
        info.path, tmp_path / "a", lambda m, f: f.update({"biases_1.npy": npy(np.zeros(10, np.float32))}), mend=False
    )
    with pytest.raises(PackageError, match="was changed or damaged"):
        load_package(unmended)
    with pytest.raises(PackageError, match="compressed"):
        load_package(rewrite(info.path, tmp_path / "b", lambda m, f: None, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(tmp_path / "c", "w") as archive:
        archive.writestr("notes.txt", "x")
    for path, words in (
        (tmp_path / "c", "without manifest.json"), (tmp_path / "nothing", "there is no model package"),
        (tmp_path, "is a folder"), (Path(__file__), "no model package, or"),
    ):
        with pytest.raises(PackageError, match=words):
            load_package(path)


def test_what_cannot_be_saved(tmp_path):
    network = Network.random(4, 3, 2)
    for options, words in (
        ({"class_names": ["a"]}, "1 class names for 2"), ({"preprocessing": {"divide": 0}}, "divide has a 0"),
        ({"preprocessing": {"mean": 0}}, r"\['mean'\]"), ({"preprocessing": {"subtract": [1, 2]}}, "subtract has the shape"),
        ({"preprocessing": {"divide": "x"}}, "divide has numbers only"), ({"temperature": -1}, "above 0, not -1"),
        ({"temperature": float("nan")}, "above 0"), ({"about": {"x": object()}}, "JSON"), ({"about": {"x": float("nan")}}, "JSON"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            save_package(tmp_path / "x", network, **options)
    for model in (None, torch.nn.Linear(3, 2), "x"):
        with pytest.raises(UsageError, match="a model is lesson 02's Network"):
            save_package(tmp_path / "x", model)
    network.w1[0, 0] = 1e300
    with pytest.raises(UsageError, match="infinite in float32"):
        save_package(tmp_path / "x", network)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_in_one_step(info, tmp_path, monkeypatch):
    path = save_package(tmp_path / "m", Network.random(4, 3, 2)).path
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(OSError, match="No space"):
            save_package(path, Network.random(4, 3, 2, seed=2))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.labkit-model"]


def test_the_reader_stands_alone_and_the_room_is_light(info, tmp_path):
    """classifier.py beside nothing but NumPy; importing the room loads neither torch nor NumPy."""
    copy = tmp_path / "classifier.py"
    copy.write_bytes(Path(rules.__file__).read_bytes())
    program = (
        "import sys, classifier\n"
        f"status, reply = classifier.answer(classifier.load_package({str(info.path)!r}), '{{\"rows\": [[0]]}}')\n"
        "print(status, sorted({m.split('.')[0] for m in sys.modules} & {'labkit', 'torch', 'sklearn'}))"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "422 []\n"
    light = "import sys, labkit.serving.package, labkit.serving.dedicated; print('numpy' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert done.stdout == "False\n"
