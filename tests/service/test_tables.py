"""Tables that people hand in."""

import pytest

from bounced.errors import InputError
from bounced.service.tables import read_table


def test_csv_and_json_say_the_same(tmp_path):
    """The same rows come out of CSV (comma or semicolon, with Excel's byte order mark) and of JSON."""
    (tmp_path / "a.csv").write_text("code,name\nMARI,Mari Õun\n")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfcode;name\r\nMARI;" + "Mari Õun\r\n".encode())
    (tmp_path / "c.json").write_text('[{"code": "MARI", "name": "Mari Õun"}]')
    for name in ("a.csv", "b.csv", "c.json"):
        assert read_table(tmp_path / name, ("code", "name")) == [{"code": "MARI", "name": "Mari Õun"}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"code,nmae\nA,B\n", "row 1: there is no column nmae"),
        (b"code,name\nA\n", "row 1: has another number of cells"),
        (b"code,name\nA,B,C\n", "row 1: has another number of cells"),
        (b'[{"code": 1}]', "row 1: code: expected text"),
        (b'{"code": "A"}', "expected a list of objects"),
        (b"[", "is not valid JSON"),
        (b"code\n\xff\n", "is not UTF-8 text"),
        (b"code,name,name\nA,x,y\n", "the column name is there twice"),
        (b"code,name\nA,x\n ,y\n", "row 2: code is missing"),
        (b'[{"code": null}]', "row 1: code is missing"),
    ],
)
def test_mistakes_are_named(tmp_path, content, expected):
    """Each mistake is one line that names file and row."""
    path = tmp_path / "table"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_table(path, ("code", "name"), needed=("code",))
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    """A file that is not there is one line, too."""
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "none", ("code",))
