// Package memnet is a network in memory for tests: hosts that listen and dial as by TCP, with delays, lost packets, partitions and crashes, drawn from a
// seed. All that blocks does so on channels and timers, so that it runs in a bubble of testing/synctest; it opens no socket, starts no goroutine and knows
// nothing of what it carries.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// bufferBytes is what one direction of a connection holds before its writer waits: the socket buffers of both ends.
	bufferBytes = 256 << 10
	// backlogMax is how many connections wait to be accepted; more are refused.
	backlogMax = 64
	// portFirst is the first port that is given to who asks for any.
	portFirst = 40000
	// resendFirst is after how long a lost packet is sent again for the first time, resendsMax how often at most: each time takes twice as long.
	resendFirst = 200 * time.Millisecond
	resendsMax  = 4
)

// Quality is how good the ways of a network are.
type Quality struct {
	// DelayMin and DelayMax bound how long a packet takes.
	DelayMin, DelayMax time.Duration
	// Loss is how likely a packet has to be sent again, in [0, 1).
	Loss float64
}

// Net is a network. It is safe for concurrent use.
type Net struct {
	mu struct {
		sync.Mutex
		rng     *rand.Rand
		quality Quality
		// lostAfter is after how long without an answer a connection ends, 0 for never.
		lostAfter time.Duration
		hosts     map[string]*Host
		// blocked has the ways on which nothing arrives at present.
		blocked map[way]bool
		conns   map[*conn]struct{}
		// changed is closed, and replaced, when somebody who dials should look again.
		changed chan struct{}
	}
}

// way is from one address to another.
type way struct{ from, to string }

// New makes a network without hosts.
func New(seed uint64, q Quality) *Net {
	n := &Net{}
	n.mu.rng = rand.New(rand.NewPCG(seed, 0x5eed))
	n.mu.quality = q
	n.mu.hosts, n.mu.blocked, n.mu.conns = map[string]*Host{}, map[way]bool{}, map[*conn]struct{}{}
	n.mu.changed = make(chan struct{})
	return n
}

// Host is a machine with one address.
type Host struct {
	net *Net
	ip  net.IP
	// name is ip as text. The rest belongs to the net's lock.
	name      string
	dark      bool
	port      int
	listeners map[int]*listener
}

// Host returns the host of an IPv4 address, made if it is new.
func (n *Net) Host(ip string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.mu.hosts[ip]
	if h == nil {
		h = &Host{net: n, ip: net.ParseIP(ip), name: ip, port: portFirst, listeners: map[int]*listener{}}
		n.mu.hosts[ip] = h
	}
	return h
}

// SetQuality changes it for what is sent from now on.
func (n *Net) SetQuality(q Quality) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.quality = q
}

// SetLostAfter has connections end on whose way no answer comes back for so long, as TCP's keep-alive and user timeout have it; 0 is never, as at first.
func (n *Net) SetLostAfter(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.lostAfter = d
	n.wakeLocked()
}

// Block has nothing arrive at to that comes from from, until it is called with false: then what was sent meanwhile arrives.
func (n *Net) Block(from, to string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if on {
		n.mu.blocked[way{from, to}] = true
	} else {
		delete(n.mu.blocked, way{from, to})
	}
	n.wakeLocked()
}

// Reset breaks the connections between two hosts: both ends are told, as by a middle-box that forgets them.
func (n *Net) Reset(a, b string) (broken int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.mu.conns {
		if c.local.name == a && c.remote.name == b || c.local.name == b && c.remote.name == a {
			n.resetLocked(c, n.delayLocked())
			broken++
		}
	}
	return broken / 2
}

// Kill ends all of a host's listeners and connections as the end of its process does: peers are told. It may listen again at once.
func (h *Host) Kill() { h.end(false) }

// Unplug ends them as a power cut does: nobody is told, until PlugIn.
func (h *Host) Unplug() { h.end(true) }

func (h *Host) end(dark bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	h.dark = dark
	for _, l := range h.listeners {
		l.closeLocked()
	}
	for c := range n.mu.conns {
		if c.local != h {
			continue
		}
		n.resetLocked(c, 0)
		if !dark && c.peer != nil {
			n.resetLocked(c.peer, n.delayLocked())
		}
	}
	n.wakeLocked()
}

// PlugIn brings an unplugged host back, which knows nothing of its connections.
func (h *Host) PlugIn() {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if !h.dark {
		return
	}
	h.dark = false
	for c := range n.mu.conns {
		if c.remote == h && !c.peer.rstAt.IsZero() {
			n.resetLocked(c, n.delayLocked())
		}
	}
	n.wakeLocked()
}

// wakeLocked has everybody who waits look again.
func (n *Net) wakeLocked() {
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
	now := time.Now()
	for c := range n.mu.conns {
		switch deaf := c.remote.dark || n.mu.blocked[way{c.local.name, c.remote.name}] || n.mu.blocked[way{c.remote.name, c.local.name}]; {
		case !deaf:
			c.deafSince = time.Time{}
		case c.deafSince.IsZero():
			c.deafSince = now
		}
		c.wake()
	}
}

// delayLocked draws how long a packet takes.
func (n *Net) delayLocked() time.Duration {
	q := n.mu.quality
	d := q.DelayMin
	if q.DelayMax > q.DelayMin {
		d += time.Duration(n.mu.rng.Int64N(int64(q.DelayMax - q.DelayMin)))
	}
	resend := resendFirst
	for range resendsMax {
		if n.mu.rng.Float64() >= q.Loss {
			break
		}
		d += resend
		resend *= 2
	}
	return d
}

func (n *Net) resetLocked(c *conn, after time.Duration) {
	if at := time.Now().Add(after); c.rstAt.IsZero() || at.Before(c.rstAt) {
		c.rstAt = at
	}
	c.wake()
}

// Listen opens a listener; host is not looked at, and port 0 is any.
func (h *Host) Listen(_ string, port int) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if port == 0 {
		h.port++
		port = h.port
	}
	if h.listeners[port] != nil {
		return nil, fmt.Errorf("listen %s:%d: %w", h.name, port, syscall.EADDRINUSE)
	}
	l := &listener{host: h, port: port, queue: make(chan *conn, backlogMax), closed: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

// Dial connects to HOST:PORT. Where the way is blocked it waits until ctx ends.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: port}, Err: err}
	}
	n := h.net
	n.mu.Lock()
	roundTrip := n.delayLocked() + n.delayLocked()
	n.mu.Unlock()
	timer := time.NewTimer(roundTrip)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
	for {
		n.mu.Lock()
		to := n.mu.hosts[host]
		if h.dark {
			n.mu.Unlock()
			return nil, fail(syscall.ENETUNREACH)
		}
		if to != nil && !to.dark && !n.mu.blocked[way{h.name, host}] && !n.mu.blocked[way{host, h.name}] {
			c, err := h.connectLocked(to, port)
			n.mu.Unlock()
			if err != nil {
				return nil, fail(os.NewSyscallError("connect", err))
			}
			return c, nil
		}
		changed := n.mu.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fail(ctx.Err())
		}
	}
}

func (h *Host) connectLocked(to *Host, port int) (*conn, error) {
	l := to.listeners[port]
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	h.port++
	a := newConn(h, to, &net.TCPAddr{IP: h.ip, Port: h.port}, &net.TCPAddr{IP: to.ip, Port: port})
	b := newConn(to, h, a.remoteAddr, a.localAddr)
	a.peer, b.peer = b, a
	select {
	case l.queue <- b:
	default:
		return nil, syscall.ECONNREFUSED
	}
	h.net.mu.conns[a], h.net.mu.conns[b] = struct{}{}, struct{}{}
	return a, nil
}

// listener is a net.Listener.
type listener struct {
	host   *Host
	port   int
	queue  chan *conn
	closed chan struct{}
}

var _ net.Listener = (*listener)(nil)

var errListenerClosed = fmt.Errorf("accept: %w", net.ErrClosed)

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, errListenerClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, errListenerClosed
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: l.host.ip, Port: l.port} }

// Close implements net.Listener.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	l.closeLocked()
	return nil
}

func (l *listener) closeLocked() {
	if l.host.listeners[l.port] != l {
		return
	}
	delete(l.host.listeners, l.port)
	close(l.closed)
	for {
		select {
		case c := <-l.queue: // nobody will accept it
			l.host.net.resetLocked(c, 0)
			l.host.net.resetLocked(c.peer, l.host.net.delayLocked())
			c.forgetLocked()
		default:
			return
		}
	}
}

// Open is how many connections have an end that is not closed.
func (n *Net) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.mu.conns)
}

var errLost = fmt.Errorf("connection lost: %w", syscall.ETIMEDOUT)

var errReset = errors.New("connection reset by peer")
