package testenv

import (
	"bufio"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Redis starts a server with an empty data set, sixteen databases and no snapshots; with
// Persistent it has an append-only file.
func Redis(t testing.TB, opts ...Option) *Server {
	t.Helper()
	path := program(t, "redis-server")
	s := &Server{
		t: t, kind: "redis-server", opts: collect(opts),
		schemes: [2]string{"redis", "rediss"},
		ready:   redisReady,
		command: func(s *Server) (string, []string) {
			conf := filepath.Join(s.dir, "redis.conf")
			writeFile(t, conf, redisConfig(s))
			return path, []string{conf}
		},
	}
	s.start()
	return s
}

func redisConfig(s *Server) []string {
	lines := []string{"bind 127.0.0.1", `save ""`, fmt.Sprintf("dir %q", s.dir), "daemonize no"}
	if s.opts.tls {
		auth := "no"
		if s.opts.clientCert {
			auth = "yes"
		}
		lines = append(lines, "port 0", fmt.Sprintf("tls-port %d", s.port),
			fmt.Sprintf("tls-cert-file %q", s.certs.serverCert),
			fmt.Sprintf("tls-key-file %q", s.certs.serverKey),
			fmt.Sprintf("tls-ca-cert-file %q", s.certs.ca), "tls-auth-clients "+auth)
	} else {
		lines = append(lines, fmt.Sprintf("port %d", s.port))
	}
	switch {
	case s.opts.pass == "":
	case s.opts.user == "":
		lines = append(lines, fmt.Sprintf("requirepass %q", s.opts.pass))
	default:
		lines = append(lines, "user default off",
			fmt.Sprintf("user %s on >%s ~* &* +@all", s.opts.user, s.opts.pass))
	}
	if s.opts.persistent {
		lines = append(lines, "appendonly yes", "appendfsync always")
	}
	return append(lines, s.opts.lines...)
}

// redisReady takes PONG or a demand for a login; LOADING (the append-only file is being
// read) is not ready yet.
func redisReady(s *Server) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read from
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH") {
		return nil
	}
	return fmt.Errorf("answered %q to PING", line)
}
