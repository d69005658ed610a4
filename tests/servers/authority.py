"""A private certificate authority for one test session."""

from pathlib import Path

import trustme


class Authority:
    """Issues certificates; who trusts `ca_file` trusts them."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self._issued = 0
        self.ca_file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str) -> tuple[Path, Path]:
        """A certificate for host names and addresses: its file and that of its key, both PEM."""
        self._issued += 1
        certificate = self._authority.issue_cert(*names)
        chain, key = (self._folder / f"{kind}-{self._issued}.pem" for kind in ("certificate", "key"))
        for number, part in enumerate(certificate.cert_chain_pems):
            part.write_to_path(str(chain), append=number > 0)
        certificate.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return chain, key
