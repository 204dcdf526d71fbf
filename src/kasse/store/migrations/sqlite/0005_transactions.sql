-- By what transactions are found in lists.
ALTER TABLE transactions ADD COLUMN amount INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN merchant_reference_2 TEXT;
ALTER TABLE transactions ADD COLUMN captured_at INTEGER;
ALTER TABLE transactions ADD COLUMN refunded_at INTEGER;

CREATE TABLE transaction_marks (
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    transaction_id TEXT NOT NULL,
    PRIMARY KEY (account_id, name, value, created_at, transaction_id)
) WITHOUT ROWID;

UPDATE transactions SET
    amount = doc ->> 'amount',
    merchant_reference_2 = doc ->> '$.given.merchant_reference_2',
    captured_at = (
        SELECT max(CAST(round(unixepoch(value ->> 'created_at', 'subsec') * 1000) AS INTEGER))
        FROM json_each(doc, '$.events') WHERE value ->> 'event' = 'CAPTURE' AND value ->> 'success'
    ),
    refunded_at = (
        SELECT max(CAST(round(unixepoch(value ->> 'created_at', 'subsec') * 1000) AS INTEGER))
        FROM json_each(doc, '$.events') WHERE value ->> 'event' = 'REFUND' AND value ->> 'success'
    );

WITH told (account_id, name, value, created_at, id) AS (
    SELECT account_id, 'merchant_reference', doc ->> 'merchant_reference', created_at, id FROM transactions
    UNION SELECT account_id, 'payment_product_type', doc ->> 'payment_product_type', created_at, id FROM transactions
    UNION SELECT
        account_id, 'payment_product',
        substr(doc ->> 'payment_product_type', 1, instr((doc ->> 'payment_product_type') || '.', '.') - 1),
        created_at, id
    FROM transactions
    UNION SELECT account_id, 'currency', doc ->> 'currency', created_at, id FROM transactions
    UNION SELECT account_id, 'channel', 'ecommerce', created_at, id FROM transactions
    UNION SELECT account_id, 'card_brand', doc ->> '$.card.brand', created_at, id FROM transactions
    UNION SELECT account_id, 'store_id', doc ->> '$.given.store.id', created_at, id FROM transactions
    UNION SELECT account_id, 'search', lower(doc ->> '$.given.shipping_address.email'), created_at, id FROM transactions
    UNION SELECT account_id, 'search', lower(doc ->> '$.given.billing_address.email'), created_at, id FROM transactions
    UNION SELECT account_id, 'search', lower(doc ->> '$.given.shipping_address.phone_number'), created_at, id FROM transactions
    UNION SELECT account_id, 'search', lower(doc ->> '$.given.billing_address.phone_number'), created_at, id FROM transactions
)
INSERT INTO transaction_marks SELECT account_id, name, value, created_at, id FROM told WHERE value IS NOT NULL;

CREATE INDEX transactions_newest ON transactions (account_id, created_at, id);
CREATE INDEX transactions_by_status ON transactions (account_id, status, created_at, id);
CREATE INDEX transactions_by_amount ON transactions (account_id, amount, created_at, id);
CREATE INDEX transactions_by_reference ON transactions (account_id, merchant_reference_2, created_at, id)
    WHERE merchant_reference_2 IS NOT NULL;
CREATE INDEX transactions_captured ON transactions (account_id, captured_at) WHERE captured_at IS NOT NULL;
CREATE INDEX transactions_refunded ON transactions (account_id, refunded_at) WHERE refunded_at IS NOT NULL;
DROP INDEX transactions_of_session;
CREATE INDEX transactions_of_session ON transactions (account_id, session_id, created_at, id);
