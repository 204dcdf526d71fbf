-- Keys that stand for an account; found by their hash.
CREATE TABLE api_keys (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (account_id, key_hash);
CREATE INDEX api_keys_newest ON api_keys (account_id, created_at, id);

ALTER TABLE profiles ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- Who wants to hear of what. "events" has their names between spaces; it is empty while the subscription is off.
CREATE TABLE subscriptions (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    events TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;

-- What subscribers are to be told of: stored with its cause, and only where somebody subscribes to it.
CREATE TABLE notices (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    told INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;
CREATE INDEX notices_to_tell ON notices (created_at) WHERE told = 0;
CREATE INDEX notices_told ON notices (created_at) WHERE told = 1;

ALTER TABLE deliveries ADD COLUMN subscription_id TEXT;
CREATE INDEX deliveries_of_subscription ON deliveries (account_id, subscription_id) WHERE subscription_id IS NOT NULL;
