"""TLS for the metrics from files that somebody renews while the process runs, as cert-manager and kubelets do.

A pair that does not fit together, caught between two writes, changes nothing: the one in use stays until a good one is
there. It opens no socket.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 10.0

log = logging.getLogger(__name__)

_Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`client_ca`: only clients with a certificate of it are served; empty: all."""

    certificate: str
    key: str
    client_ca: str = ""


class ServedCertificate:
    """One context for the life of the server; handshakes after a renewal use the new certificate."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises OSError (ssl.SSLError is one) where the files cannot be used."""
        self._files = files
        self._signature = self._look()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(self.context)
        # Python 3.13 began to refuse what other programs take: certificates without a key identifier of their issuer.
        self.context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if files.client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED

    async def follow(self, every: float = LOOK_SECONDS) -> None:
        """Take in renewed files until cancelled. A client CA that is taken out is trusted until the process ends."""
        while True:
            await asyncio.sleep(every)
            self.refresh()

    def refresh(self) -> bool:
        """Whether other files are in use now."""
        try:
            signature = self._look()
            if signature == self._signature:
                return False
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            # The files may have changed since they were tried: then it is said once more, and the next look mends it.
            self._load(self.context)
        except OSError as error:
            log.warning("the renewed certificate of the metrics cannot be used, the old one stays: %s", error)
            return False
        self._signature = signature
        log.info("the certificate of the metrics was renewed")
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        """First into a context of its own: half of a new pair in the one that is used would end its service."""
        context.load_cert_chain(self._files.certificate, self._files.key)
        if self._files.client_ca:
            context.load_verify_locations(self._files.client_ca)

    def _look(self) -> _Signature:
        paths = [path for path in (self._files.certificate, self._files.key, self._files.client_ca) if path]
        found = [Path(path).stat() for path in paths]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found)
