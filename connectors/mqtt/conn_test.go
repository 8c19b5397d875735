package mqtt

import (
	"net"
	"testing"
	"time"
)

// promptBroker answers a ping before Write returns.
type promptBroker struct {
	net.Conn
	c *conn
}

func (b *promptBroker) Write(p []byte) (int, error) {
	b.c.awaiting.Store(0) // what fill does when it has read something
	return len(p), nil
}

func TestAPromptAnswerToAPingCounts(t *testing.T) {
	b := &promptBroker{}
	c := newConn(t.Context(), b, newFeed(1), false)
	b.c = c
	if _, err := c.Write([]byte{typePingreq << 4, 0}); err != nil {
		t.Fatal(err)
	}
	if since := c.awaiting.Load(); since != 0 {
		t.Errorf("an answered ping still waits since %s", time.UnixMilli(since))
	}
	if n := c.takeControl(make([]byte, 8)); n != 2 {
		t.Errorf("paho got %d bytes, not its answer", n)
	}
}
