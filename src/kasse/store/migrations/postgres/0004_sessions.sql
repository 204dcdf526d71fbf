-- Sessions are listed, found by what the merchant knows of them, and end when their time is over.
ALTER TABLE sessions ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN merchant_reference TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN merchant_reference_2 TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN payer_name TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN store_id TEXT COLLATE "C";

-- Data is moved with the lock of the rows off; it is put on below.
ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE profiles NO FORCE ROW LEVEL SECURITY;
-- Sessions from before keep no configuration: theirs is what their profile says now.
UPDATE sessions SET doc = left(doc, -1) || ',"configuration":' || coalesce((
    SELECT profiles.doc::json ->> 'configuration' FROM profiles
    WHERE profiles.account_id = sessions.account_id AND profiles.id = sessions.doc::json ->> 'profile_id'
), '{}') || '}'
WHERE doc::json -> 'configuration' IS NULL;
UPDATE sessions SET
    expires_at = round(extract(epoch FROM (doc::json ->> 'expires_at')::timestamptz) * 1000),
    merchant_reference = lower(doc::json #>> '{checkout_order,merchant_reference}'),
    merchant_reference_2 = lower(doc::json #>> '{checkout_order,merchant_reference_2}'),
    payer_name = lower(
        (doc::json #>> '{checkout_order,shipping_address,first_name}')
        || ' ' || (doc::json #>> '{checkout_order,shipping_address,last_name}')
    ),
    store_id = doc::json #>> '{checkout_order,store,id}';
ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;

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
    account_id TEXT COLLATE "C" NOT NULL,
    ahead BIGINT NOT NULL,
    stopped_at BIGINT,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id)
);

SELECT kasse_lock('account_clocks'::regclass);
SELECT kasse_make_write();
