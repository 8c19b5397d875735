package testenv

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Mosquitto starts a broker. It lets anyone in unless Login is given, keeps Mosquitto's
// own limits (1,000 queued and 20 inflight messages a client; see Config) and speaks MQTT
// 3.1.1 and 5.
func Mosquitto(t testing.TB, opts ...Option) *Server {
	t.Helper()
	path := program(t, "mosquitto")
	s := &Server{
		t: t, kind: "mosquitto", opts: collect(opts),
		schemes: [2]string{"tcp", "ssl"},
		ready:   mqttReady,
		command: func(s *Server) (string, []string) {
			conf := filepath.Join(s.dir, "mosquitto.conf")
			writeFile(t, conf, mosquittoConfig(s))
			return path, []string{"-c", conf}
		},
	}
	s.start()
	return s
}

func mosquittoConfig(s *Server) []string {
	lines := []string{
		fmt.Sprintf("listener %d 127.0.0.1", s.port),
		"log_type error", "log_type warning", "log_type notice",
		// Off, it would batch small packets of the broker for up to 40 ms.
		"set_tcp_nodelay true",
	}
	if os.Getuid() == 0 {
		// Run by root, it would become the user mosquitto, who cannot read the test's files.
		lines = append(lines, "user root")
	}
	if s.opts.pass != "" {
		lines = append(lines, "allow_anonymous false", "password_file "+mosquittoPasswords(s))
	} else {
		lines = append(lines, "allow_anonymous true")
	}
	if s.opts.tls {
		lines = append(lines, "cafile "+s.certs.ca, "certfile "+s.certs.serverCert,
			"keyfile "+s.certs.serverKey, fmt.Sprintf("require_certificate %t", s.opts.clientCert))
	}
	if s.opts.persistent {
		lines = append(lines, "persistence true", "persistence_location "+s.dir+"/")
	}
	return append(lines, s.opts.lines...)
}

func mosquittoPasswords(s *Server) string {
	s.t.Helper()
	file := filepath.Join(s.dir, "passwords")
	cmd := exec.Command(program(s.t, "mosquitto_passwd"), "-c", "-b", file, s.opts.user, s.opts.pass)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	return file
}

// mqttConnect is a CONNECT of MQTT 3.1.1 with a clean session, keep-alive 60 s and the
// client id "testenv".
var mqttConnect = []byte{
	0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x02, 0, 60, 0, 7, 't', 'e', 's', 't', 'e', 'n', 'v',
}

// mqttReady takes any CONNACK for a sign of life, a refused login included.
func mqttReady(s *Server) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read from
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(mqttConnect); err != nil {
		return err
	}
	var ack [4]byte
	if _, err := io.ReadFull(conn, ack[:]); err != nil {
		return err
	}
	if !bytes.HasPrefix(ack[:], []byte{0x20, 2}) {
		return fmt.Errorf("answered % x, which is no CONNACK", ack)
	}
	return nil
}
