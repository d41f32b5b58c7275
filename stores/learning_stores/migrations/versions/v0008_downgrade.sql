-- Back to a version that forgets, replays and undoes nothing.
DROP TRIGGER forget_caller ON learning.model_call;
DROP TRIGGER name_subject ON learning.evidence;
DROP TABLE learning.ledger_finding;
DROP FUNCTION learning.forget_caller, learning.refuse_forgotten, learning.count_received, learning.count_refused,
    learning.report_last, learning.refuse, learning.rejected_of;
REVOKE SELECT (producer, seq) ON learning.conversation_event FROM learning_search;
DROP POLICY search ON learning.producer_seq;
REVOKE SELECT, INSERT, UPDATE ON learning.producer_seq FROM learning_search;
REVOKE INSERT ON learning.rejected_event FROM learning_search;
REVOKE SELECT ON learning.session_message FROM learning_app;
DROP INDEX learning.extraction_subject, learning.model_call_subject, learning.learning_owner, learning.learning_about_any,
    learning.learning_target_any, learning.entity_merged_into, learning.mailbox_subject;
DROP FUNCTION learning.name_subject, learning.forget_rejected;
DROP POLICY search ON learning.conversation_event;
REVOKE SELECT (tenant, id, subject) ON learning.conversation_event FROM learning_search;
DROP POLICY search ON learning.rejected_event;
REVOKE SELECT, UPDATE ON learning.rejected_event FROM learning_search;
REVOKE UPDATE, DELETE ON learning.conversation_event, learning.model_call FROM learning_app;
REVOKE DELETE ON learning.delivery, learning.extraction FROM learning_app;
REVOKE INSERT ON learning.mailbox FROM learning_app;
DROP TABLE learning.forgetting, learning.forgotten_session, learning.removed_count;
ALTER TABLE learning.rejected_event DROP COLUMN subject, DROP COLUMN producer, DROP COLUMN seq;
ALTER TABLE learning.producer_seq DROP COLUMN refused, DROP COLUMN last_reported, DROP COLUMN sampled, DROP COLUMN sampled_at,
    DROP COLUMN missing, DROP COLUMN missing_since;
ALTER TABLE learning.delivery DROP COLUMN replayed_at, DROP COLUMN earlier_extractions;
ALTER TABLE learning.conversation_event DROP COLUMN forgotten_at;
