// Package testenv starts the real servers and the project's own programs for tests:
// Mosquitto, Redis, jobmanager, taskmanager and bramble. It does not fake anything, and
// nothing but tests may import it.
//
// Every server listens on a free loopback port, keeps its files in the test's temporary
// directory, is answered for before the constructor returns, and ends with the test. A
// missing program fails the test with what to do: run scripts/test-deps.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Option changes how a server is started.
type Option func(*options)

type options struct {
	port       int // 0: any free one
	user, pass string
	tls        bool
	clientCert bool
	persistent bool
	lines      []string
}

// Port fixes the port to listen on. A server keeps its port over Restart in any case;
// this is for a test that must know the address before the server exists.
func Port(port int) Option { return func(o *options) { o.port = port } }

// Login makes the server refuse whoever does not give this user and password. An empty
// user with Redis means the default user (requirepass).
func Login(user, password string) Option {
	return func(o *options) { o.user, o.pass = user, password }
}

// TLS makes the server speak TLS only, with a certificate for localhost and 127.0.0.1
// signed by the authority in Server.CAFile.
func TLS() Option { return func(o *options) { o.tls = true } }

// ClientCert is TLS with clients that must show a certificate of the same authority, such
// as Server.ClientCertFile.
func ClientCert() Option { return func(o *options) { o.tls, o.clientCert = true, true } }

// Persistent keeps data over Stop and Restart. Redis then writes every command to disk
// before it answers, so that Kill loses nothing either; Mosquitto writes its sessions and
// queues at a clean end only.
func Persistent() Option { return func(o *options) { o.persistent = true } }

// Config appends lines to the server's configuration file, for whatever has no option of
// its own ("max_queued_messages 0", "maxmemory 1mb").
func Config(lines ...string) Option {
	return func(o *options) { o.lines = append(o.lines, lines...) }
}

func collect(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// program returns the path of an installed program or fails the test. It looks into the
// sbin directories too, since Debian leaves them out of an ordinary user's PATH and puts
// mosquitto there.
func program(t testing.TB, name string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p
		}
	}
	t.Fatalf("%s is not installed: run scripts/test-deps", name)
	return ""
}

func writeFile(t testing.TB, path string, lines []string) {
	t.Helper()
	// 0600: Mosquitto warns about, and later versions refuse, password files that others can read.
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
