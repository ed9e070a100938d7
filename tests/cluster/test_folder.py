"""Removing the folder of a cluster: nothing stays, although processes of the cluster still write into it."""

import threading

from labkit.cluster.folder import remove_folder
from labkit.cluster.keeper import write_whole


def test_a_folder_into_which_somebody_writes_is_gone(tmp_path):
    folder, has_ended = tmp_path / "cluster", threading.Event()

    def write():
        number = 0
        while not has_ended.is_set():
            number += 1
            try:
                write_whole(folder / f"last-words-{number % 50}", "the job was told to end")
            except FileNotFoundError:
                pass

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(300):
            folder.mkdir()
            while not any(folder.iterdir()):
                pass
            remove_folder(folder)
            assert list(tmp_path.iterdir()) == []
    finally:
        has_ended.set()
        for writer in writers:
            writer.join()


def test_a_folder_that_is_not_there_or_not_empty(tmp_path):
    remove_folder(tmp_path / "never")
    (tmp_path / "cluster" / "deaths-1").mkdir(parents=True)
    (tmp_path / "cluster" / "deaths-1" / "0").write_text("note")
    remove_folder(str(tmp_path / "cluster"))
    assert list(tmp_path.iterdir()) == []
