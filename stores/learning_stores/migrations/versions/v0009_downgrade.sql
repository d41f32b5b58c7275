-- Back to a version without a curator.
DROP INDEX learning.change_changed, learning.extraction_committed, learning.learning_retired,
    learning.evidence_copied, learning.change_run;
ALTER TABLE learning.evidence DROP COLUMN copied_by;
DROP TABLE learning.curator_run;
