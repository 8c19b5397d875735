package memnet

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// conn is one end of a connection. One goroutine may read while another writes. All fields but the first four belong to the net's lock.
type conn struct {
	local, remote         *Host
	localAddr, remoteAddr *net.TCPAddr
	// canRead and canWrite say, with room for one, that there may be something new for who waits.
	canRead, canWrite chan struct{}
	peer              *conn
	// in is what is on its way here, in order, inBytes its size; finAt is when the peer's end of it arrives, zero for not yet.
	in      []segment
	inBytes int
	finAt   time.Time
	// lastAt is when the last of it arrives: nothing overtakes.
	lastAt time.Time
	// rstAt is when the connection is broken for this end, zero for not.
	rstAt time.Time
	// deafSince is since when no answer comes back, zero while the way is open; lost: that was too long.
	deafSince                   time.Time
	lost, closed                bool
	readDeadline, writeDeadline time.Time
}

type segment struct {
	at   time.Time
	data []byte
}

var _ net.Conn = (*conn)(nil)

func newConn(local, remote *Host, localAddr, remoteAddr *net.TCPAddr) *conn {
	return &conn{
		local: local, remote: remote, localAddr: localAddr, remoteAddr: remoteAddr,
		canRead: make(chan struct{}, 1), canWrite: make(chan struct{}, 1),
	}
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.localAddr }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remoteAddr }

func (c *conn) wake() {
	poke(c.canRead)
	poke(c.canWrite)
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// brokenLocked says why this end is of no use any more, and else when that may have to be asked again, zero for never.
func (c *conn) brokenLocked(now, deadline time.Time) (again time.Time, err error) {
	switch {
	case c.closed:
		return again, net.ErrClosed
	case !deadline.IsZero() && !now.Before(deadline):
		return again, os.ErrDeadlineExceeded
	}
	again = deadline
	if limit := c.local.net.mu.lostAfter; limit > 0 && !c.deafSince.IsZero() && !c.lost {
		at := c.deafSince.Add(limit)
		if again = sooner(again, at); !now.Before(at) {
			c.lost = true
			c.local.net.resetLocked(c.peer, 0) // who is still there hears of it when it sends something
		}
	}
	if c.lost {
		return again, errLost
	}
	if c.rstAt.IsZero() || c.darkLocked() {
		return again, nil
	}
	if !now.Before(c.rstAt) {
		return again, errReset
	}
	return sooner(again, c.rstAt), nil
}

// darkLocked: nothing arrives here, so that this end does not learn what happened to the other. A host knows at once what happened to itself.
func (c *conn) darkLocked() bool {
	return c.local.net.mu.blocked[way{c.remote.name, c.local.name}] && !c.local.dark
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wait returns when poked or at the time, zero for never.
func wait(ch <-chan struct{}, at time.Time) {
	if at.IsZero() {
		<-ch
		return
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, again, err := c.tryRead(p)
		if n > 0 || err != nil {
			return n, err
		}
		wait(c.canRead, again)
	}
}

func (c *conn) tryRead(p []byte) (n int, again time.Time, err error) {
	mu := &c.local.net.mu
	mu.Lock()
	defer mu.Unlock()
	now := time.Now()
	if again, err = c.brokenLocked(now, c.readDeadline); err != nil {
		if err != net.ErrClosed && err != os.ErrDeadlineExceeded { //nolint:errorlint // they are ours
			err = &net.OpError{Op: "read", Net: "tcp", Source: c.localAddr, Addr: c.remoteAddr, Err: err}
		}
		return 0, again, err
	}
	if c.darkLocked() {
		return 0, again, nil
	}
	for n < len(p) && len(c.in) > 0 && !now.Before(c.in[0].at) {
		k := copy(p[n:], c.in[0].data)
		n += k
		if c.in[0].data = c.in[0].data[k:]; len(c.in[0].data) == 0 {
			c.in[0] = segment{}
			c.in = c.in[1:]
		}
	}
	if n > 0 {
		c.inBytes -= n
		poke(c.peer.canWrite)
		return n, again, nil
	}
	switch {
	case len(c.in) > 0:
		again = sooner(again, c.in[0].at)
	case !c.finAt.IsZero() && !now.Before(c.finAt):
		return 0, again, io.EOF
	case !c.finAt.IsZero():
		again = sooner(again, c.finAt)
	}
	return 0, again, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n := 0
	for {
		k, again, err := c.tryWrite(p[n:])
		if n += k; err != nil || n == len(p) {
			return n, err
		}
		if k == 0 {
			wait(c.canWrite, again)
		}
	}
}

func (c *conn) tryWrite(p []byte) (n int, again time.Time, err error) {
	mu := &c.local.net.mu
	mu.Lock()
	defer mu.Unlock()
	now := time.Now()
	if again, err = c.brokenLocked(now, c.writeDeadline); err != nil {
		return 0, again, fmt.Errorf("write %s: %w", c.remoteAddr, err)
	}
	to := c.peer
	if to.closed { // it is lost; who is there says so
		if !c.remote.dark {
			c.local.net.resetLocked(c, c.local.net.delayLocked())
		}
		return len(p), again, nil
	}
	if n = min(len(p), bufferBytes-to.inBytes); n <= 0 {
		return 0, again, nil
	}
	at := now.Add(c.local.net.delayLocked())
	if at.Before(to.lastAt) {
		at = to.lastAt
	}
	to.lastAt = at
	to.in = append(to.in, segment{at, append([]byte(nil), p[:n]...)})
	to.inBytes += n
	poke(to.canRead)
	return n, again, nil
}

// Close implements net.Conn. What was written before still arrives.
func (c *conn) Close() error {
	mu := &c.local.net.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return nil
	}
	c.forgetLocked()
	if to := c.peer; c.rstAt.IsZero() && !c.lost && to.finAt.IsZero() {
		to.finAt = time.Now().Add(c.local.net.delayLocked())
		if to.finAt.Before(to.lastAt) {
			to.finAt = to.lastAt
		}
		to.wake()
	}
	return nil
}

// forgetLocked closes this end.
func (c *conn) forgetLocked() {
	c.closed = true
	delete(c.local.net.mu.conns, c)
	c.in, c.inBytes = nil, 0
	c.wake()
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	mu := &c.local.net.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if read != nil {
		c.readDeadline = *read
	}
	if write != nil {
		c.writeDeadline = *write
	}
	c.wake()
	return nil
}
