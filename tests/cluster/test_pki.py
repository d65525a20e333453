"""Are a cluster's certificates good, also those that are made side by side?"""

from __future__ import annotations

import shutil
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from yardlib.pki import Authority
from yardlib.shell import run

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "pki")
    made.create()
    return made


def test_certificates_made_side_by_side_are_all_good_and_numbered_apart(authority: Authority) -> None:
    with ThreadPoolExecutor(8) as pool:
        issued = list(
            pool.map(lambda i: authority.issue(f"node-{i}", f"system:node:node-{i}", "system:nodes"), range(16))
        )
    files = [str(identity.certificate) for identity in issued]
    assert run(["openssl", "verify", "-CAfile", str(authority.certificate), *files]).count(": OK") == 16
    assert len({run(["openssl", "x509", "-noout", "-serial", "-in", file]) for file in files}) == 16


def test_a_certificate_names_its_user_group_and_addresses_and_fits_its_key(authority: Authority) -> None:
    one = authority.issue("node-1", "system:node:node-1", "system:nodes", ["IP:198.18.0.11", "DNS:node-1"])
    text = run(["openssl", "x509", "-noout", "-text", "-in", str(one.certificate)])
    assert "O = system:nodes, CN = system:node:node-1" in text
    assert "IP Address:198.18.0.11, DNS:node-1" in text
    context = ssl.create_default_context()
    context.load_cert_chain(str(one.certificate), str(one.key))  # raises where they do not belong together
    assert one.key.stat().st_mode & 0o077 == 0


def test_what_was_issued_is_kept(authority: Authority) -> None:
    first = authority.issue("admin", "admin", "system:masters").certificate.read_bytes()
    authority.create()
    assert authority.issue("admin", "admin", "system:masters").certificate.read_bytes() == first
