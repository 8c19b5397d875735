package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// What the publisher and the jobs agree upon. One reading in a hundred passes the filter.
const (
	resultTopic = "out"
	endSensor   = "end"
	sensors     = 1000
	// lateness is how far the watermark is behind, ms.
	lateness = 1000
)

// loadReport is what the publisher sent and saw, as it prints it.
type loadReport struct {
	Sent    int64   `json:"sent"`
	Seconds float64 `json:"seconds"`
	// LateMS is how far the last reading was behind its time, because the broker took no more.
	LateMS float64 `json:"late_ms"`
	// Counted and Sum are what came back, of WantCounted and WantSum.
	Counted     int64 `json:"counted"`
	Sum         int64 `json:"sum"`
	WantCounted int64 `json:"want_counted"`
	WantSum     int64 `json:"want_sum"`
	// Latencies are from when a result's cause was due until the result came, ms.
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P9999 float64 `json:"p9999_ms"`
	// Timed is how many results have a latency.
	Timed int64 `json:"timed"`
}

// reading appends reading n as the benchmark has it: 95 bytes of JSON.
func reading(dst []byte, n, ts int64) []byte {
	dst = append(dst, `{"sensor":"s`...)
	dst = appendPadded(dst, n%sensors, 4)
	dst = append(dst, `","ts":`...)
	dst = strconv.AppendInt(dst, ts, 10)
	dst = append(dst, `,"temp":`...)
	dst = strconv.AppendInt(dst, 15+n%20, 10)
	dst = append(dst, '.')
	dst = appendPadded(dst, n%100, 2)
	dst = append(dst, `,"hum":`...)
	dst = strconv.AppendInt(dst, humidity(n), 10)
	return append(dst, `,"loc":"plant-07/line-03/cell-12/u1"}`...)
}

func humidity(n int64) int64 { return 30 + n%40 }

// passes says whether temp > 34.9, which is so for 34.99 only.
func passes(n int64) bool { return n%100 == 99 }

func appendPadded(dst []byte, n int64, digits int) []byte {
	for at := int64(math.Pow10(digits - 1)); at > 0; at /= 10 {
		dst = append(dst, byte('0'+n/at%10))
	}
	return dst
}

// appendPublish appends an MQTT packet at QoS 0.
func appendPublish(dst []byte, topic string, payload []byte) []byte {
	dst = append(dst, 0x30)
	n := 2 + len(topic) + len(payload)
	for ; n > 127; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	dst = append(dst, byte(n))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	return append(append(dst, topic...), payload...)
}

// mqttConn is a bare MQTT 3.1.1 connection, so that the publisher is not what is measured.
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
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	if _, err := c.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return nil, err
	}
	_, err = m.packet(nil)
	return m, err
}

func (m *mqttConn) subscribe(topic string) error {
	body := append(append([]byte{0, 1, 0, byte(len(topic))}, topic...), 0)
	if _, err := m.Write(append([]byte{0x82, byte(len(body))}, body...)); err != nil {
		return err
	}
	_, err := m.packet(nil)
	return err
}

// packet reads one packet's body into buf.
func (m *mqttConn) packet(buf []byte) ([]byte, error) {
	if _, err := m.r.ReadByte(); err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(m.r)
	if err != nil {
		return nil, err
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(m.r, buf[:n])
	return buf[:n], err
}

// publish is the process that sends readings and checks what comes back; it shares a core with the broker.
func publish(_ context.Context, s *settings) error {
	m := &s.mqtt
	results, err := dialMQTT(m.port, "bench-checker")
	if err != nil {
		return err
	}
	defer results.Close() //nolint:errcheck // nothing was written
	if err := results.subscribe(resultTopic); err != nil {
		return err
	}
	c := &checker{job: m.job, conn: results, done: make(chan error, 1)}
	go func() { c.done <- c.run() }()
	r, end, err := sendAll(m)
	if err != nil {
		return err
	}
	c.ended = end
	if m.job == "filter" {
		for n := range r.Sent {
			if passes(n) {
				r.WantCounted++
				r.WantSum += humidity(n)
			}
		}
	} else {
		windows := int64(1)
		if m.job == "hop" {
			windows = 6
		}
		for n := range r.Sent {
			r.WantSum += humidity(n) * windows
		}
		r.WantCounted = r.Sent * windows
	}
	if err := c.await(&r, m.patience); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// sendAll sends readings when they are due, or as fast as the broker takes them, and then one that is far enough ahead that all windows end. It returns the time of the
// last reading, ms.
func sendAll(m *mqttSettings) (r loadReport, end int64, err error) {
	conn, err := dialMQTT(m.port, "bench-publisher")
	if err != nil {
		return r, 0, err
	}
	defer conn.Close() //nolint:errcheck // all was written
	began := time.Now()
	base := began.UnixMilli()
	var out, body []byte
	n := int64(0)
	for {
		passed := time.Since(began)
		due := noPace
		if m.rate > 0 {
			due = min(int64(passed.Seconds()*float64(m.rate)), int64(m.duration.Seconds()*float64(m.rate)))
			if n >= int64(m.duration.Seconds()*float64(m.rate)) {
				break
			}
		} else if passed > m.duration {
			break
		}
		if n >= due {
			time.Sleep(time.Millisecond)
			continue
		}
		for ; n < due && len(out) < 32<<10; n++ {
			ts := base + passed.Milliseconds()
			if m.rate > 0 {
				ts = base + n*1000/m.rate
			}
			body = reading(body[:0], n, ts)
			out = appendPublish(out, topics[n%int64(len(topics))], body)
			end = ts
		}
		if _, err := conn.Write(out); err != nil {
			return r, 0, err
		}
		out = out[:0]
	}
	r.Sent = n
	body = fmt.Appendf(body[:0], `{"sensor":%q,"ts":%d,"temp":0.0,"hum":0,"loc":""}`, endSensor, end+200_000)
	if _, err := conn.Write(append(appendPublish(nil, topics[0], body), 0xc0, 0)); err != nil { // a ping: its answer comes after all was read
		return r, 0, err
	}
	_, err = conn.packet(nil)
	r.Seconds = time.Since(began).Seconds()
	if m.rate > 0 {
		r.LateMS = max(0, (r.Seconds-float64(n)/float64(m.rate))*1000)
	}
	return r, end, err
}

const noPace = int64(math.MaxInt64)

var topics = []string{"s/0", "s/1", "s/2", "s/3", "s/4", "s/5", "s/6", "s/7", "s/8", "s/9"}

// result is a row that came back, from either engine.
type result struct {
	Sensor string `json:"sensor"`
	TS     int64  `json:"ts"`
	Hum    int64  `json:"hum"`
	N      int64  `json:"n"`
	S      int64  `json:"s"`
	// End is the end of a window in ms; 0 for a window of the clock.
	End int64 `json:"window_end"`
}

type timed struct {
	// cause is when it was due, ms; took how much later the result came.
	cause, took float64
}

// checker adds up results.
type checker struct {
	job  string
	conn *mqttConn
	done chan error
	// ended is when the last reading was due, ms.
	ended int64

	mu struct {
		sync.Mutex
		counted, sum int64
		times        []timed
	}
}

func (c *checker) run() error {
	var buf []byte
	for {
		body, err := c.conn.packet(buf)
		if err != nil {
			return err
		}
		buf = body
		if len(body) < 2+len(resultTopic) { // a late SUBACK
			continue
		}
		now := float64(time.Now().UnixMicro()) / 1000
		if err := c.take(body[2+len(resultTopic):], now); err != nil {
			return err
		}
	}
}

func (c *checker) take(payload []byte, now float64) error {
	rows := []result{{}}
	var err error
	if payload[0] == '[' { // several rows a message
		err = json.Unmarshal(payload, &rows)
	} else {
		err = json.Unmarshal(payload, &rows[0])
	}
	if err != nil {
		return fmt.Errorf("result %q: %w", payload, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		switch {
		case r.Sensor == endSensor:
		case c.job == "filter":
			c.mu.counted++
			c.mu.sum += r.Hum
			c.mu.times = append(c.mu.times, timed{float64(r.TS), now - float64(r.TS)})
		default:
			c.mu.counted += r.N
			c.mu.sum += r.S
			cause := float64(r.End + lateness)
			if r.End == 0 { // every ten seconds of the clock
				cause = math.Floor(now/10_000) * 10_000
			}
			c.mu.times = append(c.mu.times, timed{cause, now - cause})
		}
	}
	return nil
}

// await waits until all has come back, or nothing more does.
func (c *checker) await(r *loadReport, patience time.Duration) error {
	last, since := int64(-1), time.Now()
	for {
		c.mu.Lock()
		counted := c.mu.counted
		c.mu.Unlock()
		if counted >= r.WantCounted {
			break
		}
		if counted != last {
			last, since = counted, time.Now()
		}
		if time.Since(since) > patience {
			break
		}
		select {
		case err := <-c.done:
			return errors.Join(errors.New("results have ended"), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	time.Sleep(200 * time.Millisecond) // what would be too much
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Counted, r.Sum = c.mu.counted, c.mu.sum
	var took []float64
	for _, t := range c.mu.times {
		if t.cause <= float64(c.ended) {
			took = append(took, t.took)
		}
	}
	slices.Sort(took)
	r.Timed = int64(len(took))
	if len(took) > 0 {
		at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)] }
		r.P50, r.P99, r.P9999 = at(0.5), at(0.99), at(0.9999)
	}
	return nil
}
