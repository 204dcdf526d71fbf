"""A certificate authority of one's own, and certificates for chosen names: for programs that insist on HTTPS and on
fixed host names, on a machine that resolves these names to Kasse.

The keys are files that only their owner can read. Who trusts the authority trusts whoever has its key, so it belongs
on machines for development and tests.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIVES = timedelta(days=3650)
_CERTIFICATE_LIVES = timedelta(days=397)
_RENEWED_BEFORE = timedelta(days=30)


class TlsNotUsable(Exception):
    """What stands in the way, in words for whoever starts the server."""


@dataclass(frozen=True)
class LocalTls:
    """Where the files are: the authority's certificate, to be trusted, and the server's key with its certificate."""

    authority: Path
    server: Path


@dataclass(frozen=True)
class _Identity:
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        plain = serialization.NoEncryption()
        key = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


def local_tls(folder: Path, names: Sequence[str], now: datetime | None = None) -> LocalTls:
    """The certificate for these names, made or renewed where needed: the authority is made once and stays.

    Raises ``TlsNotUsable``.
    """
    now = now or datetime.now(UTC)
    found = LocalTls(folder / "ca.pem", folder / "server.pem")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(folder / "ca-key.pem", now)
        _replace(found.authority, authority.certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        if not _is_good(_read(found.server), authority, names, now):
            made = _issue(authority, names, now)
            _replace(found.server, made.pem, 0o600)
    except (OSError, ValueError, TypeError) as error:
        raise TlsNotUsable(f"the certificates in {folder} cannot be used or made: {error}") from error
    return found


def _authority(path: Path, now: datetime) -> _Identity:
    """The authority in a file, or a new one. When two make it at once, both get the one that was first."""
    found = _read(path)
    if found is None:
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        _write(fresh, _make_authority(now).pem, 0o600)
        try:
            with suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink()
        found = _read(path)
    if found is None:
        raise ValueError(f"{path} holds no key with its certificate")
    if found.certificate.not_valid_after_utc <= now + _RENEWED_BEFORE:
        raise ValueError(f"{path} has expired; remove it, start again and trust the new one")
    return found


def _make_authority(now: datetime) -> _Identity:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Kasse local authority {secrets.token_hex(4)}")])
    builder = _builder(name, name, key, now, _AUTHORITY_LIVES)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _Identity(key, builder.sign(key, hashes.SHA256()))


def _issue(authority: _Identity, names: Sequence[str], now: datetime) -> _Identity:
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kasse")])
    issuer = authority.key.public_key()
    builder = _builder(subject, authority.certificate.subject, key, now, _CERTIFICATE_LIVES)
    for extension, critical in (
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
    ):
        builder = builder.add_extension(extension, critical)
    return _Identity(key, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _is_good(found: _Identity | None, authority: _Identity, names: Sequence[str], now: datetime) -> bool:
    """Whether the server's certificate can go on being used: ours, for all these names, and not near its end."""
    if found is None or found.certificate.not_valid_after_utc <= now + _RENEWED_BEFORE:
        return False
    try:
        found.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:
        return False
    certified = found.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {_general_name(name) for name in names} <= set(certified)


def _read(path: Path) -> _Identity | None:
    """The key and certificate in a file; None where there is no file. Raises ``ValueError`` for another content."""
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        return None
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds another kind of key")
    path.chmod(0o600)
    return _Identity(key, x509.load_pem_x509_certificate(pem))


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file anew, all of it or nothing."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write(fresh, content, mode)
    fresh.replace(path)


def _write(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def how_to_trust(tls: LocalTls, base_url: str, names: Sequence[str]) -> str:
    """What to tell whoever starts a server with a certificate of its own."""
    return f"""
  certificate for  {", ".join(names)}
  to be trusted    {tls.authority}

    curl      --cacert {tls.authority} {base_url}/health/live
    Python    REQUESTS_CA_BUNDLE={tls.authority}
    Node      NODE_EXTRA_CA_CERTS={tls.authority}
    PHP       php -d curl.cainfo={tls.authority} -d openssl.cafile={tls.authority}
"""
