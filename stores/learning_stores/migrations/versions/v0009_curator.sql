-- The curator's runs: what upkeep is due, who works on it, how far it is, and what it did. Run as a member of learning_owner.

CREATE TABLE learning.curator_run (
    tenant       text        NOT NULL,              -- '' where the job is for the whole deployment
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    job          text        NOT NULL CHECK (job <> ''),
    store        text        NOT NULL DEFAULT '',   -- '' where the job is not for one store
    tick         timestamptz,                       -- of the schedule; null where somebody asked for it
    asked_by     text,
    dry_run      boolean     NOT NULL DEFAULT false,
    due_at       timestamptz NOT NULL,
    state        text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    owner        text,
    token        bigint,
    lease_until  timestamptz,
    claims       integer     NOT NULL DEFAULT 0,    -- since the last step that was written
    failures     integer     NOT NULL DEFAULT 0,    -- steps in a row that failed
    nudged_until timestamptz,
    cursor       jsonb,                             -- where to go on; null before the first step and after the last
    looked_at    bigint      NOT NULL DEFAULT 0,
    changed      bigint      NOT NULL DEFAULT 0,
    model_calls  bigint      NOT NULL DEFAULT 0,
    cost_usd     numeric(14, 8) DEFAULT 0,          -- null: the price of one of the calls is not known
    report       jsonb       NOT NULL DEFAULT '{}',
    error        text,
    began_at     timestamptz,
    finished_at  timestamptz,
    PRIMARY KEY (tenant, id),
    UNIQUE (job, tenant, store, tick),              -- decides between two beats
    CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX curator_run_open ON learning.curator_run ((tenant <> ''), due_at) WHERE state IN ('waiting', 'running');
CREATE INDEX curator_run_nudged ON learning.curator_run (nudged_until) WHERE nudged_until IS NOT NULL;
CREATE INDEX curator_run_finished ON learning.curator_run (finished_at) WHERE finished_at IS NOT NULL;
ALTER TABLE learning.curator_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning.curator_run FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON learning.curator_run TO learning_app
    USING (tenant <> '' AND tenant = current_setting('learning.tenant', true))
    WITH CHECK (tenant <> '' AND tenant = current_setting('learning.tenant', true));
CREATE POLICY all_tenants ON learning.curator_run TO learning_dispatcher USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON learning.curator_run TO learning_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.curator_run TO learning_dispatcher;

-- The changes of a run, which are undone together.
CREATE INDEX change_run ON learning.change (tenant, by_whom) WHERE origin = 'curator';

-- Evidence that a merge copied, so that its undoing takes the copies away again and leaves what stood there before.
ALTER TABLE learning.evidence ADD COLUMN copied_by uuid;
CREATE INDEX evidence_copied ON learning.evidence (tenant, copied_by) WHERE copied_by IS NOT NULL;

-- What retention looks for, oldest first.
CREATE INDEX learning_retired ON learning.learning (tenant, retired_at) WHERE status = 'retired';
CREATE INDEX extraction_committed ON learning.extraction (tenant, committed_at);
CREATE INDEX change_changed ON learning.change (tenant, changed_at);
