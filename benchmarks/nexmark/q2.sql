-- Selection: few rows pass.
CREATE TABLE results (
  auction BIGINT, price BIGINT
) WITH ('connector' = '${SINK:-blackhole}');

INSERT INTO results
SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
