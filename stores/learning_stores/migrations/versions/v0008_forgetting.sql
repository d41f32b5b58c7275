-- Forgetting, replay and undo, and a ledger that adds up. Run as a member of learning_owner.

-- The row stays without its messages, so that the same event, arriving again, is known.
ALTER TABLE learning.conversation_event ADD COLUMN forgotten_at timestamptz;

-- Since when it is to be extracted again: evidence that its event gave before then is withdrawn by the commit that settles it.
-- What settled it in earlier generations is kept, so that a trace shows them all.
ALTER TABLE learning.delivery ADD COLUMN replayed_at timestamptz, ADD COLUMN earlier_extractions uuid[] NOT NULL DEFAULT '{}';
CREATE INDEX delivery_replayed ON learning.delivery (tenant, store, scope, event_id)
    WHERE state = 'pending' AND replayed_at IS NOT NULL;

-- Numbers that arrived and were refused are not missing; `last_reported` is what a producer said at its close.
ALTER TABLE learning.producer_seq ADD COLUMN refused bigint NOT NULL DEFAULT 0, ADD COLUMN last_reported bigint;

-- Whose words a rejected body holds, as far as it can be read, so that they are forgotten too.
ALTER TABLE learning.rejected_event ADD COLUMN subject text;
CREATE INDEX rejected_event_subject ON learning.rejected_event (tenant, subject) WHERE subject IS NOT NULL;
ALTER TABLE learning.rejected_event NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    rejected record;
    said     jsonb;
BEGIN
    FOR rejected IN SELECT id, body FROM learning.rejected_event LOOP
        BEGIN
            said := convert_from(rejected.body, 'UTF8')::jsonb;
            UPDATE learning.rejected_event SET subject = CASE
                WHEN said ->> 'user_id' <> ''
                    THEN 'user/' || replace(replace(said ->> 'user_id', '%', '%25'), '/', '%2F')
                WHEN said ->> 'session_id' <> ''
                    THEN 'session/' || replace(replace(said ->> 'session_id', '%', '%25'), '/', '%2F') END
            WHERE id = rejected.id;
        EXCEPTION WHEN data_exception OR untranslatable_character OR character_not_in_repertoire THEN
            NULL;  -- no JSON: nobody can be read from it
        END;
    END LOOP;
END $$;
ALTER TABLE learning.rejected_event FORCE ROW LEVEL SECURITY;

-- What is forgotten, how far that is, and what was found: what an interrupted forgetting goes on from, and the receipt.
CREATE TABLE learning.forgetting (
    tenant      text        NOT NULL CHECK (tenant <> ''),
    id          uuid        NOT NULL,
    subject     text        NOT NULL,
    session_id  text,       -- only this session of the user
    event_id    uuid,       -- only this event
    asked_by    text,
    closed      boolean     NOT NULL DEFAULT false,
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    counts      jsonb       NOT NULL DEFAULT '{}',
    receipt     jsonb,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX forgetting_subject ON learning.forgetting (tenant, subject);

-- A session or an event that was forgotten by itself, while its user is not: what is older and arrives later is refused.
CREATE TABLE learning.forgotten_session (
    tenant       text        NOT NULL CHECK (tenant <> ''),
    scope        text        NOT NULL,
    forgotten_at timestamptz NOT NULL,
    closed_at    timestamptz,
    PRIMARY KEY (tenant, scope)
);

-- Events and deliveries whose rows are gone (forgotten, or past retention), so that the ledger still adds up.
CREATE TABLE learning.removed_count (
    tenant     text   NOT NULL CHECK (tenant <> ''),
    day        date   NOT NULL,
    reason     text   NOT NULL,
    events     bigint NOT NULL DEFAULT 0,
    numbered   bigint NOT NULL DEFAULT 0,  -- of them, those that a producer had numbered
    deliveries bigint NOT NULL DEFAULT 0,
    dead       bigint NOT NULL DEFAULT 0,  -- of the deliveries
    PRIMARY KEY (tenant, day, reason)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['forgetting', 'forgotten_session', 'removed_count'] LOOP
        EXECUTE format('ALTER TABLE learning.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE learning.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON learning.%I TO learning_app '
                       'USING (tenant = current_setting(''learning.tenant'', true)) '
                       'WITH CHECK (tenant = current_setting(''learning.tenant'', true))', name);
        EXECUTE format('CREATE POLICY all_tenants ON learning.%I TO learning_dispatcher USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON learning.forgetting, learning.forgotten_session, learning.removed_count TO learning_app;
GRANT SELECT ON learning.forgetting, learning.forgotten_session TO learning_dispatcher;
GRANT SELECT, INSERT, UPDATE ON learning.removed_count TO learning_dispatcher;

-- Forgetting, replay and undo run as the app, for one tenant.
GRANT UPDATE, DELETE ON learning.conversation_event, learning.model_call TO learning_app;
GRANT DELETE ON learning.delivery, learning.extraction TO learning_app;
GRANT INSERT ON learning.mailbox TO learning_app;

-- Rejected events belong to no tenant for sure; the app forgets those that name its tenant and this subject.
GRANT SELECT, UPDATE ON learning.rejected_event TO learning_search;
CREATE POLICY search ON learning.rejected_event TO learning_search USING (true) WITH CHECK (true);
CREATE FUNCTION learning.forget_rejected(p_subject text, p_event_id text) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    forgotten integer;
BEGIN
    IF coalesce(current_setting('learning.tenant', true), '') = '' THEN
        RAISE EXCEPTION 'forgetting needs a tenant';
    END IF;
    UPDATE learning.rejected_event r SET body = '', body_bytes = 0, subject = NULL
    WHERE r.tenant = current_setting('learning.tenant', true) AND r.subject = p_subject
      AND (p_event_id IS NULL OR r.event_id = p_event_id);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;
REVOKE ALL ON FUNCTION learning.forget_rejected FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.forget_rejected TO learning_app;

-- Evidence of a worker that knows no subjects yet gets its event's; what is there without gets it now.
GRANT SELECT (tenant, id, subject) ON learning.conversation_event TO learning_search;
CREATE POLICY search ON learning.conversation_event FOR SELECT TO learning_search USING (true);
CREATE FUNCTION learning.name_subject() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT e.subject INTO NEW.subject FROM learning.conversation_event e WHERE e.tenant = NEW.tenant AND e.id = NEW.event_id;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION learning.name_subject FROM PUBLIC;
CREATE TRIGGER name_subject BEFORE INSERT ON learning.evidence FOR EACH ROW
    WHEN (NEW.subject IS NULL AND NEW.event_id IS NOT NULL) EXECUTE FUNCTION learning.name_subject();
ALTER TABLE learning.evidence NO FORCE ROW LEVEL SECURITY;
ALTER TABLE learning.extraction NO FORCE ROW LEVEL SECURITY;
UPDATE learning.evidence v SET subject = x.subject
FROM learning.extraction x WHERE x.tenant = v.tenant AND x.id = v.extraction_id AND v.subject IS NULL;
DO $$
BEGIN
    IF EXISTS (SELECT FROM learning.evidence v JOIN learning.extraction x ON x.tenant = v.tenant AND x.id = v.extraction_id
               WHERE v.subject IS NULL) THEN
        RAISE EXCEPTION 'some evidence was not given its subject';
    END IF;
END $$;
ALTER TABLE learning.evidence FORCE ROW LEVEL SECURITY;
ALTER TABLE learning.extraction FORCE ROW LEVEL SECURITY;

-- What is looked for by its subject or owner, and what a deleted row's references are found by.
CREATE INDEX extraction_subject ON learning.extraction (tenant, subject);
CREATE INDEX model_call_subject ON learning.model_call (tenant, subject) WHERE subject <> '';
CREATE INDEX learning_owner ON learning.learning (tenant, user_id, session_id) WHERE user_id IS NOT NULL OR session_id IS NOT NULL;
CREATE INDEX learning_about_any ON learning.learning (tenant, about) WHERE about IS NOT NULL;
CREATE INDEX learning_target_any ON learning.learning (tenant, target) WHERE target IS NOT NULL;
CREATE INDEX entity_merged_into ON learning.entity (tenant, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX mailbox_subject ON learning.mailbox (tenant, subject);

-- Which events a session had, after retention took them: their ids, and hashes under a key.
GRANT SELECT ON learning.session_message TO learning_app;

-- A worker that was asking a model when its subject was forgotten writes the call down without naming anybody. No event that
-- is accepted after a forgetting is extracted within these minutes.
CREATE FUNCTION learning.forget_caller() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    forgotten timestamptz;
BEGIN
    SELECT s.forgotten_at INTO forgotten FROM learning.subject s
    WHERE s.tenant = NEW.tenant AND s.subject = NEW.subject FOR SHARE;
    IF NEW.called_at < forgotten + interval '10 minutes' + NEW.seconds * interval '1 s' THEN
        NEW.subject := '';
        NEW.user_id := NULL;
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION learning.forget_caller FROM PUBLIC;
CREATE TRIGGER forget_caller BEFORE INSERT ON learning.model_call FOR EACH ROW
    WHEN (NEW.subject <> '') EXECUTE FUNCTION learning.forget_caller();

-- An event that was found on its way in (a stream, a spool, the log without a number) is counted as refused and kept without
-- its body; one that the log has is not, because it is counted there. False where it was refused before, or is in the log.
GRANT SELECT, INSERT, UPDATE ON learning.producer_seq TO learning_search;
GRANT INSERT ON learning.rejected_event TO learning_search;
CREATE POLICY search ON learning.producer_seq TO learning_search USING (true) WITH CHECK (true);
GRANT SELECT (producer, seq) ON learning.conversation_event TO learning_search;

-- Whose number a refused event had, so that one that is refused again, here or elsewhere, is counted once.
ALTER TABLE learning.rejected_event ADD COLUMN producer uuid, ADD COLUMN seq bigint;
CREATE INDEX rejected_event_number ON learning.rejected_event (producer, seq) WHERE producer IS NOT NULL;

-- Keep an event that is not accepted, and count its number as refused: once, whoever refuses it, and not where the log has it.
-- False where this entry was kept before. The row of the producer is locked first, so that of two the second sees the first.
CREATE FUNCTION learning.refuse(p_stream text, p_entry_id text, p_tenant text, p_event_id text, p_field text, p_reason text,
                                p_body bytea, p_body_bytes integer, p_subject text, p_producer uuid, p_seq bigint)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO learning.rejected_event (stream, entry_id, tenant, event_id, field, reason, body, body_bytes, subject, producer, seq)
    VALUES (p_stream, p_entry_id, p_tenant, p_event_id, p_field, p_reason, p_body, p_body_bytes, p_subject,
            CASE WHEN p_seq IS NOT NULL THEN p_producer END, CASE WHEN p_producer IS NOT NULL THEN p_seq END)
    ON CONFLICT (stream, entry_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_producer IS NULL OR p_seq IS NULL THEN
        RETURN true;
    END IF;
    INSERT INTO learning.producer_seq AS p (producer, highest, received) VALUES (p_producer, p_seq, 0)
    ON CONFLICT (producer) DO UPDATE SET highest = greatest(p.highest, excluded.highest), last_seen = clock_timestamp();
    IF (SELECT count(*) FROM learning.rejected_event r WHERE r.producer = p_producer AND r.seq = p_seq) = 1
       AND NOT EXISTS (SELECT FROM learning.conversation_event e
                       WHERE e.tenant = p_tenant AND e.producer = p_producer AND e.seq = p_seq AND e.id =
                           CASE WHEN p_event_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_event_id::uuid END) THEN
        UPDATE learning.producer_seq SET refused = refused + 1 WHERE producer = p_producer;
    END IF;
    RETURN true;
END $$;

-- The same for emit's fallback and the spool: the app writes neither table itself. The body stays with whoever sent it.
CREATE FUNCTION learning.count_refused(p_event_id uuid, p_field text, p_reason text, p_producer uuid, p_seq bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own text := current_setting('learning.tenant', true);
BEGIN
    IF coalesce(own, '') = '' THEN
        RAISE EXCEPTION 'refusing needs a tenant';
    END IF;
    RETURN learning.refuse('postgres', own || '/' || p_event_id, own, p_event_id::text, p_field, p_reason, '', 0, NULL,
                           p_producer, p_seq);
END $$;

-- A producer's last number, where Redis does not take its word.
CREATE FUNCTION learning.report_last(p_producer uuid, p_last bigint) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO learning.producer_seq AS p (producer, highest, received, last_reported)
    SELECT p_producer, 0, 0, p_last WHERE p_last > 0
    ON CONFLICT (producer) DO UPDATE SET last_reported = greatest(p.last_reported, excluded.last_reported),
        last_seen = clock_timestamp()
$$;

-- What was rejected of somebody, for the export of what is held about them.
CREATE FUNCTION learning.rejected_of(p_subject text) RETURNS SETOF learning.rejected_event LANGUAGE plpgsql SECURITY DEFINER STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(current_setting('learning.tenant', true), '') = '' THEN
        RAISE EXCEPTION 'an export needs a tenant';
    END IF;
    RETURN QUERY SELECT r.* FROM learning.rejected_event r
    WHERE r.tenant = current_setting('learning.tenant', true) AND r.subject = p_subject;
END $$;
CREATE FUNCTION learning.refuse_forgotten(p_stream text, p_entry_id text, p_event_id uuid, p_producer uuid, p_seq bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own text := current_setting('learning.tenant', true);
BEGIN
    IF coalesce(own, '') = '' THEN
        RAISE EXCEPTION 'forgetting needs a tenant';
    END IF;
    IF EXISTS (SELECT FROM learning.conversation_event e WHERE e.tenant = own AND e.id = p_event_id) THEN
        RETURN false;
    END IF;
    RETURN learning.refuse(p_stream, p_entry_id, own, p_event_id::text, 'user_id',
                           'user_id: was forgotten before this event was taken in', '', 0, NULL, p_producer, p_seq);
END $$;

-- Events that came by the fallback are counted when their deliveries are made; one that is forgotten before is counted here.
CREATE FUNCTION learning.count_received(p_producer uuid, p_highest bigint, p_received bigint) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO learning.producer_seq AS p (producer, highest, received) VALUES (p_producer, p_highest, p_received)
    ON CONFLICT (producer) DO UPDATE SET highest = greatest(p.highest, excluded.highest),
        received = p.received + excluded.received, last_seen = clock_timestamp()
$$;
REVOKE ALL ON FUNCTION learning.refuse_forgotten, learning.count_received, learning.refuse, learning.count_refused,
    learning.report_last, learning.rejected_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.refuse_forgotten, learning.count_received, learning.count_refused, learning.report_last,
    learning.rejected_of TO learning_app;
GRANT EXECUTE ON FUNCTION learning.refuse TO learning_dispatcher, learning_search;

-- What the reconciler saw: of each producer with open numbers how far they went a minute ago, and how many of those are missing.
ALTER TABLE learning.producer_seq
    ADD COLUMN sampled       bigint,       -- every number up to it had been given at `sampled_at`
    ADD COLUMN sampled_at    timestamptz,
    ADD COLUMN missing       bigint NOT NULL DEFAULT 0,
    ADD COLUMN missing_since timestamptz;

-- And what does not add up, a row a kind, for `status` and metrics; a count of 0 says that it was looked for and not found.
CREATE TABLE learning.ledger_finding (
    name      text        PRIMARY KEY,
    count     bigint      NOT NULL,
    ids       text[]      NOT NULL DEFAULT '{}',  -- the first few
    since     timestamptz,                        -- of a count that is not 0
    looked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE learning.ledger_finding ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning.ledger_finding FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON learning.ledger_finding TO learning_dispatcher USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.ledger_finding TO learning_dispatcher;

GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for these statements
ALTER FUNCTION learning.refuse_forgotten OWNER TO learning_search;
ALTER FUNCTION learning.count_received OWNER TO learning_search;
ALTER FUNCTION learning.count_refused OWNER TO learning_search;
ALTER FUNCTION learning.report_last OWNER TO learning_search;
ALTER FUNCTION learning.rejected_of OWNER TO learning_search;
ALTER FUNCTION learning.forget_rejected OWNER TO learning_search;
ALTER FUNCTION learning.name_subject OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
