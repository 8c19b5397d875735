//go:build chaos || integration

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redis/go-redis/v9"
)

// row is what the n-th row of the input is; event time is n milliseconds but for the last rows.
type row struct {
	k     string
	n, at int64
}

const (
	keys = 97
	// farAhead lies between the last rows and the others, so that all windows end.
	farAhead = 10_000_000
	batch    = 50
)

// rowOf is a function of n alone: what a seed gives does not hang on how fast the machine is.
func rowOf(seed uint64, n int64) row {
	x := (uint64(n)*2654435761 + seed) * 0x9e3779b97f4a7c15
	return row{k: fmt.Sprint("k", (x>>33)%keys), n: n, at: n}
}

// model is what the job has to come to without faults.
type model struct {
	windows, totals map[string][2]int64
	rows            int64
}

func (m *model) add(r row) {
	sum := func(m map[string][2]int64, k string) {
		v := m[k]
		m[k] = [2]int64{v[0] + 1, v[1] + r.n}
	}
	sum(m.totals, r.k)
	if r.at == r.n { // the windows of the last rows stay open
		sum(m.windows, fmt.Sprint(r.k, ":", r.at/1000))
	}
	m.rows++
}

// broker is where input goes to. Whoever restarts the server locks mu and sets renew: what was sent has arrived then, once.
type broker struct {
	mu    sync.Mutex
	renew bool
	// connect makes a connection; publish returns when the server has all rows.
	connect func(ctx context.Context) error
	publish func(ctx context.Context, rows []row) error
	// partitions is how many rows are needed to end all windows.
	partitions int64
}

func (b *broker) send(ctx context.Context, rows []row) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.renew {
		if err := b.connect(ctx); err != nil {
			return fmt.Errorf("connect the producer: %w", err)
		}
		b.renew = false
	}
	return b.publish(ctx, rows)
}

// feed sends rows until stop is closed, and then those that end all windows.
func (b *broker) feed(ctx context.Context, seed uint64, every time.Duration, stop <-chan struct{}) (*model, error) {
	m := &model{windows: map[string][2]int64{}, totals: map[string][2]int64{}}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
			rows := make([]row, batch)
			for i := range rows {
				rows[i] = rowOf(seed, m.rows)
				m.add(rows[i])
			}
			if err := b.send(ctx, rows); err != nil {
				return nil, err
			}
		case <-stop:
			for range b.partitions {
				last := row{k: "end", n: m.rows, at: m.rows + farAhead}
				m.add(last)
				if err := b.send(ctx, []row{last}); err != nil {
					return nil, err
				}
			}
			return m, nil
		}
	}
}

// redisBroker feeds the streams in0, in1, ….
func redisBroker(url string, streams int64) *broker {
	b := &broker{renew: true, partitions: streams}
	var db *redis.Client
	b.connect = func(context.Context) error {
		opts, err := redis.ParseURL(url)
		if err != nil {
			return err
		}
		if db != nil {
			_ = db.Close() // its server is another one now
		}
		opts.MaxRetries = -1 // a retry could add a row again
		db = redis.NewClient(opts)
		return nil
	}
	b.publish = func(ctx context.Context, rows []row) error {
		p := db.Pipeline()
		for _, r := range rows {
			p.XAdd(ctx, &redis.XAddArgs{Stream: fmt.Sprint("in", r.n%streams), Values: []any{"k", r.k, "n", r.n, "at", r.at}})
		}
		_, err := p.Exec(ctx)
		return err
	}
	return b
}

// mqttBroker feeds the topic in/rows.
func mqttBroker(url string) *broker {
	b := &broker{renew: true, partitions: 1}
	var client paho.Client
	b.connect = func(context.Context) error {
		if client != nil {
			client.Disconnect(0)
		}
		client = paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("producer").SetAutoReconnect(false))
		return done(client.Connect())
	}
	b.publish = func(_ context.Context, rows []row) error {
		tokens := make([]paho.Token, len(rows))
		for i, r := range rows {
			tokens[i] = client.Publish("in/rows", 1, false, fmt.Sprintf(`{"k":%q,"n":%d,"at":%d}`, r.k, r.n, r.at))
		}
		var err error
		for _, t := range tokens {
			err = errors.Join(err, done(t))
		}
		return err
	}
	return b
}

// subscribe makes the session of the job's source, so that nothing sent before the job runs is missed.
func subscribe(url, clientID string) error {
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(clientID).SetCleanSession(false))
	if err := done(c.Connect()); err != nil {
		return err
	}
	err := done(c.Subscribe("in/#", 1, nil))
	c.Disconnect(250)
	return err
}

func done(t paho.Token) error {
	if !t.WaitTimeout(patience) {
		return errors.New("no answer of the broker")
	}
	return t.Error()
}

// missing says what in Redis is not as the model has it, "" if all is there. Values that can never become right are in excess.
func (m *model) missing(ctx context.Context, db *redis.Client) string {
	for _, part := range []struct {
		prefix string
		want   map[string][2]int64
	}{{"t:", m.totals}, {"w:", m.windows}} {
		names := slices.Sorted(maps.Keys(part.want))
		p := db.Pipeline()
		have := make([]*redis.MapStringStringCmd, len(names))
		for i, k := range names {
			have[i] = p.HGetAll(ctx, part.prefix+k)
		}
		if _, err := p.Exec(ctx); err != nil {
			return err.Error()
		}
		for i, k := range names {
			h := have[i].Val()
			if w := part.want[k]; h["c"] != fmt.Sprint(w[0]) || h["s"] != fmt.Sprint(w[1]) {
				return fmt.Sprintf("%s%s is %v, want c=%d s=%d", part.prefix, k, h, w[0], w[1])
			}
		}
		if all, err := db.Keys(ctx, part.prefix+"*").Result(); err != nil || len(all) != len(part.want) {
			return fmt.Sprintf("%d keys %s*, want %d (%v)", len(all), part.prefix, len(part.want), err)
		}
	}
	return ""
}

// tally counts rows by number.
type tally map[int64]int

// wrong compares with the model: each row once, or at least once.
func (c tally) wrong(m *model, where string, again bool) (problems []string) {
	lost, twice := []int64{}, []int64{}
	for n := range m.rows {
		switch {
		case c[n] == 0:
			lost = append(lost, n)
		case c[n] > 1 && !again:
			twice = append(twice, n)
		}
	}
	if len(lost) > 0 {
		problems = append(problems, fmt.Sprintf("%s: %d rows are lost: %v", where, len(lost), ranges(lost)))
	}
	if len(twice) > 0 {
		problems = append(problems, fmt.Sprintf("%s: %d rows are there more than once: %v", where, len(twice), ranges(twice)))
	}
	if len(c) > int(m.rows) {
		problems = append(problems, fmt.Sprintf("%s: %d rows, want %d", where, len(c), m.rows))
	}
	return problems
}

// ranges shortens a list of ascending numbers.
func ranges(n []int64) string {
	var b strings.Builder
	for i := 0; i < len(n) && b.Len() < 300; {
		j := i
		for j+1 < len(n) && n[j+1] == n[j]+1 {
			j++
		}
		fmt.Fprintf(&b, "%d-%d ", n[i], n[j])
		i = j + 1
	}
	return b.String()
}

// inFiles counts the rows in files that are complete.
func inFiles(dir string) (tally, error) {
	rows := tally{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			_, n, _ := strings.Cut(strings.TrimSpace(line), ",")
			i, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				return fmt.Errorf("%s: line %q: %w", path, line, err)
			}
			rows[i]++
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // a file that appeared under its last name just now, or nothing yet
		err = nil
	}
	return rows, err
}

// inStream counts the rows in a stream.
func inStream(ctx context.Context, db *redis.Client, stream string) (tally, error) {
	const page = 10_000
	rows := tally{}
	for from := "-"; ; {
		entries, err := db.XRangeN(ctx, stream, from, "+", page).Result()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			i, err := strconv.ParseInt(fmt.Sprint(e.Values["n"]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("entry %s: %w", e.ID, err)
			}
			rows[i]++
			from = "(" + e.ID
		}
		if len(entries) < page {
			return rows, nil
		}
	}
}
