"""README is the map: what it names exists, and what exists is named."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TREE = next(block for block in README.split("```") if "notebooks/" in block)
UNNAMED = {".ci", ".gitignore", "README.md", "labkit/__init__.py", "labkit/__main__.py"}


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return [Path(name) for name in listed]


def test_every_room_is_on_the_map():
    rooms = {path.parts[0] for path in tracked()}
    rooms |= {"/".join(path.parts[:2]) for path in tracked() if path.parts[0] == "labkit"}
    for room in sorted(rooms - UNNAMED):
        assert re.search(rf"(?<![\w.]){re.escape(room.split('/')[-1])}", TREE), f"{room} is not in the README's tree"


def test_everything_on_the_map_exists():
    parents = {}  # the folder that stands above, by indentation
    for line in TREE.strip().splitlines():
        indent = len(line) - len(line.lstrip())
        folder = next((parents[i] for i in sorted(parents, reverse=True) if i < indent), ROOT)
        names = re.findall(r"[\w./]+(?:/|\.\w+)(?=[ ,;]|$)", line.strip().split("  ")[0])
        for name in names:
            assert (folder / name).exists(), f"the README names {(folder / name).relative_to(ROOT)}"
        parents = {i: path for i, path in parents.items() if i < indent}
        if names and names[0].endswith("/"):
            parents[indent] = folder / names[0]


def test_pictures_exist():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / name).stat().st_size > 10_000
