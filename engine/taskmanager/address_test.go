package taskmanager

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// TestNoteAddress: the first address is no change, and neither is the same one again.
func TestNoteAddress(t *testing.T) {
	var out bytes.Buffer
	tm := &TaskManager{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, nil))}}
	for _, step := range []struct{ address, want string }{
		{"10.0.0.1:6124", ""},
		{"10.0.0.1:6124", ""},
		{"10.0.0.2:6124", `msg="the address of this taskmanager has changed" was=10.0.0.1:6124 is=10.0.0.2:6124`},
		{"10.0.0.2:6124", ""},
	} {
		out.Reset()
		tm.noteAddress(step.address)
		if got := out.String(); step.want == "" && got != "" || !strings.Contains(got, step.want) {
			t.Errorf("%s: %q, want %q", step.address, got, step.want)
		}
	}
}

// TestReachable: a loopback address is told to others only where the user means this machine.
func TestReachable(t *testing.T) {
	lan := func() net.IP { return net.IPv4(192, 168, 1, 7) }
	none := func() net.IP { return nil }
	for _, test := range []struct {
		local, jobmanager string
		outward           func() net.IP
		want              string
	}{
		{"127.0.0.1", "pi1:6123", lan, "192.168.1.7"}, // /etc/hosts of Debian: 127.0.1.1 pi1
		{"127.0.0.1", "127.0.1.1:6123", lan, "192.168.1.7"},
		{"127.0.0.1", "pi1:6123", none, "127.0.0.1"},
		{"127.0.0.1", "localhost:6123", lan, "127.0.0.1"},
		{"127.0.0.1", "127.0.0.1:6123", lan, "127.0.0.1"},
		{"::1", "[::1]:6123", lan, "::1"},
		{"10.0.0.5", "pi1:6123", lan, "10.0.0.5"},
	} {
		if got := reachable(net.ParseIP(test.local), test.jobmanager, test.outward).String(); got != test.want {
			t.Errorf("%s, connected to %s: %s, want %s", test.local, test.jobmanager, got, test.want)
		}
	}
}
