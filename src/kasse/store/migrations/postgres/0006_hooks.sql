-- Keys that stand for an account; found by their hash.
CREATE TABLE api_keys (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    key_hash TEXT COLLATE "C" NOT NULL,
    deleted BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (account_id, key_hash);
CREATE INDEX api_keys_newest ON api_keys (account_id, created_at, id);

ALTER TABLE profiles ADD COLUMN deleted BOOLEAN NOT NULL DEFAULT false;

-- Who wants to hear of what. "events" has their names between spaces; it is empty while the subscription is off.
CREATE TABLE subscriptions (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    events TEXT NOT NULL,
    deleted BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- What subscribers are to be told of: stored with its cause, and only where somebody subscribes to it.
CREATE TABLE notices (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    told BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX notices_to_tell ON notices (created_at) WHERE NOT told;
CREATE INDEX notices_told ON notices (account_id, created_at) WHERE told;

ALTER TABLE deliveries ADD COLUMN subscription_id TEXT COLLATE "C";
CREATE INDEX deliveries_of_subscription ON deliveries (account_id, subscription_id, owed)
    WHERE subscription_id IS NOT NULL;

SELECT kasse_lock(name::regclass) FROM unnest(ARRAY['api_keys', 'subscriptions', 'notices']) AS name;
SELECT kasse_make_write();

-- Stores the notices that somebody subscribes to; called beside kasse_write, in the same round trip.
CREATE FUNCTION kasse_tell(
    accounts text[], ids text[], names text[], times bigint[], docs text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. cardinality(ids) LOOP
        PERFORM set_config('kasse.account', accounts[n], true);
        INSERT INTO notices (account_id, id, told, created_at, version, doc)
        SELECT accounts[n], ids[n], false, times[n], 1, docs[n]
        WHERE EXISTS (
            SELECT FROM subscriptions
            WHERE account_id = accounts[n] AND position(' ' || names[n] || ' ' IN subscriptions.events) > 0
        )
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- Removes an account's answers that are older, and the notices that are told; answers how many answers they were.
CREATE OR REPLACE FUNCTION kasse_forget(account text, before bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('kasse.account', account, true);
    DELETE FROM notices WHERE account_id = account AND told AND created_at < before;
    DELETE FROM answers WHERE account_id = account AND created_at < before;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;
