"""Certificates for Dask: whoever reaches a scheduler can run code as its user, so it listens to nobody without one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lang1_assets.services.passwords import write_private

CA_FILE, CERTIFICATE_FILE = "ca.pem", "dask.pem"
VALID_DAYS = 3650
"""Made anew by removing the folder: nobody outside this machine has to trust them."""
ROLES = ("SCHEDULER", "WORKER", "CLIENT")


def kept_certificates(folder: Path) -> Mapping[str, str]:
    """Dask's settings as environment variables; the certificates are made when there are none.

    One certificate with its key serves scheduler, workers and clients, which all are this user's processes; its own authority
    signed it, and the authority's key is thrown away.
    """
    if not (folder / CERTIFICATE_FILE).exists():
        authority, signed = make_certificates()
        write_private(folder / CA_FILE, authority)
        write_private(folder / CERTIFICATE_FILE, signed)
    one = str(folder / CERTIFICATE_FILE)
    places = {f"DASK_DISTRIBUTED__COMM__TLS__{role}__{part}": one for role in ROLES for part in ("CERT", "KEY")}
    return {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / CA_FILE), **places}


def make_certificates() -> tuple[bytes, bytes]:
    """An authority's certificate; and one signed by it, with its key in the same file (PEM)."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lang1 serve, this machine")])
    authority = (
        _certificate(issuer, issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lang1 dask")])
    signed = (
        _certificate(subject, issuer, key).add_extension(addresses, critical=False).sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem), private + signed.public_bytes(pem)


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    # From long ago: a clock that was wrong when they were made, or is set back, does not end Dask.
    since = datetime(2020, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(datetime.now(UTC) + timedelta(days=VALID_DAYS))
    )
