-- Embeddings: which models a tenant's memory is embedded with, and what is still to be embedded.
-- Run as a member of learning_owner.

ALTER TABLE learning.learning_embedding
    ADD COLUMN dimensions integer NOT NULL GENERATED ALWAYS AS (public.vector_dims(embedding)) STORED;

-- The models of a tenant, several side by side; a model's vectors are comparable with each other alone. `reading`: every live
-- learning had a vector of it once, and new ones get theirs within seconds, so that a query of this model finds them.
CREATE TABLE learning.embedding_model (
    tenant     text        NOT NULL CHECK (tenant <> ''),
    model      text        NOT NULL CHECK (model <> ''),          -- with @dimensions where they were asked for
    dimensions integer     CHECK (dimensions BETWEEN 1 AND 16000),  -- null until the first vector
    state      text        NOT NULL CHECK (state IN ('building', 'reading')),
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),    -- of this state
    not_before timestamptz,                                       -- the provider is left alone until then
    failures   integer     NOT NULL DEFAULT 0,                    -- calls in a row that brought no vectors
    wait_note  text,
    PRIMARY KEY (tenant, model),
    CHECK (state = 'building' OR dimensions IS NOT NULL)
);

-- The work list: live learnings that some model of their tenant may still lack. Kept by triggers, in the transaction that makes
-- or ends a learning: looking for rows without a vector would read all rows with one. It fills where no model is configured, too,
-- so that a model configured later begins with what there is.
CREATE TABLE learning.embedding_due (
    tenant      text        NOT NULL CHECK (tenant <> ''),
    learning_id uuid        NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_until timestamptz,  -- a worker has it until then; who dies holds it no longer
    not_before  timestamptz,
    ready_at    timestamptz NOT NULL GENERATED ALWAYS AS (GREATEST(since, taken_until, not_before)) STORED,
    PRIMARY KEY (tenant, learning_id),
    FOREIGN KEY (tenant, learning_id) REFERENCES learning.learning (tenant, id) ON DELETE CASCADE
);
CREATE INDEX embedding_due_ready ON learning.embedding_due (tenant, ready_at);
CREATE INDEX embedding_due_taken ON learning.embedding_due (tenant, taken_until) WHERE taken_until IS NOT NULL;

-- Texts that a model would not take. Not tried again before somebody asks for it.
CREATE TABLE learning.embedding_refused (
    tenant      text        NOT NULL CHECK (tenant <> ''),
    learning_id uuid        NOT NULL,
    model       text        NOT NULL,
    reason      text        NOT NULL,
    refused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, learning_id, model),
    FOREIGN KEY (tenant, learning_id) REFERENCES learning.learning (tenant, id) ON DELETE CASCADE
);
CREATE INDEX embedding_refused_model ON learning.embedding_refused (tenant, model);

-- FORCE hides rows from the owner too: lifted for the fill, in this transaction, and the fill is counted.
ALTER TABLE learning.learning NO FORCE ROW LEVEL SECURITY;
INSERT INTO learning.embedding_due (tenant, learning_id, since)
SELECT tenant, id, live_from FROM learning.learning WHERE status = 'active' AND kind <> 'alias';
DO $$
BEGIN
    IF (SELECT count(*) FROM learning.embedding_due)
        <> (SELECT count(*) FROM learning.learning WHERE status = 'active' AND kind <> 'alias') THEN
        RAISE EXCEPTION 'not every live learning is on the work list';
    END IF;
END $$;
ALTER TABLE learning.learning FORCE ROW LEVEL SECURITY;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['embedding_model', 'embedding_due', 'embedding_refused'] LOOP
        EXECUTE format('ALTER TABLE learning.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE learning.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON learning.%I TO learning_app '
                       'USING (tenant = current_setting(''learning.tenant'', true)) '
                       'WITH CHECK (tenant = current_setting(''learning.tenant'', true))', name);
        -- Ids, names of models and times: nothing that was learned.
        EXECUTE format('CREATE POLICY all_tenants ON learning.%I FOR SELECT TO learning_dispatcher USING (true)', name);
    END LOOP;
END $$;
CREATE POLICY search ON learning.embedding_model FOR SELECT TO learning_search USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.embedding_model, learning.embedding_due, learning.embedding_refused
    TO learning_app;
GRANT SELECT ON learning.embedding_model, learning.embedding_due, learning.embedding_refused TO learning_dispatcher;
GRANT SELECT ON learning.embedding_model TO learning_search;

CREATE FUNCTION learning.embedding_due_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.embedding_due (tenant, learning_id)
    SELECT a.tenant, a.id FROM added a WHERE a.status = 'active' AND a.kind <> 'alias'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- What ended needs no vector; what was approved does.
CREATE FUNCTION learning.embedding_due_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM learning.embedding_due d USING after_it a
    WHERE a.status = 'retired' AND d.tenant = a.tenant AND d.learning_id = a.id;
    INSERT INTO learning.embedding_due (tenant, learning_id)
    SELECT a.tenant, a.id FROM after_it a JOIN before_it b ON b.tenant = a.tenant AND b.id = a.id
    WHERE a.status = 'active' AND b.status <> 'active' AND a.kind <> 'alias'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION learning.embedding_due_added, learning.embedding_due_changed FROM PUBLIC;

CREATE TRIGGER embedding_due_added AFTER INSERT ON learning.learning
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION learning.embedding_due_added();
CREATE TRIGGER embedding_due_changed AFTER UPDATE ON learning.learning
    REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION learning.embedding_due_changed();
