package serve

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// Whether a silent peer is still there is left to TCP. gRPC's own keepalive compares times of day: when the clock is set back, every connection looks
// silent to it until the clock has caught up, and is cut after two pings that were answered.
const (
	// aliveIdle is how long a silent connection is left unasked, aliveEvery how often it is asked then.
	aliveIdle  = 5 * time.Second
	aliveEvery = time.Second
	// LostAfter is after how long without any answer of its machine a peer is lost, whether it was asked or had been sent something.
	LostAfter = 10 * time.Second
)

var alive = net.KeepAliveConfig{Enable: true, Idle: aliveIdle, Interval: aliveEvery, Count: int((LostAfter - aliveIdle) / aliveEvery)}

// Listen opens a TCP listener whose connections end when the peer's machine is gone; port 0 picks a free one.
func Listen(host string, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{KeepAliveConfig: alive, Control: limitSilence}).Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d: %w", port, err)
	}
	return l, nil
}

// Dial connects by TCP within limit, 0 for none. The connection ends when the peer's machine is gone.
func Dial(ctx context.Context, address string, limit time.Duration) (net.Conn, error) {
	return (&net.Dialer{Timeout: limit, KeepAliveConfig: alive, Control: limitSilence}).DialContext(ctx, "tcp", address)
}

// limitSilence bounds how long what was sent may remain unacknowledged, in so far as the system can; accepted connections have it from their listener.
func limitSilence(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) { err = setLost(int(fd), LostAfter) }); controlErr != nil {
		return controlErr
	}
	return err
}
