-- Ten-minute averages of every numeric sensor of Home Assistant, back to Home Assistant; docs/home-assistant.md has both sides' settings.
--
--   bramble submit examples/home-assistant.sql -D MQTT_URL=tcp://localhost:1883

SET 'pipeline.name' = 'home-assistant';

CREATE TABLE states (
  state STRING,
  topic STRING METADATA VIRTUAL,
  received_at TIMESTAMP_LTZ(3) METADATA VIRTUAL,
  entity AS SPLIT_INDEX(topic, '/', 2),
  `value` AS TRY_CAST(state AS DOUBLE),
  WATERMARK FOR received_at AS received_at
) WITH (
  'connector' = 'mqtt',
  'url' = '${MQTT_URL:-tcp://localhost:1883}',
  'topic' = 'homeassistant/sensor/+/state',
  'format' = 'raw'
);

CREATE TABLE averages (
  entity STRING,
  average DOUBLE,
  readings BIGINT,
  window_end TIMESTAMP(3)
) WITH (
  'connector' = 'mqtt',
  'url' = '${MQTT_URL:-tcp://localhost:1883}',
  'topic' = 'bramble/{entity}/average',
  'retain' = 'true',
  'qos' = '1',
  'format' = 'json'
);

INSERT INTO averages
SELECT entity, AVG(`value`), COUNT(*), window_end
FROM TABLE(TUMBLE(TABLE states, DESCRIPTOR(received_at), INTERVAL '10' MINUTE))
WHERE `value` IS NOT NULL -- 'unavailable' and 'unknown' are no numbers
GROUP BY entity, window_start, window_end;
