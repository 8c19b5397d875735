package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// floodPrefix and a count make the name of a server that floods its first subscriber with so many readings.
const floodPrefix = "flood:"

// floodClosing is how long after the flood the readings come that close the windows.
const floodClosing = 500 * time.Millisecond

// startFlood listens as a broker would, but has messages of its own: whoever subscribes gets count readings as fast as the socket takes them. It is for
// measuring a reader without a broker's cost and limits.
func startFlood(ctx context.Context, count int64) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close() //nolint:errcheck // the reader sees it
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		_ = flood(c, count) // the reader counts what came
	}()
	return "mqtt://" + l.Addr().String(), func() {
		_ = l.Close()
		<-done
	}, nil
}

// flood answers CONNECT and SUBSCRIBE, sends, and then answers pings until the other side is gone.
func flood(c net.Conn, count int64) error {
	r := bufio.NewReader(c)
	if _, _, err := brokerPacket(r); err != nil {
		return err
	}
	if _, err := c.Write([]byte{0x20, 2, 0, 0}); err != nil {
		return err
	}
	for {
		head, body, err := brokerPacket(r)
		if err != nil {
			return err
		}
		if head>>4 == 8 && len(body) > 2 { // SUBSCRIBE
			if _, err := c.Write([]byte{0x90, 3, body[0], body[1], 0}); err != nil {
				return err
			}
			break
		}
		if head>>4 == 12 { // PINGREQ
			if _, err := c.Write([]byte{0xd0, 0}); err != nil {
				return err
			}
		}
	}
	p := Publish{Topic: liveTopic + "/flood", Count: count, BaseMS: time.Now().UnixMilli()}
	conn := &mqttConn{c, r}
	if err := p.fast(conn); err != nil {
		return err
	}
	time.Sleep(floodClosing)
	closing := Publish{Topic: p.Topic, Count: closingCount, BaseMS: p.BaseMS + count/readingsPerMS + closingAfter.Milliseconds()}
	if err := closing.fast(conn); err != nil {
		return err
	}
	for {
		head, _, err := brokerPacket(r)
		if err != nil {
			return err
		}
		if head>>4 == 12 {
			if _, err := c.Write([]byte{0xd0, 0}); err != nil {
				return err
			}
		}
	}
}

// brokerPacket reads a packet of a client.
func brokerPacket(r *bufio.Reader) (head byte, body []byte, err error) {
	if head, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(r) // MQTT's lengths are made like Go's
	if err != nil || size > writeBytes {
		return 0, nil, errors.Join(err, errors.New("not a packet"))
	}
	body = make([]byte, size)
	_, err = io.ReadFull(r, body)
	return head, body, err
}

// Flood measures a job over MQTT, "filter", "tumble" or "hop", that gets count messages straight from a socket, without a broker.
func Flood(ctx context.Context, c Config, job string, count int64) (*Measured, error) {
	l := &live{run: &run{Config: c, report: &Report{}, steps: []step{{suite: "flood"}}}, what: "start"}
	for i := range streamJobs {
		if streamJobs[i].name == job {
			l.job = &streamJobs[i]
		}
	}
	if l.job == nil {
		return nil, fmt.Errorf("no job %q", job)
	}
	defer l.close()
	var err error
	if l.engine, err = l.cluster(ctx, &l.what); err != nil {
		return nil, err
	}
	if l.srv, err = startWorker(ctx, c.Worker, nil); err != nil {
		return nil, err
	}
	m, err := l.srv.ask(ctx, command{Serve: fmt.Sprintf("%s%d", floodPrefix, count)}, patience)
	if err != nil {
		return nil, err
	}
	ph := &Phase{
		File: job + ".sql", Parallelism: c.Parallelism, Sums: true, Expected: count, Checkpoint: c.Checkpoint, Profile: c.Profile,
		Script: fmt.Sprintf(readingsTable, fmt.Sprintf("'connector' = 'mqtt', 'url' = '%s', 'topic' = '%s/#', 'format' = 'json'", m.URL, liveTopic)) + l.job.sql,
	}
	if err := l.engine.tell(command{Phase: ph}); err != nil {
		return nil, err
	}
	if err := l.connected(ctx); err != nil {
		return nil, err
	}
	if got, err := l.await(ctx, count); err != nil || got < count {
		return nil, errors.Join(err, fmt.Errorf("%d of %d messages arrived", got, count))
	}
	if _, err := l.ask(ctx, command{Mark: true}); err != nil {
		return nil, err
	}
	if _, err := l.await(ctx, count+closingCount); err != nil {
		return nil, err
	}
	got, err := l.finish(ctx)
	if err != nil {
		return nil, err
	}
	res := Result{Status: StatusOK}
	(&burst{Measured: *got}).verify(l.job, count, &res)
	if res.Status != StatusOK {
		return nil, errors.New("wrong result: " + res.Reason)
	}
	return got, nil
}

// floodCount is what a server's name asks for.
func floodCount(name string) (int64, bool) {
	text, ok := strings.CutPrefix(name, floodPrefix)
	if !ok {
		return 0, false
	}
	var n int64
	_, err := fmt.Sscanf(text, "%d", &n)
	return n, err == nil && n > 0
}
