-- Back to a version that forgets, replays and undoes nothing.
DROP TRIGGER name_subject ON learning.evidence;
DROP FUNCTION learning.name_subject, learning.forget_rejected;
DROP POLICY search ON learning.conversation_event;
REVOKE SELECT (tenant, id, subject) ON learning.conversation_event FROM learning_search;
DROP POLICY search ON learning.rejected_event;
REVOKE SELECT, UPDATE ON learning.rejected_event FROM learning_search;
REVOKE UPDATE, DELETE ON learning.conversation_event, learning.model_call FROM learning_app;
REVOKE DELETE ON learning.delivery, learning.extraction FROM learning_app;
REVOKE INSERT ON learning.mailbox FROM learning_app;
DROP TABLE learning.forgetting, learning.forgotten_session, learning.removed_count;
ALTER TABLE learning.rejected_event DROP COLUMN subject;
ALTER TABLE learning.producer_seq DROP COLUMN refused, DROP COLUMN last_reported;
ALTER TABLE learning.delivery DROP COLUMN replayed_at;
ALTER TABLE learning.conversation_event DROP COLUMN forgotten_at;
