-- Sessions are listed, found by what the merchant knows of them, and end when their time is over.
ALTER TABLE sessions ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN merchant_reference TEXT;
ALTER TABLE sessions ADD COLUMN merchant_reference_2 TEXT;
ALTER TABLE sessions ADD COLUMN payer_name TEXT;
ALTER TABLE sessions ADD COLUMN store_id TEXT;

-- Sessions from before keep no configuration: theirs is what their profile says now.
UPDATE sessions SET doc = json_set(doc, '$.configuration', json(coalesce((
    SELECT json_extract(profiles.doc, '$.configuration') FROM profiles
    WHERE profiles.account_id = sessions.account_id AND profiles.id = json_extract(sessions.doc, '$.profile_id')
), '{}')))
WHERE json_type(doc, '$.configuration') IS NULL;

UPDATE sessions SET
    expires_at = CAST(round((julianday(json_extract(doc, '$.expires_at')) - 2440587.5) * 86400000) AS INTEGER),
    merchant_reference = lower(json_extract(doc, '$.checkout_order.merchant_reference')),
    merchant_reference_2 = lower(json_extract(doc, '$.checkout_order.merchant_reference_2')),
    payer_name = lower(
        json_extract(doc, '$.checkout_order.shipping_address.first_name')
        || ' ' || json_extract(doc, '$.checkout_order.shipping_address.last_name')
    ),
    store_id = json_extract(doc, '$.checkout_order.store.id');

CREATE INDEX sessions_newest ON sessions (account_id, created_at, id);
CREATE INDEX sessions_by_reference ON sessions (account_id, merchant_reference);
CREATE INDEX sessions_by_reference_2 ON sessions (account_id, merchant_reference_2)
WHERE merchant_reference_2 IS NOT NULL;
CREATE INDEX sessions_by_payer ON sessions (account_id, payer_name) WHERE payer_name IS NOT NULL;
CREATE INDEX sessions_by_store ON sessions (account_id, store_id, created_at, id) WHERE store_id IS NOT NULL;
CREATE INDEX sessions_due ON sessions (expires_at) WHERE status IN ('open', 'paying');
CREATE INDEX sessions_due_in_account ON sessions (account_id, expires_at) WHERE status IN ('open', 'paying');

-- A test account's own clock: so far ahead of the server's, or stopped.
CREATE TABLE account_clocks (
    account_id TEXT NOT NULL,
    ahead INTEGER NOT NULL,
    stopped_at INTEGER,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id)
);
