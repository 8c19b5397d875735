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

CREATE TABLE windows (room STRING, ws TIMESTAMP(3), warm DOUBLE, wet DOUBLE) WITH ('connector' = 'result');
CREATE TABLE windows_again (ws TIMESTAMP(3), rooms BIGINT, warm BIGINT) WITH ('connector' = 'result');
CREATE TABLE near (room STRING, a STRING, b STRING, at_a TIMESTAMP(3), at_b TIMESTAMP(3)) WITH ('connector' = 'result');
CREATE TABLE near_windows (room STRING, ws TIMESTAMP(3), c BIGINT) WITH ('connector' = 'result');
CREATE TABLE totals (room STRING, temperatures BIGINT, humidities BIGINT) WITH ('connector' = 'result');
CREATE TABLE pairs (room STRING, c BIGINT) WITH ('connector' = 'result');
CREATE TABLE followed (sensor STRING, c BIGINT) WITH ('connector' = 'result');
CREATE TABLE alone (sensor STRING, n INT) WITH ('connector' = 'result');
CREATE TABLE kinds (kind STRING, title STRING, rooms BIGINT) WITH ('connector' = 'result');

CREATE VIEW temperature AS
SELECT room, window_start, window_end, AVG(`value`) AS average
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE kind = 'temperature' GROUP BY room, window_start, window_end;

CREATE VIEW humidity AS
SELECT room, window_start, window_end, AVG(`value`) AS average
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE kind = 'humidity' GROUP BY room, window_start, window_end;

-- Windows, with rows of either side alone, and windows over them again.
INSERT INTO windows
SELECT COALESCE(t.room, h.room), COALESCE(t.window_start, h.window_start), t.average, h.average
FROM temperature t FULL JOIN humidity h
ON t.room = h.room AND t.window_start = h.window_start AND t.window_end = h.window_end AND t.average < h.average;

INSERT INTO windows_again
SELECT window_start, COUNT(*), COUNT(average) FROM (
  SELECT h.room, h.window_start, h.window_end, t.average
  FROM temperature t RIGHT JOIN humidity h ON t.room = h.room AND t.window_start = h.window_start AND t.window_end = h.window_end)
GROUP BY window_start, window_end;

-- Intervals, with rows of one side alone, and windows over the pairs.
INSERT INTO near
SELECT a.room, a.sensor, b.sensor, a.ts, b.ts
FROM readings a LEFT JOIN readings b
ON a.room = b.room AND a.sensor < b.sensor AND a.kind <> b.kind AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts + INTERVAL '2' SECOND
WHERE a.n < 60;

INSERT INTO near_windows
SELECT room, window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE (SELECT a.room, b.ts FROM readings a JOIN readings b ON a.sensor = b.sensor AND a.ts > b.ts AND a.ts < b.ts + INTERVAL '5' SECOND),
  DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY room, window_start, window_end;

-- Over all time: of tables that change, and aggregated again.
INSERT INTO totals
SELECT COALESCE(t.room, h.room), t.c, h.c
FROM (SELECT room, COUNT(*) AS c FROM readings WHERE kind = 'temperature' AND room <> 'attic' GROUP BY room) t
FULL JOIN (SELECT room, COUNT(*) AS c FROM readings WHERE kind = 'humidity' AND `value` > 40 AND room <> 'bath' GROUP BY room) h ON t.room = h.room;

INSERT INTO pairs
SELECT a.room, COUNT(b.n) FROM readings a LEFT JOIN readings b ON a.room = b.room AND a.n = b.n + 1 GROUP BY a.room;

INSERT INTO kinds
SELECT r.kind, k.title, COUNT(DISTINCT room)
FROM readings r LEFT JOIN (VALUES ('temperature', 'Temperature'), ('other', 'Other')) AS k(kind, title) ON r.kind = k.kind GROUP BY r.kind, k.title;

-- Rows that have a partner, and rows that have none.
INSERT INTO followed
SELECT sensor, COUNT(*) FROM readings a WHERE n IN (SELECT b.n - 1 FROM readings b WHERE b.room = a.room) GROUP BY sensor;

INSERT INTO alone
SELECT sensor, n FROM readings a WHERE n < 200 AND NOT EXISTS (SELECT 1 FROM readings b WHERE b.room = a.room AND b.n > a.n AND b.n < a.n + 12 AND b.kind = a.kind);
