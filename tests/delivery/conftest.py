from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import LogCapture

from kasse.delivery import worker as worker_module
from kasse.delivery.outgoing import Outgoing
from kasse.delivery.worker import DeliveryWorker
from kasse.domain.callbacks import Delivery
from kasse.store.sqlite import SqliteStore
from tests.delivery.outbox import LIMIT_S, HandClock, MakeWorker


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(str(tmp_path / "kasse.db"))
    yield opened
    await opened.close()


@pytest.fixture
def outgoing() -> Outgoing:
    return Outgoing()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and key for localhost that nobody but a test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def make_worker(store: SqliteStore, clock: HandClock) -> MakeWorker:
    def make(**parts: Any) -> DeliveryWorker:
        given = {
            "store": store,
            "outgoing": Outgoing(),
            "clock": clock,
            "describe": body_of,
            "allow_private": lambda account_id: True,
            "poll_s": 0.02,
            "timeout_s": LIMIT_S,
        }
        return DeliveryWorker(**{**given, **parts})

    return make


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the worker logs, at every level, however the rest of the process is set up."""
    capture, here = LogCapture(), threading.current_thread()

    def only_here(logger: Any, name: str, entry: Any) -> Any:
        # The server of other tests may be at work in a thread of this process.
        if threading.current_thread() is not here:
            raise structlog.DropEvent
        return entry

    log = structlog.wrap_logger(None, processors=[only_here, capture], wrapper_class=structlog.stdlib.BoundLogger)
    monkeypatch.setattr(worker_module, "_log", log)
    return capture.entries


@pytest.fixture
def worker(make_worker: MakeWorker) -> DeliveryWorker:
    return make_worker()


async def body_of(delivery: Delivery) -> bytes | None:
    return msgspec.json.encode({"id": delivery.transaction_id, "merchant_reference": "æ"})
