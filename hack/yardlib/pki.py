"""A certificate authority for one cluster, and the certificates of its parts: made with openssl, kept beside them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yardlib.shell import run

DAYS = "3650"
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """The cluster's own CA; everything it signed stays valid for as long as its folder lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self.key = folder / "ca.key"

    def create(self) -> None:
        """Makes the CA and the key that signs service-account tokens, unless they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.certificate.exists():
            self._openssl(
                "req", "-x509", *CURVE, "-days", DAYS, "-subj", "/CN=trainyard-yard",
                "-keyout", str(self.key), "-out", str(self.certificate),
            )  # fmt: skip
        if not self.service_account_public.exists():
            self._openssl("genrsa", "-out", str(self.service_account_key), "2048")
            self._openssl(
                "rsa", "-in", str(self.service_account_key), "-pubout", "-out", str(self.service_account_public)
            )

    @property
    def service_account_key(self) -> Path:
        """Signs service-account tokens."""
        return self.folder / "sa.key"

    @property
    def service_account_public(self) -> Path:
        """Checks service-account tokens."""
        return self.folder / "sa.pub"

    def issue(self, file: str, user: str, group: str = "", names: Sequence[str] = ()) -> Identity:
        """A certificate for `user` in `group`, with subject alternative names such as `IP:127.0.0.1`."""
        identity = Identity(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        if identity.certificate.exists():
            return identity
        request = self.folder / f"{file}.csr"
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        self._openssl("req", *CURVE, "-subj", subject, "-keyout", str(identity.key), "-out", str(request))
        extensions = self.folder / f"{file}.ext"
        lines = ["extendedKeyUsage=serverAuth,clientAuth"]
        if names:
            lines.append(f"subjectAltName={','.join(names)}")
        extensions.write_text("\n".join(lines) + "\n")
        fresh = identity.certificate.with_suffix(".new")
        self._openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
            # A number of its own: openssl's counter is a file, and nodes get their certificates side by side.
            "-set_serial", str(secrets.randbits(120)), "-days", DAYS, "-extfile", str(extensions), "-out", str(fresh),
        )  # fmt: skip
        fresh.replace(identity.certificate)  # in this order, so that a killed run leaves no half certificate
        return identity

    def _openssl(self, *arguments: str) -> None:
        run(["openssl", *arguments])
