CREATE TABLE files (room STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/out', 'format' = 'csv');
CREATE TABLE rooms (room STRING, n BIGINT, PRIMARY KEY (room) NOT ENFORCED) WITH ('connector' = 'redis', 'url' = 'redis://localhost:6379');
