package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/examples"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/demo"
	"github.com/bramble-stream/bramble/sql/parse"
)

// What the demo asks of the job: windows short enough for someone who is watching.
const (
	demoWindowSeconds   = 2
	demoLatenessSeconds = 1
	demoMemory          = 512 << 20
	// demoReadyMax bounds the wait for the job to run.
	demoReadyMax = 30 * time.Second
	demoStream   = "sensor-windows"
	// demoCountsEvery is how often the demo says what was late or broken.
	demoCountsEvery = 10 * time.Second
)

// RunDemo runs the demo until ctx ends.
func RunDemo(ctx context.Context, o DemoOptions) error {
	if o.TaskManagers < 1 {
		return app.Usagef("--taskmanagers %d: at least 1", o.TaskManagers)
	}
	mqtt := o.URL
	if mqtt == "" {
		b, err := demo.StartBroker()
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends
		mqtt = b.URL
	}
	redis, err := demo.StartRedis()
	if err != nil {
		return err
	}
	defer redis.Close()
	log, err := o.Logs.Logger(os.Stderr)
	if err != nil {
		return err
	}
	cluster, err := app.NewCluster(app.ClusterConfig{
		TaskManagers: o.TaskManagers, Slots: 1, MemoryBytes: demoMemory, HTTPPort: o.HTTPPort, MetricsPort: o.MetricsPort, Log: log,
	})
	if err != nil {
		return err
	}
	intro(o, mqtt, redis.URL, cluster)
	stopped := ctx.Err // whatever fails after Ctrl-C does so because everything stops
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return cluster.Run(ctx) })
	g.Go(func() error { return demo.Publish(ctx, mqtt, demo.NewHouse(1, time.Now())) })
	g.Go(func() error { return demoJob(ctx, o, cluster, mqtt, redis.URL) })
	if err := g.Wait(); err != nil && stopped() == nil {
		return err
	}
	fmt.Fprintln(o.Out, "\nThe demo has ended.")
	return nil
}

func intro(o DemoOptions, mqtt, redis string, cluster *app.Cluster) {
	fmt.Fprintf(o.Out, `A house with 17 sensors publishes to %s: some are out of order, one falls silent, one sends garbage.
One jobmanager and %d taskmanagers in this process run examples/sensors.sql over them: averages of %d s go
to the Redis stream %s at %s, alerts to the MQTT topics alerts/#.

`, mqtt, o.TaskManagers, demoWindowSeconds, demoStream, redis)
	fmt.Fprintf(o.Out, "  jobmanager   bramble --jobmanager %s status\n", cluster.JobManager.Address())
	if p := cluster.JobManager.HTTPPort(); p != 0 {
		fmt.Fprintf(o.Out, "  dashboard    http://localhost:%d\n", p)
	}
	if p := cluster.MetricsPort(); p != 0 {
		fmt.Fprintf(o.Out, "  metrics      http://localhost:%d/metrics\n", p)
	}
	fmt.Fprintln(o.Out, "\nCtrl-C ends it.")
}

// demoJob submits the job and shows its results until ctx ends. A job that fails ends the demo.
func demoJob(ctx context.Context, o DemoOptions, cluster *app.Cluster, mqtt, redis string) error {
	values := map[string]string{
		"MQTT_URL": mqtt, "REDIS_URL": redis,
		"WINDOW_SECONDS": strconv.Itoa(demoWindowSeconds), "LATENESS_SECONDS": strconv.Itoa(demoLatenessSeconds),
	}
	text, err := parse.Substitute(examples.Sensors, func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	})
	if err != nil {
		return err
	}
	cl, err := client.New(cluster.JobManager.Address())
	if err != nil {
		return err
	}
	defer cl.Close() //nolint:errcheck // the process ends
	ready, cancel := context.WithTimeout(ctx, demoReadyMax)
	defer cancel()
	id, _, err := cl.Submit(ready, client.Script{File: "sensors.sql", Text: text, Config: map[string]string{}, Parallelism: o.TaskManagers}, "")
	if err != nil {
		return err
	}
	view := demo.NewView(o.Out, colored(o.Out))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return view.WatchWindows(ctx, redis, demoStream) })
	g.Go(func() error { return view.WatchAlerts(ctx, mqtt) })
	g.Go(func() error { return demoCounts(ctx, cl, id, view) })
	g.Go(func() error {
		last, err := follow(ctx, cl, id, io.Discard, true, true)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if e := last.RootCause; e != nil {
			return fmt.Errorf("the job has ended: %s", e.Message)
		}
		return fmt.Errorf("the job has ended: it is %s", jobState(last.Summary.State))
	})
	return g.Wait()
}

// demoCounts says from time to time what was not in the windows: it is what a person should look at first.
func demoCounts(ctx context.Context, cl *client.Client, id string, view *demo.View) error {
	t := time.NewTicker(demoCountsEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		d, err := cl.Job(ctx, id)
		if err != nil {
			continue // the demo ends, or the next one says
		}
		var read, late, bad int64
		for i, v := range d.Vertices {
			late, bad = late+v.Totals.LateRecords, bad+v.Totals.BadRecords
			if i == 0 {
				read = v.Totals.RecordsIn
			}
		}
		view.Note(fmt.Sprintf("%d readings so far; %d came too late for their window, %d could not be read", read, late, bad))
	}
}

// colored reports whether w is a terminal of someone who has not asked for plain text.
func colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
