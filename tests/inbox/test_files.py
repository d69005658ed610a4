"""bounced.inbox.files: what replay can be pointed at."""

import os
import tracemalloc
from pathlib import Path

import pytest

from bounced.errors import InputError
from bounced.inbox.files import File, read

MAX = 10_000


def messages(*paths: Path) -> list[File]:
    """All messages of these paths."""
    return list(read(paths, max_size=MAX))


def sources(folder: Path, *paths: Path) -> list[str]:
    """Where they come from, below `folder`."""
    return [os.path.relpath(file.source, folder) for file in messages(*paths)]


def test_a_single_message(tmp_path):
    """A file is one message, octet by octet, whatever its name; an .eml also when it begins like an mbox."""
    plain, eml = tmp_path / "message", tmp_path / "a.EML"
    plain.write_bytes(b"Subject: x\r\n\r\n\0\xff")
    eml.write_bytes(b"From a@example.org Mon Nov 23 04:51:00 2026\nSubject: x\n")
    assert messages(plain, eml) == [
        File(str(plain), plain.read_bytes(), truncated=False),
        File(str(eml), eml.read_bytes(), truncated=False),
    ]


def test_an_empty_file(tmp_path):
    """An empty file is a message too: an unreadable one."""
    (tmp_path / "a.eml").touch()
    assert messages(tmp_path / "a.eml") == [File(str(tmp_path / "a.eml"), b"", truncated=False)]


def test_a_long_message_is_cut(tmp_path):
    """Only so much is read, and it is marked."""
    for length in (MAX - 1, MAX, MAX + 1):
        (tmp_path / f"{length}.eml").write_bytes(b"x" * length)
    files = messages(*(tmp_path / f"{length}.eml" for length in (MAX - 1, MAX, MAX + 1)))
    assert [(len(file.raw), file.truncated) for file in files] == [(MAX - 1, False), (MAX, False), (MAX, True)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_mbox(tmp_path, end):
    """Messages are parted by an empty line and a From line with a time; quotes lose one >, and nothing else changes."""
    lines = [
        b"From MAILER-DAEMON Mon Nov 23 04:51:00 2026",
        b"Subject: one",
        b"",
        b">From the start",
        b">>From further",
        b"> From a reply",
        b"From here on: no time",
        b"",
        b"From now on, at last",
        b"a sentence at 10:30",
        b"From 10:30 on, without an empty line before",
        b"",
        b"From a@example.org Tue, 24 Nov 2026 04:51:00 +0200",
        b"Subject: two",
        b"",
        b"",
        b"From - Wed Nov 25 04:51:00 2026",
        b"Subject: three",
        b"",
        b"end without a line end",
    ]
    path = tmp_path / "mbox"
    path.write_bytes(end.join(lines))
    first, second, third = messages(path)
    assert first.raw.split(end) == [
        b"Subject: one",
        b"",
        b"From the start",
        b">From further",
        b"> From a reply",
        b"From here on: no time",
        b"",
        b"From now on, at last",
        b"a sentence at 10:30",
        b"From 10:30 on, without an empty line before",
        b"",
    ]
    assert second.raw == b"Subject: two" + end + end
    assert third.raw == b"Subject: three" + end + end + b"end without a line end"
    assert [file.source for file in (first, second, third)] == [f"{path}#{number}" for number in (1, 2, 3)]


def test_an_mbox_with_a_long_message(tmp_path):
    """A message above the limit is cut; the next one is whole."""
    path = tmp_path / "mbox"
    line = b"From a@example.org Mon Nov 23 04:51:00 2026\n"
    path.write_bytes(line + b"x" * 200_000 + b"\n\n" + line + b"Subject: two\n")
    first, second = messages(path)
    assert (len(first.raw), first.truncated) == (MAX, True)
    assert (second.raw, second.truncated) == (b"Subject: two\n", False)


def test_a_from_line_inside_a_long_line(tmp_path):
    """What looks like a From line in the middle of an endless line is none, wherever that line is cut for reading."""
    path = tmp_path / "mbox"
    line = b"From a@example.org Mon Nov 23 04:51:00 2026\n"
    path.write_bytes(line + b"\n" + b"x" * 2**16 + line + b"\n" + line[:-1] + b"x" * 2**17 + b"\nSubject: two\n")
    assert [file.raw[-8:] for file in messages(path)][1:] == [b"ct: two\n"]


def test_an_mbox_in_little_memory(tmp_path):
    """Memory is that of one message, however long the file, its messages and its lines."""
    path = tmp_path / "mbox"
    with path.open("wb") as file:
        for number in range(40):
            filling = b"x" * 2**20 if number % 4 else b"x\n" * 2**14
            file.write(b"From a@example.org Mon Nov 23 04:51:00 2026\n" + filling + b"\n\n")
    tracemalloc.start()
    assert sum(file.truncated for file in read([path], max_size=MAX)) == 40
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_maildir(tmp_path):
    """What lies in cur and new, not what is being delivered, nor other files; also folders below (Maildir++)."""
    for name in ("cur/1.a:2,S", "new/2.b", "tmp/3.c", "dovecot-uidlist", ".Done/cur/4.d:2,", "cur/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Subject: x\n")
    for name in (".Done/new", ".Done/tmp"):
        (tmp_path / name).mkdir()
    assert sources(tmp_path, tmp_path) == [".Done/cur/4.d:2,", "cur/1.a:2,S", "new/2.b"]
    assert sources(tmp_path, tmp_path / "new") == ["new/2.b"]


def test_a_folder(tmp_path):
    """All .eml and .mbox files below, sorted; nothing else, and no circle."""
    for name in ("b/2.eml", "b/10.eml", "a.eml", "a.json", "b/new/x", "c/box.mbox"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"From a Mon Nov 23 04:51:00 2026\nSubject: x\n")
    (tmp_path / "b/circle").symlink_to(tmp_path)
    assert sources(tmp_path, tmp_path) == ["a.eml", "b/10.eml", "b/2.eml", "c/box.mbox#1"]


def test_paths_come_in_their_order(tmp_path):
    """What is named first comes first."""
    for name in ("a.eml", "b.eml"):
        (tmp_path / name).write_bytes(b"x")
    assert sources(tmp_path, tmp_path / "b.eml", tmp_path / "a.eml") == ["b.eml", "a.eml"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "cannot be read: No such file or directory"),
        ("missing/deeper.eml", "cannot be read: No such file or directory"),
        ("empty", "holds no message"),
        ("other", "holds no message"),
        ("dangling", "cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, words):
    """A path that gives nothing is an error in one line, never a silent success."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/readme.txt").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError) as caught:
        messages(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {words}")


def test_an_unreadable_file(tmp_path):
    """A file that the system refuses is named, also when it lies in a folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.eml").symlink_to("/proc/self/mem")  # reading its first octet is an input/output error
    with pytest.raises(InputError, match=r"folder/a\.eml: cannot be read: Input/output error"):
        messages(tmp_path / "folder")
