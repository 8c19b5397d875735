package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redis/go-redis/v9"
)

// View prints results as they come, a block for each window.
type View struct {
	mu struct {
		sync.Mutex
		w io.Writer
		// window is the end of the window being printed.
		window string
		alerts int
	}
	color bool
}

// NewView returns a view on w; color uses ANSI sequences.
func NewView(w io.Writer, color bool) *View {
	v := &View{color: color}
	v.mu.w = w
	return v
}

func (v *View) paint(code, s string) string {
	if !v.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// WatchWindows prints the entries of the Redis stream until ctx ends.
func (v *View) WatchWindows(ctx context.Context, url, stream string) error {
	o, err := redis.ParseURL(url)
	if err != nil {
		return fmt.Errorf("redis address: %w", err)
	}
	c := redis.NewClient(o)
	defer c.Close() //nolint:errcheck // nothing is lost with a reader
	last := "$"
	if m, err := c.XRevRangeN(ctx, stream, "+", "-", 1).Result(); err == nil {
		last = "0-0"
		if len(m) > 0 {
			last = m[0].ID
		}
	}
	for ctx.Err() == nil {
		res, err := c.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, last}, Count: 500, Block: 250 * time.Millisecond}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read results from %s: %w", stream, err)
		}
		for _, s := range res {
			for _, m := range s.Messages {
				last = m.ID
				v.window(m.Values)
			}
		}
	}
	return nil
}

func (v *View) window(f map[string]any) {
	get := func(k string) string { s, _ := f[k].(string); return s }
	num := func(k string) float64 { n, _ := strconv.ParseFloat(get(k), 64); return n } // a field that is missing prints as 0
	v.mu.Lock()
	defer v.mu.Unlock()
	if end := get("window_end"); end != v.mu.window {
		v.mu.window = end
		fmt.Fprintf(v.mu.w, "\n%s\n", v.paint("1", "window "+clock(get("window_start"))+" to "+clock(end)))
		fmt.Fprintf(v.mu.w, "%s\n", v.paint("2", fmt.Sprintf("  %-22s %9s %10s %10s %10s", "sensor", "readings", "average", "lowest", "highest")))
	}
	fmt.Fprintf(v.mu.w, "  %-22s %9s %10.2f %10.2f %10.2f\n", get("sensor"), get("readings"), num("average"), num("lowest"), num("highest"))
}

// Note prints a line between the windows.
func (v *View) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.mu.w, "\n  %s\n", v.paint("36", text))
}

// clock cuts a timestamp down to its time of day.
func clock(ts string) string {
	if _, t, ok := strings.Cut(ts, " "); ok {
		t, _, _ = strings.Cut(t, ".")
		return t
	}
	return ts
}

// WatchAlerts prints one alert in ten until ctx ends: the oven and the sauna raise many.
func (v *View) WatchAlerts(ctx context.Context, url string) error {
	onAlert := func(_ paho.Client, m paho.Message) {
		var a struct {
			Sensor, Message string
			Value           float64
		}
		if json.Unmarshal(m.Payload(), &a) != nil {
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.mu.alerts++; v.mu.alerts%10 == 1 {
			fmt.Fprintf(v.mu.w, "  %s\n", v.paint("33", fmt.Sprintf("alert %-16s %s: %.1f", a.Sensor, a.Message, a.Value)))
		}
	}
	c, err := connect(ctx, url, "alerts", func(c paho.Client) { c.Subscribe("alerts/#", 0, onAlert) })
	if err != nil {
		return err
	}
	defer c.Disconnect(100)
	<-ctx.Done()
	return nil
}
