"""Archives are unpacked; those that attack or are damaged are refused."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from data import fetch
from data.errors import UserError
from data.fetch import unpack

BODY = bytes(range(256)) * 20


def ignore(done: int, total: int | None) -> None:
    """A report that nobody reads."""


def pack(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_an_archive_is_unpacked_with_its_folders(tmp_path: Path) -> None:
    entries = {"spider/dev.json": b"[]", "spider/database/a/a.sqlite": b"x" * 3000}
    seen: list[tuple[int, int | None]] = []
    unpack(pack(tmp_path / "a.zip", entries), tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert tree(tmp_path / "out") == entries
    assert seen == [(2, 3002), (3002, 3002)]


def test_the_litter_of_other_systems_is_dropped(tmp_path: Path) -> None:
    litter = ["__MACOSX/spider/._dev.json", "spider/.DS_Store", "spider/Thumbs.db", "a/__MACOSX/b", "empty/"]
    entries = {"spider/dev.json": b"[]"} | dict.fromkeys(litter, b"")
    unpack(pack(tmp_path / "a.zip", entries), tmp_path / "out", ignore)
    assert tree(tmp_path / "out") == {"spider/dev.json": b"[]"}


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "a/..", "/evil", "//evil", "C:/evil", "C:evil", "..\\evil", "a\\..\\..\\evil", "\\evil", ".."],
)  # fmt: skip
def test_an_entry_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a.zip", {name: b"evil"})
    before = tree(tmp_path)
    with pytest.raises(UserError, match="points outside"):
        unpack(archive, tmp_path / "deep" / "out", ignore)
    assert tree(tmp_path) == before


def test_a_link_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out", ignore)
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "names", [(".", "a"), ("a", "a/b"), ("a/b", "a")], ids=["dot", "file as folder", "folder as file"]
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises((UserError, OSError)):  # the shell makes one line of both
        unpack(pack(tmp_path / "a.zip", dict.fromkeys(names, b"x")), tmp_path / "out", ignore)


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_ENTRIES", 2, "unpacks to 3 files"),
        ("MAX_UNPACKED_BYTES", 2_000_000, "and 2,000,002 bytes"),
        ("RATIO_FROM", 1_000_000, "'bomb' unpacks to 2,000,000 bytes"),
    ],
)
def test_a_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, words: str
) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"1", "bomb": bytes(2_000_000), "z": b"2"})
    unpack(archive, tmp_path / "fine", ignore)
    monkeypatch.setattr(fetch, limit, value)
    with pytest.raises(UserError, match=words):
        unpack(archive, tmp_path / "out", ignore)
    assert not (tmp_path / "out").exists()


def test_an_entry_larger_than_its_header_says_is_not_written_out(tmp_path: Path) -> None:
    """The size in the directory is a lie: a megabyte of zeros that claims to be ten bytes."""
    raw = bytearray(pack(tmp_path / "a.zip", {"bomb": bytes(1_000_000)}).read_bytes())
    size = (1_000_000).to_bytes(4, "little")
    assert raw.count(size) == 2
    (tmp_path / "a.zip").write_bytes(bytes(raw).replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="not a whole, plain zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out", ignore)
    assert sum(map(len, tree(tmp_path / "out").values())) <= 10


def whole() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/long", BODY)
        archive.writestr("stored", BODY, zipfile.ZIP_STORED)
    return made.getvalue()


def flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :]


WHOLE = whole()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"<html>Quota exceeded</html>",
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-10],
        flipped(WHOLE, 60),
        flipped(WHOLE, WHOLE.index(BODY) + 2500),
        flipped(WHOLE, 0),
        flipped(WHOLE, WHOLE.index(b"PK\x01\x02") + 8),
        flipped(WHOLE, WHOLE.index(b"PK\x01\x02") + 10),
    ],
    ids=[
        "empty",
        "two letters",
        "text",
        "half",
        "end cut",
        "packed byte",
        "stored byte",
        "signature",
        "encrypted",
        "method",
    ],
)
def test_a_damaged_archive_is_a_one_line_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "spider.zip"
    archive.write_bytes(content)
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "out", ignore)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_single_flipped_byte_gives_other_content_silently(tmp_path: Path) -> None:
    made = pack(tmp_path / "small.zip", {"a/b": b"some content, some content"}).read_bytes()
    original = {"a/b": b"some content, some content"}
    refused = 0
    for place in range(len(made)):
        (tmp_path / "flipped.zip").write_bytes(flipped(made, place))
        out = tmp_path / str(place)
        try:
            unpack(tmp_path / "flipped.zip", out, ignore)
        except (UserError, OSError):
            refused += 1
        else:
            assert list(tree(out).values()) in (list(original.values()), []), place
    assert refused > len(made) / 2
