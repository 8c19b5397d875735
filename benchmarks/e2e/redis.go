package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

func containsLine(log []byte, part string) bool { return bytes.Contains(log, []byte(part)) }

// redisSuite reads a stream that was filled beforehand.
func redisSuite(ctx context.Context, c config, dir string) ([]result, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	server, err := startProcess(dir, "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	if err := awaitPort(ctx, port); err != nil {
		return nil, err
	}
	db := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), ReadBufferSize: 256 << 10})
	defer db.Close() //nolint:errcheck // all was read
	if err := fillStream(ctx, db, c); err != nil {
		return nil, err
	}
	var bare, engine measured
	for range c.rounds {
		b, err := bareRedis(ctx, db, c)
		if err != nil {
			return nil, fmt.Errorf("bare reader: %w", err)
		}
		e, err := engineRedis(ctx, c, dir, port)
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		bare, engine = better(bare, b), better(engine, e)
	}
	return []result{
		{"redis", "bare go-redis reader, XREAD 1000", bare.rate / 1000, "k entries/s", ""},
		{"redis", "10 s average by sensor", engine.rate / 1000, "k entries/s", fmt.Sprintf("lost %d", engine.lost)},
		{"redis", "engine to bare reader", 100 * engine.rate / bare.rate, "%", "aim: 80 or more"},
		{"redis", "engine CPU an entry", engine.cpuMicros, "us", ""},
	}, nil
}

func fillStream(ctx context.Context, db *redis.Client, c config) error {
	base := time.Now().Add(-time.Hour).UnixMilli()
	for n := int64(0); n < c.messages; {
		pipe := db.Pipeline()
		for range min(1000, c.messages-n) {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: "readings", Values: []any{"data", payload(nil, n, c.keys, base)}})
			n++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill the stream: %w", err)
		}
	}
	return nil
}

func bareRedis(ctx context.Context, db *redis.Client, c config) (measured, error) {
	began := time.Now()
	last := "0-0"
	for n := int64(0); n < c.messages; {
		res, err := db.XRead(ctx, &redis.XReadArgs{Streams: []string{"readings", last}, Count: 1000}).Result()
		if err != nil {
			return measured{}, err
		}
		m := res[0].Messages
		n += int64(len(m))
		last = m[len(m)-1].ID
	}
	return measured{rate: float64(c.messages) / time.Since(began).Seconds()}, nil
}

func engineRedis(ctx context.Context, c config, dir string, port int) (measured, error) {
	cl, err := startCluster(ctx, c, dir, "256MiB")
	if err != nil {
		return measured{}, err
	}
	defer cl.stop()
	script := fmt.Sprintf(averageSQL, fmt.Sprintf("'connector' = 'redis-stream', 'url' = 'redis://127.0.0.1:%d', 'stream' = 'readings', 'format' = 'json'", port))
	done := make(chan error, 1)
	go func() { done <- cl.submit(ctx, dir, script) }()
	// The job's start is not part of the rate: the clock runs from the first entry on.
	err = await(ctx, "the first entry", func() bool {
		return cl.metric(ctx, "bramble_task_records_out_total", `operator="Source: readings"`) > 0
	})
	began := time.Now()
	first := cl.metric(ctx, "bramble_task_records_out_total", `operator="Source: readings"`)
	if err != nil {
		return measured{}, err
	}
	m, err := drain(ctx, cl, c.messages)
	m.rate = (float64(c.messages) - first) / time.Since(began).Seconds()
	return m, errors.Join(err, <-done)
}

// idleSuite looks at programs that have nothing to do.
func idleSuite(ctx context.Context, c config, dir string) ([]result, error) {
	cl, err := startCluster(ctx, c, dir, "256MiB")
	if err != nil {
		return nil, err
	}
	defer cl.stop()
	const settle = 5 * time.Second
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out []result
	for name, p := range map[string]*process{"jobmanager": cl.jm, "taskmanager": cl.tm} {
		u, err := usageOf(p.Cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(c.bin + "/" + name)
		if err != nil {
			return nil, err
		}
		out = append(out, result{"idle", name + ", resident memory", float64(u.rssBytes) / (1 << 20), "MiB", "aim: 30 or less"},
			result{"idle", name + ", binary", float64(st.Size()) / 1e6, "MB", "aim: 30 or less"})
	}
	return out, nil
}

const keysSQL = `
CREATE TABLE gen (id BIGINT, v INT, ts AS TO_TIMESTAMP_LTZ(id / 1000, 3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000', 'number-of-rows' = '%[1]d', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '%[2]d');
CREATE TABLE done (c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO done
SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE gen, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY CONCAT('sensor-', CAST(id AS STRING)), window_start, window_end;`

// keysSuite runs a window over five million keys inside a taskmanager of 256 MiB.
func keysSuite(ctx context.Context, c config, dir string) ([]result, error) {
	const keys = 5_000_000
	cl, err := startCluster(ctx, c, dir, "256MiB")
	if err != nil {
		return nil, err
	}
	defer cl.stop()
	began := time.Now()
	if err := cl.submit(ctx, dir, fmt.Sprintf(keysSQL, keys, keys-1), "--wait"); err != nil {
		return nil, err
	}
	took := time.Since(began)
	u, err := usageOf(cl.tm.Cmd.Process.Pid)
	return []result{
		{"keys", "5 M keys in one window, 256 MiB", took.Seconds(), "s", ""},
		{"keys", "taskmanager, peak memory", float64(u.peakBytes) / (1 << 20), "MiB", "aim: 256 or less"},
		{"keys", "CPU a row", float64(u.cpu.Microseconds()) / keys, "us", ""},
	}, err
}
