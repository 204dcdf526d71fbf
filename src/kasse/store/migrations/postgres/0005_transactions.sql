-- By what transactions are found in lists.
ALTER TABLE transactions
    ADD COLUMN amount BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN merchant_reference_2 TEXT COLLATE "C",
    ADD COLUMN captured_at BIGINT,
    ADD COLUMN refunded_at BIGINT;

CREATE TABLE transaction_marks (
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    transaction_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, name, value, created_at, transaction_id)
);

-- Data is moved with the lock of the rows off; it is put on below.
ALTER TABLE transactions NO FORCE ROW LEVEL SECURITY;
UPDATE transactions SET
    amount = (doc::json ->> 'amount')::bigint,
    merchant_reference_2 = doc::json -> 'given' ->> 'merchant_reference_2',
    captured_at = (
        SELECT max(round(extract(epoch FROM (value ->> 'created_at')::timestamptz) * 1000)::bigint)
        FROM json_array_elements(doc::json -> 'events') WHERE value ->> 'event' = 'CAPTURE' AND value ->> 'success' = 'true'
    ),
    refunded_at = (
        SELECT max(round(extract(epoch FROM (value ->> 'created_at')::timestamptz) * 1000)::bigint)
        FROM json_array_elements(doc::json -> 'events') WHERE value ->> 'event' = 'REFUND' AND value ->> 'success' = 'true'
    );

INSERT INTO transaction_marks
SELECT DISTINCT account_id, name, value, created_at, id
FROM transactions, LATERAL (VALUES
    ('merchant_reference', doc::json ->> 'merchant_reference'),
    ('payment_product_type', doc::json ->> 'payment_product_type'),
    ('payment_product', split_part(doc::json ->> 'payment_product_type', '.', 1)),
    ('currency', doc::json ->> 'currency'),
    ('channel', 'ecommerce'),
    ('card_brand', doc::json -> 'card' ->> 'brand'),
    ('store_id', doc::json -> 'given' -> 'store' ->> 'id'),
    ('search', lower(doc::json -> 'given' -> 'shipping_address' ->> 'email')),
    ('search', lower(doc::json -> 'given' -> 'billing_address' ->> 'email')),
    ('search', lower(doc::json -> 'given' -> 'shipping_address' ->> 'phone_number')),
    ('search', lower(doc::json -> 'given' -> 'billing_address' ->> 'phone_number'))
) AS told (name, value)
WHERE value IS NOT NULL;
ALTER TABLE transactions FORCE ROW LEVEL SECURITY;

CREATE INDEX transactions_newest ON transactions (account_id, created_at, id);
CREATE INDEX transactions_by_status ON transactions (account_id, status, created_at, id);
CREATE INDEX transactions_by_amount ON transactions (account_id, amount, created_at, id);
CREATE INDEX transactions_by_reference ON transactions (account_id, merchant_reference_2, created_at, id)
    WHERE merchant_reference_2 IS NOT NULL;
CREATE INDEX transactions_captured ON transactions (account_id, captured_at) WHERE captured_at IS NOT NULL;
CREATE INDEX transactions_refunded ON transactions (account_id, refunded_at) WHERE refunded_at IS NOT NULL;
DROP INDEX transactions_of_session;
CREATE INDEX transactions_of_session ON transactions (account_id, session_id, created_at, id);

SELECT kasse_lock('transaction_marks');
SELECT kasse_make_write();
