package mqtt

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkBytes is one read: large, so that a busy broker costs one system call for a thousand messages.
	chunkBytes = 256 << 10
	// chunksMax bounds what a task holds unread; when they are full the socket is not read and the broker queues.
	chunksMax = 4
	// MaxPacketBytes bounds one packet; a longer one is skipped and counted.
	maxPacketBytes = 16<<20 + 64<<10
	// linger is how long a busy reader waits so that messages collect: an idle one wakes for each message, at 6 to 9 us
	// each. It stays well inside the flush interval.
	linger = 2 * time.Millisecond
	// busyGap: reads that follow each other more closely, and bring little, are worth a linger.
	busyGap = time.Millisecond
	// smallRead is what a lingering reader waits to exceed.
	smallRead = 16 << 10
	// pingTimeout is how long the broker may be silent after a PINGREQ before the connection counts as dead.
	pingTimeout = 10 * time.Second
)

// errSilent ends a connection whose broker does not answer.
var errSilent = errors.New("the broker did not answer a ping within 10s")

// chunk is a piece of the stream of packets: whole PUBLISH and PUBREL packets between 0 and n.
type chunk struct {
	buf []byte
	n   int
	// skipped counts packets that were longer than maxPacketBytes and were discarded before this chunk.
	skipped int
	// from is the connection that it was read from, which its messages are acknowledged on.
	from *conn
}

// feed carries chunks from connections to the task. It outlives connections.
type feed struct {
	full chan *chunk
	free chan *chunk
	// fatal gets the errors of sessions that trying again cannot mend, one each at most.
	fatal chan error
}

// newFeed makes a feed for so many connections at a time; each keeps a chunk while it waits for the socket.
func newFeed(conns int) *feed {
	n := chunksMax + conns - 1
	f := &feed{full: make(chan *chunk, n), free: make(chan *chunk, n), fatal: make(chan error, max(conns, 1))}
	for range n {
		f.free <- &chunk{}
	}
	return f
}

// conn is the connection that paho is given. It reads the socket in large chunks and takes the PUBLISH and PUBREL packets out for the
// feed; paho sees only what keeps the session. A PINGREQ that paho sends is answered at once, because behind a backlog the
// true answer comes too late for paho's patience; conn watches for silence by itself.
type conn struct {
	net.Conn
	feed *feed
	ctx  context.Context
	// lingers is set when only QoS 0 is subscribed: with QoS 1 the broker waits for acknowledgements, so waiting costs rate.
	lingers bool
	// split is the index of the session's split.
	split int
	// resumed says that the broker kept the session; it is set before the first chunk is handed on.
	resumed bool
	// pings counts what was sent, under writeMu, pongs the answers.
	pings int64
	pongs atomic.Int64

	// control holds bytes for paho, written by Read and, for ping answers, by Write.
	mu struct {
		sync.Mutex
		control []byte
	}
	pinged chan struct{} // a ping answer waits in control
	// spare holds the beginning of a packet whose end has not been read.
	spare []byte
	skip  int64 // bytes still to discard of a packet that is too long
	// skipped counts such packets until the next chunk reports them.
	skipped  int
	lastRead time.Time
	// awaiting is the number of the first ping that nothing has followed yet, 0 for none. blocked: the reader waits for the task.
	awaiting atomic.Int64
	blocked  atomic.Bool
	writeMu  sync.Mutex
	data     chan error
	started  bool
}

// newConn wraps c until ctx ends.
func newConn(ctx context.Context, c net.Conn, f *feed, lingers bool) *conn {
	w := &conn{Conn: c, feed: f, ctx: ctx, lingers: lingers, pinged: make(chan struct{}, 1), data: make(chan error, 1)}
	return w
}

// Read gives paho the packets that are its own. It first serves what is there, then reads on.
func (c *conn) Read(p []byte) (int, error) {
	if !c.started {
		c.started = true
		go c.pump() // ends when the socket is closed or ctx ends, which paho's Disconnect and the session see to
	}
	for {
		if n := c.takeControl(p); n > 0 {
			return n, nil
		}
		select {
		case <-c.pinged:
		case err := <-c.data:
			return 0, err
		}
	}
}

func (c *conn) takeControl(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.mu.control)
	c.mu.control = c.mu.control[:copy(c.mu.control, c.mu.control[n:])]
	return n
}

func (c *conn) giveControl(b []byte) {
	c.mu.Lock()
	c.mu.control = append(c.mu.control, b...)
	c.mu.Unlock()
	select {
	case c.pinged <- struct{}{}:
	default:
	}
}

// Write sends whole packets. A PINGREQ is also answered to paho.
func (c *conn) Write(p []byte) (int, error) {
	ping := len(p) == 2 && p[0] == typePingreq<<4
	c.writeMu.Lock()
	if ping { // before it is sent: the answer may be read before Write returns
		c.pings++
		c.awaiting.CompareAndSwap(0, c.pings)
	}
	number := c.pings
	n, err := c.Conn.Write(p)
	c.writeMu.Unlock()
	if err == nil && ping {
		c.giveControl([]byte{typePingresp << 4, 0})
		c.watchSilence(number)
	}
	return n, err
}

// writeAndPing sends packets and a ping, and returns the ping's number: when pongs has come to it, the broker has all of them.
func (c *conn) writeAndPing(p []byte) (int64, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.pings++
	_, err := c.Conn.Write(append(p, typePingreq<<4, 0))
	return c.pings, err
}

// watchSilence closes the connection when a ping has gone unanswered although the reader was reading.
func (c *conn) watchSilence(ping int64) {
	time.AfterFunc(pingTimeout, func() {
		if first := c.awaiting.Load(); first != 0 && first <= ping && !c.blocked.Load() {
			c.fail(errSilent)
		}
	})
}

// fail ends the connection with a reason that paho's reader gets.
func (c *conn) fail(err error) {
	select {
	case c.data <- err:
	default:
	}
	_ = c.Conn.Close() // the reason has been given; closing only wakes the reader
}

// pump reads the socket until it ends.
func (c *conn) pump() {
	err := c.pumpAll()
	select {
	case c.data <- err:
	case <-c.ctx.Done():
		select {
		case c.data <- c.ctx.Err():
		default:
		}
	}
}

func (c *conn) pumpAll() error {
	var ch *chunk
	for {
		if ch == nil {
			var err error
			if ch, err = c.takeFree(); err != nil {
				return err
			}
		}
		if err := c.fill(ch); err != nil {
			c.feed.free <- ch // never blocks: chunksMax chunks exist
			return err
		}
		if ch.n == 0 && ch.skipped == 0 {
			continue
		}
		select {
		case c.feed.full <- ch: // never blocks either
			ch = nil
		case <-c.ctx.Done():
			c.feed.free <- ch
			return c.ctx.Err()
		}
	}
}

func (c *conn) takeFree() (*chunk, error) {
	select {
	case ch := <-c.feed.free:
		return ch, nil
	default:
	}
	c.blocked.Store(true)
	defer c.blocked.Store(false)
	select {
	case ch := <-c.feed.free:
		return ch, nil
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}

// fill does one read into ch and sorts the packets: those for the task stay in ch, the others go to paho, an unfinished one to spare.
func (c *conn) fill(ch *chunk) error {
	if ch.buf == nil {
		ch.buf = make([]byte, chunkBytes)
	}
	if need, err := frameLen(c.spare); err == nil && need > int64(len(ch.buf)) && need <= maxPacketBytes {
		ch.buf = make([]byte, need)
	}
	ch.n, ch.skipped, ch.from = 0, 0, c
	have := copy(ch.buf, c.spare)
	c.spare = c.spare[:0]
	n, err := c.Conn.Read(ch.buf[have:])
	if err != nil {
		return err
	}
	c.awaiting.Store(0)
	if err := c.sort(ch, ch.buf[:have+n]); err != nil {
		return err
	}
	ch.skipped, c.skipped = c.skipped, 0
	c.maybeLinger(n)
	return nil
}

// maybeLinger waits a little when messages come fast but one by one.
func (c *conn) maybeLinger(n int) {
	now := time.Now()
	gap := now.Sub(c.lastRead)
	c.lastRead = now
	if !c.lingers || n >= smallRead || gap >= busyGap+linger {
		return
	}
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// sort moves the packets of b, which begins at ch.buf[0], to where they belong.
func (c *conn) sort(ch *chunk, b []byte) error {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, int64(len(b)))
			c.skip -= n
			b = b[n:]
			continue
		}
		size, err := frameLen(b)
		if err != nil {
			return err
		}
		switch {
		case size == 0 || size > int64(len(b)) && size <= maxPacketBytes:
			c.spare = append(c.spare[:0], b...)
			return nil
		case size > maxPacketBytes:
			c.skipped++
			c.skip = size
		case b[0]>>4 == typePublish || b[0]>>4 == typePubrel:
			ch.n += copy(ch.buf[ch.n:], b[:size])
			b = b[size:]
		default:
			switch {
			case b[0]>>4 == typePingresp: // paho has had its answer
				c.pongs.Add(1)
			case b[0]>>4 == typeConnack && size == 4:
				c.resumed = b[2]&1 != 0
				fallthrough
			default:
				c.giveControl(b[:size])
			}
			b = b[size:]
		}
	}
	return nil
}
