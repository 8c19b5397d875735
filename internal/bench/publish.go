package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// brokerQueue is how many messages the embedded broker holds for a subscriber before it drops some, as Mosquitto does beyond its limits.
const brokerQueue = 64 << 10

// startBroker starts an MQTT broker on a free loopback port.
func startBroker(context.Context) (brokerURL string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = brokerQueue
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), Capabilities: caps, ClientNetReadBufferSize: 64 << 10, ClientNetWriteBufferSize: 64 << 10})
	if err := errors.Join(s.AddHook(new(auth.AllowHook), nil), s.AddListener(listeners.NewNet("bench", l)), s.Serve()); err != nil {
		return "", nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	return "mqtt://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

// Publish is a burst of readings to a broker, over a plain connection of its own: the publisher must not be the bottleneck.
type Publish struct {
	URL, Topic string
	// Readings First to First+Count-1 are sent.
	First, Count int64
	// Rate is how many a second, each at its time; 0 is as fast as the broker takes them.
	Rate int64
	// BaseMS is the event time of reading 0, which goes on by readingsPerMS; with a rate event time is the time of day and ShiftMS.
	BaseMS, ShiftMS int64
}

// Published is what a publisher says at the end.
type Published struct {
	// Elapsed is from the first to the last write, Behind how late the latest of the messages was sent.
	Elapsed time.Duration `json:"elapsed_ns"`
	Behind  time.Duration `json:"behind_ns"`
	CPU     time.Duration `json:"cpu_ns"`
}

const (
	// publishEvery is how often a publisher with a rate sends what is due.
	publishEvery = time.Millisecond
	// writeBytes is how much is written at once at most.
	writeBytes   = 32 << 10
	dialPatience = 10 * time.Second
)

func (p *Publish) run(ctx context.Context) (*Published, error) {
	conn, err := dialMQTT(ctx, p.URL)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // all was written and answered
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	began, cpu := time.Now(), cpuTime()
	out := &Published{}
	if p.Rate > 0 {
		out.Behind, err = p.paced(ctx, conn, began)
	} else {
		err = p.fast(conn)
	}
	if err != nil {
		return nil, err
	}
	// The answer to a ping comes when the broker has read all before it.
	if _, err := conn.Write([]byte{0xc0, 0}); err != nil {
		return nil, err
	}
	if _, err := conn.packet(); err != nil {
		return nil, err
	}
	out.Elapsed, out.CPU = time.Since(began), cpuTime()-cpu
	return out, nil
}

func (p *Publish) fast(conn *mqttConn) error {
	var buf []byte
	for n := p.First; n < p.First+p.Count; n++ {
		buf = p.message(buf, n, p.BaseMS+n/readingsPerMS, 0)
		if len(buf) > writeBytes || n == p.First+p.Count-1 {
			if _, err := conn.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// paced sends each message at its time. What is due is known beforehand: a publisher that has to wait is behind, and says so in the messages.
func (p *Publish) paced(ctx context.Context, conn *mqttConn, began time.Time) (behind time.Duration, err error) {
	t := time.NewTicker(publishEvery)
	defer t.Stop()
	dueOf := func(n int64) time.Duration {
		k := n - p.First
		return time.Duration(k/p.Rate)*time.Second + time.Duration(k%p.Rate)*time.Second/time.Duration(p.Rate)
	}
	startUS := began.UnixMicro()
	var buf []byte
	for n := p.First; n < p.First+p.Count; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return behind, ctx.Err()
		}
		for now := time.Since(began); n < p.First+p.Count && dueOf(n) <= now; {
			first := dueOf(n)
			for buf = buf[:0]; n < p.First+p.Count && dueOf(n) <= now && len(buf) < writeBytes; n++ {
				due := dueOf(n)
				dueUS := startUS + due.Microseconds()
				buf = p.message(buf, n, dueUS/1000+p.ShiftMS, dueUS)
			}
			if _, err := conn.Write(buf); err != nil {
				return behind, err
			}
			now = time.Since(began)
			behind = max(behind, now-first)
		}
	}
	return behind, nil
}

// message appends a PUBLISH packet with QoS 0. Its remaining length is below 16,384.
func (p *Publish) message(buf []byte, n, tsMS, dueUS int64) []byte {
	buf = append(buf, 0x30, 0, 0)
	at := len(buf)
	topic := len(p.Topic) + 2
	buf = binary.BigEndian.AppendUint16(buf, uint16(topic)) //nolint:gosec // a short one of ours
	buf = append(append(buf, p.Topic...), '/', byte('0'+n%10))
	buf = reading(buf, n, tsMS, dueUS)
	size := len(buf) - at
	buf[at-2], buf[at-1] = byte(size)|0x80, byte(size>>7)
	return buf
}

// mqttConn speaks as much MQTT 3.1.1 as a publisher needs.
type mqttConn struct {
	net.Conn
	r *bufio.Reader
}

func dialMQTT(ctx context.Context, brokerURL string) (*mqttConn, error) {
	u, err := url.Parse(brokerURL)
	if err != nil || u.Host == "" || u.Scheme != "mqtt" && u.Scheme != "tcp" {
		return nil, fmt.Errorf("%q is no broker's address: want mqtt://host:1883", brokerURL)
	}
	host := u.Host
	if u.Port() == "" {
		host += ":1883"
	}
	d := net.Dialer{Timeout: dialPatience}
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("reach the broker: %w", err)
	}
	m := &mqttConn{c, bufio.NewReader(c)}
	prefixed := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) //nolint:gosec // a URL's parts
	}
	flags, id := byte(2), "bramble-bench-"+strconv.FormatInt(time.Now().UnixNano()%1e9, 36)
	body := prefixed(nil, id)
	if u.User != nil {
		flags |= 0x80
		body = prefixed(body, u.User.Username())
		if pw, ok := u.User.Password(); ok {
			flags |= 0x40
			body = prefixed(body, pw)
		}
	}
	body = append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 0}, body...)
	if len(body) > 127 {
		return nil, errors.New("user name and password are too long")
	}
	if _, err := c.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return nil, fmt.Errorf("greet the broker: %w", err)
	}
	ack, err := m.packet()
	if err == nil && (len(ack) < 2 || ack[1] != 0) {
		err = fmt.Errorf("it refuses the connection: code %v", ack)
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("the broker at %s: %w", host, err)
	}
	return m, nil
}

// packet reads the body of a short packet.
func (m *mqttConn) packet() ([]byte, error) {
	if err := m.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(m.r, head); err != nil {
		return nil, err
	}
	if head[1] > 127 {
		return nil, errors.New("a long answer was not expected")
	}
	body := make([]byte, head[1])
	_, err := io.ReadFull(m.r, body)
	return body, err
}
