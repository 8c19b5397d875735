package mqtt

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/stream"
)

// inflight are the messages of one session that the broker may deliver again: those that are not acknowledged, because no checkpoint that
// contains them is complete, and those whose acknowledgement may not have arrived. A broker gives each an identifier of its own, so there
// are at most 65,535. It is the task's alone.
type inflight struct {
	byID map[uint16]*held
	// order is that of arrival, in which MQTT wants acknowledgements. It may hold some that are gone.
	order []*held
	// again are to be acknowledged at once: they came again although a checkpoint holds them, or the broker has released them.
	again   []*held
	scratch []byte
}

// held is a message that the broker may deliver again.
type held struct {
	id   uint16
	qos  byte
	hash uint64
	// epoch is the first that contains it, 0 before there is one; durable says that it is complete.
	epoch   stream.Epoch
	durable bool
	// on is the connection that it came on last, nil when it came in a former attempt.
	on *conn
	// ping is the number of the ping that followed its acknowledgement on that connection, 0 when it was not sent: the answer shows that
	// the acknowledgement has arrived, too.
	ping int64
	// released says that the acknowledgement is the last of QoS 2.
	released bool
	gone     bool
}

func newInflight() *inflight { return &inflight{byID: map[uint16]*held{}} }

// take notes a message and reports whether it is new. One is known only if the broker says that it delivers it again (DUP), with the
// identifier and the content that it had: an identifier may have been freed and given to another message since.
func (f *inflight) take(p publish, c *conn) bool {
	hash := contentHash(p)
	if h := f.byID[p.id]; h != nil {
		if p.dup && h.hash == hash {
			h.on, h.qos, h.ping, h.released = c, p.qos, 0, false
			if h.durable {
				f.again = append(f.again, h)
			}
			return false
		}
		h.gone = true
	}
	h := &held{id: p.id, qos: p.qos, hash: hash, on: c}
	f.byID[p.id] = h
	f.order = append(f.order, h)
	return true
}

// contentHash is the same in every process.
func contentHash(p publish) uint64 {
	return xxh3.Hash(p.payload) ^ xxh3.HashSeed(p.topic, 1)
}

// released notes a PUBREL of QoS 2, to be answered by repeat, and reports whether the message is known. It is kept until the answer has
// arrived: Mosquitto 2.0 delivers a message again whose PUBREC it has, when a connection ends before it could repeat the PUBREL.
func (f *inflight) released(id uint16, c *conn) bool {
	h := f.byID[id]
	if h == nil {
		return false
	}
	h.on, h.qos, h.ping, h.released = c, 2, 0, true
	f.again = append(f.again, h)
	return true
}

func (f *inflight) drop(h *held) {
	h.gone = true
	if f.byID[h.id] == h {
		delete(f.byID, h.id)
	}
}

// forget drops what came on other connections than c: the broker has no session that would deliver it again.
func (f *inflight) forget(c *conn) {
	for _, h := range f.order {
		if h.on != c {
			f.drop(h)
		}
	}
	f.compact()
}

// compact leaves out those that are gone, and those whose acknowledgement has arrived.
func (f *inflight) compact() {
	kept := f.order[:0]
	for _, h := range f.order {
		if !h.gone && (h.qos != 2 || h.released) && h.ping > 0 && h.on.pongs.Load() >= h.ping {
			f.drop(h)
		}
		if !h.gone {
			kept = append(kept, h)
		}
	}
	clear(f.order[len(kept):])
	f.order = kept
}

// close says that the epoch contains all that has been taken.
func (f *inflight) close(epoch stream.Epoch) {
	f.compact()
	for _, h := range f.order {
		if h.epoch == 0 {
			h.epoch = epoch
		}
	}
}

// commit acknowledges what the epoch and those before it contain.
func (f *inflight) commit(epoch stream.Epoch) error {
	var acks []*held
	for _, h := range f.order {
		if !h.gone && !h.durable && h.epoch != 0 && h.epoch <= epoch {
			h.durable = true
			acks = append(acks, h)
		}
	}
	err := f.acknowledge(acks)
	f.compact()
	return err
}

// repeat acknowledges what came again.
func (f *inflight) repeat() error {
	if len(f.again) == 0 {
		return nil
	}
	err := f.acknowledge(f.again)
	f.again = f.again[:0]
	return err
}

// acknowledge writes acknowledgements to the connections that the messages came on. What cannot be written does not matter: the broker
// delivers such messages again.
func (f *inflight) acknowledge(list []*held) error {
	var errs error
	for len(list) > 0 {
		c, n := list[0].on, 0
		f.scratch = f.scratch[:0]
		for n < len(list) && list[n].on == c {
			header := byte(0x40)
			switch {
			case list[n].released:
				header = 0x70
			case list[n].qos == 2:
				header = 0x50
			}
			f.scratch = appendAck(f.scratch, header, list[n].id)
			n++
		}
		if c != nil {
			ping, err := c.writeAndPing(f.scratch)
			if err != nil {
				errs = err
			} else {
				for _, h := range list[:n] {
					h.ping = ping
				}
			}
		}
		list = list[n:]
	}
	return errs
}

// waiting is how many messages that came on c are not acknowledged.
func (f *inflight) waiting(c *conn) int {
	n := 0
	for _, h := range f.order {
		if !h.gone && h.on == c && h.ping == 0 {
			n++
		}
	}
	return n
}

// A split's position is its version and 10 bytes for each message that the broker may deliver again: identifier and hash, big-endian.
const (
	positionVersion = 1
	positionEntry   = 10
)

var errPosition = errors.New("mqtt: position of a session is broken")

func (f *inflight) encode() []byte {
	if len(f.byID) == 0 {
		return nil
	}
	out := append(make([]byte, 0, 1+positionEntry*len(f.byID)), positionVersion)
	for _, h := range f.order {
		if !h.gone {
			out = binary.BigEndian.AppendUint16(out, h.id)
			out = binary.BigEndian.AppendUint64(out, h.hash)
		}
	}
	return out
}

// decodeInflight reads a position; what it holds is durable.
func decodeInflight(pos []byte) (*inflight, error) {
	f := newInflight()
	if len(pos) == 0 {
		return f, nil
	}
	if pos[0] != positionVersion || len(pos)%positionEntry != 1 {
		return nil, errPosition
	}
	for pos = pos[1:]; len(pos) > 0; pos = pos[positionEntry:] {
		h := &held{id: binary.BigEndian.Uint16(pos), hash: binary.BigEndian.Uint64(pos[2:]), durable: true}
		if f.byID[h.id] != nil {
			return nil, errPosition
		}
		f.byID[h.id] = h
		f.order = append(f.order, h)
	}
	return f, nil
}

const (
	// stallLeast is the smallest number of unacknowledged messages that is taken for the broker's limit.
	stallLeast = 10
	// stallQuiet: nothing has come for so long before a commit, but something within a tenth of the silence (stallAnswer at most) after it.
	stallQuiet  = 100 * time.Millisecond
	stallAnswer = 100 * time.Millisecond
	// stallsMax in a row are no accident: messages that come by chance look like one stall in fifty commits at most.
	stallsMax = 5
)

// throttle finds out that the broker waits for acknowledgements, which come with checkpoints only.
type throttle struct {
	arrived time.Time
	// waiting were unacknowledged at the last commit, after a silence that makes an arrival before until suspicious; 0: not so.
	waiting int
	until   time.Time
	times   int
	warned  bool
}

// onCommit is told how many messages were unacknowledged.
func (t *throttle) onCommit(now time.Time, waiting int) {
	silence := now.Sub(t.arrived)
	if waiting < stallLeast || silence < stallQuiet {
		t.waiting, t.times = 0, 0
		return
	}
	t.waiting, t.until = waiting, now.Add(min(silence/10, stallAnswer))
}

// onArrival returns how many messages the broker lets be unacknowledged, once, when it has been found out; 0 otherwise.
func (t *throttle) onArrival(now time.Time) int {
	t.arrived = now
	if t.waiting == 0 {
		return 0
	}
	waiting := t.waiting
	t.waiting = 0
	if now.After(t.until) {
		t.times = 0
		return 0
	}
	if t.times++; t.times < stallsMax || t.warned {
		return 0
	}
	t.warned = true
	return waiting
}
