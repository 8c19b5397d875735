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

CREATE TABLE minutes (ws TIMESTAMP(3), we TIMESTAMP(3), rooms BIGINT, c BIGINT, warmest DOUBLE) WITH ('connector' = 'result');

CREATE VIEW per_room AS
SELECT room, COUNT(*) AS c, AVG(`value`) AS average, window_time AS rt
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE kind = 'temperature'
GROUP BY room, window_start, window_end, window_time;

INSERT INTO minutes
SELECT window_start, window_end, COUNT(DISTINCT room), SUM(c), MAX(average)
FROM TABLE(TUMBLE(TABLE per_room, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
