package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

type mqttSettings struct {
	jobs, rates           string
	brokerCore, engineSet string
	kuiperd               string
	duration              time.Duration

	// of publish
	job      string
	port     int
	rate     int64
	patience time.Duration
}

func (m *mqttSettings) flags(f *flag.FlagSet) {
	f.StringVar(&m.jobs, "jobs", "filter,tumble,hop", "which jobs: filter, tumble (10 s averages of 1,000 sensors), hop (60 s every 10 s)")
	f.StringVar(&m.rates, "rates", "10000,100000,0", "messages a second, rising; 0: as many as the broker takes")
	f.DurationVar(&m.duration, "duration", 12*time.Second, "how long readings are sent at each rate")
	f.StringVar(&m.brokerCore, "broker-core", "0", "the core of Mosquitto, the publisher and the checker")
	f.StringVar(&m.engineSet, "engine-cores", strconv.Itoa(min(1, runtime.NumCPU()-1)), "the cores of the engine")
	f.StringVar(&m.kuiperd, "kuiperd", "", "path of an installed eKuiper's kuiperd; without it earlier figures are shown")
}

func (m *mqttSettings) publishFlags(f *flag.FlagSet) {
	f.StringVar(&m.job, "job", "", "which results to expect")
	f.IntVar(&m.port, "port", 0, "port of the broker")
	f.Int64Var(&m.rate, "rate", 0, "messages a second; 0: as many as the broker takes")
	f.DurationVar(&m.duration, "duration", 0, "how long")
	f.DurationVar(&m.patience, "patience", 0, "how long without results until the rest counts as lost")
}

const readingsSQL = `
SET 'table.local-time-zone' = 'UTC';
CREATE TABLE readings (
  sensor STRING, ts BIGINT, temp DOUBLE, hum INT,
  at AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR at AS at - INTERVAL '1' SECOND
) WITH ('connector' = 'mqtt', 'url' = 'tcp://127.0.0.1:${PORT}', 'topic' = 's/#', 'format' = 'json');
`

// jobsSQL are the jobs of Bramble. Results carry what is checked: how many readings, and a sum over them.
var jobsSQL = map[string]string{
	"filter": readingsSQL + `
CREATE TABLE results (sensor STRING, ts BIGINT, temp DOUBLE, hum INT)
WITH ('connector' = 'mqtt', 'url' = 'tcp://127.0.0.1:${PORT}', 'topic' = 'out', 'format' = 'json');
INSERT INTO results SELECT sensor, ts, temp, hum FROM readings WHERE temp > 34.9;
`,
	"tumble": windowSQL("TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '10' SECOND)"),
	"hop":    windowSQL("HOP(TABLE readings, DESCRIPTOR(at), INTERVAL '10' SECOND, INTERVAL '60' SECOND)"),
}

func windowSQL(function string) string {
	return readingsSQL + `
CREATE TABLE results (sensor STRING, window_end BIGINT, average DOUBLE, n BIGINT, s BIGINT)
WITH ('connector' = 'mqtt', 'url' = 'tcp://127.0.0.1:${PORT}', 'topic' = 'out', 'format' = 'json');
INSERT INTO results
SELECT sensor, UNIX_TIMESTAMP(CAST(window_end AS STRING)) * 1000, AVG(temp), COUNT(*), SUM(CAST(hum AS BIGINT))
FROM TABLE(` + function + `)
GROUP BY sensor, window_start, window_end;
`
}

// mqttFigure is a line of the table.
type mqttFigure struct {
	Engine string `json:"engine"`
	Job    string `json:"job"`
	// Rate is what was asked for, 0 for as fast as the broker takes.
	Rate int64 `json:"rate"`
	loadReport
	// CPU of the engine and the broker, us a message.
	EngineMicros float64 `json:"engine_us"`
	BrokerMicros float64 `json:"broker_us"`
	PeakMB       float64 `json:"peak_mb"`
	Trouble      string  `json:"trouble,omitempty"`
}

// lost is how many readings, or results of them, did not come back.
func (f mqttFigure) lost() int64 { return f.WantCounted - f.Counted }

// held says that the publisher kept to its times.
func (f mqttFigure) held() bool { return f.Rate == 0 || f.LateMS < 250 }

func (f mqttFigure) clean() bool {
	return f.Trouble == "" && f.Sent > 0 && f.held() && f.Counted == f.WantCounted && f.Sum == f.WantSum
}

// mqttEngine is an engine with a job that reads a broker.
type mqttEngine interface {
	pids() []int
	stop()
}

func mqtt(ctx context.Context, s *settings) error {
	if err := s.buildBramble(ctx); err != nil {
		return err
	}
	rates, err := parseRates(s.mqtt.rates)
	if err != nil {
		return err
	}
	engines := []struct {
		name  string
		start func(ctx context.Context, s *settings, job string, port int) (mqttEngine, error)
	}{{"Bramble", startBrambleMQTT}}
	if s.mqtt.kuiperd != "" {
		engines = append(engines, kuiperEngine("eKuiper, defaults", false), kuiperEngine("eKuiper, tuned", true))
	}
	var figures []mqttFigure
	fmt.Printf("%s\n%s", machine(), mqttHeader)
	for job := range strings.SplitSeq(s.mqtt.jobs, ",") {
		if jobsSQL[job] == "" {
			return fmt.Errorf("there is no job %q; there are filter, tumble and hop", job)
		}
		for _, rate := range rates {
			for _, e := range engines {
				f := mqttFigure{Engine: e.name, Job: job, Rate: rate}
				if err := s.mqttRound(ctx, &f, e.start); err != nil {
					f.Trouble = strings.ReplaceAll(head(err.Error(), 300), "\n", " ")
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				figures = append(figures, f)
				fmt.Print(f.row())
			}
		}
	}
	fmt.Printf("\n%s", cleanRates(figures))
	earlier, err := earlierFigures()
	if err != nil {
		return err
	}
	if s.mqtt.kuiperd == "" {
		fmt.Printf("\n%s", earlier)
	}
	if s.out == "" {
		return nil
	}
	return s.writeMQTT(ctx, figures, earlier)
}

func parseRates(list string) ([]int64, error) {
	var out []int64
	for r := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(r, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no rate", r)
		}
		out = append(out, n)
	}
	return out, nil
}

// mqttRound runs one engine with one job at one rate.
func (s *settings) mqttRound(ctx context.Context, f *mqttFigure, begin func(context.Context, *settings, string, int) (mqttEngine, error)) error {
	broker, port, err := s.startBroker(ctx)
	if err != nil {
		return err
	}
	defer broker.stop()
	e, err := begin(ctx, s, f.Job, port)
	if err != nil {
		return err
	}
	defer e.stop()
	before, err1 := usageOf(e.pids()...)
	brokerBefore, err2 := usageOf(broker.Cmd.Process.Pid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if f.loadReport, err = s.runPublisher(ctx, f, port); err != nil {
		return err
	}
	after, err1 := usageOf(e.pids()...)
	brokerAfter, err2 := usageOf(broker.Cmd.Process.Pid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	n := float64(max(f.Sent, 1))
	f.EngineMicros = float64((after.cpu - before.cpu).Microseconds()) / n
	f.BrokerMicros = float64((brokerAfter.cpu - brokerBefore.cpu).Microseconds()) / n
	f.PeakMB = float64(after.peakBytes) / 1e6
	return nil
}

func (s *settings) runPublisher(ctx context.Context, f *mqttFigure, port int) (loadReport, error) {
	self, err := os.Executable()
	if err != nil {
		return loadReport{}, err
	}
	patience := 3 * time.Second
	if f.Engine != "Bramble" { // windows of the clock
		patience = 15 * time.Second
	}
	var out, log bytes.Buffer
	p, err := start(s.mqtt.brokerCore, &out, &log, self, "publish", "-job", f.Job, "-port", strconv.Itoa(port), "-rate", strconv.FormatInt(f.Rate, 10),
		"-duration", s.mqtt.duration.String(), "-patience", patience.String())
	if err != nil {
		return loadReport{}, err
	}
	select {
	case <-p.Done():
	case <-time.After(10*s.mqtt.duration + 2*time.Minute):
		p.stop()
		return loadReport{}, errors.New("the publisher does not end")
	case <-ctx.Done():
		p.stop()
		return loadReport{}, ctx.Err()
	}
	var r loadReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("publisher: %w: %s", err, log.String())
	}
	return r, nil
}

func (s *settings) startBroker(ctx context.Context) (*process, int, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	conf := filepath.Join(s.dir, fmt.Sprintf("mosquitto-%d.conf", port))
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nmax_queued_bytes 0\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil { //nolint:gosec // mosquitto gives up root before it reads it
		return nil, 0, err
	}
	name := "mosquitto"
	if _, err := os.Stat("/usr/sbin/mosquitto"); err == nil { // Debian has it where only root looks
		name = "/usr/sbin/mosquitto"
	}
	log, err := os.Create(conf + ".log")
	if err != nil {
		return nil, 0, err
	}
	p, err := start(s.mqtt.brokerCore, log, log, name, "-c", conf)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: run scripts/test-deps", err)
	}
	p.log = log.Name()
	return p, port, awaitPort(ctx, port)
}

func startBrambleMQTT(ctx context.Context, s *settings, job string, port int) (mqttEngine, error) {
	script := filepath.Join(s.dir, job+"-mqtt.sql")
	if err := os.WriteFile(script, []byte(jobsSQL[job]), 0o600); err != nil {
		return nil, err
	}
	cl, err := s.startCluster(ctx, clusterSpec{cores: s.mqtt.engineSet, memory: "256MiB", slots: 1})
	if err != nil {
		return nil, err
	}
	if err := cl.submit(ctx, script, "-D", "PORT="+strconv.Itoa(port), "-D", "execution.checkpointing.interval=10s"); err != nil {
		cl.stop()
		return nil, err
	}
	if err := await(ctx, "the subscription", startup, lookEvery, func() (bool, error) {
		log, err := os.ReadFile(cl.tmOut)
		return bytes.Contains(log, []byte("connected to mqtt broker")), err
	}); err != nil {
		cl.stop()
		return nil, err
	}
	return cl, pause(ctx, 500*time.Millisecond) // the log comes before the broker's answer
}

const mqttHeader = "| engine | job | asked k/s | sent k/s | lost | engine us/msg | broker us/msg | MB | p50 ms | p99 ms | p99.99 ms | |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|---|\n"

func (f mqttFigure) row() string {
	if f.Trouble != "" {
		return fmt.Sprintf("| %s | %s | %s | | | | | | | | | %s |\n", f.Engine, f.Job, f.asked(), f.Trouble)
	}
	remark := "clean"
	switch {
	case f.clean() && f.Rate == 0:
		remark = "clean; the broker is the limit"
	case f.clean():
	case f.lost() > 0:
		remark = "lost"
	case f.lost() < 0:
		remark = "too much came back"
	case f.Sum != f.WantSum:
		remark = "other sums"
	default:
		remark = fmt.Sprintf("the broker took the last one %.0f ms late", f.LateMS)
	}
	return fmt.Sprintf("| %s | %s | %s | %.1f | %d | %.2f | %.2f | %.0f | %.1f | %.1f | %.1f | %s |\n", f.Engine, f.Job, f.asked(),
		float64(f.Sent)/f.Seconds/1000, f.lost(), f.EngineMicros, f.BrokerMicros, f.PeakMB, f.P50, f.P99, f.P9999, remark)
}

func (f mqttFigure) asked() string {
	if f.Rate == 0 {
		return "all"
	}
	return strconv.FormatFloat(float64(f.Rate)/1000, 'f', -1, 64)
}

// cleanRates is the highest clean rate of each engine and job.
func cleanRates(figures []mqttFigure) string {
	type key struct{ engine, job string }
	best := map[key]mqttFigure{}
	var order []key
	for _, f := range figures {
		k := key{f.Engine, f.Job}
		if _, ok := best[k]; !ok {
			order = append(order, k)
			best[k] = mqttFigure{}
		}
		if b := best[k]; f.clean() && (b.Sent == 0 || float64(f.Sent)/f.Seconds > float64(b.Sent)/b.Seconds) {
			best[k] = f
		}
	}
	var b strings.Builder
	b.WriteString("Highest rate without a loss:\n\n| engine | job | k msg/s | engine us/msg |\n|---|---|---|---|\n")
	for _, k := range order {
		if f := best[k]; f.Sent > 0 {
			fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f |\n", k.engine, k.job, float64(f.Sent)/f.Seconds/1000, f.EngineMicros)
		} else {
			fmt.Fprintf(&b, "| %s | %s | none | |\n", k.engine, k.job)
		}
	}
	return b.String()
}

func (s *settings) writeMQTT(ctx context.Context, figures []mqttFigure, earlier string) error {
	if err := os.MkdirAll(s.out, 0o755); err != nil { //nolint:gosec // results are public
		return err
	}
	when := time.Now().UTC()
	var b strings.Builder
	fmt.Fprintf(&b, "# MQTT: Bramble and LF Edge eKuiper, %s\n\n%s. Commit %s. Load average %s.\n\n", when.Format("2006-01-02 15:04 UTC"), machine(), commit(ctx), load())
	fmt.Fprintf(&b, "Mosquitto, the publisher and the checker of results on core %s, the engine on %s. Readings of 95 bytes at QoS 0, of 1,000 sensors, for %s at each rate. "+
		"Results come back over the broker, and their counts and sums are compared with what was sent. Latency counts from when the reading that causes a result was due, for windows that "+
		"ended while readings came. Bramble: event time, checkpoints every 10 s.\n\n", s.mqtt.brokerCore, s.mqtt.engineSet, s.mqtt.duration)
	b.WriteString(mqttHeader)
	for _, f := range figures {
		b.WriteString(f.row())
	}
	fmt.Fprintf(&b, "\n%s", cleanRates(figures))
	if s.mqtt.kuiperd == "" {
		fmt.Fprintf(&b, "\n%s", earlier)
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(s.out, "mqtt-"+when.Format("2006-01-02"))
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil { //nolint:gosec // the same
		return err
	}
	return os.WriteFile(name+".md", []byte(b.String()), 0o644) //nolint:gosec // the same
}
