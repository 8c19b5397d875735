package testenv

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
)

const (
	// startTimeout is generous because eight test processes may share two slow cores.
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
	// pollInterval is between two attempts to reach a server that is starting; both
	// servers answer within 20 ms on an idle machine.
	pollInterval = 5 * time.Millisecond
	// portAttempts bounds how often a server is moved to another port when somebody took
	// the one that was free.
	portAttempts = 5
	// logTailLines of the server's own output are shown when its test fails.
	logTailLines = 40
)

// Server is one server process. Its methods belong to the test's goroutine, and fail the
// test instead of returning errors.
type Server struct {
	t     testing.TB
	kind  string // the program's name, for messages
	opts  options
	dir   string
	port  int
	certs certFiles
	// command returns the program and its arguments for the current port, having written
	// its configuration.
	command func(s *Server) (string, []string)
	// ready makes one attempt to talk to the server.
	ready func(s *Server) error
	// schemes are those of URL without and with TLS.
	schemes [2]string

	process *child.Process // nil: not running
}

// start brings a new server up and ties its end to the test's.
func (s *Server) start() {
	t := s.t
	t.Helper()
	s.dir = t.TempDir()
	if s.opts.tls {
		s.certs = newCerts(t, s.dir)
	}
	t.Cleanup(s.cleanup)
	if s.opts.port != 0 {
		s.port = s.opts.port
		s.mustLaunch()
		return
	}
	var err error
	for range portAttempts {
		s.port = FreePort(t)
		if err = s.launch(); err == nil {
			return
		}
	}
	t.Fatalf("%s does not start: %v", s.kind, err)
}

func (s *Server) mustLaunch() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Fatalf("%s does not start on port %d: %v", s.kind, s.port, err)
	}
}

// launch starts the process and waits until it answers. On an error nothing runs.
func (s *Server) launch() error {
	s.t.Helper()
	path, args := s.command(s)
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	var err error
	if s.process, err = child.StartInto(s.logFile(), cmd); err != nil {
		s.process = nil
		return err
	}
	if err := s.awaitReady(); err != nil {
		s.end(syscall.SIGKILL)
		return fmt.Errorf("%w; it says:\n%s", err, s.logTail())
	}
	return nil
}

func (s *Server) awaitReady() error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		err := s.ready(s)
		if err == nil {
			return s.stillOurs()
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("ended at once: %s", s.process.Cmd.ProcessState)
		case <-deadline.C:
			return fmt.Errorf("no answer within %v: %w", startTimeout, err)
		case <-poll.C:
		}
	}
}

// stillOurs catches the case that what answered is somebody else on the same port, while
// our process has ended because the port was taken.
func (s *Server) stillOurs() error {
	if s.process.Ended() {
		return fmt.Errorf("ended at once: %s", s.process.Cmd.ProcessState)
	}
	return nil
}

// Port returns the port the server listens on.
func (s *Server) Port() int { return s.port }

// Addr returns host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns the address without user and password: tcp:// or ssl:// for Mosquitto,
// redis:// or rediss:// for Redis.
func (s *Server) URL() string { return (&url.URL{Scheme: s.scheme(), Host: s.Addr()}).String() }

// LoginURL is URL with the user and password of Login, if there are any.
func (s *Server) LoginURL() string {
	u := url.URL{Scheme: s.scheme(), Host: s.Addr()}
	if s.opts.pass != "" {
		u.User = url.UserPassword(s.opts.user, s.opts.pass)
	}
	return u.String()
}

func (s *Server) scheme() string {
	if s.opts.tls {
		return s.schemes[1]
	}
	return s.schemes[0]
}

// CAFile returns the PEM file of the authority that signed the server's certificate, ""
// without TLS.
func (s *Server) CAFile() string { return s.certs.ca }

// ClientCertFile and ClientKeyFile are the PEM files of a client's certificate, ""
// without TLS.
func (s *Server) ClientCertFile() string { return s.certs.clientCert }

// ClientKeyFile belongs to ClientCertFile.
func (s *Server) ClientKeyFile() string { return s.certs.clientKey }

// Dir returns the directory of the server's configuration, log and data.
func (s *Server) Dir() string { return s.dir }

// Stop ends the server as an administrator would, with SIGTERM, and waits. It does
// nothing if the server is not running.
func (s *Server) Stop() { s.t.Helper(); s.end(syscall.SIGTERM) }

// Kill ends the server as a power cut would, with SIGKILL, and waits.
func (s *Server) Kill() { s.t.Helper(); s.end(syscall.SIGKILL) }

// Suspend stops the server's process without closing its connections: peers see silence,
// as from a machine that lost its network. Resume wakes it.
func (s *Server) Suspend() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume undoes Suspend.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

// Restart stops the server if it runs, starts it again on the same port and waits until
// it answers. Data survives only with Persistent.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.mustLaunch()
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatalf("%s is not running", s.kind)
	}
	if err := s.process.Cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%s: signal %v: %v", s.kind, sig, err)
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	s.process.Signal(syscall.SIGCONT) // one that is suspended does not see SIGTERM until it is woken
	if !s.process.End(sig, stopTimeout) {
		s.t.Errorf("%s did not end within %v of signal %v", s.kind, stopTimeout, sig)
	}
	s.process = nil
}

func (s *Server) cleanup() {
	s.end(syscall.SIGTERM)
	if s.t.Failed() {
		s.t.Logf("last lines of %s on port %d:\n%s", s.kind, s.port, s.logTail())
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, s.kind+".log") }

func (s *Server) logTail() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-logTailLines):], "\n")
}
