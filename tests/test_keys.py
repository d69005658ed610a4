"""Keys: what they encrypt, sign and bind; where they come from; how they are changed."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bounced import config
from bounced.config import Config
from bounced.errors import ConfigError
from bounced.keys import Keyring, KeysError

OLD, NEW = "o" * 40, "n" * 40
PLACE = "the password of user MARI"


def configured(folder: Path, text: str) -> Config:
    """A configuration file, read."""
    (folder / "bounced.toml").write_text(text)
    return config.load(folder / "bounced.toml")


def test_round_trip():
    """What was encrypted comes back; encrypted twice it looks different, and never like itself."""
    ring = Keyring([OLD])
    once, again = (ring.encrypt("põhja tuul", context=PLACE) for _ in range(2))
    assert once != again
    assert "põhja".encode() not in once
    assert ring.decrypt(once, context=PLACE) == "põhja tuul"


def test_bound_to_its_place():
    """Copied onto another card, it does not decrypt."""
    encrypted = Keyring([OLD]).encrypt("secret", context=PLACE)
    with pytest.raises(KeysError, match="JAAN cannot be decrypted"):
        Keyring([OLD]).decrypt(encrypted, context="the password of user JAAN")


def test_rotation():
    """A new key in front encrypts; the old one's still decrypt, as long as that is there."""
    encrypted = Keyring([OLD]).encrypt("secret", context=PLACE)
    both = Keyring([NEW, OLD])
    assert both.decrypt(encrypted, context=PLACE) == "secret"
    with pytest.raises(KeysError):
        Keyring([NEW]).decrypt(encrypted, context=PLACE)
    assert Keyring([NEW]).decrypt(both.encrypt("secret", context=PLACE), context=PLACE) == "secret"
    assert both.signing == (*Keyring([NEW]).signing, *Keyring([OLD]).signing)


def test_nothing_is_shown():
    """No representation and no error tells a key or a secret."""
    ring = Keyring([OLD])
    assert OLD not in repr(ring)
    with pytest.raises(KeysError) as caught:
        ring.decrypt(b"nonsense", context=PLACE)
    assert OLD not in str(caught.value)


def test_made_beside_the_database(tmp_path: Path):
    """Without a configured key one is made, readable by us alone; the next program finds it."""
    found = configured(tmp_path, f'[database]\nurl = "sqlite:///{tmp_path}/var/bounced.db"\n')
    encrypted = Keyring.open(found).encrypt("secret", context=PLACE)
    path = tmp_path / "var/bounced.db.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyring.open(found).decrypt(encrypted, context=PLACE) == "secret"
    assert [one.name for one in path.parent.iterdir()] == ["bounced.db.key"]


def test_made_once(tmp_path: Path):
    """Programs that start at the same moment end with one key."""
    configured(tmp_path, f'[database]\nurl = "sqlite:///{tmp_path}/bounced.db"\n')
    code = (
        "from pathlib import Path; from bounced import config; from bounced.keys import Keyring\n"
        f"print(Keyring.open(config.load(Path('{tmp_path}/bounced.toml'))).signing[0].hex())"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1


def test_made_once_by_threads(tmp_path: Path):
    """So do the threads of one program."""
    found = configured(tmp_path, f'[database]\nurl = "sqlite:///{tmp_path}/bounced.db"\n')
    together = threading.Barrier(4)

    def opened(_: int) -> tuple[bytes, ...]:
        together.wait()
        return Keyring.open(found).signing

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(opened, range(4)))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be the wrong user of somebody's files")
@pytest.mark.parametrize("theirs", ["bounced.db", ""])
def test_not_made_for_another_user(tmp_path: Path, theirs: str):
    """Root leaves no key that the database's owner cannot read."""
    (tmp_path / "var").mkdir()
    place = tmp_path / "var" / theirs
    if theirs:
        place.touch()
    os.chown(place, 65534, 65534)
    with pytest.raises(ConfigError, match=f"{place} belongs to another user"):
        Keyring.open(configured(tmp_path, f'[database]\nurl = "sqlite:///{tmp_path}/var/bounced.db"\n'))
    assert not (tmp_path / "var/bounced.db.key").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[database]\nurl = "postgresql+psycopg://x@127.0.0.1/x"\n', "PostgreSQL needs one"),
        ('[secrets]\nkeys = ["file:short"]\n', "at least 32 characters"),
        ('[secrets]\nkeys = ["file:none"]\n', "cannot read"),
        ('[database]\nurl = "sqlite:////proc/none/bounced.db"\n', "keys"),
    ],
)
def test_no_key(tmp_path: Path, text: str, said: str):
    """One line says what is missing, and never the key."""
    (tmp_path / "short").write_text("geheim\n")
    with pytest.raises(ConfigError, match=said) as caught:
        Keyring.open(configured(tmp_path, text))
    assert "geheim" not in str(caught.value)
