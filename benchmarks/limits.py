"""What the machine can do at best, and what else does about the same: measured in the same run as Kasse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.machine import ACCOUNT, BIN, Database, free_port, program
from kasse.bench.processes import processor_seconds
from kasse.bench.steps import Result

# Each client has orders of its own, so that none is slower than another one.
_CHOSEN = """
\\set n :client_id * {each} + random(1, {each})
WITH chosen AS MATERIALIZED (
    SELECT id, version FROM orders WHERE account_id = '{account}' AND id = (SELECT id FROM bench_orders WHERE n = :n)
)"""
# The write of create-session, by hand: what Kasse's own stores of it, as one statement. The guard is the version.
_BY_HAND = """, head AS (
    UPDATE orders AS o SET version = o.version + 1, updated_at = o.updated_at + 1, last_hash = :hash
    FROM chosen WHERE o.account_id = '{account}' AND o.id = chosen.id AND o.version = chosen.version
    RETURNING o.id, o.version
), event AS (
    INSERT INTO order_events (account_id, order_ref, seq, doc) SELECT '{account}', id, version, :event FROM head
), answer AS (
    INSERT INTO answers (account_id, id, created_at, version, doc)
    VALUES ('{account}', gen_random_uuid()::text || gen_random_uuid()::text, 1, 1, :answer)
)
INSERT INTO sessions (account_id, id, order_ref, status, created_at, version, doc)
SELECT '{account}', gen_random_uuid()::text, id, 'open', 1, 1, :session FROM head;
"""
# The statement that Kasse sends for a session that comes alone: guarded, with the id of its commit, and whom to tell.
_KASSES = """
SELECT kasse_write(
    gen_random_uuid(), '{{sessions,orders,order_events,answers}}', '{{t,f,t,t}}',
    ARRAY[
        jsonb_build_object('account_id', '{account}', 'id', gen_random_uuid(), 'order_ref', id, 'status', 'open',
            'created_at', 1, 'expires_at', 1, 'merchant_reference', 'web-1', 'version', 1),
        jsonb_build_object('account_id', '{account}', 'id', id, 'status', 'open', 'payment_status', 'pending',
            'authorized', 0, 'cancelled', 0, 'captured', 0, 'refunded', 0, 'updated_at', 1, 'version', version + 1,
            'last_hash', CAST(:hash AS text)),
        jsonb_build_object('account_id', '{account}', 'order_ref', id, 'seq', version + 1),
        jsonb_build_object('account_id', '{account}', 'id', gen_random_uuid()::text || gen_random_uuid()::text,
            'created_at', 1, 'version', 1)
    ],
    ARRAY[:session, NULL, :event, :answer],
    '{{accounts,profiles}}', '{{{account},{account}}}', '{{"",default}}', '{{1,1}}'
), kasse_tell(ARRAY['{account}'], ARRAY[id || version], '{{shopping_order_event_add}}', '{{1}}', '{{notice}}')
FROM chosen;
"""
BY_HAND, KASSES = "the same write as one statement (pgbench)", "the same write as Kasse sends it (pgbench)"
LOCALSTRIPE, LOCALSTRIPE_USED = "localstripe: create a payment intent", "localstripe: the same again, with those kept"


class Limit(msgspec.Struct, frozen=True):
    """Of one limit: how often a second, and milliseconds of processor each time, of its server and its database."""

    name: str
    rate: float
    processor: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    database: float = 0.0


def pgbench(database: Database, name: str, clients: int, seconds: float) -> Limit:
    """Transactions a second of the same write in prepared form, on a database in which sessions were created."""
    server = database.postgres
    assert server is not None

    def newest(table: str) -> str:
        key = {"sessions": "created_at", "answers": "created_at", "order_events": "seq"}[table]
        return server.sql(f"SELECT doc FROM {table} ORDER BY {key} DESC LIMIT 1", database.name)  # noqa: S608

    server.sql(
        'DROP TABLE IF EXISTS bench_orders; CREATE TABLE bench_orders (n int PRIMARY KEY, id text COLLATE "C"); '
        "INSERT INTO bench_orders SELECT row_number() OVER (), id FROM orders LIMIT 1000; "
        "GRANT SELECT ON bench_orders TO kasse; ANALYZE",
        database.name,
    )
    orders = int(server.sql("SELECT count(*) FROM bench_orders", database.name))
    event = server.sql("SELECT doc FROM order_events WHERE doc LIKE '%session_opened%' LIMIT 1", database.name)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        write = _CHOSEN + {BY_HAND: _BY_HAND, KASSES: _KASSES}[name]
        script.write(write.format(each=orders // clients, account=ACCOUNT))
        script.flush()
        os.chmod(script.name, 0o644)
        command = [server.programs / "pgbench", "-n", "-M", "prepared", "-f", script.name, "-c", clients, "-T"]
        command += [max(5, round(seconds)), "-j", 1, "-D", f"session={newest('sessions')}", "-D", f"event={event}"]
        command += ["-D", f"answer={newest('answers')}", "-D", "hash=" + "0" * 64, database.url]
        before = processor_seconds(database.watched.values())
        done = subprocess.run(
            [*map(str, command)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PGOPTIONS": f"-c kasse.account={ACCOUNT}"},
        )
    found = re.search(r"processed: (\d+).*tps = ([\d.]+)", done.stdout, re.DOTALL)
    assert found, done.stdout + done.stderr
    used = processor_seconds(database.watched.values()) - before
    return Limit(name, float(found.group(2)), used * 1000 / int(found.group(1)))


def fsyncs(seconds: float) -> Limit:
    """How often a second 8 KB can be written and be certain to be on disk, one after the other."""
    page, count = b"x" * 8192, 0
    with tempfile.TemporaryFile() as file:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            count += 1
    return Limit("8 KB written and synced to disk", count / seconds)


def hammer(name: str, pid: int, method: str, url: str, connections: int, seconds: float, *more: str) -> Limit:
    """Send one request again and again to the server with this process id."""
    before = processor_seconds([pid])
    command = [sys.executable, "-m", "benchmarks.hammer", method, url, str(connections), str(seconds), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Result)
    used = (processor_seconds([pid]) - before) * 1000 / found.answers
    return Limit(name, found.rate, used, found.p50, found.p99)


def bare_stack(connections: int, seconds: float) -> Limit:
    """The HTTP stack without Kasse."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    body = ("application/json", '{"items":"' + "x" * 280 + '"}')
    with program(sys.executable, "-m", "benchmarks.bare", str(port), ready=url) as pid:
        return hammer("a fixed answer by the same HTTP stack", pid, "POST", f"{url}/", connections, seconds, *body)


def localstripe(connections: int, seconds: float) -> list[Limit]:
    """Payment intents created at localstripe: at first, and once it holds what that has made."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    body = ("application/x-www-form-urlencoded", "amount=108820&currency=nok", "Bearer sk_test_12345")
    with program(BIN / "localstripe", "--port", str(port), "--from-scratch", ready=url) as pid:
        return [
            hammer(name, pid, "POST", f"{url}/v1/payment_intents", connections, seconds, *body)
            for name in (LOCALSTRIPE, LOCALSTRIPE_USED)
        ]
