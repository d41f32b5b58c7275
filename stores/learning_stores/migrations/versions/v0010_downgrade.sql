-- Back to a version without budgets.
DROP INDEX learning.mailbox_budget;
DROP TABLE learning.budget, learning.budget_reservation;
CREATE INDEX model_call_time ON learning.model_call (tenant, called_at);
DROP INDEX learning.model_call_day, learning.model_call_spending;
ALTER TABLE learning.model_call DROP COLUMN estimated_usd, DROP COLUMN service_tier;
