// Package mqtt reads and writes topics of an MQTT 3.1.1 broker such as Mosquitto. paho keeps the session; the
// messages themselves pass it by, in batches. It knows no message format.
package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/duration"
)

// Connector returns the description of 'connector' = 'mqtt'.
func Connector() *op.Connector {
	return &op.Connector{
		Name: "mqtt",
		Options: append(format.Options(), []op.Option{
			{Key: "url", Required: true, Doc: "broker, as tcp://host:1883, mqtt://…, or with TLS ssl://host:8883, mqtts://…"},
			{Key: "topic", Required: true, Doc: "source: topic filters with + and #, several separated by ';'; sink: a topic, which may hold {column}"},
			{Key: "qos", Kind: op.OptionEnum, Enum: []string{"0", "1", "2"}, Default: "0", Doc: "quality of service of the subscription or of what is published"},
			{Key: "client-id", Doc: "client identifier; with several sessions the session's number is appended (default: made from the job's id)"},
			{Key: "shared-group", Only: "source", Doc: "name of a shared subscription: the broker spreads messages over all tasks of the source"},
			{Key: "clean-session", Kind: op.OptionBool, Default: "true", Doc: "false: the broker keeps the subscription and queues QoS 1 and 2 messages while the job is away; needs a client-id"},
			{Key: "username", Doc: "user name"},
			{Key: "password", Secret: true, Doc: "password, best as ${file:/run/secrets/…}"},
			{Key: "keep-alive", Kind: op.OptionDuration, Default: "30 s", Doc: "longest silence before a ping"},
			{Key: "tls.ca-file", Doc: "PEM file of the authorities to trust instead of the system's"},
			{Key: "tls.cert-file", Doc: "PEM file of the client's certificate"},
			{Key: "tls.key-file", Doc: "PEM file of the client's key"},
			{Key: "tls.server-name", Doc: "name to expect in the broker's certificate, when it is not the host of the url"},
			{Key: "tls.insecure-skip-verify", Kind: op.OptionBool, Default: "false", Doc: "accept any certificate"},
			{Key: "retain", Kind: op.OptionBool, Default: "false", Only: "sink", Doc: "publish as retained messages"},
		}...),
		Metadata: []op.MetadataKey{
			{Key: "topic", Type: vec.TypeString, Doc: "topic of the message"},
			{Key: "qos", Type: vec.TypeInt32, Doc: "quality of service of the delivery"},
			{Key: "retained", Type: vec.TypeBool, Doc: "whether the broker had kept the message"},
			{Key: "received_at", Type: vec.TypeTimestampLTZ, Doc: "when the message was taken from the broker"},
		},
		Check:     check,
		Modes:     func(*graph.TableSpec) []graph.ChangelogMode { return []graph.ChangelogMode{graph.Append} },
		Splits:    splits,
		NewSource: func(t *graph.TableSpec) (op.Source, error) { return newSource(t) },
		NewSink:   func(t *graph.TableSpec) (op.Sink, error) { return newSink(t) },
	}
}

func check(t *graph.TableSpec, asSink bool) error {
	if err := format.Check(t); err != nil {
		return err
	}
	if _, err := brokerURL(t.Options["url"]); err != nil && !strings.Contains(t.Options["url"], "${file:") { // which is read where the task runs
		return err
	}
	if asSink {
		_, err := parseTopic(t)
		return err
	}
	for _, f := range filters(t) {
		if err := checkFilter(f); err != nil {
			return err
		}
	}
	if t.Options["clean-session"] == "false" && t.Options["client-id"] == "" {
		return errors.New("'clean-session' = 'false' needs a 'client-id': the broker knows the session by it")
	}
	return nil
}

// splitPrefix stands before the number of a session in the ID of its split.
const splitPrefix = "session-"

// splits gives a shared subscription to every task, and any other to one.
func splits(_ context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
	n := 1
	if t.Options["shared-group"] != "" {
		n = parallelism
	}
	s := make([]op.Split, n)
	for i := range s {
		s[i].ID = splitPrefix + strconv.Itoa(i)
	}
	return s, nil
}

func filters(t *graph.TableSpec) []string {
	var out []string
	for f := range strings.SplitSeq(t.Options["topic"], ";") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// checkFilter refuses what MQTT 3.1.1 section 4.7 does.
func checkFilter(f string) error {
	levels := strings.Split(f, "/")
	for i, l := range levels {
		switch {
		case strings.Contains(l, "#") && (l != "#" || i != len(levels)-1):
			return fmt.Errorf("topic filter %q: # stands alone in the last level", f)
		case strings.Contains(l, "+") && l != "+":
			return fmt.Errorf("topic filter %q: + stands alone in its level", f)
		}
	}
	if len(f) > 65535 || strings.ContainsRune(f, 0) {
		return fmt.Errorf("topic filter %.40q is too long or holds a zero byte", f)
	}
	return nil
}

// brokerURL checks the url and gives it the default port of its scheme.
func brokerURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		shown := s
		if strings.Contains(s, "@") { // may hold a password, and where it ends nobody can say
			shown = "…"
		}
		return nil, fmt.Errorf("'url' = '%s' is no broker's address; expected tcp://host:1883 or ssl://host:8883", shown)
	}
	port := "1883"
	switch u.Scheme {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts":
		port = "8883"
	default:
		return nil, fmt.Errorf("'url' = '%s': scheme %q is not known; tcp, mqtt, ssl, tls and mqtts are", u.Redacted(), u.Scheme)
	}
	if u.Port() == "" {
		u.Host = u.Hostname() + ":" + port
	}
	return u, nil
}

// settings are a table's options, resolved when a task opens.
type settings struct {
	url                *url.URL
	qos                byte
	clientID           string
	base               string // the option, without what tells tasks apart
	username, password string
	clean              bool
	keepAlive          time.Duration
	tls                *tls.Config
}

func newSettings(ctx *op.Context, t *graph.TableSpec) (*settings, error) {
	s := &settings{clean: t.Options["clean-session"] != "false", keepAlive: 30 * time.Second}
	resolved := make(map[string]string, len(t.Options))
	for k, v := range t.Options {
		r, err := op.ResolveSecret(v)
		if err != nil {
			return nil, fmt.Errorf("option '%s': %w", k, err)
		}
		resolved[k] = r
	}
	var err error
	if s.url, err = brokerURL(resolved["url"]); err != nil {
		return nil, err
	}
	if q := resolved["qos"]; q != "" {
		s.qos = q[0] - '0'
	}
	s.username, s.password = resolved["username"], resolved["password"]
	if s.username == "" && s.url.User != nil {
		s.username = s.url.User.Username()
		s.password, _ = s.url.User.Password()
	}
	if k := resolved["keep-alive"]; k != "" {
		if s.keepAlive, err = duration.Parse(k); err != nil {
			return nil, fmt.Errorf("option 'keep-alive': %w", err)
		}
	}
	s.base = resolved["client-id"]
	s.clientID = s.base
	switch {
	case s.clientID == "":
		s.clientID = fmt.Sprintf("bramble-%.8s-%.8s-%d", ctx.Task.JobID, ctx.Task.OperatorID, ctx.Task.Index)
	case ctx.Task.Parallelism > 1:
		s.clientID += "-" + strconv.Itoa(ctx.Task.Index)
	}
	switch s.url.Scheme {
	case "ssl", "tls", "mqtts":
		s.tls, err = tlsConfig(resolved, s.url.Hostname())
	}
	return s, err
}

// forSession returns the settings for a split. With checkpoints the client identifier is the split's, not the task's: another task that
// takes the split over goes on with what the broker has queued for it.
func (s *settings) forSession(ctx *op.Context, t *graph.TableSpec, split string) *settings {
	if !ctx.Checkpointing {
		return s
	}
	c := *s
	n := strings.TrimPrefix(split, splitPrefix)
	switch {
	case t.Options["client-id"] == "":
		c.clientID = fmt.Sprintf("bramble-%.8s-%.8s-%s", ctx.Task.JobID, ctx.Task.OperatorID, n)
	case t.Options["shared-group"] == "":
		c.clientID = s.base
	default:
		c.clientID = s.base + "-" + n
	}
	return &c
}

func tlsConfig(o map[string]string, host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: o["tls.insecure-skip-verify"] == "true"} //nolint:gosec // the user asked for it by name
	if name := o["tls.server-name"]; name != "" {
		c.ServerName = name
	}
	if file := o["tls.ca-file"]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("option 'tls.ca-file': %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option 'tls.ca-file': %s holds no certificate", file)
		}
	}
	if cert := o["tls.cert-file"]; cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, o["tls.key-file"])
		if err != nil {
			return nil, fmt.Errorf("options 'tls.cert-file' and 'tls.key-file': %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
