package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const averageSQL = `
CREATE TABLE readings (
  sensor STRING, ts TIMESTAMP_LTZ(3), temp DOUBLE, hum INT,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (%s);
CREATE TABLE averages (sensor STRING, window_start TIMESTAMP(3), average DOUBLE, readings BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO averages
SELECT sensor, window_start, AVG(temp), COUNT(*)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY sensor, window_start, window_end;`

// payload is reading n: one a millisecond of event time per thousand sensors.
func payload(dst []byte, n int64, keys int, base int64) []byte {
	return fmt.Appendf(dst, `{"sensor":"s%04d","ts":%d,"temp":%d.%02d,"hum":%d,"loc":"plant-07/line-03/cell-12/u1"}`,
		n%int64(keys), base+n/20, 15+n%20, n%100, 30+n%40)
}

// mqttConn is a raw MQTT 3.1.1 connection, so that neither publisher nor reader is the bottleneck.
type mqttConn struct {
	net.Conn
	r *bufio.Reader
}

func dialMQTT(port int, id string) (*mqttConn, error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	m := &mqttConn{c, bufio.NewReaderSize(c, 256<<10)}
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0}, lengthPrefixed(id)...)
	if _, err := c.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return nil, err
	}
	_, _, err = m.packet(nil)
	return m, err
}

func lengthPrefixed(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func (m *mqttConn) subscribe(topic string) error {
	body := append(append([]byte{0, 1}, lengthPrefixed(topic)...), 0)
	if _, err := m.Write(append([]byte{0x82, byte(len(body))}, body...)); err != nil {
		return err
	}
	_, _, err := m.packet(nil)
	return err
}

// packet reads one packet into buf.
func (m *mqttConn) packet(buf []byte) (head byte, body []byte, err error) {
	if head, err = m.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, shift := 0, 0
	for {
		b, err := m.r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		n |= int(b&0x7f) << shift
		if shift += 7; b&0x80 == 0 {
			break
		}
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(m.r, buf[:n])
	return head, buf[:n], err
}

// publishAll writes all readings as fast as the broker takes them.
func publishAll(port int, c config, base int64) error {
	m, err := dialMQTT(port, "bench-publisher")
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // all was written
	var out, body []byte
	for n := range c.messages {
		body = append(body[:0], lengthPrefixed("s/"+strconv.FormatInt(n%10, 10))...)
		body = payload(body, n, c.keys, base)
		out = append(out, 0x30, byte(len(body))|0x80*b2u(len(body) > 127))
		if len(body) > 127 {
			out[len(out)-1] = byte(len(body)&0x7f) | 0x80
			out = append(out, byte(len(body)>>7))
		}
		out = append(out, body...)
		if len(out) > 32<<10 || n == c.messages-1 {
			if _, err := m.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	_, err = m.Write([]byte{0xc0, 0}) // a ping: its answer comes after all was read
	if err == nil {
		_, _, err = m.packet(nil)
	}
	return err
}

func b2u(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func startBroker(ctx context.Context, dir string) (*process, int, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	conf := filepath.Join(dir, fmt.Sprintf("mosquitto-%d.conf", port))
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nmax_queued_bytes 0\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil { //nolint:gosec // mosquitto gives up root before it reads it
		return nil, 0, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the same
		return nil, 0, err
	}
	p, err := startProcess(dir, mosquittoPath(), "-c", conf)
	if err != nil {
		return nil, 0, err
	}
	return p, port, awaitPort(ctx, port)
}

// mosquittoPath: Debian has it where only root looks.
func mosquittoPath() string {
	if _, err := os.Stat("/usr/sbin/mosquitto"); err == nil {
		return "/usr/sbin/mosquitto"
	}
	return "mosquitto"
}

// measured is one way of reading the stream.
type measured struct {
	rate, cpuMicros, brokerMicros float64
	lost                          int64
	rssBytes                      int64
}

func mqttSuite(ctx context.Context, c config, dir string) ([]result, error) {
	var bare, engine measured
	for range c.rounds {
		b, err := mqttRound(ctx, c, dir, bareMQTT)
		if err != nil {
			return nil, fmt.Errorf("bare reader: %w", err)
		}
		e, err := mqttRound(ctx, c, dir, engineMQTT)
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		bare, engine = better(bare, b), better(engine, e)
	}
	return []result{
		{"mqtt", "bare reader, QoS 0", bare.rate / 1000, "k msg/s", fmt.Sprintf("broker %.2f us/msg, lost %d", bare.brokerMicros, bare.lost)},
		{"mqtt", "10 s average by sensor, QoS 0", engine.rate / 1000, "k msg/s", fmt.Sprintf("broker %.2f us/msg, lost %d", engine.brokerMicros, engine.lost)},
		{"mqtt", "engine to bare reader", 100 * engine.rate / bare.rate, "%", "aim: 95 or more"},
		{"mqtt", "engine CPU a message", engine.cpuMicros, "us", "aim: 2 or less"},
		{"mqtt", "taskmanager, peak memory", float64(engine.rssBytes) / (1 << 20), "MiB", ""},
	}, nil
}

func better(a, b measured) measured {
	if a.rate > b.rate {
		b.rate = a.rate
		b.brokerMicros = a.brokerMicros
	}
	if a.cpuMicros > 0 {
		b.cpuMicros = min(a.cpuMicros, b.cpuMicros)
	}
	b.lost += a.lost
	return b
}

// reader starts reading and returns a function that waits until all has been read, and one that ends it.
type reader func(ctx context.Context, c config, dir string, port int) (wait func() (measured, error), stop func(), err error)

func mqttRound(ctx context.Context, c config, dir string, read reader) (measured, error) {
	broker, port, err := startBroker(ctx, dir)
	if err != nil {
		return measured{}, err
	}
	defer broker.stop()
	wait, stop, err := read(ctx, c, dir, port)
	if err != nil {
		return measured{}, err
	}
	defer stop()
	before, err := usageOf(broker.Cmd.Process.Pid)
	if err != nil {
		return measured{}, err
	}
	began := time.Now()
	published := make(chan error, 1)
	go func() { published <- publishAll(port, c, began.UnixMilli()) }()
	m, err := wait()
	took := time.Since(began)
	if err := errors.Join(err, <-published); err != nil {
		return m, err
	}
	after, err := usageOf(broker.Cmd.Process.Pid)
	m.rate = float64(c.messages-m.lost) / took.Seconds()
	m.brokerMicros = float64((after.cpu - before.cpu).Microseconds()) / float64(c.messages)
	return m, err
}

// stalled is how long nothing may arrive before the rest counts as lost.
const stalled = 3 * time.Second

// bareMQTT counts packets.
func bareMQTT(_ context.Context, c config, _ string, port int) (func() (measured, error), func(), error) {
	m, err := dialMQTT(port, "bench-bare")
	if err != nil {
		return nil, nil, err
	}
	if err := m.subscribe("s/#"); err != nil {
		return nil, nil, err
	}
	wait := func() (measured, error) {
		var buf []byte
		for n := range c.messages {
			if n%1000 == 0 {
				if err := m.SetReadDeadline(time.Now().Add(stalled)); err != nil {
					return measured{}, err
				}
			}
			_, body, err := m.packet(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return measured{lost: c.messages - n}, nil
			}
			if err != nil {
				return measured{}, err
			}
			buf = body
		}
		return measured{}, nil
	}
	return wait, func() { _ = m.Close() }, nil
}

func engineMQTT(ctx context.Context, c config, dir string, port int) (func() (measured, error), func(), error) {
	cl, err := startCluster(ctx, c, dir, "256MiB")
	if err != nil {
		return nil, nil, err
	}
	script := fmt.Sprintf(averageSQL, fmt.Sprintf("'connector' = 'mqtt', 'url' = 'tcp://127.0.0.1:%d', 'topic' = 's/#', 'format' = 'json'", port))
	if err := cl.submit(ctx, dir, script); err != nil {
		cl.stop()
		return nil, nil, err
	}
	if err := awaitSubscribed(ctx, cl); err != nil {
		cl.stop()
		return nil, nil, err
	}
	return func() (measured, error) { return drain(ctx, cl, c.messages) }, cl.stop, nil
}

// awaitSubscribed waits until the log of the taskmanager says that the source is connected.
func awaitSubscribed(ctx context.Context, cl *cluster) error {
	return await(ctx, "the subscription", func() bool {
		log, err := os.ReadFile(cl.tm.log)
		return err == nil && containsLine(log, "connected to mqtt broker")
	})
}

// drain waits until the engine has taken all messages, or no more come.
func drain(ctx context.Context, cl *cluster, messages int64) (measured, error) {
	before, err := usageOf(cl.tm.Cmd.Process.Pid)
	if err != nil {
		return measured{}, err
	}
	var taken float64
	last := time.Now()
	err = await(ctx, "all messages", func() bool {
		n := cl.metric(ctx, "bramble_task_records_out_total", `operator="Source: readings"`)
		if n > taken {
			taken, last = n, time.Now()
		}
		return int64(n) >= messages || taken > 0 && time.Since(last) > stalled
	})
	after, uerr := usageOf(cl.tm.Cmd.Process.Pid)
	return measured{
		lost: messages - int64(taken), cpuMicros: float64((after.cpu - before.cpu).Microseconds()) / max(taken, 1), rssBytes: after.peakBytes,
	}, errors.Join(err, uerr)
}
