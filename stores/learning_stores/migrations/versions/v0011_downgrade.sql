-- Back to a version that remembers no verdicts.
DROP TRIGGER verdict_gone ON learning.entity;
DROP TRIGGER verdict_gone ON learning.learning;
DROP FUNCTION learning.verdict_gone();
DROP TABLE learning.verdict;
