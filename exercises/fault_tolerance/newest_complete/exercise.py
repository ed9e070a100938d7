"""What a killed run has left: complete checkpoints, and every kind of incomplete ones."""

import json
import re
import zlib

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status

MANIFEST = "manifest.json"
SHARD_DAMAGES = ("missing", "cut", "bit", "longer")
FOLDER_DAMAGES = ("no manifest", "half", "empty manifest", "set aside", "rest")


def _checkpoint(spec, rng):
    """Files of one checkpoint, and whether it is whole: ``20 8 8:cut`` is step 20, a shard of 8 bytes, one cut off.

    ``20:half 8`` is about the folder: a manifest cut off, none, a folder with another name, files beside it ("rest").
    """
    if unknown := set(re.findall(r":([a-z ]*[a-z])", spec)) - {*SHARD_DAMAGES, *FOLDER_DAMAGES}:
        raise ValueError(f"{unknown} in {spec!r} is no damage")
    head, *rest = re.findall(r"\d+(?::[a-z ]*[a-z])?", spec)
    number, _, damage = head.partition(":")
    folder, files, shards, whole = f"step-{number}", {}, [], damage in ("", "rest")
    if damage in SHARD_DAMAGES or any(part.partition(":")[2] in FOLDER_DAMAGES for part in rest):
        raise ValueError(f"{spec!r}: a shard's damage is behind its size, a folder's behind its number")
    for index, (size, harm) in enumerate(part.partition(":")[::2] for part in rest or ["6"]):
        content = rng.integers(0, 256, int(size), dtype=np.uint8)
        name = f"shard-{index}.bin"
        shards.append({"file": name, "num_bytes": content.size, "crc32": zlib.crc32(content.tobytes())})
        whole = whole and not harm
        if harm == "cut":
            content = content[: content.size // 2]
        elif harm == "bit":
            content = content ^ (np.arange(content.size) == content.size // 2).astype(np.uint8)
        elif harm == "longer":
            content = np.append(content, np.uint8(0))
        if harm != "missing":
            files[f"{folder}/{name}"] = content
    text = np.frombuffer(json.dumps({"shards": shards}).encode(), np.uint8).copy()
    if damage != "no manifest":
        files[f"{folder}/{MANIFEST}"] = text[: {"half": text.size // 2, "empty manifest": 0}.get(damage, text.size)]
    if damage == "rest":
        files[f"{folder}/shard-9.bin"] = files[f"{folder}/shard-0.bin.tmp"] = np.arange(3, dtype=np.uint8)
    if damage == "set aside":
        files = {path.replace("/", ".damaged/"): content for path, content in files.items()}
    return files, int(number) if whole else None


def case(label, *specs, data_seed=0):
    """Checkpoints in the order in which they are listed."""
    rng = np.random.default_rng([len(specs), data_seed])
    made = [_checkpoint(spec, rng) for spec in specs]
    files = {path: content for one, _ in made for path, content in one.items()}
    steps = [step for _, step in made if step is not None]
    return Case(label, ((files,),), ({"return": max(steps, default=None)},))


def random_case(data_seed):
    """A dozen checkpoints; about half of them are damaged, in the order of a dictionary that nobody has sorted."""
    rng = np.random.default_rng([12, data_seed])
    specs = []
    for step in rng.permutation(np.arange(1, 13) * 10):
        damage = f":{rng.choice(FOLDER_DAMAGES)}" if rng.random() < 0.3 else ""
        sizes = rng.integers(0, 40, rng.integers(1, 5))
        harms = [f":{rng.choice(SHARD_DAMAGES)}" if size > 1 and rng.random() < 0.2 else "" for size in sizes]
        specs.append(f"{step}{damage} " + " ".join(f"{size}{harm}" for size, harm in zip(sizes, harms, strict=True)))
    return case(f"a random folder, seed {data_seed}", *specs, data_seed=data_seed)


def cases():
    return [
        case("one checkpoint", "10 8 8"),
        case("two checkpoints", "10 8 8", "20 8 8"),
        case("listed in another order", "20 8", "30 8", "10 8"),
        case("a manifest is missing", "10 8 8", "20:no manifest 8 8"),
        case("a shard is missing and one cut off", "10 8 8", "20 8:missing 8:cut"),
        case("all shards are missing", "10 8 8", "20 8:missing 8:missing"),
        case("a shard is missing", "10 8 8", "20 8 8:missing"),
        case("the first shard is missing", "10 8 8", "20 8:missing 8"),
        case("a shard is cut off", "10 8 8", "20 8 8:cut"),
        case("a bit has changed", "10 8 8", "20 8 8:bit"),
        case("a shard is too long", "10 8 8", "20 8:longer 8"),
        case("step 100 and step 20", "20 8", "100 8"),
        case("a manifest is cut off", "10 8 8", "20:half 8 8"),
        case("a manifest without a byte", "10 8", "20:empty manifest 8"),
        case("a folder that was set aside", "10 8", "20:set aside 8"),
        case("files of an earlier attempt", "10 8", "20:rest 8 8"),
        case("a rank that had nothing", "10 8 8", "20 8 0"),
        case("the two newest are damaged", "10 8", "20 8:cut", "30 8:missing"),
        case("an older one is damaged", "10 8:cut", "20 8"),
        case("all are damaged", "10 8:bit", "20:no manifest 8"),
        case("no files"),
        *(random_case(seed) for seed in range(6)),
    ]


def _folders(files):
    """Step -> its folder, for folders that are named so."""
    return {int(m[1]): m[0] for m in (re.match(r"step-(\d+)(?=/)", path) for path in files) if m}


def _shards(files, folder):
    """What the manifest lists; None without a readable manifest."""
    try:
        return json.loads(files[f"{folder}/{MANIFEST}"].tobytes())["shards"]
    except (KeyError, ValueError):
        return None


def _complete(files, folder, *, each=all, size=True, crc=True, exists=True):
    shards = _shards(files, folder)
    return shards is not None and each(
        (content := files.get(f"{folder}/{shard['file']}")) is None and not exists or content is not None
        and (not size or content.size == shard["num_bytes"])
        and (not crc or zlib.crc32(content.tobytes()) == shard["crc32"])
        for shard in shards
    )


def _newest(rule, *, choose=max, key=None):
    """The chosen step of those that a rule takes for complete."""

    def variant(files):
        steps = [step for step, folder in _folders(files).items() if rule(files, folder)]
        return choose(steps, key=key) if steps else None

    return variant


def _gives(variant):
    """Whether the result is what ``variant(files)`` gives."""

    def applies(failure):
        return failure.status is Status.INCORRECT and failure.actual(0) == variant(failure.case.arguments[0][0])

    return applies


def _only_the_newest(files):
    folders = _folders(files)
    return max(folders) if folders and _complete(files, folders[max(folders)]) else None


def _nothing_else(files, folder):
    names = {f"{folder}/{shard['file']}" for shard in _shards(files, folder) or ()} | {f"{folder}/{MANIFEST}"}
    return _complete(files, folder) and names == {path for path in files if path.startswith(f"{folder}/")}


def _no_empty_shards(files, folder):
    return _complete(files, folder) and all(shard["num_bytes"] for shard in _shards(files, folder))


def _damaged_too(files):
    return _newest(_complete)({path.replace(".damaged/", "/"): content for path, content in files.items()})


def _crashed_with(word):
    return lambda f: f.status is Status.CRASHED and word in f.message + f.details


exercise = Exercise(
    title="The newest that is whole",
    function="newest_complete",
    points=4,
    cases=cases,
    hints=(
        "Begin with the manifests: a folder without one was still being written. What has to be true of every shard "
        "that a manifest lists?",
        "Sort the steps as numbers, and go from the newest to the oldest. json.loads raises ValueError if the text is "
        "cut off: then the next older one. Look for a shard with files.get(path), which may be None.",
        "for step in sorted(steps, reverse=True):\n"
        "    try: shards = json.loads(files[f\"step-{step}/manifest.json\"].tobytes())[\"shards\"]\n"
        "    except ValueError: continue\n"
        "    if all(is_whole(files.get(f\"step-{step}/{s['file']}\"), s) for s in shards): return step\n"
        "return None   # is_whole: it is there, and its size and zlib.crc32(content.tobytes()) are right",
    ),
    slips=(
        Slip(
            "The newest one is damaged, and here that is the end. Go on with the one before it, as long as there is "
            "one.",
            _gives(_only_the_newest),
        ),
        Slip(
            "This checkpoint has no manifest that can be read. The manifest is written last: without it nobody knows "
            "whether all shards are there.",
            lambda f: f.status is Status.INCORRECT and f.actual(0) is not None
            and _shards(f.case.arguments[0][0], f"step-{f.actual(0)}") is None
            and f.actual(0) in _folders(f.case.arguments[0][0]),
        ),
        Slip(
            "A shard may have the right size and wrong bytes. Only the checksum tells: zlib.crc32(content.tobytes()).",
            _gives(_newest(lambda files, folder: _complete(files, folder, crc=False))),
        ),
        Slip(
            "Every shard is there, but one is cut off or changed. Compare size and checksum with the manifest.",
            _gives(_newest(lambda files, folder: _complete(files, folder, size=False, crc=False))),
        ),
        Slip(
            "One shard that is right is not enough: all of them have to be. A part of the weights cannot be loaded.",
            _gives(_newest(lambda files, folder: _complete(files, folder, each=any))),
        ),
        Slip(
            "A shard that is listed and missing is skipped here, and the others are looked at. One missing shard is "
            "enough: its rank's part of the weights is nowhere else.",
            _gives(_newest(lambda files, folder: _complete(files, folder, exists=False))),
        ),
        Slip(
            "The manifest is there, but what it lists is not: it promises shards, and you have to look at them.",
            _gives(_newest(lambda files, folder: _shards(files, folder) is not None)),
        ),
        Slip(
            "The steps are compared as words, and \"20\" is after \"100\" in a dictionary. Make numbers of them first.",
            _gives(_newest(_complete, key=str)),
        ),
        Slip(
            "A folder with .damaged behind its name was set aside, because it cannot be used: only step-N counts.",
            lambda f: ".damaged/" in "".join(f.case.arguments[0][0]) and _gives(_damaged_too)(f),
        ),
        Slip(
            "Files that the manifest does not list do no harm: look at those that it lists, and at no others.",
            _gives(_newest(_nothing_else)),
        ),
        Slip(
            "A shard of 0 bytes is whole if the manifest says so: its rank had nothing to write. Ask whether it is "
            "None, not whether it has something in it.",
            _gives(_newest(_no_empty_shards)),
        ),
        Slip(
            "This one is complete, but a newer one is listed before it: files are in any order.",
            _gives(lambda files: next(
                (step for step, folder in reversed(_folders(files).items()) if _complete(files, folder)), None
            )),
        ),
        Slip(
            "This is the oldest that is complete. The newest loses the fewest steps.",
            _gives(_newest(_complete, choose=min)),
        ),
        Slip(
            "A manifest that is cut off is no JSON: json.loads raises ValueError. Take the next older checkpoint then.",
            _crashed_with("JSONDecodeError"),
        ),
        Slip(
            "A file that is listed may be missing: files.get(path) gives None then, and files[path] raises KeyError.",
            _crashed_with("KeyError"),
        ),
        Slip(
            "There may be no checkpoint at all, or none that is complete: the result is None then.",
            lambda f: f.status is Status.CRASHED and f.case is not None and f.case.expected[0]["return"] is None,
        ),
        Slip(
            "A folder may be named otherwise, step-50.damaged for one: look whether the name is step- and a number, "
            "and nothing more.",
            _crashed_with("invalid literal"),
        ),
    ),
)
