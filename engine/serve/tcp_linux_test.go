package serve

import (
	"net"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSilence asks both ends of a connection after how long a silence the system ends it.
func TestSilence(t *testing.T) {
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	dialed, err := Dial(t.Context(), net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(l))), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	other := <-accepted
	if other == nil {
		t.Fatal("nothing was accepted")
	}
	defer other.Close()
	for name, c := range map[string]net.Conn{"dialed": dialed, "accepted": other} {
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for option, want := range map[int]int{
			unix.TCP_USER_TIMEOUT: int(LostAfter.Milliseconds()), unix.TCP_KEEPIDLE: int(aliveIdle.Seconds()),
			unix.TCP_KEEPINTVL: int(aliveEvery.Seconds()), unix.TCP_KEEPCNT: int((LostAfter - aliveIdle) / aliveEvery),
		} {
			var got int
			controlErr := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) })
			if controlErr != nil || err != nil || got != want {
				t.Errorf("%s: option %d is %d, want %d (%v, %v)", name, option, got, want, controlErr, err)
			}
		}
	}
}
