"""`python -m tests.servers` fetches every server's packages before the tests need them."""

import sys

from tests.servers import dovecot, postfix, postgres
from tests.servers.debian import fetch, version
from tests.servers.missing import Missing, must_have

PACKAGES = {"dovecot": dovecot.PACKAGES, "postfix": postfix.PACKAGES, "postgresql": postgres.PACKAGES}


def main() -> int:
    """Say of each server where it is, one line each; 1 where one is missing that the tests insist on."""
    missing = False
    for name, packages in PACKAGES.items():
        try:
            line = _place(name, packages)
        except Missing as error:
            line, missing = f"missing: {error}", True
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 1 if missing and must_have() else 0


def _place(name: str, packages: tuple[str, ...]) -> str:
    if name == "postgresql" and (programs := postgres.installed()):
        return f"{name}: installed in {programs}"
    folder = fetch(*packages, refresh=True)
    return f"{name} {version(folder, packages[0])}: unpacked in {folder}"


if __name__ == "__main__":
    sys.exit(main())
