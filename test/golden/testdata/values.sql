CREATE TABLE t (a INT, b STRING, d DECIMAL(6, 2)) WITH ('connector' = 'result');
INSERT INTO t VALUES (1, 'one', 1.5), (2, 'two', -2.25), (CAST(NULL AS INT), 'null', 0);
INSERT INTO t (b, a) VALUES ('partial', 7);
