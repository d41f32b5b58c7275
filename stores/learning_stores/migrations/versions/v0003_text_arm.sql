-- The text arm: BM25 over the live rows of some places. Run as a member of learning_owner.

-- The SQL of the live rows of these places (store and scope, position by position), now or as of a moment ($1 where the SQL is
-- executed). Literals, so that each place is planned by its own statistics and `@@` reaches the indexes.
CREATE FUNCTION learning.live_rows(p_tenant text, p_stores text[], p_scopes text[], p_past boolean)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(string_agg(
        format('SELECT l.id, l.lexemes, l.live_from FROM learning.learning l WHERE l.tenant = %L AND l.scope = %L AND l.store = %L '
               'AND l.kind <> ''alias'' AND %s', p_tenant, place.scope, place.store, validity.condition), ' UNION ALL '),
        'SELECT NULL::uuid AS id, NULL::tsvector AS lexemes, NULL::timestamptz AS live_from WHERE false')
    FROM (SELECT DISTINCT u.store, u.scope FROM unnest(p_stores, p_scopes) AS u (store, scope)) AS place
    CROSS JOIN LATERAL (
        SELECT 'l.status = ''active''' WHERE NOT p_past
        UNION ALL SELECT 'l.status = ''active'' AND l.live_from <= $1' WHERE p_past
        UNION ALL SELECT 'l.status = ''retired'' AND l.live_from <= $1 AND l.retired_at > $1' WHERE p_past
    ) AS validity (condition)
$$;

-- BM25 in which a word counts once a row and a row's length is the number of its different words: on learnings, which are
-- short, it finds as much as with frequencies (.650 against .645), and needs no row taken apart.
--   Up to 2,000 live rows every word's rows are counted. Beyond, kept statistics or the newest 2,000 rows tell how common the
-- words are; then the rarest words make the candidates, as many words as have 5,000 rows together, and the others only add to
-- the score of these. Where even the rarest has more, the newest 5,000 rows that hold it are looked at. Of a long query the 32
-- rarest words count.
--   `total` is the number of live rows (at most 20,001 where no statistics are kept); mean and deviation are of the scores of
-- all live rows, zeros included.
CREATE FUNCTION learning.text_arm(
    p_tenant text, p_stores text[], p_scopes text[], p_words text[], p_as_of timestamptz, p_weights jsonb,
    OUT ids uuid[], OUT scores real[], OUT total bigint, OUT mean float8, OUT deviation float8
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sampled    CONSTANT integer := 2000;
    candidates CONSTANT integer := 5000;
    counted    CONSTANT integer := 20001;
    most_words CONSTANT integer := 32;
    past       CONSTANT boolean := p_as_of IS NOT NULL;
    live       CONSTANT text := learning.live_rows(p_tenant, p_stores, p_scopes, past);
    queries    tsquery[] := ARRAY(
        SELECT ('''' || replace(replace(w, '\', '\\'), '''', '''''') || '''')::tsquery FROM unnest(p_words) AS w);
    kept       record;
    sample     record;
    uncounted  text;
    held       float8[];   -- how many rows hold each word
    length     float8;     -- different words a row, on average
    essential  tsquery;
    rarest     float8;
    sum_1      float8;
    sum_2      float8;
BEGIN
    -- What is kept, and a sample of what is not.
    SELECT coalesce(sum(s.rows), 0) AS rows, sum(s.rows * s.mean_words) AS words,
           array_agg(s.store) AS stores, array_agg(s.scope) AS scopes,
           ARRAY(SELECT sum(coalesce((t.common ->> w.word)::float8, t.rows / 400.0))
                 FROM unnest(p_words) WITH ORDINALITY AS w (word, no)
                 CROSS JOIN (SELECT DISTINCT u.store, u.scope FROM unnest(p_stores, p_scopes) AS u (store, scope)) AS p
                 JOIN learning.scope_statistics t ON t.tenant = p_tenant AND t.store = p.store AND t.scope = p.scope
                 GROUP BY w.no ORDER BY w.no) AS held
    INTO kept
    FROM learning.scope_statistics s
    WHERE s.tenant = p_tenant AND NOT past AND (s.store, s.scope) IN (SELECT * FROM unnest(p_stores, p_scopes));
    IF kept.rows = 0 THEN
        uncounted := live;
    ELSE
        SELECT learning.live_rows(p_tenant, array_agg(p.store), array_agg(p.scope), past) INTO uncounted
        FROM unnest(p_stores, p_scopes) AS p (store, scope)
        WHERE (p.store, p.scope) NOT IN (SELECT * FROM unnest(kept.stores, kept.scopes));
    END IF;
    EXECUTE format($sample$
        WITH newest AS MATERIALIZED (SELECT l.id, l.lexemes FROM (%s) AS l ORDER BY l.live_from DESC, l.id DESC LIMIT %s)
        SELECT (SELECT count(*) FROM newest) AS rows, (SELECT avg(length(lexemes)) FROM newest) AS length,
               ARRAY(SELECT count(n.id) FROM unnest($2) WITH ORDINALITY AS w (query, no)
                     LEFT JOIN newest n ON n.lexemes @@ w.query GROUP BY w.no ORDER BY w.no) AS held
        $sample$, uncounted, sampled + 1) INTO sample USING p_as_of, queries;
    total := sample.rows;
    IF total > sampled THEN
        EXECUTE format('SELECT count(*) FROM (SELECT l.id FROM (%s) AS l LIMIT %s) AS c', uncounted, counted)
        INTO total USING p_as_of;
    END IF;
    held := ARRAY(
        SELECT coalesce(k, 0) + coalesce(s * total / nullif(sample.rows, 0)::float8, 0)
        FROM unnest(CASE WHEN kept.rows > 0 THEN kept.held END, sample.held) WITH ORDINALITY AS u (k, s, no) ORDER BY u.no);
    length := (coalesce(kept.words, 0) + coalesce(sample.length, 0) * total) / greatest(kept.rows + total, 1);
    total := kept.rows + total;
    IF total = 0 THEN
        RETURN;
    END IF;

    -- The words that make candidates, and every word's weight.
    SELECT array_agg(o.query ORDER BY o.held), array_agg(o.held ORDER BY o.held), min(o.held),
           string_agg(o.query::text, ' | ') FILTER (WHERE o.place = 1 OR o.so_far <= candidates OR total <= candidates)::tsquery
    INTO queries, held, rarest, essential
    FROM (
        SELECT w.query, w.held, row_number() OVER rare AS place, sum(w.held) OVER rare AS so_far
        FROM unnest(queries, held) WITH ORDINALITY AS w (query, held, no)
        WHERE w.held > 0 OR total > sampled
        WINDOW rare AS (ORDER BY w.held, w.no ROWS UNBOUNDED PRECEDING)
        ORDER BY w.held, w.no LIMIT most_words) AS o;
    IF essential IS NULL THEN
        mean := 0;
        deviation := 1;
        RETURN;
    END IF;
    EXECUTE format($score$
        SELECT array_agg(s.id), array_agg(s.score::real), sum(s.score), sum(s.score * s.score)
        FROM (
            SELECT l.id, sum(w.weight * ($4 + 1) / (1 + $4 * (1 - $5 + $5 * length(l.lexemes) / $6))) AS score
            FROM (SELECT l.id, l.lexemes FROM (%s) AS l WHERE l.lexemes @@ %L::tsquery %s) AS l
            JOIN unnest($2, ARRAY(SELECT ln(1 + (greatest($7 - h, 0) + 0.5) / (h + 0.5)) FROM unnest($3) AS h)) AS w (query, weight)
              ON l.lexemes @@ w.query
            GROUP BY l.id) AS s
        $score$, live, essential,
        CASE WHEN rarest > candidates THEN format('ORDER BY l.live_from DESC, l.id DESC LIMIT %s', candidates) ELSE '' END)
    INTO ids, scores, sum_1, sum_2
    USING p_as_of, queries, held, (p_weights ->> 'k1')::float8, (p_weights ->> 'b')::float8, length, total;
    mean := coalesce(sum_1, 0) / total;
    -- Where all rows score alike there is nothing to standardise by: a tenth of the mean keeps the scores in reach.
    deviation := coalesce(nullif(greatest(sqrt(greatest(coalesce(sum_2, 0) / total - mean * mean, 0)), mean / 10), 0), 1);
END $$;
