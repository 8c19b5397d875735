CREATE TABLE readings (
  sensor STRING,
  room STRING,
  kind STRING,
  `value` DOUBLE,
  n INT,
  ts TIMESTAMP(3),
  tags ROW<unit STRING, levels ARRAY<INT>>,
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'testdata/readings.json', 'format' = 'json');

CREATE TABLE totals (room STRING, kind STRING, c BIGINT, total DOUBLE, average DOUBLE, different BIGINT, hi DOUBLE) WITH ('connector' = 'result');
CREATE TABLE counts (c BIGINT, sensors BIGINT) WITH ('connector' = 'result');
CREATE TABLE overall (c BIGINT, total DOUBLE) WITH ('connector' = 'result');

EXECUTE STATEMENT SET BEGIN
INSERT INTO totals
SELECT room, kind, COUNT(*), SUM(`value`), AVG(`value`), COUNT(DISTINCT `value`), MAX(`value`) FROM readings GROUP BY room, kind;
-- an aggregate over an updating one: how many sensors have each count
INSERT INTO counts
SELECT c, COUNT(*) FROM (SELECT sensor, COUNT(*) AS c FROM readings GROUP BY sensor) GROUP BY c;
INSERT INTO overall SELECT COUNT(*), SUM(`value`) FROM readings;
END;
