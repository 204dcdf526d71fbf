-- Requests that arrive together share a round trip and a commit.
--
-- kasse_make_write is made anew: it now makes several functions, each with one job.
--
--     kasse_read        what is looked up by its key, any number at once, as of one moment
--     kasse_hold        whether a record still has a version; it stays so until the end of the transaction
--     kasse_put         writes rows
--     kasse_write       stores one change, or nothing of it; as before
--     kasse_write_each  stores each of several changes, or nothing of that one
CREATE OR REPLACE FUNCTION kasse_make_write() RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
    written record;
    puts text := '';
    holds text := '';
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
            coalesce(string_agg('t.' || attname || ' = named', '') FILTER (WHERE is_key AND type = 'text'
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
            holds := holds || format($hold$
        WHEN %1$L THEN
            IF patient THEN
                PERFORM FROM %1$s AS t WHERE t.account_id = account AND %2$s AND t.version = seen FOR SHARE;
            ELSE
                PERFORM FROM %1$s AS t WHERE t.account_id = account AND %2$s AND t.version = seen FOR SHARE SKIP LOCKED;
            END IF;$hold$,
                written.name, written.key_matches);
            looks := looks || format($look$
        WHEN %1$L THEN
            RETURN QUERY SELECT n, ARRAY[t.doc], NULL::text[] FROM %1$s AS t WHERE t.account_id = account AND %2$s;$look$,
                written.name, written.key_matches);
        END IF;
    END LOOP;
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION kasse_hold(held text, account text, named text, seen bigint, patient boolean)
RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM set_config('kasse.account', account, true);
    CASE held%s
    END CASE;
    RETURN FOUND;
END $body$ $function$, holds);
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION kasse_put(tables text[], news boolean[], columns jsonb[], docs text[])
RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    row_ jsonb;
    account text := '';
BEGIN
    FOR n IN 1 .. cardinality(tables) LOOP
        row_ := columns[n];
        IF account IS DISTINCT FROM row_ ->> 'account_id' THEN
            account := set_config('kasse.account', coalesce(row_ ->> 'account_id', ''), true);
        END IF;
        CASE tables[n]%s
        END CASE;
        IF NOT FOUND THEN
            RAISE USING ERRCODE = 'KASSE', MESSAGE = format('%%s: what to replace is not there', tables[n]);
        END IF;
    END LOOP;
END $body$ $function$, puts);
    -- Stable: all of it is as of the moment that the statement began.
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION kasse_read(whats text[], accounts text[], keys text[], chosen text[])
RETURNS TABLE (number integer, parts text[], lines text[]) LANGUAGE plpgsql STABLE AS $body$
DECLARE
    account text := '';
    named text;
BEGIN
    FOR n IN 1 .. cardinality(whats) LOOP
        named := keys[n];
        IF account <> accounts[n] THEN
            account := set_config('kasse.account', accounts[n], true);
        END IF;
        CASE whats[n]
        WHEN 'an order' THEN
            RETURN QUERY SELECT
                n,
                ARRAY[o.doc, o.status, o.payment_status, o.authorized::text, o.cancelled::text, o.captured::text,
                    o.refunded::text, o.updated_at::text, o.version::text, o.last_hash],
                (
                    SELECT array_agg(ARRAY[l.line_id::text, l.payable::text, l.authorized::text, l.cancelled::text,
                        l.captured::text, l.refunded::text, l.claimed::text, l.doc] ORDER BY l.line_id)
                    FROM order_lines AS l
                    WHERE l.account_id = account AND l.order_ref = o.id
                        AND (chosen[n] IS NULL OR l.line_id = ANY (chosen[n]::bigint[]))
                )
            FROM orders AS o
            -- By either id; the internal one must never lead to an order whose order_id happens to be the same.
            WHERE o.account_id = account AND (o.id = named OR o.order_id = named) ORDER BY o.id = named DESC LIMIT 1;
        WHEN 'a login' THEN
            RETURN QUERY SELECT
                n,
                ARRAY[c.doc] || ARRAY(
                    SELECT g.doc FROM grants AS g WHERE g.account_id = account AND g.client = c.id AND NOT g.deleted
                    ORDER BY g.created_at DESC, g.id DESC
                ),
                NULL::text[]
            FROM clients AS c WHERE c.account_id = account AND c.client_id = named AND NOT c.deleted;%s
        END CASE;
    END LOOP;
END $body$ $function$, looks);
END $make$;

SELECT kasse_make_write();

CREATE OR REPLACE FUNCTION kasse_write(
    commit uuid, tables text[], news boolean[], columns jsonb[], docs text[],
    seen_tables text[], seen_accounts text[], seen_keys text[], seen_versions bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO server_commits VALUES (commit, true);
    FOR n IN 1 .. cardinality(seen_tables) LOOP
        IF NOT kasse_hold(seen_tables[n], seen_accounts[n], seen_keys[n], seen_versions[n], true) THEN
            RAISE USING ERRCODE = 'KASSE', MESSAGE = format('%s: what was seen is there no more', seen_tables[n]);
        END IF;
    END LOOP;
    PERFORM kasse_put(tables, news, columns, docs);
END $$;

-- Of the changes laid end to end, "row_ends", "seen_ends" and "told_ends" tell where the rows of each end, the numbers
-- in "seen" of what it was decided on, and what subscribers are to be told of. What was seen is held once for all of them: many changes look at the same.
-- Answers the numbers of those that are not stored. Why is not told: whoever is left out goes alone and will hear.
-- Nobody waits for long here, because others would wait with him, perhaps for each other.
CREATE FUNCTION kasse_write_each(
    commits uuid[], row_ends integer[], seen_ends integer[], told_ends integer[],
    tables text[], news boolean[], columns jsonb[], docs text[],
    seen integer[], seen_tables text[], seen_accounts text[], seen_keys text[], seen_versions bigint[],
    told_accounts text[], told_ids text[], told_names text[], told_times bigint[], told_docs text[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    held boolean[] := '{}';
    left_out integer[] := '{}';
    row_first integer := 1;
    seen_first integer := 1;
    told_first integer := 1;
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    FOR n IN 1 .. cardinality(seen_tables) LOOP
        held[n] := kasse_hold(seen_tables[n], seen_accounts[n], seen_keys[n], seen_versions[n], false);
    END LOOP;
    FOR n IN 1 .. cardinality(commits) LOOP
        IF (SELECT coalesce(bool_and(held[one]), true) FROM unnest(seen[seen_first:seen_ends[n]]) AS one) THEN
            BEGIN
                INSERT INTO server_commits VALUES (commits[n], true);
                PERFORM kasse_put(tables[row_first:row_ends[n]], news[row_first:row_ends[n]],
                    columns[row_first:row_ends[n]], docs[row_first:row_ends[n]]);
                IF told_first <= told_ends[n] THEN
                    PERFORM kasse_tell(told_accounts[told_first:told_ends[n]], told_ids[told_first:told_ends[n]],
                        told_names[told_first:told_ends[n]], told_times[told_first:told_ends[n]],
                        told_docs[told_first:told_ends[n]]);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                left_out := left_out || n;
            END;
        ELSE
            left_out := left_out || n;
        END IF;
        row_first := row_ends[n] + 1;
        seen_first := seen_ends[n] + 1;
        told_first := told_ends[n] + 1;
    END LOOP;
    RETURN left_out;
END $$;
