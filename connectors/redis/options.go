// Package redis reads and writes Redis: streams (redis-stream) and keys upserted by primary key (redis). It knows no SQL.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

var connection = []op.Option{
	{Key: "url", Required: true, Doc: "server, as redis://host:6379/0, with TLS rediss://…, or unix:///path"},
	{Key: "username", Doc: "ACL user"},
	{Key: "password", Secret: true, Doc: "password, best as ${file:/run/secrets/…}"},
}

var guarantee = op.Option{
	Key: guaranteeOption, Kind: op.OptionEnum, Enum: []string{"at-least-once", exactlyOnce}, Default: "at-least-once", Only: "sink",
	Doc: "at-least-once: rows are written at once; exactly-once: when the checkpoint that contains them is complete",
}

// jsonOptions are the json format's options.
func jsonOptions() []op.Option {
	var out []op.Option
	for _, o := range format.Options() {
		if strings.HasPrefix(o.Key, "json.") {
			out = append(out, o)
		}
	}
	return out
}

// Streams returns the description of 'connector' = 'redis-stream'.
func Streams() *op.Connector {
	options := append(append([]op.Option{
		{Key: "stream", Required: true, Doc: "key of the stream; a source reads several, separated by ';'"},
		{Key: "format", Kind: op.OptionEnum, Enum: []string{"fields", "json"}, Default: "fields", Doc: "fields: a column is a field of the entry; json: one field holds an object"},
		{Key: "json.field", Default: "data", Doc: "the field that holds the object with 'format' = 'json'"},
		{
			Key: "scan.startup.mode", Kind: op.OptionEnum, Only: "source", Enum: []string{"earliest-offset", "latest-offset", "specific-id", "group-offsets"},
			Doc: "where reading begins (default: group-offsets with a group, else earliest-offset)",
		},
		{Key: "scan.startup.specific-id", Only: "source", Doc: "entry id after which reading begins"},
		{Key: "scan.bounded.mode", Kind: op.OptionEnum, Only: "source", Enum: []string{"unbounded", "latest-offset"}, Default: "unbounded", Doc: "latest-offset: end with what is there when the job starts"},
		{Key: "group", Only: "source", Doc: "consumer group, for group-offsets; made if it is not there, from the beginning of the stream"},
		guarantee,
		{Key: "maxlen", Kind: op.OptionInt, Only: "sink", Doc: "trim the stream to about so many entries"},
	}, connection...), jsonOptions()...)
	return &op.Connector{
		Name: "redis-stream", Options: options,
		Metadata: []op.MetadataKey{
			{Key: "id", Type: vec.TypeString, Doc: "id of the entry"},
			{Key: "stream", Type: vec.TypeString, Doc: "key of the stream"},
			{Key: "timestamp", Type: vec.TypeTimestampLTZ, Doc: "time part of the id: when Redis took the entry, unless its writer chose the id"},
		},
		Check:     checkStream,
		Bounded:   func(t *graph.TableSpec) bool { return t.Options["scan.bounded.mode"] == "latest-offset" },
		Modes:     func(*graph.TableSpec) []graph.ChangelogMode { return []graph.ChangelogMode{graph.Append} },
		Splits:    streamSplits,
		NewSource: func(t *graph.TableSpec) (op.Source, error) { return newSource(t) },
		NewSink:   func(t *graph.TableSpec) (op.Sink, error) { return newStreamSink(t) },
	}
}

// Keys returns the description of 'connector' = 'redis'.
func Keys() *op.Connector {
	options := append(append([]op.Option{
		{Key: "key", Doc: "key of a row, such as sensor:{id} (default: the table's name and the primary key)"},
		{Key: "format", Kind: op.OptionEnum, Enum: []string{"hash", "json"}, Default: "hash", Doc: "hash: a field a column; json: a string with an object"},
		guarantee,
		{Key: "ttl", Kind: op.OptionDuration, Doc: "a key is removed when it has not been written for so long"},
	}, connection...), jsonOptions()...)
	return &op.Connector{
		Name: "redis", Options: options,
		Check: func(t *graph.TableSpec, _ bool) error { _, err := newKeySink(t); return err },
		Modes: func(t *graph.TableSpec) []graph.ChangelogMode {
			return []graph.ChangelogMode{graph.Upsert, graph.Append}
		},
		NewSink: func(t *graph.TableSpec) (op.Sink, error) { return newKeySink(t) },
	}
}

// badURL says what is wrong with an address, without what may hold a password.
func badURL(u string, err error) error {
	const expected = "expected redis://user:password@host:6379/0"
	if strings.Contains(u, "@") {
		return errors.New("'url' is no Redis address; " + expected)
	}
	return fmt.Errorf("'url' is no Redis address (%w); %s", err, expected)
}

func checkStream(t *graph.TableSpec, asSink bool) error {
	if _, err := redis.ParseURL(t.Options["url"]); err != nil && !strings.Contains(t.Options["url"], "${file:") {
		return badURL(t.Options["url"], err)
	}
	names := streams(t)
	mode := startupMode(t)
	switch {
	case len(names) == 0:
		return errors.New("'stream' is empty")
	case asSink && len(names) > 1:
		return errors.New("'stream': a sink writes one stream")
	case mode == "group-offsets" && t.Options["group"] == "":
		return errors.New("'scan.startup.mode' = 'group-offsets' needs a 'group'")
	case mode != "group-offsets" && t.Options["group"] != "":
		return fmt.Errorf("'group' goes with 'scan.startup.mode' = 'group-offsets', not '%s'", mode)
	case mode == "specific-id" && !validID(t.Options["scan.startup.specific-id"]):
		return fmt.Errorf("'scan.startup.specific-id' = '%s' is no entry id; expected digits, or digits-digits", t.Options["scan.startup.specific-id"])
	case t.Options["format"] == "fields" || t.Options["format"] == "":
		for i, f := range t.Schema.Fields {
			if f.Type.Kind.IsNested() && (i >= len(t.Metadata) || t.Metadata[i] == "") {
				return fmt.Errorf("column %s of type %s does not fit a field of an entry; use 'format' = 'json'", f.Name, f.Type)
			}
		}
	}
	return nil
}

func streams(t *graph.TableSpec) []string {
	var out []string
	for s := range strings.SplitSeq(t.Options["stream"], ";") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func startupMode(t *graph.TableSpec) string {
	if m := t.Options["scan.startup.mode"]; m != "" {
		return m
	}
	if t.Options["group"] != "" {
		return "group-offsets"
	}
	return "earliest-offset"
}

// consumerPrefix stands before the number of a consumer in the ID of its split.
const consumerPrefix = "consumer-"

// streamSplits makes a split of every stream; with a group, each task reads all streams as a consumer of its own.
func streamSplits(_ context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
	var out []op.Split
	if startupMode(t) == "group-offsets" {
		for i := range parallelism {
			out = append(out, op.Split{ID: consumerPrefix + strconv.Itoa(i)})
		}
		return out, nil
	}
	for _, s := range streams(t) {
		out = append(out, op.Split{ID: s})
	}
	return out, nil
}

// validID accepts an entry id: ms or ms-seq.
func validID(s string) bool {
	ms, seq, two := strings.Cut(s, "-")
	digits := func(s string) bool {
		return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
	}
	return digits(ms) && (!two || digits(seq))
}

// quiet keeps the library from writing to the standard error: what it has to say comes back as errors, which are reported.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// newClient returns a client for the table's server with so many connections at most. It connects when it is first used.
func newClient(t *graph.TableSpec, conns int) (*redis.Client, error) {
	get := func(key string) (string, error) {
		v, err := op.ResolveSecret(t.Options[key])
		if err != nil {
			return "", fmt.Errorf("option '%s': %w", key, err)
		}
		return v, nil
	}
	u, err := get("url")
	if err != nil {
		return nil, err
	}
	o, err := redis.ParseURL(u)
	if err != nil {
		return nil, badURL(u, err)
	}
	user, err1 := get("username")
	pass, err2 := get("password")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if user != "" {
		o.Username = user
	}
	if pass != "" {
		o.Password = pass
	}
	// Retries are ours, so that waiting is reported; a large buffer holds a whole answer of a thousand entries.
	o.MaxRetries, o.DialerRetries = -1, 1
	o.PoolSize, o.MinIdleConns = conns, 0
	o.ReadBufferSize, o.WriteBufferSize = 256<<10, 64<<10
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 5*time.Second, 30*time.Second, 30*time.Second
	quiet()
	return redis.NewClient(o), nil
}

// isFatal reports answers of the server that trying again cannot mend.
func isFatal(err error) bool {
	var re redis.Error
	if !errors.As(err, &re) || errors.Is(err, redis.Nil) {
		return false
	}
	msg := re.Error()
	for _, passing := range []string{"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY ", "MISCONF", "OOM"} {
		if strings.HasPrefix(msg, passing) {
			return false
		}
	}
	return true
}

// explain adds what to do about the server's answer.
func explain(err error) error {
	msg := err.Error()
	if strings.HasPrefix(msg, "WRONGPASS") || strings.HasPrefix(msg, "NOAUTH") || strings.Contains(msg, "invalid password") || strings.HasPrefix(msg, "NOPERM") {
		return fmt.Errorf("%w: check the options 'username' and 'password'", err)
	}
	return err
}

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// persist calls do until it succeeds, fails for good, or ctx ends; while it fails it reports why and backs off.
func persist(ctx context.Context, o *op.Context, server string, do func(context.Context) error) error {
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		err := do(ctx)
		switch {
		case err == nil:
			o.Health("redis "+server, nil)
			return nil
		case ctx.Err() != nil:
			return op.ErrStopped
		case isFatal(err):
			return fmt.Errorf("redis %s: %w", server, explain(err))
		}
		o.Health("redis "+server, fmt.Errorf("redis %s: %w", server, err))
		o.Log.Warn("redis is away, trying again", "server", server, "reason", err.Error(), "after", wait.String())
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return op.ErrStopped
		}
	}
}
