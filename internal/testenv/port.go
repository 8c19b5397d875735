package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below the range from which Linux (32768 to 60999) and others give
// outgoing connections theirs: a server that is down for a moment must find its port
// still free when it restarts.
const (
	portFirst = 20000
	portLimit = 32000
	portTries = 200
)

// FreePort returns a loopback TCP port on which nobody listens at the moment.
func FreePort(t testing.TB) int {
	t.Helper()
	var last error
	for range portTries {
		port := portFirst + rand.IntN(portLimit-portFirst)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatalf("no free port between %d and %d after %d tries: %v", portFirst, portLimit, portTries, last)
	return 0
}
