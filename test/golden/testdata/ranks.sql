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

CREATE TABLE warmest (ws TIMESTAMP(3), place BIGINT, sensor STRING, `value` DOUBLE) WITH ('connector' = 'result');
CREATE TABLE busiest (place BIGINT, sensor STRING, c BIGINT) WITH ('connector' = 'result');
CREATE TABLE middle (room STRING, sensor STRING, `value` DOUBLE) WITH ('connector' = 'result');
CREATE TABLE counted (c BIGINT) WITH ('connector' = 'result');

-- Of each window.
INSERT INTO warmest
SELECT window_start, place, sensor, `value` FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY `value` DESC, sensor, ts) AS place
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)))
WHERE place <= 3;

-- Of a table that changes.
INSERT INTO busiest
SELECT place, sensor, c FROM (
  SELECT sensor, c, ROW_NUMBER() OVER (ORDER BY c DESC, sensor) AS place FROM (SELECT sensor, COUNT(*) AS c FROM readings GROUP BY sensor))
WHERE place <= 5;

-- Without the rank; not the first ones.
INSERT INTO middle
SELECT room, sensor, `value` FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY room ORDER BY `value` DESC NULLS LAST, ts, sensor, n) AS place FROM readings)
WHERE place BETWEEN 3 AND 6;

-- Aggregated again.
INSERT INTO counted
SELECT COUNT(*) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor, kind ORDER BY ts DESC) AS place FROM readings) WHERE place = 1;
