-- By which names and values an order is found in lists: customer, store, merchant reference and so on.
CREATE TABLE order_marks (
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    order_ref TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, name, value, created_at, order_ref)
);
CREATE INDEX order_marks_of_order ON order_marks (account_id, order_ref);

-- Data is moved with the lock of the rows off; it is put on below.
ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
INSERT INTO order_marks
SELECT account_id, 'merchant_reference', merchant_reference, created_at, id
FROM orders WHERE merchant_reference IS NOT NULL;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;

ALTER TABLE orders DROP COLUMN merchant_reference;
CREATE INDEX orders_by_status ON orders (account_id, status, created_at, id);
CREATE INDEX orders_by_payment ON orders (account_id, payment_status, created_at, id);
CREATE INDEX drafts_newest ON drafts (account_id, created_at, id);

-- The answers given to requests with an Idempotency-Key, kept for a day.
CREATE TABLE answers (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX answers_oldest ON answers (account_id, created_at);

SELECT kasse_lock(name::regclass) FROM unnest(ARRAY['order_marks', 'answers']) AS name;
SELECT kasse_make_write();

-- Removes an account's answers that are older; answers how many they were.
CREATE FUNCTION kasse_forget(account text, before bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('kasse.account', account, true);
    DELETE FROM answers WHERE account_id = account AND created_at < before;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;
