-- The same tables as the embedded engine's. Every key begins with the account, so no query crosses accounts by
-- accident and the tables can be spread by account. The server_ tables are the exception: they belong to the server
-- itself. Times are milliseconds since 1970, amounts minor units. "doc" is the record as JSON; the columns beside it
-- are what is searched, guarded or checked.
--
-- doc is TEXT: a record must come back exactly as it was hashed and signed. JSONB would make 1.0 of 1.00, lose the
-- order of keys and refuse \u0000. "doc::jsonb" is there for whoever looks by hand.
-- Keys are COLLATE "C": their order is the same everywhere, and no update of the system's locales breaks an index.

CREATE TABLE server_signing_keys (
    kid TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL
);

CREATE TABLE server_secrets (
    name TEXT PRIMARY KEY,
    doc TEXT NOT NULL
);

-- A change leaves its id here, so that a commit whose answer got lost can be looked up. Whoever does so and does not
-- find it leaves it here as not stored: then it can be stored no more. The ids begin with their time.
CREATE TABLE server_commits (
    id UUID PRIMARY KEY,
    stored BOOLEAN NOT NULL
);

CREATE TABLE accounts (
    account_id TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL
);

CREATE TABLE clients (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    client_id TEXT NOT NULL,
    deleted BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE UNIQUE INDEX clients_login ON clients (account_id, client_id) WHERE NOT deleted;

CREATE TABLE grants (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    client TEXT NOT NULL,
    deleted BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX grants_client ON grants (account_id, client) WHERE NOT deleted;

CREATE TABLE signature_secrets (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE profiles (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE drafts (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- The head of an order. The columns win over the same fields in doc: doc is written when the order is made,
-- the columns move with every event. The room left in its pages keeps that movement out of the indexes.
CREATE TABLE orders (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    order_id TEXT NOT NULL,
    status TEXT NOT NULL,
    payment_status TEXT NOT NULL,
    merchant_reference TEXT,
    authorized BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_hash TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX orders_public ON orders (account_id, order_id);
CREATE INDEX orders_newest ON orders (account_id, created_at, id);

-- A line and the sums over its ledger entries. A reversal line has negative sums, mirrored.
CREATE TABLE order_lines (
    account_id TEXT COLLATE "C" NOT NULL,
    order_ref TEXT COLLATE "C" NOT NULL,
    line_id BIGINT NOT NULL,
    payable BIGINT NOT NULL,
    authorized BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, line_id),
    CONSTRAINT sums_hold CHECK (
        (
            payable >= 0
            AND least(authorized, cancelled, captured, refunded, claimed) >= 0
            AND captured + cancelled <= authorized
            AND refunded <= captured
            AND authorized - cancelled + claimed <= payable
        ) OR (
            payable < 0
            AND greatest(authorized, cancelled, captured, refunded, claimed) <= 0
            AND captured + cancelled >= authorized
            AND refunded >= captured
            AND authorized - cancelled + claimed >= payable
        )
    )
) WITH (fillfactor = 75);

CREATE TABLE ledger_entries (
    account_id TEXT COLLATE "C" NOT NULL,
    order_ref TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, seq)
);
CREATE UNIQUE INDEX ledger_entries_id ON ledger_entries (account_id, order_ref, id);

CREATE TABLE order_events (
    account_id TEXT COLLATE "C" NOT NULL,
    order_ref TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, order_ref, seq)
);

CREATE TABLE sessions (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    order_ref TEXT COLLATE "C",
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX sessions_of_order ON sessions (account_id, order_ref, created_at, id) WHERE order_ref IS NOT NULL;

CREATE TABLE transactions (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    session_id TEXT NOT NULL,
    order_ref TEXT COLLATE "C",
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX transactions_of_session ON transactions (account_id, session_id);
CREATE INDEX transactions_of_order ON transactions (account_id, order_ref) WHERE order_ref IS NOT NULL;

CREATE TABLE gateway_calls (
    account_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    transaction_id TEXT NOT NULL,
    state TEXT NOT NULL,
    look_up_at BIGINT,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX gateway_calls_due ON gateway_calls (look_up_at) WHERE state <> 'done';

-- "owed" numbers them in the order they were owed; the database sets it.
CREATE TABLE deliveries (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    receiver TEXT NOT NULL,
    status TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    owed BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX deliveries_due ON deliveries (due_at, receiver) WHERE status = 'waiting';
CREATE INDEX deliveries_of_session ON deliveries (account_id, session_id, owed);

CREATE TABLE delivery_attempts (
    account_id TEXT COLLATE "C" NOT NULL,
    delivery_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, delivery_id, number)
);

-- The sandbox gateway's own ledger: a stand-in for an acquirer's, so nothing of ours refers to it.
CREATE TABLE sandbox_book (
    account_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, key)
);

-- The second lock: whatever a statement asks for, it gets the rows of the account that the transaction has named in
-- kasse.account, and can write no others. Naming '*' shows every account, for the few reads that look for work across
-- all of them, and lets nothing be written. It binds the owner of the tables too, though no superuser.
-- (Without its coalesce the planner takes the second policy for a rare case and every list for a short one to sort.)
-- A later migration calls this for each table it adds, and names accounts or switches it off while it moves data.
CREATE FUNCTION kasse_lock(locked regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', locked);
    EXECUTE format($sql$
        CREATE POLICY own ON %1$s
            USING (account_id = current_setting('kasse.account', true))
            WITH CHECK (account_id = current_setting('kasse.account', true) AND account_id <> '*');
        CREATE POLICY every ON %1$s FOR SELECT
            USING (coalesce(current_setting('kasse.account', true) = '*', false));
    $sql$, locked);
END $$;

SELECT kasse_lock(name::regclass) FROM unnest(ARRAY[
    'accounts', 'clients', 'grants', 'signature_secrets', 'profiles', 'drafts', 'orders', 'order_lines',
    'ledger_entries', 'order_events', 'sessions', 'transactions', 'gateway_calls', 'deliveries', 'delivery_attempts',
    'sandbox_book'
]) AS name;

-- kasse_write stores a whole change in one round trip, row by row in the order given, or nothing of it.
--
--     commit    the change's id, for whoever has to look it up
--     tables    of each row: its table,
--     news      whether it is inserted; else it replaces the version before its own, or the row without versions;
--               null removes what an order has in that table: the line named, or all of it,
--     columns   its columns by name; those not named stay as they are,
--     docs      its doc, or null
--     seen_...  of each record that the change was decided on and does not write: its table, account, key and version.
--               It must still be so, and stays so until the change is committed.
--
-- A lost guard is the error KASSE: somebody was faster, the change is decided again.
--
-- Its statements differ only by table, so they are made here, from the catalogue. A migration that adds a table or a
-- column calls this again.
CREATE FUNCTION kasse_make_write() RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
    written record;
    puts text := '';
    looks text := '';
BEGIN
    FOR written IN
        SELECT
            relname AS name,
            string_agg(attname, ', ') AS names,
            string_agg(attname, ', ') FILTER (WHERE NOT is_key) AS changing,
            string_agg(value, ', ') AS every_value,
            string_agg(value, ', ') FILTER (WHERE NOT is_key) AS changing_values,
            string_agg(format('t.%1$s = (row_ ->> %1$L)::%2$s', attname, type), ' AND ')
                FILTER (WHERE is_key) AS matches,
            string_agg(format('t.%1$s = (row_ ->> %1$L)::%2$s', attname, type), ' AND ')
                FILTER (WHERE is_key AND attname IN ('account_id', 'order_ref', 'line_id')) AS belongs,
            bool_or(attname = 'order_ref' AND is_key) AS of_order,
            coalesce(string_agg('t.' || attname || ' = seen_keys[n]', '') FILTER (WHERE is_key AND type = 'text'
                AND attname <> 'account_id'), 'true') AS key_matches,
            bool_or(attname = 'version') AS versioned
        FROM (
            SELECT
                relname, attname, attnum, format_type(atttypid, atttypmod) AS type, attnum = ANY (indkey) AS is_key,
                CASE attname WHEN 'doc' THEN 'coalesce(docs[n], r.doc)' ELSE 'r.' || attname END AS value
            FROM pg_class
            JOIN pg_index ON indrelid = pg_class.oid AND indisprimary
            JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attidentity = ''
            WHERE relnamespace = current_schema()::regnamespace
                AND relname NOT IN ('migrations', 'server_commits', 'sandbox_book')
            ORDER BY relname, attnum
        ) AS of_tables
        GROUP BY relname
    LOOP
        puts := puts || format($put$
        WHEN %1$L THEN
            IF news[n] THEN
                INSERT INTO %1$s (%2$s) SELECT %3$s FROM jsonb_populate_record(NULL::%1$s, row_) AS r;$put$,
            written.name, written.names, written.every_value);
        IF written.of_order THEN
            puts := puts || format($put$
            ELSIF news[n] IS NULL THEN
                DELETE FROM %1$s AS t WHERE %2$s;
                CONTINUE;$put$,
                written.name, written.belongs);
        END IF;
        IF written.changing IS NOT NULL THEN
            puts := puts || format($put$
            ELSE
                UPDATE %1$s AS t SET (%2$s) = (SELECT %3$s FROM jsonb_populate_record(t, row_) AS r) WHERE %4$s%5$s;$put$,
                written.name, written.changing, written.changing_values, written.matches,
                CASE WHEN written.versioned THEN ' AND t.version = (row_ ->> ''version'')::bigint - 1' END);
        END IF;
        puts := puts || $put$
            END IF;$put$;
        IF written.versioned THEN
            looks := looks || format($look$
        WHEN %1$L THEN
            PERFORM FROM %1$s AS t WHERE t.account_id = account AND %2$s AND t.version = seen_versions[n] FOR SHARE;$look$,
                written.name, written.key_matches);
        END IF;
    END LOOP;
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION kasse_write(
    commit uuid, tables text[], news boolean[], columns jsonb[], docs text[],
    seen_tables text[], seen_accounts text[], seen_keys text[], seen_versions bigint[]
) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    row_ jsonb;
    account text := '';
BEGIN
    INSERT INTO server_commits VALUES (commit, true);
    FOR n IN 1 .. cardinality(seen_tables) LOOP
        account := set_config('kasse.account', seen_accounts[n], true);
        CASE seen_tables[n]%2$s
        END CASE;
        IF NOT FOUND THEN
            RAISE USING ERRCODE = 'KASSE', MESSAGE = format('%%s: what was seen is there no more', seen_tables[n]);
        END IF;
    END LOOP;
    FOR n IN 1 .. cardinality(tables) LOOP
        row_ := columns[n];
        IF account IS DISTINCT FROM row_ ->> 'account_id' THEN
            account := set_config('kasse.account', coalesce(row_ ->> 'account_id', ''), true);
        END IF;
        CASE tables[n]%1$s
        END CASE;
        IF NOT FOUND THEN
            RAISE USING ERRCODE = 'KASSE', MESSAGE = format('%%s: what to replace is not there', tables[n]);
        END IF;
    END LOOP;
END $body$ $function$, puts, looks);
END $make$;

SELECT kasse_make_write();

-- The sandbox gateway's compare and swap.
CREATE FUNCTION kasse_swap(account text, entry text, before text, after text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('kasse.account', account, true);
    UPDATE sandbox_book SET doc = after WHERE account_id = account AND key = entry AND doc = before;
    RETURN FOUND;
END $$;
