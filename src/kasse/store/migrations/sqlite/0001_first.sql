-- Every key begins with the account, so no query crosses accounts by accident and the tables can be spread by
-- account. The two server_ tables are the exception: they belong to the server itself.
-- Times are milliseconds since 1970, amounts minor units. "doc" is the record as JSON; the columns beside it are
-- what is searched, guarded or checked.

CREATE TABLE server_signing_keys (
    kid TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL
);

CREATE TABLE server_secrets (
    name TEXT PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL
);

CREATE TABLE clients (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE UNIQUE INDEX clients_login ON clients (account_id, client_id) WHERE deleted = 0;

CREATE TABLE grants (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    client TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX grants_client ON grants (account_id, client) WHERE deleted = 0;

CREATE TABLE signature_secrets (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE profiles (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE drafts (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- The head of an order. The columns win over the same fields in doc: doc is written when the order is made,
-- the columns move with every event.
CREATE TABLE orders (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    status TEXT NOT NULL,
    payment_status TEXT NOT NULL,
    merchant_reference TEXT,
    authorized INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    refunded INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    last_hash TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE UNIQUE INDEX orders_public ON orders (account_id, order_id);
CREATE INDEX orders_newest ON orders (account_id, created_at, id);

-- A line and the sums over its ledger entries. A reversal line has negative sums, mirrored.
CREATE TABLE order_lines (
    account_id TEXT NOT NULL,
    order_ref TEXT NOT NULL,
    line_id INTEGER NOT NULL,
    payable INTEGER NOT NULL,
    authorized INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    refunded INTEGER NOT NULL,
    claimed INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, line_id),
    CONSTRAINT sums_hold CHECK (
        (
            payable >= 0
            AND min(authorized, cancelled, captured, refunded, claimed) >= 0
            AND captured + cancelled <= authorized
            AND refunded <= captured
            AND authorized - cancelled + claimed <= payable
        ) OR (
            payable < 0
            AND max(authorized, cancelled, captured, refunded, claimed) <= 0
            AND captured + cancelled >= authorized
            AND refunded >= captured
            AND authorized - cancelled + claimed >= payable
        )
    )
);

CREATE TABLE ledger_entries (
    account_id TEXT NOT NULL,
    order_ref TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, seq)
);
CREATE UNIQUE INDEX ledger_entries_id ON ledger_entries (account_id, order_ref, id);

CREATE TABLE order_events (
    account_id TEXT NOT NULL,
    order_ref TEXT NOT NULL,
    seq INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, seq)
);

CREATE TABLE sessions (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    order_ref TEXT,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX sessions_of_order ON sessions (account_id, order_ref, created_at, id) WHERE order_ref IS NOT NULL;

CREATE TABLE transactions (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    order_ref TEXT,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX transactions_of_session ON transactions (account_id, session_id);
CREATE INDEX transactions_of_order ON transactions (account_id, order_ref) WHERE order_ref IS NOT NULL;

CREATE TABLE gateway_calls (
    account_id TEXT NOT NULL,
    key TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    state TEXT NOT NULL,
    look_up_at INTEGER,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX gateway_calls_due ON gateway_calls (look_up_at) WHERE state <> 'done';

CREATE TABLE deliveries (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    status TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX deliveries_due ON deliveries (due_at, receiver) WHERE status = 'waiting';
CREATE INDEX deliveries_of_session ON deliveries (account_id, session_id);

CREATE TABLE delivery_attempts (
    account_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, delivery_id, number)
);

-- The sandbox gateway's own ledger: a stand-in for an acquirer's, so nothing of ours refers to it.
CREATE TABLE sandbox_book (
    account_id TEXT NOT NULL,
    key TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, key)
);
