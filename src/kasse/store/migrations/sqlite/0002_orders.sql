-- By which names and values an order is found in lists: customer, store, merchant reference and so on.
CREATE TABLE order_marks (
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    order_ref TEXT NOT NULL,
    PRIMARY KEY (account_id, name, value, created_at, order_ref)
) WITHOUT ROWID;
CREATE INDEX order_marks_of_order ON order_marks (account_id, order_ref);

INSERT INTO order_marks
SELECT account_id, 'merchant_reference', merchant_reference, created_at, id
FROM orders WHERE merchant_reference IS NOT NULL;

DROP INDEX orders_newest;
ALTER TABLE orders DROP COLUMN merchant_reference;
CREATE INDEX orders_newest ON orders (account_id, created_at, id);
CREATE INDEX orders_by_status ON orders (account_id, status, created_at, id);
CREATE INDEX orders_by_payment ON orders (account_id, payment_status, created_at, id);
CREATE INDEX drafts_newest ON drafts (account_id, created_at, id);

-- The answers given to requests with an Idempotency-Key, kept for a day.
CREATE TABLE answers (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX answers_oldest ON answers (created_at);
