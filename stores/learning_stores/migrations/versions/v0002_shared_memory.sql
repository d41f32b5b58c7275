-- Entities and insights that are shared, writes by tools and people, proposals, and search by text.
-- Run as a member of learning_owner.

-- Writes that come from no extraction. `made_by`, `retired_by` and evidence.extraction_id hold an extraction's id or a change's.
CREATE TABLE learning.change (
    tenant     text        NOT NULL CHECK (tenant <> ''),
    id         uuid        NOT NULL,
    origin     text        NOT NULL CHECK (origin IN ('tool', 'human', 'curator', 'import')),
    action     text        NOT NULL,
    by_whom    text,       -- the person, as they were named
    store      text        NOT NULL,
    scope      text        NOT NULL,
    subject    text,       -- in whose conversation; null where nobody's
    user_id    text,
    session_id text,
    agent_id   text,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at  timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX change_subject ON learning.change (tenant, subject) WHERE subject IS NOT NULL;
ALTER TABLE learning.change ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning.change FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON learning.change TO learning_app
    USING (tenant = current_setting('learning.tenant', true)) WITH CHECK (tenant = current_setting('learning.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.change TO learning_app;

ALTER TABLE learning.learning
    ADD COLUMN target     uuid,        -- the other end of a relationship
    ADD COLUMN replaces   uuid,        -- of a proposal: what it takes the place of when it is approved
    ADD COLUMN awaits     text CHECK (awaits IN ('approval', 'corroboration')),
    ADD COLUMN decided_by text,
    ADD COLUMN decided_at timestamptz,
    ADD CONSTRAINT learning_awaits CHECK ((status = 'proposed') = (awaits IS NOT NULL)),
    ADD CONSTRAINT learning_target FOREIGN KEY (tenant, target) REFERENCES learning.entity (tenant, id),
    ADD CONSTRAINT learning_replaces FOREIGN KEY (tenant, replaces) REFERENCES learning.learning (tenant, id);
COMMENT ON COLUMN learning.learning.live_from IS
    'When we began to hold it. Of a proposal: when it was made, until it is decided; then the moment of approval, or (rejected) of the end.';

CREATE INDEX learning_about ON learning.learning (tenant, about) WHERE about IS NOT NULL AND status = 'active';
CREATE INDEX learning_points ON learning.learning (tenant, target) WHERE target IS NOT NULL AND status = 'active';
CREATE INDEX learning_alias ON learning.learning (tenant, scope, content_key) WHERE kind = 'alias' AND status = 'active';
CREATE INDEX learning_newest ON learning.learning (tenant, scope, store, live_from DESC, id DESC)
    WHERE status = 'active' AND kind <> 'alias';
CREATE INDEX learning_proposed ON learning.learning (tenant, id) WHERE status = 'proposed';
CREATE INDEX learning_replaced_by ON learning.learning (tenant, replaced_by) WHERE replaced_by IS NOT NULL;
CREATE INDEX learning_restores ON learning.learning (tenant, restores) WHERE restores IS NOT NULL;
CREATE INDEX learning_replaces ON learning.learning (tenant, replaces) WHERE replaces IS NOT NULL;
CREATE INDEX learning_gone ON learning.learning (tenant, scope, content_key) WHERE status = 'retired';

-- In whose conversation something was said, whoever said it: what corroborates, and what is forgotten with its subject.
ALTER TABLE learning.evidence ADD COLUMN subject text;
CREATE INDEX evidence_subject ON learning.evidence (tenant, subject) WHERE subject IS NOT NULL;

-- FORCE hides rows from the owner too: lifted for the fill, in this transaction, and the fill is counted.
ALTER TABLE learning.evidence NO FORCE ROW LEVEL SECURITY;
ALTER TABLE learning.extraction NO FORCE ROW LEVEL SECURITY;
UPDATE learning.evidence v SET subject = x.subject
FROM learning.extraction x WHERE x.tenant = v.tenant AND x.id = v.extraction_id AND v.subject IS NULL;
DO $$
DECLARE
    left_out bigint;
BEGIN
    SELECT count(*) INTO left_out FROM learning.evidence v
    JOIN learning.extraction x ON x.tenant = v.tenant AND x.id = v.extraction_id WHERE v.subject IS NULL;
    IF left_out > 0 THEN
        RAISE EXCEPTION '% rows of evidence were not given their subject', left_out;
    END IF;
END $$;
ALTER TABLE learning.evidence FORCE ROW LEVEL SECURITY;
ALTER TABLE learning.extraction FORCE ROW LEVEL SECURITY;

-- The search functions' owner sees every tenant, so that Postgres uses the text index (`@@` is not leakproof, and under a
-- policy would be tested row by row); the functions themselves filter by the transaction's tenant, and refuse an empty one.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['machine_spec', 'subject', 'conversation_event', 'session_message', 'delivery', 'mailbox',
                                'extraction', 'model_call', 'entity', 'learning', 'evidence', 'learning_embedding'] LOOP
        EXECUTE format('ALTER POLICY one_tenant ON learning.%I TO learning_app', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['entity', 'learning', 'evidence', 'learning_embedding'] LOOP
        EXECUTE format('CREATE POLICY search ON learning.%I FOR SELECT TO learning_search USING (true)', name);
    END LOOP;
END $$;
