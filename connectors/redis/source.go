package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// readCount entries are asked for at a time: an answer of that size spreads the cost of a round trip.
	readCount = 1000
	// blockFor is how long Redis waits for new entries before it answers that there are none.
	blockFor = time.Second
	// heardMax is how old the last answer may be of a server that is there.
	heardMax = 2 * blockFor
)

// source reads streams. A goroutine keeps one request in flight ahead of the task, one for each consumer of a group.
type source struct {
	table  *graph.TableSpec
	ctx    *op.Context
	dec    entryDecoder
	refuse *format.Refuser
	client *redis.Client
	server string
	meta   metadata

	splits []op.Split
	// pos[i] is the id of the last entry of split i that the task has taken; index finds a split by its stream.
	pos   [][]byte
	index map[string]int

	answers chan answer
	free    chan *reply
	cancel  context.CancelFunc
	done    chan struct{}
	// cur is the answer being decoded, from entry at on.
	cur   answer
	at    int
	ended []bool
	// consumers are the splits of a group with checkpoints: entries are acknowledged by Commit.
	consumers []*consumer
	// acks are entries of a group, by stream, that the task has processed, in a job without checkpoints.
	acks  map[string][]string
	timer *time.Timer
	// opened is when the source was; heard[i] is how long after that reader i got its last answer, in ns, 0 if it has had none since its connection broke.
	opened time.Time
	heard  []atomic.Int64
}

// answer is what one request brought for one stream; end says that a bounded stream is exhausted. The last one of a request has the reply that the entries are part
// of: when it has been decoded, the reply is used again.
type answer struct {
	split  int
	stream string
	// consumer is the one that a group delivered the entries to.
	consumer string
	entries  []entry
	reply    *reply
	// continues says that another answer follows, of the same request or of one for what is pending, whose entries may be older.
	continues bool
	end       bool
	err       error
}

// entry has names and values in turn, none when it has been deleted.
type entry struct {
	id     []byte
	fields [][]byte
}

type metadata struct {
	id, stream, timestamp int
	streams               format.StringColumn
}

var (
	_ op.Source  = (*source)(nil)
	_ op.Reacher = (*source)(nil)
)

func newSource(t *graph.TableSpec) (*source, error) {
	dec, err := newEntryDecoder(t)
	if err != nil {
		return nil, err
	}
	s := &source{table: t, dec: dec, meta: metadata{-1, -1, -1, format.StringColumn{}}, index: map[string]int{}, acks: map[string][]string{}}
	for i, key := range t.Metadata {
		switch key {
		case "":
		case "id":
			s.meta.id = i
		case "stream":
			s.meta.stream = i
		case "timestamp":
			s.meta.timestamp = i
		default:
			return nil, fmt.Errorf("redis-stream has no metadata %q", key)
		}
	}
	return s, nil
}

func (s *source) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx, s.splits, s.opened = ctx, splits, ctx.Clock.Now()
	s.refuse = format.NewRefuser(ctx, s.table)
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	s.ended = make([]bool, len(splits))
	s.answers, s.done = make(chan answer, 1), make(chan struct{})
	s.free = make(chan *reply, 3) // one is decoded, one waits, one is read into
	for i, sp := range splits {
		s.pos = append(s.pos, bytes.Clone(sp.Pos))
		s.index[sp.ID] = i
	}
	if len(splits) == 0 {
		close(s.done)
		return nil
	}
	readers := 1
	if s.grouped() {
		readers = len(splits)
		for _, sp := range splits {
			c, err := newConsumer(sp)
			if err != nil {
				return err
			}
			if ctx.Checkpointing {
				s.consumers = append(s.consumers, c)
			}
		}
	}
	var err error
	if s.client, err = newClient(s.table, 1+readers); err != nil {
		return err
	}
	s.server = s.client.Options().Addr
	s.heard = make([]atomic.Int64, readers)
	s.start(readers)
	return nil
}

// grouped reports whether the source reads as consumers of a group.
func (s *source) grouped() bool { return s.table.Options["group"] != "" }

// start runs the readers until cancel; done is closed when they have ended.
func (s *source) start(readers int) {
	run, cancel := context.WithCancel(s.ctx.Ctx)
	s.cancel = cancel
	var all sync.WaitGroup
	for i := range readers {
		r := &reader{source: s, link: &link{client: s.client}, heard: &s.heard[i], split: i, pos: make([]string, len(s.splits)), last: make([]string, len(s.splits)), done: make([]bool, len(s.splits))}
		for k := range s.splits {
			r.pos[k] = string(s.pos[k])
		}
		all.Go(func() {
			if err := r.run(run); err != nil && run.Err() == nil {
				s.send(run, answer{err: err})
			}
		})
	}
	go func() {
		defer close(s.done)
		all.Wait()
	}()
}

func (s *source) send(ctx context.Context, a answer) bool {
	select {
	case s.answers <- a:
		return true
	case <-ctx.Done():
		return false
	}
}

// unused returns a reply to read into, and reuse takes one whose entries nobody looks at any more.
func (s *source) unused() *reply {
	select {
	case r := <-s.free:
		return r
	default:
		return &reply{}
	}
}

func (s *source) reuse(r *reply) {
	if r == nil || cap(r.buf) > replyKept {
		return
	}
	select {
	case s.free <- r:
	default:
	}
}

// Poll decodes entries of one stream.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if err := s.ack(ctx); err != nil {
		return op.Polled{}, err
	}
	var waited time.Duration
	if s.at >= len(s.cur.entries) {
		if s.allEnded() {
			return op.Polled{Status: op.End}, nil
		}
		var got bool
		var err error
		if got, waited, err = s.next(ctx, wait); err != nil || !got {
			return op.Polled{Status: op.Idle}, err
		}
	}
	rows, err := s.decode(b)
	if err == nil {
		err = s.refuse.Flush()
	}
	b.SetRows(rows)
	p := op.Polled{Status: op.More, Split: s.cur.split, Continues: s.cur.continues, Waited: waited}
	if s.cur.end && s.at >= len(s.cur.entries) {
		s.ended[s.cur.split], p.SplitEnded = true, true
		if s.allEnded() {
			p.Status = op.End
		}
	}
	return p, err
}

func (s *source) allEnded() bool {
	for _, e := range s.ended {
		if !e {
			return false
		}
	}
	return s.table.Options["scan.bounded.mode"] == "latest-offset"
}

// next takes an answer, and says for how long it has waited for it.
func (s *source) next(ctx context.Context, wait time.Duration) (got bool, waited time.Duration, err error) {
	var a answer
	select {
	case a = <-s.answers:
	default:
		began := s.ctx.Clock.Now()
		s.timer.Reset(wait)
		defer s.timer.Stop()
		select {
		case a = <-s.answers:
			waited = s.ctx.Clock.Now().Sub(began)
		case <-s.timer.C:
			return false, 0, nil
		case <-ctx.Done():
			return false, 0, nil
		}
	}
	s.reuse(s.cur.reply)
	s.cur, s.at = a, 0
	return true, waited, a.err
}

// Reaches reports whether the server has answered lately. With nothing new it does each blockFor; a reader whose answer waits for the task asks for none,
// and what waits is not silence.
func (s *source) Reaches(split int) bool {
	if !s.grouped() {
		split = 0
	}
	at := s.heard[split].Load()
	return at != 0 && s.ctx.Clock.Now().Sub(s.opened)-time.Duration(at) <= heardMax
}

func (s *source) decode(b *vec.Batch) (rows int, err error) {
	s.dec.Begin(b)
	if s.meta.stream >= 0 {
		s.meta.streams.Begin(b.Col(s.meta.stream))
	}
	data := 0
	for ; s.at < len(s.cur.entries) && rows < vec.MaxRows && data < vec.TargetBytes; s.at++ {
		e := &s.cur.entries[s.at]
		size := entryBytes(e.fields)
		if rows > 0 && !format.Room(rows, data, firstValue(e.fields)) {
			break
		}
		data += size
		s.ctx.Metrics.BytesIn.Add(int64(size))
		if len(e.fields) == 0 { // a pending entry that has been deleted
			s.take(e.id)
			continue
		}
		n, derr := s.dec.DecodeEntry(e.fields)
		if derr != nil {
			if err = s.refuse.Refuse(s.cur.stream+" "+string(e.id), entryText(e.fields), derr); err != nil {
				break
			}
		}
		s.appendMetadata(b, e.id, n)
		rows += n
		s.take(e.id)
	}
	s.dec.Finish()
	if s.meta.stream >= 0 {
		s.meta.streams.Finish()
	}
	if len(s.consumers) > 0 && s.at > 0 {
		s.consumers[s.cur.split].taken[reading{s.cur.consumer, s.cur.stream}] = string(s.cur.entries[s.at-1].id)
	}
	return rows, err
}

// take moves on behind an entry.
func (s *source) take(id []byte) {
	s.pos[s.cur.split] = append(s.pos[s.cur.split][:0], id...)
	if s.grouped() && len(s.consumers) == 0 {
		s.acks[s.cur.stream] = append(s.acks[s.cur.stream], string(id))
	}
}

// firstValue is what may be a JSON array of several rows.
func firstValue(fields [][]byte) []byte {
	if len(fields) < 2 {
		return nil
	}
	return fields[1][:min(len(fields[1]), 16)]
}

func (s *source) appendMetadata(b *vec.Batch, id []byte, rows int) {
	for range rows {
		if s.meta.id >= 0 {
			b.Col(s.meta.id).AppendBytes(id)
		}
		if s.meta.stream >= 0 {
			s.meta.streams.Append([]byte(s.cur.stream))
		}
		if s.meta.timestamp >= 0 {
			ms, _, _ := strings.Cut(string(id), "-")
			t, err := strconv.ParseInt(ms, 10, 64)
			if err != nil {
				b.Col(s.meta.timestamp).AppendNull()
				continue
			}
			vec.AppendValue(b.Col(s.meta.timestamp), t)
		}
	}
}

// ack acknowledges what the task has processed since the last Poll.
func (s *source) ack(ctx context.Context) error {
	for name, ids := range s.acks {
		if len(ids) == 0 {
			continue
		}
		err := persist(ctx, s.ctx, s.server, func(ctx context.Context) error {
			return s.client.XAck(ctx, name, s.table.Options["group"], ids...).Err()
		})
		if err != nil {
			return err
		}
		s.acks[name] = ids[:0]
	}
	return nil
}

// Snapshot returns the streams with the id of the last entry taken, or the consumers with those of all streams.
func (s *source) Snapshot(epoch stream.Epoch) ([]op.Split, error) {
	out := make([]op.Split, len(s.splits))
	for i, sp := range s.splits {
		out[i].ID = sp.ID
		switch {
		case len(s.consumers) > 0:
			pos, err := s.consumers[i].close(epoch)
			if err != nil {
				return nil, err
			}
			out[i].Pos = pos
		case !s.grouped():
			out[i].Pos = bytes.Clone(s.pos[i])
		}
	}
	return out, nil
}

// Commit acknowledges the entries of a group that the epoch contains. Otherwise positions are in the checkpoint.
func (s *source) Commit(ctx context.Context, epoch stream.Epoch) error {
	for _, c := range s.consumers {
		for r, id := range c.commit(epoch) {
			if err := s.ackUpTo(ctx, r, id); err != nil {
				return err
			}
			if c.acked[r] = id; c.taken[r] == id && strings.Contains(r.Consumer, ".") { // read to its end, as all that were adopted
				delete(c.taken, r)
				delete(c.acked, r)
			}
		}
	}
	return nil
}

func (s *source) Close() error {
	if s.client == nil {
		return nil
	}
	s.cancel() // wakes a blocked read
	err := s.client.Close()
	<-s.done
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}
