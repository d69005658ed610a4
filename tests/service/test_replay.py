"""Replay into the database."""

from bounced.config import Config
from bounced.service import replay
from bounced.store.engine import Store

MESSAGE = "From: MAILER-DAEMON@example.org\nSubject: number {}\n\n" + "x" * 1_000


def test_batches_are_bounded_in_bytes(tmp_path, monkeypatch):
    """Memory holds one batch, whatever the sizes: each message is stored once, however they fall into batches."""
    for number in range(12):
        (tmp_path / f"{number:02}.eml").write_text(MESSAGE.format(number % 9))  # three come twice
    monkeypatch.setattr(replay, "BYTES_AT_A_TIME", 3_500)
    sizes = []
    put = replay.intake.put

    def counted(connection, parsed, *others):
        sizes.append(sum(message.size for message, _ in parsed))
        return put(connection, parsed, *others)

    monkeypatch.setattr(replay.intake, "put", counted)
    with Store.open(f"sqlite:///{tmp_path / 'bounced.db'}") as store:
        stored = list(replay.store([tmp_path], store, Config(), None))
    assert [event.report.evidence.subject for event in stored] == [f"number {number}" for number in range(9)]
    assert max(sizes) <= 3_500
    assert len(sizes) >= 4
