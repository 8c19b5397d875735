package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// streamsServer speaks as much of Redis' protocol as a reader of streams needs. The streams are not stored: entry n is made when it is asked for, so
// that a stream may be as long as it likes and the server costs little. The name of a stream says what it holds: bench:COUNT:RATE:BASE:ID has
// COUNT readings from BASE on in event time (ms). With a RATE so many become available a second from the first question on, and their event time is
// the time of day and BASE. ID keeps one phase from another.
type streamsServer struct {
	l     net.Listener
	conns sync.WaitGroup

	mu struct {
		sync.Mutex
		closed bool
		open   map[net.Conn]bool
		// asked is when a stream was asked for first.
		asked map[string]time.Time
	}
}

// madeStream is what the name of a stream says.
type madeStream struct {
	count, rate, base int64
}

func streamName(m madeStream, id int) string {
	return fmt.Sprintf("bench:%d:%d:%d:%d", m.count, m.rate, m.base, id)
}

func parseStreamName(name string) (madeStream, error) {
	f := strings.Split(name, ":")
	if len(f) != 5 || f[0] != "bench" {
		return madeStream{}, fmt.Errorf("no stream %q", name)
	}
	var v [3]int64
	for i := range v {
		n, err := strconv.ParseInt(f[i+1], 10, 64)
		if err != nil || n < 0 && i < 2 {
			return madeStream{}, fmt.Errorf("no stream %q", name)
		}
		v[i] = n
	}
	return madeStream{v[0], v[1], v[2]}, nil
}

// startStreams starts the server on a free loopback port.
func startStreams(context.Context) (redisURL string, stop func(), err error) {
	s := &streamsServer{}
	if s.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return "", nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	s.mu.open, s.mu.asked = map[net.Conn]bool{}, map[string]time.Time{}
	s.conns.Go(func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.mu.closed {
				_ = c.Close()
			} else {
				s.mu.open[c] = true
				s.conns.Go(func() { s.serve(c) })
			}
			s.mu.Unlock()
		}
	})
	return "redis://" + s.l.Addr().String(), s.stop, nil
}

func (s *streamsServer) stop() {
	s.mu.Lock()
	s.mu.closed = true
	_ = s.l.Close()
	for c := range s.mu.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.conns.Wait()
}

func (s *streamsServer) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.mu.open, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, 16<<10)
	var out []byte
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		out = s.answer(out[:0], args)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// argsMax bounds a command.
const argsMax = 1 << 10

// readCommand reads an array of strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r, '*', argsMax)
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readLength(r, '$', 64<<10)
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func readLength(r *bufio.Reader, kind byte, most int) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, errors.New("not a command")
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil || n < 0 || n > most {
		return 0, errors.New("not a length")
	}
	return n, nil
}

func (s *streamsServer) answer(out []byte, args []string) []byte {
	if len(args) == 0 {
		return append(out, "-ERR nothing\r\n"...)
	}
	var err error
	switch name := strings.ToUpper(args[0]); name {
	case "PING":
		return append(out, "+PONG\r\n"...)
	case "SELECT", "CLIENT":
		return append(out, "+OK\r\n"...)
	case "XREVRANGE":
		out, err = s.newest(out, args)
	case "XREAD":
		out, err = s.read(out, args)
	default:
		err = fmt.Errorf("unknown command '%s'", name)
	}
	if err != nil {
		return append(append(append(out[:0], "-ERR "...), strings.NewReplacer("\r", "", "\n", "").Replace(err.Error())...), "\r\n"...)
	}
	return out
}

// newest answers XREVRANGE name + - COUNT 1.
func (s *streamsServer) newest(out []byte, args []string) ([]byte, error) {
	if len(args) != 6 {
		return out, errors.New("wrong number of arguments")
	}
	m, err := parseStreamName(args[1])
	if err != nil {
		return out, err
	}
	if m.count == 0 {
		return append(out, "*0\r\n"...), nil
	}
	return m.entry(append(out, "*1\r\n"...), m.count, 0, nil), nil
}

// read answers XREAD COUNT n BLOCK ms STREAMS name id, for one stream.
func (s *streamsServer) read(out []byte, args []string) ([]byte, error) {
	if len(args) != 8 || !strings.EqualFold(args[5], "STREAMS") {
		return out, errors.New("one stream at a time")
	}
	count, err1 := strconv.ParseInt(args[2], 10, 64)
	block, err2 := strconv.ParseInt(args[4], 10, 64)
	m, err3 := parseStreamName(args[6])
	id, _, _ := strings.Cut(args[7], "-")
	after, err4 := strconv.ParseInt(id, 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return out, err
	}
	from := s.firstAsked(args[6])
	until := time.Now().Add(time.Duration(block) * time.Millisecond)
	last := m.available(from)
	for ; after >= last; last = m.available(from) {
		if !time.Now().Before(until) {
			return append(out, "*-1\r\n"...), nil
		}
		time.Sleep(publishEvery)
	}
	n := min(count, last-after)
	out = append(out, "*1\r\n*2\r\n$"...)
	out = strconv.AppendInt(out, int64(len(args[6])), 10)
	out = append(append(append(out, "\r\n"...), args[6]...), "\r\n*"...)
	out = append(strconv.AppendInt(out, n, 10), "\r\n"...)
	var body [256]byte
	for k := after + 1; k <= after+n; k++ {
		out = m.entry(out, k, from.UnixMicro(), body[:0])
	}
	return out, nil
}

func (s *streamsServer) firstAsked(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.mu.asked[name]
	if !ok {
		at = time.Now()
		s.mu.asked[name] = at
	}
	return at
}

// available is the number of the last entry that is there.
func (m madeStream) available(since time.Time) int64 {
	if m.rate == 0 {
		return m.count
	}
	passed := time.Since(since)
	return min(m.count, int64(passed/time.Second)*m.rate+int64(passed%time.Second)*m.rate/int64(time.Second))
}

// entry appends entry k, counted from 1: reading k-1 in field data.
func (m madeStream) entry(out []byte, k, startUS int64, body []byte) []byte {
	n := k - 1
	ts, due := m.base+n/readingsPerMS, int64(0)
	if m.rate > 0 {
		due = startUS + k/m.rate*1e6 + k%m.rate*1e6/m.rate
		ts = due/1000 + m.base
	}
	body = reading(body, n, ts, due)
	var id [24]byte
	name := append(strconv.AppendInt(id[:0], k, 10), "-0"...)
	out = append(out, "*2\r\n$"...)
	out = strconv.AppendInt(out, int64(len(name)), 10)
	out = append(append(append(out, "\r\n"...), name...), "\r\n*2\r\n$4\r\ndata\r\n$"...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	return append(append(append(out, "\r\n"...), body...), "\r\n"...)
}

// Fill writes readings to a stream of a real server, which is removed first; Count 0 only removes it.
type Fill struct {
	URL, Stream   string
	Count, BaseMS int64
}

const fillPipeline = 1000

func (f *Fill) run(ctx context.Context) error {
	o, err := redis.ParseURL(f.URL)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	db := redis.NewClient(o)
	defer db.Close() //nolint:errcheck // all was answered
	if err := db.Del(ctx, f.Stream).Err(); err != nil {
		return fmt.Errorf("remove the stream %s: %w", f.Stream, err)
	}
	for n := int64(0); n < f.Count; {
		pipe := db.Pipeline()
		for range min(fillPipeline, f.Count-n) {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: f.Stream, Values: []any{"data", reading(nil, n, f.BaseMS+n/readingsPerMS, 0)}})
			n++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill the stream %s: %w", f.Stream, err)
		}
	}
	return nil
}
