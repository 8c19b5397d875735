package demo

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// Redis speaks enough of Redis' protocol, on a free loopback port, for the demo's tables and for a look with redis-cli: streams and
// hashes, in memory. A full one would be the largest part of the program.
type Redis struct {
	server *server.Server
	URL    string

	mu struct {
		sync.Mutex
		streams map[string]*redisStream
		hashes  map[string]map[string]string
		// added is closed, and replaced, when a stream grows: blocked readers wait for it.
		added chan struct{}
	}
}

// redisStream keeps at most streamMax entries, whatever its writer asks for.
type redisStream struct {
	last    streamID
	entries []streamEntry
}

const (
	streamMax = 100_000
	// blockMax bounds how long a reader is held.
	blockMax = 5 * time.Second
)

type streamID struct{ ms, seq uint64 }

func (a streamID) less(b streamID) bool { return a.ms < b.ms || a.ms == b.ms && a.seq < b.seq }

func (a streamID) String() string { return fmt.Sprintf("%d-%d", a.ms, a.seq) }

type streamEntry struct {
	id     streamID
	fields []string
}

// StartRedis starts the server.
func StartRedis() (*Redis, error) {
	srv, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	r := &Redis{server: srv, URL: "redis://" + srv.Addr().String()}
	r.mu.streams, r.mu.hashes, r.mu.added = map[string]*redisStream{}, map[string]map[string]string{}, make(chan struct{})
	locked := func(f func(c *server.Peer, name string, args []string)) server.Cmd {
		return func(c *server.Peer, name string, args []string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			f(c, name, args)
		}
	}
	ok := func(c *server.Peer, _ string, _ []string) { c.WriteOK() }
	commands := map[string]server.Cmd{
		"PING":  func(c *server.Peer, _ string, _ []string) { c.WriteInline("PONG") },
		"XREAD": func(c *server.Peer, _ string, args []string) { r.xread(c, args) },
		"XADD":  locked(r.xaddLocked), "XLEN": locked(r.xlenLocked), "XRANGE": locked(r.xrangeLocked), "XREVRANGE": locked(r.xrangeLocked),
		"HSET": locked(r.hashLocked), "HDEL": locked(r.hashLocked), "HGET": locked(r.hashLocked), "HGETALL": locked(r.hashLocked),
		"DEL": locked(r.delLocked), "KEYS": locked(r.keysLocked),
		"SELECT": ok, "CLIENT": ok, "PEXPIRE": ok,
	}
	for name, f := range commands {
		err = errors.Join(err, srv.Register(name, f))
	}
	return r, err
}

// Close stops the server.
func (r *Redis) Close() { r.server.Close() }

const wrongArgs = "ERR wrong number of arguments"

func (r *Redis) streamLocked(args []string, i int) *redisStream {
	if i >= len(args) {
		return &redisStream{}
	}
	s := r.mu.streams[args[i]]
	if s == nil {
		return &redisStream{}
	}
	return s
}

// xaddLocked takes key [MAXLEN [~] n] * field value…; the trimming asked for is left to streamMax.
func (r *Redis) xaddLocked(c *server.Peer, _ string, args []string) {
	star := slices.Index(args, "*")
	if star < 1 || (len(args)-star)%2 == 0 || len(args) == star+1 {
		c.WriteError(wrongArgs)
		return
	}
	s := r.mu.streams[args[0]]
	if s == nil {
		s = &redisStream{}
		r.mu.streams[args[0]] = s
	}
	id := streamID{ms: uint64(time.Now().UnixMilli())}
	if !s.last.less(id) {
		id = streamID{s.last.ms, s.last.seq + 1}
	}
	s.last = id
	s.entries = append(s.entries, streamEntry{id, args[star+1:]})
	if len(s.entries) > streamMax {
		s.entries = slices.Clone(s.entries[len(s.entries)-streamMax:])
	}
	close(r.mu.added)
	r.mu.added = make(chan struct{})
	c.WriteBulk(id.String())
}

func (r *Redis) xlenLocked(c *server.Peer, _ string, args []string) {
	c.WriteInt(len(r.streamLocked(args, 0).entries))
}

func (r *Redis) delLocked(c *server.Peer, _ string, args []string) {
	n := 0
	for _, k := range args {
		_, hash := r.mu.hashes[k]
		_, stream := r.mu.streams[k]
		if hash || stream {
			n++
		}
		delete(r.mu.hashes, k)
		delete(r.mu.streams, k)
	}
	c.WriteInt(n)
}

func writeEntries(c *server.Peer, entries []streamEntry) {
	c.WriteLen(len(entries))
	for _, e := range entries {
		c.WriteLen(2)
		c.WriteBulk(e.id.String())
		c.WriteLen(len(e.fields))
		for _, f := range e.fields {
			c.WriteBulk(f)
		}
	}
}

// xrangeLocked takes key from to [COUNT n], the bounds - and + or ids.
func (r *Redis) xrangeLocked(c *server.Peer, name string, args []string) {
	reverse := name == "XREVRANGE"
	if len(args) < 3 {
		c.WriteError(wrongArgs)
		return
	}
	lo, hi := args[1], args[2]
	if reverse {
		lo, hi = hi, lo
	}
	count := streamMax
	if len(args) == 5 && strings.EqualFold(args[3], "COUNT") {
		count, _ = strconv.Atoi(args[4]) // nonsense counts as 0
	}
	var out []streamEntry
	for _, e := range r.streamLocked(args, 0).entries {
		if (lo == "-" || !e.id.less(parseID(lo))) && (hi == "+" || !parseID(hi).less(e.id)) {
			out = append(out, e)
		}
	}
	if reverse {
		slices.Reverse(out)
	}
	writeEntries(c, out[:min(len(out), max(count, 0))])
}

// parseID reads ms or ms-seq; nonsense is 0-0.
func parseID(s string) streamID {
	ms, seq, _ := strings.Cut(s, "-")
	var id streamID
	id.ms, _ = strconv.ParseUint(ms, 10, 64)
	id.seq, _ = strconv.ParseUint(seq, 10, 64)
	return id
}

// xread takes [COUNT n] [BLOCK ms] STREAMS key… id….
func (r *Redis) xread(c *server.Peer, args []string) {
	count, block := streamMax, time.Duration(-1)
	for len(args) > 1 && !strings.EqualFold(args[0], "STREAMS") {
		n, _ := strconv.Atoi(args[1]) // nonsense counts as 0
		if strings.EqualFold(args[0], "COUNT") {
			count = max(n, 0)
		} else {
			block = min(time.Duration(n)*time.Millisecond, blockMax)
		}
		args = args[2:]
	}
	if len(args) < 3 || len(args)%2 == 0 {
		c.WriteError(wrongArgs)
		return
	}
	keys, ids := args[1:1+len(args)/2], args[1+len(args)/2:]
	t := time.NewTimer(max(block, 0))
	defer t.Stop()
	for {
		found, added := r.after(keys, ids, count)
		if len(found) > 0 {
			c.WriteLen(len(found))
			for _, k := range keys {
				if e := found[k]; len(e) > 0 {
					c.WriteLen(2)
					c.WriteBulk(k)
					writeEntries(c, e)
				}
			}
			return
		}
		select {
		case <-added:
		case <-t.C:
			c.WriteNull()
			return
		}
	}
}

// after returns what the streams have behind the ids ($ means nothing yet), and what to wait for if that is nothing.
func (r *Redis) after(keys, ids []string, count int) (map[string][]streamEntry, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string][]streamEntry{}
	for i, k := range keys {
		s := r.streamLocked(keys, i)
		if ids[i] == "$" {
			ids[i] = s.last.String()
		}
		from := parseID(ids[i])
		at, _ := slices.BinarySearchFunc(s.entries, from, func(e streamEntry, id streamID) int {
			if id.less(e.id) {
				return 1
			}
			return -1
		})
		if rest := s.entries[at:]; len(rest) > 0 {
			found[k] = rest[:min(len(rest), count)]
		}
	}
	return found, r.mu.added
}

func (r *Redis) hashLocked(c *server.Peer, name string, args []string) {
	if len(args) == 0 || name == "HSET" && len(args)%2 == 0 || name == "HGET" && len(args) != 2 {
		c.WriteError(wrongArgs)
		return
	}
	h := r.mu.hashes[args[0]]
	switch name {
	case "HSET":
		if h == nil {
			h = map[string]string{}
			r.mu.hashes[args[0]] = h
		}
		for i := 1; i < len(args); i += 2 {
			h[args[i]] = args[i+1]
		}
		c.WriteInt((len(args) - 1) / 2)
	case "HDEL":
		for _, f := range args[1:] {
			delete(h, f)
		}
		c.WriteInt(len(args) - 1)
	case "HGET":
		if v, ok := h[args[1]]; ok {
			c.WriteBulk(v)
		} else {
			c.WriteNull()
		}
	default:
		c.WriteLen(2 * len(h))
		for f, v := range h {
			c.WriteBulk(f)
			c.WriteBulk(v)
		}
	}
}

func (r *Redis) keysLocked(c *server.Peer, _ string, _ []string) {
	var keys []string
	for k := range r.mu.hashes {
		keys = append(keys, k)
	}
	for k := range r.mu.streams {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	c.WriteLen(len(keys))
	for _, k := range keys {
		c.WriteBulk(k)
	}
}
