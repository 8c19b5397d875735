package mqtt

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
)

// wire is a connection that keeps what is written.
type wire struct {
	net.Conn
	got    []byte
	broken error
}

func (w *wire) Write(p []byte) (int, error) {
	if w.broken != nil {
		return 0, w.broken
	}
	w.got = append(w.got, p...)
	return len(p), nil
}

// acks takes the acknowledgements that were written, such as "40:7", and answers the pings among them if asked to.
func acks(c *conn, answer bool) string {
	w := c.Conn.(*wire)
	var out []string
	for ; len(w.got) > 0; w.got = w.got[2+int(w.got[1]):] {
		if w.got[0] != typePingreq<<4 {
			out = append(out, fmt.Sprintf("%x:%d", w.got[0], int(w.got[2])<<8|int(w.got[3])))
		} else if answer {
			c.pongs.Add(1)
		}
	}
	return strings.Join(out, " ")
}

func msg(id uint16, payload string, dup bool) publish {
	return publish{topic: []byte("t"), payload: []byte(payload), id: id, qos: 1, dup: dup}
}

func TestInflight(t *testing.T) {
	f := newInflight()
	first := &conn{Conn: &wire{}}
	want := func(c *conn, answer bool, what string) {
		t.Helper()
		if got := acks(c, answer); got != what {
			t.Fatalf("acknowledged %q, want %q", got, what)
		}
	}
	take := func(c *conn, id uint16, payload string, dup, isNew bool) {
		t.Helper()
		if f.take(msg(id, payload, dup), c) != isNew {
			t.Fatalf("message %d (%q, dup=%v): new is %v", id, payload, dup, !isNew)
		}
	}
	commit := func(epoch stream.Epoch) {
		t.Helper()
		if err := f.commit(epoch); err != nil {
			t.Fatal(err)
		}
	}
	take(first, 1, "a", false, true)
	take(first, 2, "b", false, true)
	f.close(1)
	take(first, 3, "c", false, true)
	want(first, false, "") // nothing is acknowledged before its epoch is complete
	commit(1)
	want(first, false, "40:1 40:2")
	commit(1)
	want(first, false, "")
	if n := len(f.encode()); n != 1+3*positionEntry {
		t.Fatalf("the position has %d bytes: acknowledgements without an answered ping may be lost", n)
	}
	first.pongs.Store(first.pings)
	f.close(2)
	restored := f.encode()
	if n := len(restored); n != 1+1*positionEntry {
		t.Fatalf("the position has %d bytes", n)
	}
	take(first, 1, "a", false, true) // an identifier that is free again, with a payload that a sensor repeats
	take(first, 3, "other", true, true)

	second := &conn{Conn: &wire{}}
	take(second, 1, "a", true, false)
	commit(2) // 1 came again and is not contained, 3 is gone
	want(first, true, "")
	f.close(3)
	commit(3)
	want(second, true, "40:1")
	want(first, true, "40:3") // of the connection that is gone: no harm

	f, err := decodeInflight(restored)
	if err != nil {
		t.Fatal(err)
	}
	take(second, 3, "c", true, false)
	take(second, 4, "d", true, true)
	if err := f.repeat(); err != nil {
		t.Fatal(err)
	}
	want(second, true, "40:3")
	f.close(4)
	if n := len(f.encode()); n != 1+1*positionEntry {
		t.Fatalf("the position has %d bytes", n)
	}
	second.Conn.(*wire).broken = errors.New("gone")
	if err := f.commit(4); err == nil {
		t.Fatal("no error")
	}
	third := &conn{Conn: &wire{}}
	take(third, 4, "d", true, false) // contained, but its acknowledgement was lost
	f.forget(third)
	if err := f.repeat(); err != nil {
		t.Fatal(err)
	}
	want(third, false, "40:4")
	f.forget(&conn{})
	if f.encode() != nil || len(f.order) != 0 {
		t.Fatal("messages of a session that is no more are kept")
	}
}

func TestBrokenPositions(t *testing.T) {
	for _, pos := range [][]byte{{2}, {1, 2}, append([]byte{1}, slices.Repeat([]byte{0}, 20)...)} {
		if _, err := decodeInflight(pos); err == nil {
			t.Errorf("%v is taken", pos)
		}
	}
}

func TestThrottle(t *testing.T) {
	var found []int
	run := func(limits []int, quiet, answer time.Duration) {
		var th throttle
		now := time.Unix(0, 0)
		for _, n := range limits {
			if l := th.onArrival(now); l > 0 {
				found = append(found, l)
			}
			now = now.Add(quiet)
			th.onCommit(now, n)
			now = now.Add(answer)
		}
	}
	run([]int{20, 20, 20, 20, 20, 20, 20}, time.Second, time.Millisecond)
	if !slices.Equal(found, []int{20}) {
		t.Fatalf("found %v", found)
	}
	found = nil
	run([]int{20, 20, 20, 20, 20, 20, 20}, 0, time.Millisecond)       // rows flow
	run([]int{20, 20, 20, 20, 20, 20, 20}, time.Second, time.Second)  // what comes does not come because of the commit
	run([]int{1, 1, 1, 1, 1, 1, 1, 1}, time.Second, time.Millisecond) // too few
	if len(found) > 0 {
		t.Fatalf("found %v", found)
	}
}

// TestReleasedMessagesAreKnown: of QoS 2, until the last answer has arrived.
func TestReleasedMessagesAreKnown(t *testing.T) {
	f := newInflight()
	first, second := &conn{Conn: &wire{}}, &conn{Conn: &wire{}}
	m := msg(7, "a", false)
	m.qos = 2
	if !f.take(m, first) || f.released(8, first) {
		t.Fatal("a message is taken for another")
	}
	f.close(1)
	if err := f.commit(1); err != nil {
		t.Fatal(err)
	}
	if got := acks(first, true); got != "50:7" {
		t.Fatalf("acknowledged %q", got)
	}
	f.close(2)
	m.dup = true
	if f.take(m, second) || !f.released(7, second) {
		t.Fatal("a repetition is taken for new")
	}
	if err := f.repeat(); err != nil {
		t.Fatal(err)
	}
	if got := acks(second, false); got != "70:7 70:7" {
		t.Fatalf("acknowledged %q", got)
	}
	if f.close(3); f.encode() == nil {
		t.Fatal("the message is forgotten before the answer has arrived")
	}
	second.pongs.Store(second.pings)
	if f.close(4); f.encode() != nil {
		t.Fatal("the message is kept")
	}
}
