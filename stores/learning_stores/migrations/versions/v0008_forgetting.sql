-- Forgetting, replay and undo, and a ledger that adds up. Run as a member of learning_owner.

-- The row stays without its messages, so that the same event, arriving again, is known.
ALTER TABLE learning.conversation_event ADD COLUMN forgotten_at timestamptz;

-- Since when it is to be extracted again: evidence that its event gave before then is withdrawn by the commit that settles it.
ALTER TABLE learning.delivery ADD COLUMN replayed_at timestamptz;
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

GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for these statements
ALTER FUNCTION learning.forget_rejected OWNER TO learning_search;
ALTER FUNCTION learning.name_subject OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
