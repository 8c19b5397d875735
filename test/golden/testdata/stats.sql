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

CREATE TABLE stats (room STRING, ws TIMESTAMP(3), sd DOUBLE, vp DOUBLE, cd BIGINT) WITH ('connector' = 'result');

INSERT INTO stats
SELECT room, window_start, ROUND(STDDEV_SAMP(`value`), 9), ROUND(VAR_POP(`value`), 9), COUNT(DISTINCT sensor) FILTER (WHERE `value` > 0)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY room, window_start, window_end;
