-- The arms of ranking again, for large scopes. Run as a member of learning_owner.

-- The SQL of the newest live rows of these places, so many of each, as learning.live_rows has it. Place by place: of the places
-- together Postgres sees no order in the index, and would read and sort a scope of a million rows (half a second).
CREATE FUNCTION learning.newest_rows(p_tenant text, p_stores text[], p_scopes text[], p_past boolean, p_limit integer)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(string_agg(
        format('(SELECT * FROM (%s) AS l ORDER BY l.live_from DESC, l.id DESC LIMIT %s)',
               learning.live_rows(p_tenant, ARRAY[place.store], ARRAY[place.scope], p_past), p_limit), ' UNION ALL '),
        learning.live_rows(p_tenant, '{}', '{}', p_past))
    FROM (SELECT DISTINCT u.store, u.scope FROM unnest(p_stores, p_scopes) AS u (store, scope)) AS place
$$;

-- BM25 in which a word counts once a row and a row's length is the number of its different words: on learnings, which are
-- short, it finds as much as with frequencies (.650 against .645), and needs no row taken apart.
--   Up to 2,000 live rows every word's rows are counted. Beyond, kept statistics or the newest 2,000 rows tell how common the
-- words are. Then the rarest words make the candidates, as many words as have 5,000 rows together, and the others only add to
-- the score of these. Of a word with more rows the newest 5,000 are looked at: of the rarest where it is such a word, and of the
-- next rarest one for as long as fewer than 100 candidates were found, since what is rarest may be a slip of the pen. Of a long
-- query the 32 rarest words count.
--   `total` is the number of live rows (what the planner expects, where there are over 20,000 and no statistics are kept); mean
-- and deviation are of the scores of
-- all live rows, zeros included.
DROP FUNCTION learning.text_arm;
CREATE FUNCTION learning.text_arm(
    p_tenant text, p_stores text[], p_scopes text[], p_words text[], p_as_of timestamptz, p_weights jsonb,
    OUT ids uuid[], OUT scores real[], OUT total bigint, OUT mean float8, OUT deviation float8
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sampled    CONSTANT integer := 2000;
    candidates CONSTANT integer := 5000;
    counted    CONSTANT integer := 20001;
    most_words CONSTANT integer := 32;
    enough     CONSTANT integer := 100;
    past       CONSTANT boolean := p_as_of IS NOT NULL;
    live       CONSTANT text := learning.live_rows(p_tenant, p_stores, p_scopes, past);
    queries    tsquery[] := ARRAY(
        SELECT ('''' || replace(replace(w, '\', '\\'), '''', '''''') || '''')::tsquery FROM unnest(p_words) AS w);
    kept       record;
    sample     record;
    uncounted  text;
    newest     text;
    expected   json;
    held       float8[];   -- how many rows hold each word
    length     float8;     -- different words a row, on average
    whole      integer;    -- so many of the rarest words make candidates by all their rows
    taken      integer;    -- so many make candidates at all
    essential  tsquery;
    chosen     text;
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
    SELECT learning.live_rows(p_tenant, array_agg(p.store), array_agg(p.scope), past),
           learning.newest_rows(p_tenant, array_agg(p.store), array_agg(p.scope), past, sampled + 1)
    INTO uncounted, newest
    FROM unnest(p_stores, p_scopes) AS p (store, scope)
    WHERE kept.rows = 0 OR (p.store, p.scope) NOT IN (SELECT * FROM unnest(kept.stores, kept.scopes));
    EXECUTE format($sample$
        WITH newest AS MATERIALIZED (SELECT l.id, l.lexemes FROM (%s) AS l ORDER BY l.live_from DESC, l.id DESC LIMIT %s)
        SELECT (SELECT count(*) FROM newest) AS rows, (SELECT avg(length(lexemes)) FROM newest) AS length,
               ARRAY(SELECT count(n.id) FROM unnest($2) WITH ORDINALITY AS w (query, no)
                     LEFT JOIN newest n ON n.lexemes @@ w.query GROUP BY w.no ORDER BY w.no) AS held
        $sample$, newest, sampled + 1) INTO sample USING p_as_of, queries;
    total := sample.rows;
    IF total > sampled THEN
        EXECUTE format('SELECT count(*) FROM (SELECT l.id FROM (%s) AS l LIMIT %s) AS c', uncounted, counted)
        INTO total USING p_as_of;
    END IF;
    IF total = counted THEN
        -- Counting a million takes longer than all the rest. Taken for 20,001 rows, a scope would have common words for rare ones.
        EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM (%s) AS l', uncounted) INTO expected USING p_as_of;
        total := greatest(total, (expected #>> '{0,Plan,Plan Rows}')::numeric);
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
    SELECT array_agg(o.query ORDER BY o.held, o.no), array_agg(o.held ORDER BY o.held, o.no),
           count(*) FILTER (WHERE o.so_far <= candidates OR total <= candidates)
    INTO queries, held, whole
    FROM (
        SELECT w.query, w.held, w.no, sum(w.held) OVER rare AS so_far
        FROM unnest(queries, held) WITH ORDINALITY AS w (query, held, no)
        WHERE w.held > 0 OR total > sampled
        WINDOW rare AS (ORDER BY w.held, w.no ROWS UNBOUNDED PRECEDING)
        ORDER BY w.held, w.no LIMIT most_words) AS o;
    IF queries IS NULL THEN
        mean := 0;
        deviation := 1;
        RETURN;
    END IF;
    taken := greatest(whole, 1);
    LOOP
        essential := (SELECT string_agg(q::text, ' | ') FROM unnest(queries[:whole]) AS q)::tsquery;
        -- Limited also where few are expected: a word that the newest rows lack may be common among older ones. OFFSET 0: found by
        -- their words first; else Postgres may walk through the whole scope in its order, looking for words that hardly occur.
        chosen := concat_ws(' UNION ALL ',
            CASE WHEN whole > 0 THEN
                format('(SELECT l.id, l.lexemes FROM (SELECT * FROM (%s) AS l WHERE l.lexemes @@ %L::tsquery OFFSET 0) AS l %s)',
                       live, essential,
                       CASE WHEN total > candidates THEN format('ORDER BY l.live_from DESC, l.id DESC LIMIT %s', candidates) END)
            END,
            CASE WHEN taken > whole THEN
                format('(SELECT l.id, l.lexemes FROM (SELECT * FROM (%s) AS l WHERE l.lexemes @@ %L::tsquery %s OFFSET 0) AS l '
                       'ORDER BY l.live_from DESC, l.id DESC LIMIT %s)', live, queries[taken],
                       CASE WHEN whole > 0 THEN format('AND NOT l.lexemes @@ %L::tsquery', essential) END, candidates)
            END);
        EXECUTE format($score$
            SELECT array_agg(s.id), array_agg(s.score::real), sum(s.score), sum(s.score * s.score)
            FROM (
                SELECT l.id, sum(w.weight * ($4 + 1) / (1 + $4 * (1 - $5 + $5 * length(l.lexemes) / $6))) AS score
                FROM (%s) AS l
                JOIN unnest($2, ARRAY(SELECT ln(1 + (greatest($7 - h, 0) + 0.5) / (h + 0.5)) FROM unnest($3) AS h))
                    AS w (query, weight) ON l.lexemes @@ w.query
                GROUP BY l.id) AS s
            $score$, chosen)
        INTO ids, scores, sum_1, sum_2
        USING p_as_of, queries, held, (p_weights ->> 'k1')::float8, (p_weights ->> 'b')::float8, length, total;
        EXIT WHEN coalesce(cardinality(ids), 0) >= enough OR taken = cardinality(queries);
        whole := taken;
        taken := taken + 1;
    END LOOP;
    mean := coalesce(sum_1, 0) / total;
    -- Where all rows score alike there is nothing to standardise by: a tenth of the mean keeps the scores in reach.
    deviation := coalesce(nullif(greatest(sqrt(greatest(coalesce(sum_2, 0) / total - mean * mean, 0)), mean / 10), 0), 1);
END $$;

-- The live rows nearest to a vector, best first, with the mean and deviation of the cosines of all rows.
--   Exact up to 20,000 live rows. Beyond, through the model's HNSW index where there is one, scanned on until enough rows of
-- these places are found; mean and deviation are then of the newest 1,000. Without an index no rows: vectors reorder what the
-- words found.
DROP FUNCTION learning.vector_arm;
CREATE FUNCTION learning.vector_arm(
    p_tenant text, p_stores text[], p_scopes text[], p_vector real[], p_model text, p_as_of timestamptz, p_total bigint,
    p_limit integer, OUT ids uuid[], OUT mean float8, OUT deviation float8
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    exact      CONSTANT bigint := 20000;
    past       CONSTANT boolean := p_as_of IS NOT NULL;
    live       CONSTANT text := learning.live_rows(p_tenant, p_stores, p_scopes, past);
    dimensions CONSTANT integer := cardinality(p_vector);
    everything float8;
BEGIN
    EXECUTE format($near$
        WITH near AS MATERIALIZED (
            SELECT l.id, nullif(1 - (CASE WHEN e.dimensions = %s THEN e.embedding END
                              OPERATOR(public.<=>) $2::public.vector), 'NaN') AS cosine
            FROM (%s) AS l
            JOIN learning.learning_embedding e ON e.tenant = %L AND e.learning_id = l.id AND e.model = %L)
        SELECT ARRAY(SELECT n.id FROM near n WHERE n.cosine IS NOT NULL ORDER BY n.cosine DESC, n.id DESC LIMIT %s),
               (SELECT avg(cosine) FROM near), (SELECT stddev_pop(cosine) FROM near)
        $near$, dimensions,
        CASE WHEN p_total > exact THEN
                 format('SELECT * FROM (%s) AS every ORDER BY live_from DESC, id DESC LIMIT 1000',
                        learning.newest_rows(p_tenant, p_stores, p_scopes, past, 1000))
             ELSE live END,
        p_tenant, p_model, p_limit)
    INTO ids, mean, deviation USING p_as_of, p_vector;
    mean := coalesce(mean, 0);
    deviation := coalesce(nullif(deviation, 0), 1);
    IF p_total <= exact THEN
        RETURN;
    END IF;
    ids := NULL;
    IF to_regclass('learning.' || learning.vector_index(p_model, dimensions)) IS NULL THEN
        RETURN;
    END IF;
    -- So many rows of the index as hold the wanted number of these places', if these lie in it like any others; twice that.
    SELECT greatest(c.reltuples, p_total) INTO everything FROM pg_class c
    WHERE c.oid = to_regclass('learning.' || learning.vector_index(p_model, dimensions));
    PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.ef_search', least(greatest(p_limit, 40), 1000)::text, true),
            set_config('hnsw.max_scan_tuples', least(greatest(20000, 2 * p_limit * everything / p_total), 200000)::integer::text, true);
    -- The places in a subquery that is asked row by row: as a join, the whole scope would be read and sorted.
    EXECUTE format($near$
        WITH near AS MATERIALIZED (
            SELECT e.learning_id, e.embedding FROM learning.learning_embedding e
            WHERE e.model = %L AND e.tenant = %L
              AND (SELECT true FROM learning.learning l
                   WHERE l.tenant = %L AND l.id = e.learning_id AND l.kind <> 'alias'
                     AND (l.store, l.scope) IN (SELECT * FROM unnest($3, $4))
                     AND CASE WHEN $1 IS NULL THEN l.status = 'active'
                              ELSE l.status <> 'proposed' AND l.live_from <= $1 AND coalesce(l.retired_at > $1, true) END)
            ORDER BY e.embedding::public.halfvec(%s) OPERATOR(public.<=>) $2::public.vector::public.halfvec(%s) LIMIT %s)
        SELECT array_agg(n.learning_id ORDER BY n.embedding OPERATOR(public.<=>) $2::public.vector, n.learning_id DESC)
        FROM near n
        $near$, p_model, p_tenant, p_tenant, dimensions, dimensions, p_limit)
    INTO ids USING p_as_of, p_vector, p_stores, p_scopes;
END $$;

REVOKE ALL ON FUNCTION learning.newest_rows, learning.text_arm, learning.vector_arm FROM PUBLIC;
GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for these statements
ALTER FUNCTION learning.newest_rows OWNER TO learning_search;
ALTER FUNCTION learning.text_arm OWNER TO learning_search;
ALTER FUNCTION learning.vector_arm OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
