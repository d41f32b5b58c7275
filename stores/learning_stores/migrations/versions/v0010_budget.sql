-- Budgets, and what is reserved of them while a model is asked. Run as a member of learning_owner.

-- What a call counts as against a budget where its cost is not known and it may have been billed; and the tier that served it.
ALTER TABLE learning.model_call ADD COLUMN estimated_usd numeric(14, 8), ADD COLUMN service_tier text;

-- What a day's spending is summed from, without a look at the rows; and the days of all tenants together.
CREATE INDEX model_call_spending ON learning.model_call (tenant, called_at) INCLUDE (store, cost_usd, estimated_usd);
CREATE INDEX model_call_day ON learning.model_call USING brin (called_at) WITH (pages_per_range = 32);
DROP INDEX learning.model_call_time;

-- What a tenant may spend in a day (UTC): in one store, or ('*') in all of them together. Tenant '*' is every tenant that has
-- no budget of its own for the same store, each by itself.
CREATE TABLE learning.budget (
    tenant      text           NOT NULL CHECK (tenant <> ''),
    store       text           NOT NULL CHECK (store <> ''),
    usd_per_day numeric(14, 8) NOT NULL CHECK (usd_per_day >= 0),
    near        numeric(4, 3)  NOT NULL DEFAULT 0.8 CHECK (near BETWEEN 0 AND 1),  -- of it: from here on the cheaper way is taken
    set_at      timestamptz    NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, store)
);

-- A call under way: made before the model is asked, gone in the transaction that records the call. It counts as spent for as
-- long as the lease that it was made under, or without one until `expires_at`; what is left behind becomes a call that was lost.
CREATE TABLE learning.budget_reservation (
    tenant         text           NOT NULL CHECK (tenant <> ''),
    id             uuid           NOT NULL,  -- the call's own
    extraction_id  uuid           NOT NULL,
    store          text           NOT NULL,
    purpose        text           NOT NULL,
    model_asked    text           NOT NULL,
    prompt_name    text           NOT NULL,
    prompt_version text           NOT NULL,
    events         integer        NOT NULL,
    usd            numeric(14, 8),           -- what the call may cost at most; null: the price is not known
    mailbox_id     bigint,
    token          bigint,
    reserved_at    timestamptz    NOT NULL DEFAULT clock_timestamp(),
    expires_at     timestamptz    NOT NULL,
    PRIMARY KEY (tenant, id)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['budget', 'budget_reservation'] LOOP
        EXECUTE format('ALTER TABLE learning.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE learning.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_tenants ON learning.%I TO learning_dispatcher USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
CREATE POLICY one_tenant ON learning.budget TO learning_app
    USING (tenant = current_setting('learning.tenant', true) OR tenant = '*')
    WITH CHECK (tenant = current_setting('learning.tenant', true));
CREATE POLICY one_tenant ON learning.budget_reservation TO learning_app
    USING (tenant = current_setting('learning.tenant', true))
    WITH CHECK (tenant = current_setting('learning.tenant', true));
GRANT SELECT ON learning.budget TO learning_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.budget TO learning_dispatcher;
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.budget_reservation TO learning_app;  -- UPDATE: to lock rows
GRANT SELECT ON learning.budget_reservation TO learning_dispatcher;

-- Mailboxes that wait for a budget are found and let go without reading the others.
CREATE INDEX mailbox_budget ON learning.mailbox (tenant, store) WHERE wait_reason = 'budget';
