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

CREATE TABLE shaped (n INT, label STRING, f DOUBLE, lvl INT, unit STRING, at_minute TIMESTAMP(3), big BOOLEAN, pieces STRING) WITH ('connector' = 'result');

INSERT INTO shaped
SELECT n, UPPER(room) || '/' || SUBSTRING(kind, 1, 4), ROUND(`value` * 9 / 5 + 32, 1), tags.levels[1], COALESCE(tags.unit, '?'),
  FLOOR(ts TO MINUTE), CASE WHEN `value` > 25 THEN TRUE WHEN `value` IS NULL THEN NULL ELSE FALSE END, SPLIT_INDEX(sensor, '-', 1)
FROM readings
WHERE (n BETWEEN 10 AND 60 OR n IN (100, 200, 300)) AND kind LIKE '%t%' AND room <> 'attic';
