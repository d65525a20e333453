"""Certificates for tests, renewed as often as a test likes."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from trainyard.telemetry.certificates import TlsFiles
from yardlib.pki import Authority as Signer


def copy(source: str, target: str) -> None:
    Path(target).write_bytes(Path(source).read_bytes())


def remove(path: str) -> None:
    Path(path).unlink()


class Authority:
    """One CA in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signer = Signer(folder)
        self._signer.create()
        self.certificate = str(self._signer.certificate)

    def pair(self, name: str) -> TlsFiles:
        """A certificate for 127.0.0.1; a new one in the same files where there was one."""
        (self._folder / f"{name}.crt").unlink(missing_ok=True)
        identity = self._signer.issue(name, name, names=["IP:127.0.0.1"])
        return TlsFiles(str(identity.certificate), str(identity.key))

    def trusting(self, own: TlsFiles | None = None) -> ssl.SSLContext:
        """What a client of this authority uses, with a certificate of its own or without."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as kubectl and Prometheus do
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        return context

    async def serial_served(self, port: int) -> str:
        """Of the certificate that a new connection is shown."""
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.trusting())
        shown = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()  # a goodbye would wait for an answer, and nobody for that
        return str(shown)
