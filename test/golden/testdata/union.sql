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

CREATE TABLE out_rows (what STRING, c BIGINT) WITH ('connector' = 'result');
CREATE TABLE distinct_rooms (room STRING) WITH ('connector' = 'result');

INSERT INTO out_rows
WITH warm AS (SELECT sensor FROM readings WHERE `value` > 30)
SELECT sensor, COUNT(*) FROM (SELECT sensor FROM warm UNION ALL SELECT kind FROM readings WHERE n < 50) GROUP BY sensor;
INSERT INTO distinct_rooms SELECT DISTINCT room FROM readings;
