-- Sensors of a house: readings come in over MQTT, a row per sensor and window goes to a Redis stream, the latest value of each
-- sensor to a Redis hash, and alerts back to MQTT. The same file runs in the demo, on one machine and on a swarm.
--
--   bramble submit examples/sensors.sql -D MQTT_URL=tcp://localhost:1883 -D REDIS_URL=redis://localhost:6379
--   mosquitto_pub -t home/kitchen/temperature -m '{"sensor":"kitchen-temperature","kind":"temperature","value":21.5,"ts":"2026-11-21 20:00:00Z"}'

SET 'pipeline.name' = 'sensors';

CREATE TABLE readings (
  sensor STRING,
  kind   STRING,
  `value` DOUBLE,
  ts     TIMESTAMP_LTZ(3),
  topic  STRING METADATA VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '${LATENESS_SECONDS:-2}' SECOND
) WITH (
  'connector' = 'mqtt',
  'url' = '${MQTT_URL:-tcp://localhost:1883}',
  'topic' = '${MQTT_TOPIC:-home/#}',
  'qos' = '1',
  'format' = 'json'
);

CREATE TABLE sensor_windows (
  sensor STRING,
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  readings BIGINT,
  average DOUBLE,
  lowest DOUBLE,
  highest DOUBLE
) WITH (
  'connector' = 'redis-stream',
  'url' = '${REDIS_URL:-redis://localhost:6379}',
  'stream' = 'sensor-windows',
  'maxlen' = '100000'
);

CREATE TABLE latest (
  sensor STRING,
  `value` DOUBLE,
  ts TIMESTAMP_LTZ(3),
  readings BIGINT,
  PRIMARY KEY (sensor) NOT ENFORCED
) WITH (
  'connector' = 'redis',
  'url' = '${REDIS_URL:-redis://localhost:6379}',
  'key' = 'sensor:{sensor}'
);

CREATE TABLE alerts (
  sensor STRING,
  message STRING,
  `value` DOUBLE,
  ts TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'mqtt',
  'url' = '${MQTT_URL:-tcp://localhost:1883}',
  'topic' = 'alerts/{sensor}',
  'qos' = '1',
  'format' = 'json'
);

EXECUTE STATEMENT SET
BEGIN

INSERT INTO sensor_windows
SELECT sensor, window_start, window_end, COUNT(*), AVG(`value`), MIN(`value`), MAX(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '${WINDOW_SECONDS:-10}' SECOND))
GROUP BY sensor, window_start, window_end;

INSERT INTO latest
SELECT sensor, LAST_VALUE(`value`), MAX(ts), COUNT(*)
FROM readings
GROUP BY sensor;

INSERT INTO alerts
SELECT
  sensor,
  CASE kind WHEN 'temperature' THEN 'it is hot' ELSE 'much power is drawn' END,
  `value`,
  ts
FROM readings
WHERE (kind = 'temperature' AND `value` > 30) OR (kind = 'power' AND `value` > 3000);

END;
