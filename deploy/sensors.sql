-- examples/sensors.sql for deploy/stack.yml: with the stack's passwords, and with a session at the broker, so that what sensors send while the job
-- restarts is not lost.
--
--   bramble submit deploy/sensors.sql --jobmanager pi1:6123
--   mosquitto_pub -h pi1 -u bramble -P "$MQTT_PASSWORD" -q 1 -t home/kitchen/temperature -m '{"sensor":"kitchen-temperature","kind":"temperature","value":21.5,"ts":"2026-11-21 20:00:00Z"}'

SET 'pipeline.name' = 'sensors';

CREATE TABLE readings (
  sensor STRING,
  kind   STRING,
  `value` DOUBLE,
  ts     TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '${LATENESS_SECONDS:-5}' SECOND
) WITH (
  'connector' = 'mqtt',
  'url' = 'tcp://mosquitto:1883',
  'username' = 'bramble',
  'password' = '${file:/run/secrets/mqtt_password}',
  'topic' = '${MQTT_TOPIC:-home/#}',
  'qos' = '1',
  'client-id' = 'bramble-sensors',
  'clean-session' = 'false',
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
  'url' = 'redis://redis:6379',
  'password' = '${file:/run/secrets/redis_password}',
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
  'url' = 'redis://redis:6379',
  'password' = '${file:/run/secrets/redis_password}',
  'key' = 'sensor:{sensor}'
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

END;
