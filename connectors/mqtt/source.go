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

// source reads the messages of its sessions, a split each. Messages of QoS 1 and 2 are acknowledged when the checkpoint that contains them
// is complete; without checkpoints, when the task comes back for more.
type source struct {
	table  *graph.TableSpec
	ctx    *op.Context
	dec    format.Decoder
	refuse *format.Refuser
	splits []op.Split
	// parts are the splits' sessions, in their order.
	parts []*part
	feed  *feed
	meta  metadata

	// cur is the chunk being read, from at on.
	cur *chunk
	at  int
	// acks are packets to be written; ackTo is the connection that the messages came on.
	acks  []byte
	ackTo *conn
	// received holds, without checkpoints, the identifiers of QoS 2 messages between PUBREC and PUBREL: a repetition of one is not a new message.
	received map[uint16]struct{}
	timer    *time.Timer
}

// part is a split: a session, and with checkpoints what is not acknowledged.
type part struct {
	sess *session
	// unacked is nil without checkpoints.
	unacked  *inflight
	throttle throttle
	// from is the connection that something came on last.
	from *conn
}

// metadata fills the metadata columns of a table; a column index is -1 when the table does not have it.
type metadata struct {
	topic, qos, retained, receivedAt int
	topics                           format.StringColumn
}

var (
	_ op.Source  = (*source)(nil)
	_ op.Reacher = (*source)(nil)
)

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
	for _, sp := range splits {
		p := &part{}
		if ctx.Checkpointing {
			if p.unacked, err = decodeInflight(sp.Pos); err != nil {
				return fmt.Errorf("%s: %w", sp.ID, err)
			}
		}
		s.parts = append(s.parts, p)
	}
	s.warnLoss(set)
	s.feed = newFeed(len(splits))
	for i, sp := range splits {
		s.parts[i].sess = startSession(ctx, set.forSession(ctx, s.table, sp.ID), subs, s.feed, i)
	}
	return nil
}

// warnLoss says what is missing for a recovery that loses nothing.
func (s *source) warnLoss(set *settings) {
	if !s.ctx.Checkpointing || set.qos == 0 || !set.clean && set.base != "" {
		return
	}
	s.ctx.Log.Warn("mqtt messages that arrive while the job restarts are lost: the broker keeps no session",
		"table", s.table.Name, "remedy", "set 'client-id' to a name of the table's own and 'clean-session' to 'false'")
}

// Poll decodes what has been read from the socket. It waits only when nothing has.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	s.sendAcks()
	if len(s.parts) == 0 {
		return op.Polled{Status: op.Idle}, s.idle(ctx, wait)
	}
	var waited time.Duration
	if s.cur == nil {
		var ok bool
		var err error
		if ok, waited, err = s.next(ctx, wait); err != nil || !ok {
			return op.Polled{Status: op.Idle}, err
		}
	}
	s.begin(b)
	split := s.cur.from.split
	var rows int
	var err error
	for err == nil {
		if s.cur == nil && !s.tryNext() || s.cur.from.split != split { // a batch is of one split
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
	return op.Polled{Status: op.More, Split: split, Waited: waited}, err
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

// next waits for a chunk, and says for how long it has waited.
func (s *source) next(ctx context.Context, wait time.Duration) (got bool, waited time.Duration, err error) {
	if s.tryNext() {
		return true, 0, nil
	}
	began := s.ctx.Clock.Now()
	s.timer.Reset(wait)
	defer s.timer.Stop()
	select {
	case c := <-s.feed.full:
		s.cur, s.at = c, 0
		return true, s.ctx.Clock.Now().Sub(began), nil
	case err := <-s.feed.fatal:
		return false, 0, err
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return false, 0, nil
}

// Reaches reports whether the split's session stands.
func (s *source) Reaches(split int) bool { return s.parts[split].sess.reaches() }

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
	s.arrived(c)
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

// arrived looks at a chunk with the eyes of the session that it came from.
func (s *source) arrived(c *chunk) {
	p := s.parts[c.from.split]
	if p.unacked == nil || s.at > 0 {
		return
	}
	if p.from != c.from {
		p.from = c.from
		if !c.from.resumed {
			p.unacked.forget(c.from)
		}
	}
	if limit := p.throttle.onArrival(s.ctx.Clock.Now()); limit > 0 {
		s.ctx.Log.Warn("the mqtt broker waits for acknowledgements, which are sent when a checkpoint is complete",
			"table", s.table.Name, "unacknowledged", limit,
			"remedy", "raise the broker's limit (Mosquitto: max_inflight_messages), or take checkpoints more often (execution.checkpointing.interval)")
	}
}

// accept notes the acknowledgement and reports whether the message is new.
func (s *source) accept(p publish) bool {
	if f := s.parts[s.cur.from.split].unacked; f != nil && p.qos > 0 {
		return f.take(p, s.cur.from)
	}
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
	if f := s.parts[s.cur.from.split].unacked; f != nil && f.released(id, s.cur.from) {
		return
	}
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
	for _, p := range s.parts {
		if p.unacked != nil {
			s.unsent(p.unacked.repeat())
		}
	}
	if len(s.acks) == 0 {
		return
	}
	if s.ackTo != nil {
		_, err := s.ackTo.Write(s.acks)
		s.unsent(err)
	}
	s.acks = s.acks[:0]
}

func (s *source) unsent(err error) {
	if err != nil {
		s.ctx.Log.Debug("acknowledgements were not sent", "reason", err.Error())
	}
}

// Snapshot returns the sessions with the messages that the broker may deliver again. What is to come it keeps itself.
func (s *source) Snapshot(epoch stream.Epoch) ([]op.Split, error) {
	out := make([]op.Split, len(s.splits))
	for i, sp := range s.splits {
		out[i].ID = sp.ID
		if f := s.parts[i].unacked; f != nil {
			f.close(epoch)
			out[i].Pos = f.encode()
		}
	}
	return out, nil
}

// Commit acknowledges what the epoch contains.
func (s *source) Commit(_ context.Context, epoch stream.Epoch) error {
	for _, p := range s.parts {
		if p.unacked == nil {
			continue
		}
		waiting := p.unacked.waiting(p.from)
		s.unsent(p.unacked.commit(epoch))
		p.throttle.onCommit(s.ctx.Clock.Now(), waiting)
	}
	return nil
}

func (s *source) Close() error {
	s.sendAcks()
	for _, p := range s.parts {
		if p.sess != nil {
			p.sess.close()
		}
	}
	return nil
}
