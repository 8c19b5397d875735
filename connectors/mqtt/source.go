package mqtt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// source reads the messages of one session. Messages of QoS 1 and 2 are acknowledged when the task comes back for more.
type source struct {
	table  *graph.TableSpec
	ctx    *op.Context
	dec    format.Decoder
	refuse *format.Refuser
	splits []op.Split
	sess   *session
	feed   *feed
	meta   metadata

	// cur is the chunk being read, from at on.
	cur *chunk
	at  int
	// acks are packets to be written; ackTo is the connection that the messages came on.
	acks  []byte
	ackTo *conn
	// received holds the identifiers of QoS 2 messages between PUBREC and PUBREL: a repetition of one is not a new message.
	received map[uint16]struct{}
	timer    *time.Timer
}

// metadata fills the metadata columns of a table; a column index is -1 when the table does not have it.
type metadata struct {
	topic, qos, retained, receivedAt int
	topics                           format.StringColumn
}

var _ op.Source = (*source)(nil)

func newSource(t *graph.TableSpec) (*source, error) {
	dec, err := format.NewDecoder(t)
	if err != nil {
		return nil, err
	}
	s := &source{table: t, dec: dec, received: map[uint16]struct{}{}, meta: metadata{-1, -1, -1, -1, format.StringColumn{}}}
	for i, key := range t.Metadata {
		switch key {
		case "":
		case "topic":
			s.meta.topic = i
		case "qos":
			s.meta.qos = i
		case "retained":
			s.meta.retained = i
		case "received_at":
			s.meta.receivedAt = i
		default:
			return nil, fmt.Errorf("mqtt has no metadata %q", key)
		}
	}
	return s, nil
}

func (s *source) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx, s.splits = ctx, splits
	s.refuse = format.NewRefuser(ctx, s.table)
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	if len(splits) == 0 {
		return nil
	}
	set, err := newSettings(ctx, s.table)
	if err != nil {
		return err
	}
	subs := map[string]byte{}
	for _, f := range filters(s.table) {
		if g := s.table.Options["shared-group"]; g != "" {
			f = "$share/" + g + "/" + f
		}
		subs[f] = set.qos
	}
	s.feed = newFeed()
	s.sess = startSession(ctx, set, subs, s.feed)
	return nil
}

// Poll decodes what has been read from the socket. It waits only when nothing has.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	s.sendAcks()
	if s.sess == nil {
		return op.Polled{Status: op.Idle}, s.idle(ctx, wait)
	}
	if s.cur == nil {
		ok, err := s.next(ctx, wait)
		if err != nil || !ok {
			return op.Polled{Status: op.Idle}, err
		}
	}
	s.begin(b)
	var rows int
	var err error
	for err == nil {
		if s.cur == nil && !s.tryNext() {
			break
		}
		var full bool
		if rows, full, err = s.chunk(b, rows); full {
			break
		}
	}
	s.finish(b, rows)
	if err == nil {
		err = s.refuse.Flush()
	}
	return op.Polled{Status: op.More}, err
}

// idle waits without an input: a task without a split.
func (s *source) idle(ctx context.Context, wait time.Duration) error {
	s.timer.Reset(wait)
	defer s.timer.Stop()
	select {
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return nil
}

// next waits for a chunk.
func (s *source) next(ctx context.Context, wait time.Duration) (bool, error) {
	if s.tryNext() {
		return true, nil
	}
	s.timer.Reset(wait)
	defer s.timer.Stop()
	select {
	case c := <-s.feed.full:
		s.cur, s.at = c, 0
		return true, nil
	case err := <-s.sess.fatal:
		return false, err
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return false, nil
}

func (s *source) tryNext() bool {
	select {
	case c := <-s.feed.full:
		s.cur, s.at = c, 0
		return true
	default:
		return false
	}
}

func (s *source) begin(b *vec.Batch) {
	s.dec.Begin(b)
	if s.meta.topic >= 0 {
		s.meta.topics.Begin(b.Col(s.meta.topic))
	}
}

func (s *source) finish(b *vec.Batch, rows int) {
	s.dec.Finish()
	if s.meta.topic >= 0 {
		s.meta.topics.Finish()
	}
	if s.meta.receivedAt >= 0 {
		now := s.ctx.Clock.Now().UnixMilli()
		for range rows {
			vec.AppendValue(b.Col(s.meta.receivedAt), now)
		}
	}
	b.SetRows(rows)
}

var errOversize = errors.New("mqtt packet is longer than 16 MiB")

// chunk decodes packets of the current chunk until it ends or the batch is full.
func (s *source) chunk(b *vec.Batch, rows int) (int, bool, error) {
	c := s.cur
	if c.from != s.ackTo {
		s.sendAcks()
		s.ackTo = c.from
	}
	for ; c.skipped > 0; c.skipped-- {
		if err := s.refuse.Refuse("mqtt", nil, errOversize); err != nil {
			return rows, false, err
		}
	}
	data := 0
	for s.at < c.n {
		size, err := frameLen(c.buf[s.at:c.n])
		if err != nil || size == 0 {
			return rows, false, fmt.Errorf("mqtt: chunk is broken at %d of %d: %w", s.at, c.n, err)
		}
		frame := c.buf[s.at : s.at+int(size)]
		if frame[0]>>4 == typePubrel {
			s.released(frame)
			s.at += int(size)
			continue
		}
		p, err := parsePublish(frame)
		if err != nil {
			return rows, false, err
		}
		if !format.Room(rows, data, p.payload) {
			return rows, true, nil
		}
		s.at += int(size)
		data += len(p.payload)
		s.ctx.Metrics.BytesIn.Add(size)
		if !s.accept(p) {
			continue
		}
		n, err := s.decode(b, p)
		if err != nil {
			return rows, false, err
		}
		rows += n
	}
	s.feed.free <- c // never blocks: it came from there
	s.cur = nil
	return rows, rows >= vec.MaxRows, nil
}

// accept notes the acknowledgement and reports whether the message is new.
func (s *source) accept(p publish) bool {
	switch p.qos {
	case 1:
		s.acks = appendAck(s.acks, 0x40, p.id)
	case 2:
		s.acks = appendAck(s.acks, 0x50, p.id)
		if _, ok := s.received[p.id]; ok {
			return false
		}
		s.received[p.id] = struct{}{}
	}
	return true
}

// released answers a PUBREL: the identifier is free again.
func (s *source) released(frame []byte) {
	if len(frame) < 4 {
		return
	}
	id := binary.BigEndian.Uint16(frame[2:])
	delete(s.received, id)
	s.acks = appendAck(s.acks, 0x70, id)
}

// decode appends the rows of one message, or refuses it.
func (s *source) decode(b *vec.Batch, p publish) (int, error) {
	var n int
	var err error
	if !utf8.Valid(p.topic) {
		err = errors.New("topic is not valid UTF-8")
	} else {
		n, err = s.dec.Decode(p.payload)
	}
	if err != nil {
		return 0, s.refuse.Refuse("topic "+string(p.topic), p.payload, err)
	}
	for range n {
		if s.meta.topic >= 0 {
			s.meta.topics.Append(p.topic)
		}
		if s.meta.qos >= 0 {
			vec.AppendValue(b.Col(s.meta.qos), int32(p.qos))
		}
		if s.meta.retained >= 0 {
			b.Col(s.meta.retained).AppendBool(p.retained)
		}
	}
	return n, nil
}

// sendAcks writes the acknowledgements of what has been processed, to the connection that it came on: a broker that keeps the session
// sends at once, before the session counts as connected, and without its answers would send no more. Those of a connection that is gone are dropped: the
// broker delivers such messages again.
func (s *source) sendAcks() {
	if len(s.acks) == 0 {
		return
	}
	if s.ackTo != nil {
		if _, err := s.ackTo.Write(s.acks); err != nil {
			s.ctx.Log.Debug("acknowledgements were not sent", "reason", err.Error())
		}
	}
	s.acks = s.acks[:0]
}

// Snapshot returns the sessions: the broker keeps the position.
func (s *source) Snapshot(stream.Epoch) ([]op.Split, error) { return s.splits, nil }

// Commit has nothing to do: messages are acknowledged as they are processed.
func (s *source) Commit(context.Context, stream.Epoch) error { return nil }

func (s *source) Close() error {
	if s.sess == nil {
		return nil
	}
	s.sendAcks()
	s.sess.close()
	return nil
}
