"""The labels of an event told in words, in the user's language."""

import os

ESTONIAN = {
    "Recipient": "Saaja",
    "Forwarded to": "Edasi suunatud",
    "Subject": "Teema",
    "Document": "Dokument",
    "Company": "Ettevõte",
    "User": "Kasutaja",
    "Mail sender": "Mail Sender",
    "Matched by": "Seostatud",
    "Forged": "Võltsitud",
    "Cause": "Põhjus",
    "What happened": "Mis juhtus",
    "Who must act": "Kes tegutseb",
    "What to do": "Mida teha",
    "Write again": "Uuesti saata",
    "Sent with": "Saadetud",
    "Server's words": "Serveri sõnad",
    "Status": "Olek",
    "Reply code": "Vastuse kood",
    "Remote server": "Vastuvõtja",
    "Reported by": "Teavitaja",
    "Notice of": "Teate aeg",
    "Received": "Saabus",
    "Mailbox": "Postkast",
    "Source": "Allikas",
    "Notice's id": "Teate id",
    "Rule": "Reegel",
    "Ids tried": "Otsitud id-d",
    "Truncated": "Kärbitud",
    "yes: the token does not verify": "jah: tunnus ei pea paika",
    "yes: not all of the message was read": "jah: kirja ei loetud lõpuni",
    "no, not to this address": "ei, sellele aadressile mitte",
}


def language() -> str:
    """Estonian where the user's locale is, English elsewhere (POSIX: LC_ALL, LC_MESSAGES, LANG)."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "et" if locale.startswith("et") else "en"


def word(english: str) -> str:
    """A label in the user's language."""
    return ESTONIAN.get(english, english) if language() == "et" else english
