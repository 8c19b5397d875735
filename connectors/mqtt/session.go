package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/bramble-stream/bramble/engine/op"
)

const (
	connectTimeout = 10 * time.Second
	minBackoff     = 100 * time.Millisecond
	maxBackoff     = 10 * time.Second
	// shortLived: a connection that ends sooner did not work out; three in a row point to a second client with the same id.
	shortLived    = 3 * time.Second
	shortLivedMax = 3
)

// session keeps a connection to the broker for as long as its context lasts: it connects, subscribes, waits for the end of the
// connection and begins again, backing off. The owner joins it with close.
type session struct {
	set     *settings
	op      *op.Context
	log     *slog.Logger
	filters map[string]byte
	feed    *feed // nil for sinks
	split   int   // of a source: the index of its split

	cancel context.CancelFunc
	done   chan struct{}
	// fatal gets the one error that trying again cannot mend; the feed's, if there is one.
	fatal chan error
	// tried is closed when the first attempt has come to an end other than a fatal one.
	tried   chan struct{}
	tryOnce sync.Once

	mu struct {
		sync.Mutex
		client paho.Client
		conn   *conn
		// up says that conn has its subscriptions.
		up bool
		// changed is closed when client changes.
		changed chan struct{}
	}
}

// startSession begins connecting; filters and feed are nil for a sink.
func startSession(ctx *op.Context, set *settings, filters map[string]byte, f *feed, split int) *session {
	s := &session{
		set: set, op: ctx, log: ctx.Log.With("broker", set.url.Redacted(), "client_id", set.clientID), filters: filters, feed: f, split: split,
		done: make(chan struct{}), fatal: make(chan error, 1), tried: make(chan struct{}),
	}
	if f != nil {
		s.fatal = f.fatal
	}
	s.mu.changed = make(chan struct{})
	run, cancel := context.WithCancel(ctx.Ctx)
	s.cancel = cancel
	go func() {
		defer close(s.done)
		s.run(run)
	}()
	return s
}

// close ends the session and waits for it.
func (s *session) close() {
	s.cancel()
	<-s.done
}

// current returns the live client and connection, nil when there is none, and a channel that is closed when that changes.
func (s *session) current() (paho.Client, *conn, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.client, s.mu.conn, s.mu.changed
}

// reaches reports whether there is a connection, subscribed, whose broker has answered the last ping. One that is not read, because the task has chunks to
// take first, brings nothing either.
func (s *session) reaches() bool {
	s.mu.Lock()
	c := s.mu.conn
	up := s.mu.up
	s.mu.Unlock()
	return c != nil && up && !c.blocked.Load() && c.awaiting.Load() == 0
}

func (s *session) setCurrent(client paho.Client, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.client, s.mu.conn, s.mu.up = client, c, false
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

func (s *session) run(ctx context.Context) {
	backoff, quick, everUp := minBackoff, 0, false
	for ctx.Err() == nil {
		began := time.Now()
		up, err := s.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if !everUp && isFatal(err) {
			s.op.Health("mqtt "+s.set.url.Host, err)
			s.fatal <- err
			return
		}
		everUp = everUp || up
		if up && time.Since(began) >= shortLived {
			backoff, quick = minBackoff, 0
		} else if up {
			quick++
		}
		if quick >= shortLivedMax {
			err = fmt.Errorf("%w; the broker has ended %d connections right after they were made: is another client using the client-id %q?", err, quick, s.set.clientID)
		}
		s.op.Health("mqtt "+s.set.url.Host, err)
		s.tryOnce.Do(func() { close(s.tried) })
		s.log.Warn("mqtt broker is away, trying again", "reason", err.Error(), "after", backoff.String())
		t := time.NewTimer(backoff)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// isFatal: the broker is there and says no; it will say so again.
func isFatal(err error) bool {
	return errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) ||
		errors.Is(err, packets.ErrorRefusedIDRejected) || errors.Is(err, packets.ErrorRefusedBadProtocolVersion) || errors.Is(err, errRefusedFilter)
}

var errRefusedFilter = errors.New("the broker refused the subscription")

// once connects and stays until the connection ends; up tells whether it ever worked.
func (s *session) once(ctx context.Context) (up bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan error, 1)
	var c *conn
	established := func() bool { return true }
	o := paho.NewClientOptions().
		AddBroker(s.set.url.String()).SetClientID(s.set.clientID).SetCleanSession(s.set.clean).
		SetUsername(s.set.username).SetPassword(s.set.password).
		SetKeepAlive(s.set.keepAlive).SetPingTimeout(pingTimeout).SetConnectTimeout(connectTimeout).
		SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(false).
		SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			raw, err := s.dial(ctx, u)
			if err != nil {
				return nil, err
			}
			// Until the session stands, the end of the context closes the socket, or paho would go on waiting for an answer.
			established = context.AfterFunc(ctx, func() { _ = raw.Close() }) // only wakes a reader
			if s.feed == nil {
				return raw, nil
			}
			c = newConn(ctx, raw, s.feed, s.set.qos == 0)
			c.split = s.split
			return c, nil
		})
	client := paho.NewClient(o)
	connecting := client.Connect()
	if err := s.await(ctx, connecting); err != nil {
		cancel()
		<-connecting.Done()
		client.Disconnect(0) // it may have come to stand in the meantime
		return false, fmt.Errorf("mqtt broker %s: %w", s.set.url.Host, friendly(err))
	}
	established()
	defer client.Disconnect(disconnectMS)
	s.setCurrent(client, c)
	defer s.setCurrent(nil, nil)
	if err := s.subscribe(ctx, client); err != nil {
		return false, fmt.Errorf("mqtt broker %s: %w", s.set.url.Host, err)
	}
	s.mu.Lock()
	s.mu.up = true
	s.mu.Unlock()
	s.op.Health("mqtt "+s.set.url.Host, nil)
	s.tryOnce.Do(func() { close(s.tried) })
	s.log.Info("connected to mqtt broker")
	select {
	case err := <-lost:
		return true, fmt.Errorf("mqtt broker %s: connection lost: %w", s.set.url.Host, err)
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// disconnectMS is how long paho may take to send what waits before it closes.
const disconnectMS = 250

func friendly(err error) error {
	if errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) {
		return fmt.Errorf("%w: check the options 'username' and 'password'", err)
	}
	return err
}

func (s *session) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	d := &net.Dialer{Timeout: connectTimeout}
	if s.set.tls != nil {
		c, err := (&tls.Dialer{NetDialer: d, Config: s.set.tls}).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return nil, fmt.Errorf("TLS to %s: %w", u.Host, err)
		}
		return c, nil
	}
	return d.DialContext(ctx, "tcp", u.Host)
}

func (s *session) subscribe(ctx context.Context, client paho.Client) error {
	if len(s.filters) == 0 {
		return nil
	}
	token := client.SubscribeMultiple(s.filters, func(paho.Client, paho.Message) {})
	if err := s.await(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if st, ok := token.(*paho.SubscribeToken); ok {
		for f, code := range st.Result() {
			if code == 0x80 {
				return fmt.Errorf("%w to %q: the user may not read it", errRefusedFilter, f)
			}
		}
	}
	return nil
}

// await waits for a token or the end of the context.
func (s *session) await(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
