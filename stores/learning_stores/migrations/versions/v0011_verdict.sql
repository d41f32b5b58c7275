-- What a judge said of pairs, so that the curator does not ask again as long as neither of the two has changed.
-- Run as a member of learning_owner.

CREATE TABLE learning.verdict (
    tenant    text        NOT NULL CHECK (tenant <> ''),
    job       text        NOT NULL CHECK (job <> ''),
    a         uuid        NOT NULL,  -- learnings, or entities: whatever the job compares. Their content is never changed in place
    b         uuid        NOT NULL CHECK (a < b),
    verdict   text        NOT NULL CHECK (verdict <> ''),
    judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, job, a, b)
);
CREATE INDEX verdict_a ON learning.verdict (tenant, a);
CREATE INDEX verdict_b ON learning.verdict (tenant, b);
ALTER TABLE learning.verdict ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning.verdict FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON learning.verdict TO learning_app
    USING (tenant = current_setting('learning.tenant', true))
    WITH CHECK (tenant = current_setting('learning.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.verdict TO learning_app;

-- A verdict goes with either of the two, in the same transaction, whoever deletes it: retention or forgetting.
CREATE FUNCTION learning.verdict_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM learning.verdict v USING gone g WHERE v.tenant = g.tenant AND v.a = g.id;
    DELETE FROM learning.verdict v USING gone g WHERE v.tenant = g.tenant AND v.b = g.id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION learning.verdict_gone FROM PUBLIC;
CREATE TRIGGER verdict_gone AFTER DELETE ON learning.learning
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION learning.verdict_gone();
CREATE TRIGGER verdict_gone AFTER DELETE ON learning.entity
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION learning.verdict_gone();

