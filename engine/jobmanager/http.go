package jobmanager

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/serve"
)

// HTTP is how the jobmanager's HTTP server is set up. The zero value listens where the jobmanager does, without a token and without TLS.
type HTTP struct {
	// BindHost is where to listen, "" for Config.BindHost.
	BindHost string
	// TokenFile holds the token, "" for none; ReadOnly is what was asked for, nil for nothing: see rest.Decide.
	TokenFile string
	ReadOnly  *bool
	// TLSCert and TLSKey are PEM files, "" for no TLS.
	TLSCert, TLSKey string
	// Substitute, Complete, Statement, Settings and Diagnose are of rest.Language, Examples scripts to begin with, UI the front end; each may be nil.
	Substitute func(script string, settings map[string]string) (string, error)
	Complete   func(script string, line, column int) rest.Completion
	Statement  func(kept []string, statement string) (rest.Statement, error)
	Settings   []string
	Diagnose   func(error) []rest.Diagnostic
	Examples   []rest.Example
	UI         http.Handler
}

// prepareHTTP reads the files that the HTTP server needs.
func (jm *JobManager) prepareHTTP() (err error) {
	if jm.cfg.HTTPPort == serve.Off {
		return nil
	}
	if jm.secure, err = rest.TLS(jm.cfg.HTTP.TLSCert, jm.cfg.HTTP.TLSKey, jm.cfg.Clock.Now); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if jm.token, err = rest.LoadToken(jm.cfg.HTTP.TokenFile); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

// serveHTTP is the life of the HTTP server.
func (jm *JobManager) serveHTTP(ctx context.Context) error {
	cfg := &jm.cfg.HTTP
	access := rest.Decide(jm.http.Addr(), jm.token, cfg.ReadOnly)
	log := jm.cfg.Log
	switch {
	case access.ReadOnly:
		log.Info("http is read-only", "reason", access.Reason)
	case access.Open:
		log.Warn("http lets everyone who reaches it change everything: --http-token-file protects it")
	}
	s := rest.New(rest.Config{
		Context: ctx, Views: views{jm}, Actions: &jobService{jm: jm}, Previews: previews{&jobService{jm: jm}}, Examples: cfg.Examples, Version: jm.cfg.Version, Access: access,
		Language: rest.Language{Substitute: cfg.Substitute, Plan: jm.planScript, Complete: cfg.Complete, Statement: cfg.Statement, Settings: cfg.Settings, Diagnose: cfg.Diagnose},
		Settings: jm.settings(), UI: cfg.UI, Now: jm.cfg.Clock.Now, Log: log,
		Random: func(b []byte) error { _, err := io.ReadFull(jm.cfg.Rand, b); return err },
	})
	defer s.Wait()
	mux, handler := jm.probes(nil), s.Handler()
	mux.Handle("/", handler)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) {
		if !jm.writeStandby(w) {
			handler.ServeHTTP(w, req)
		}
	})
	return rest.Serve(ctx, mux, jm.http, jm.secure, log)
}

// settings are those that Flink's tools ask for, by Flink's names where it has one.
func (jm *JobManager) settings() map[string]string {
	cfg := &jm.cfg
	return map[string]string{
		"jobmanager.rpc.address":           cfg.BindHost,
		"jobmanager.rpc.port":              strconv.Itoa(jm.RPCPort()),
		"rest.port":                        strconv.Itoa(jm.HTTPPort()),
		"metrics.port":                     strconv.Itoa(jm.MetricsPort()),
		"execution.checkpointing.dir":      cfg.CheckpointDir,
		"heartbeat.interval":               strconv.FormatInt(cfg.HeartbeatInterval.Milliseconds(), 10),
		"heartbeat.timeout":                strconv.FormatInt(cfg.HeartbeatTimeout.Milliseconds(), 10),
		"jobstore.max-capacity":            strconv.Itoa(cfg.HistoryMax),
		"metrics.fetcher.update-interval":  strconv.FormatInt(cfg.MetricsInterval.Milliseconds(), 10),
		"web.submit.enable":                strconv.FormatBool(cfg.HTTP.ReadOnly == nil || !*cfg.HTTP.ReadOnly),
		"execution.checkpointing.interval": strconv.Itoa(defaultIntervalMS),
		"state.checkpoints.num-retained":   strconv.Itoa(defaultRetained),
		"bramble.http.tls":                 strconv.FormatBool(cfg.HTTP.TLSCert != ""),
		"bramble.metrics.flink-names":      strconv.FormatBool(cfg.FlinkNames),
		"bramble.http.token":               strconv.FormatBool(cfg.HTTP.TokenFile != ""),
	}
}

// views answers rest.Views out of the loop.
type views struct{ jm *JobManager }

var (
	_ rest.Views   = views{}
	_ rest.Actions = (*jobService)(nil)
)

// do runs f in the loop. A bug in what is only looked at must not end the jobs.
func (v views) do(ctx context.Context, f func(*cluster) error) error {
	return (&jobService{jm: v.jm}).do(ctx, func(c *cluster) error {
		return serve.Guard(v.jm.cfg.Log, "a document", func() error { return f(c) })
	})
}

// Cluster implements rest.Views.
func (v views) Cluster(ctx context.Context) (d *rest.Cluster, err error) {
	err = v.do(ctx, func(c *cluster) error { d = c.document(); return nil })
	return d, err
}

// Job implements rest.Views.
func (v views) Job(ctx context.Context, id string) (d *rest.Job, err error) {
	err = v.do(ctx, func(c *cluster) error {
		r, err := c.find(id)
		if err == nil {
			d = r.document(c.now(), c.jm.cfg.CheckpointDir)
		}
		return err
	})
	return d, err
}

// Series implements rest.Views.
func (v views) Series(ctx context.Context, id string) (d *rest.Series, err error) {
	err = v.do(ctx, func(c *cluster) error {
		r, err := c.find(id)
		if err == nil {
			d = r.seriesDocument()
		}
		return err
	})
	return d, err
}

// plansMax is how many scripts are planned for pages at a time: someone types, and every key asks.
const plansMax = 2

// planScript plans for the front end. Its error is the planner's own.
func (jm *JobManager) planScript(ctx context.Context, script string, config map[string]string) (*rest.ScriptPlan, error) {
	select {
	case jm.plans <- struct{}{}:
		defer func() { <-jm.plans }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	var p *Planned
	err := serve.Guard(jm.cfg.Log, "the planner", func() (err error) {
		p, err = jm.cfg.Plan(PlanRequest{File: "script.sql", Script: script, Config: config})
		return err
	})
	if err != nil {
		return nil, err
	}
	d := &rest.ScriptPlan{
		Vertices: []rest.PlanVertex{}, Edges: []rest.Edge{}, Explain: rest.RedactText(p.Logical + "\n" + p.Physical), Warnings: p.Warnings,
	}
	depths := depthsOf(p.Graph)
	for i, v := range p.Graph.Vertices {
		d.Vertices = append(d.Vertices, rest.PlanVertex{
			ID: v.ID, Name: v.Name, Parallelism: v.Parallelism, Depth: depths[i], Operators: operatorsOf(v),
		})
	}
	for _, e := range p.Graph.Edges {
		d.Edges = append(d.Edges, edgeOf(p.Graph, e))
	}
	return d, nil
}
