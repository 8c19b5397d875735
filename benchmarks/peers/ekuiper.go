package main

import (
	"bytes"
	"context"
	_ "embed" // the figures
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// earlierJSON are figures of eKuiper that were measured or published earlier; the file says where and how.
//
//go:embed ekuiper.json
var earlierJSON []byte

// earlierFigures shows them as a table.
func earlierFigures() (string, error) {
	var e struct {
		Note    string `json:"note"`
		Figures []struct {
			What, Rate, CPU, Memory, Source string
		} `json:"figures"`
	}
	if err := json.Unmarshal(earlierJSON, &e); err != nil {
		return "", fmt.Errorf("ekuiper.json: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "eKuiper was not run. %s\n\n| eKuiper | k msg/s | CPU us/msg | MB | source |\n|---|---|---|---|---|\n", e.Note)
	for _, f := range e.Figures {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.What, f.Rate, f.CPU, f.Memory, f.Source)
	}
	return b.String(), nil
}

// rulesSQL are the jobs of eKuiper. Its windows are of the clock, as its users have them.
var rulesSQL = map[string]string{
	"filter": "SELECT sensor, ts, temp, hum FROM readings WHERE temp > 34.9",
	"tumble": "SELECT sensor, avg(temp) AS average, count(*) AS n, sum(hum) AS s FROM readings GROUP BY sensor, TUMBLINGWINDOW(ss, 10)",
	"hop":    "SELECT sensor, avg(temp) AS average, count(*) AS n, sum(hum) AS s FROM readings GROUP BY sensor, HOPPINGWINDOW(ss, 60, 10)",
}

// kuiper is an eKuiper with a rule.
type kuiper struct{ *process }

func (k *kuiper) pids() []int { return []int{k.Cmd.Process.Pid} }

type kuiperStart = struct {
	name  string
	start func(ctx context.Context, s *settings, job string, port int) (mqttEngine, error)
}

// kuiperEngine is eKuiper with its defaults, or with what was found best for it: it waits instead of dropping when a buffer is full, and has larger buffers.
func kuiperEngine(name string, tuned bool) kuiperStart {
	options := map[string]any{"qos": 0}
	if tuned {
		options = map[string]any{"qos": 0, "disableBufferFullDiscard": true, "bufferLength": 16384, "concurrency": 2}
	}
	return kuiperStart{name, func(ctx context.Context, s *settings, job string, port int) (mqttEngine, error) {
		return startKuiper(ctx, s, job, port, options)
	}}
}

// startKuiper runs kuiperd with a copy of its configuration, found at etc beside the program or a directory above, so that what is installed stays as it is.
func startKuiper(ctx context.Context, s *settings, job string, port int, options map[string]any) (mqttEngine, error) {
	home, err := os.MkdirTemp(s.dir, "kuiper-")
	if err != nil {
		return nil, err
	}
	program, err := filepath.Abs(s.mqtt.kuiperd)
	if err != nil {
		return nil, err
	}
	etc := filepath.Join(filepath.Dir(program), "etc")
	if _, err := os.Stat(etc); err != nil {
		etc = filepath.Join(filepath.Dir(filepath.Dir(program)), "etc")
	}
	if err := os.CopyFS(filepath.Join(home, "etc"), os.DirFS(etc)); err != nil {
		return nil, fmt.Errorf("eKuiper's configuration: %w", err)
	}
	for _, d := range []string{"data", "log", "plugins"} {
		if err := os.Mkdir(filepath.Join(home, d), 0o755); err != nil { //nolint:gosec // nothing secret
			return nil, err
		}
	}
	rest, err := freePort()
	if err != nil {
		return nil, err
	}
	rpc, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(home, "output"))
	if err != nil {
		return nil, err
	}
	server := fmt.Sprintf("tcp://127.0.0.1:%d", port)
	p, err := start(s.mqtt.engineSet, log, log, "env", "KuiperBaseKey="+home, "KUIPER__BASIC__RESTPORT="+strconv.Itoa(rest), "KUIPER__BASIC__PORT="+strconv.Itoa(rpc),
		"KUIPER__BASIC__PROMETHEUS=false", "MQTT_SOURCE__DEFAULT__SERVER="+server, program)
	if err != nil {
		return nil, err
	}
	p.log = log.Name()
	k := &kuiper{p}
	if err := k.setUp(ctx, rest, server, job, options); err != nil {
		k.stop()
		return nil, err
	}
	return k, pause(ctx, 2*time.Second) // until it has subscribed; it does not say when
}

func (k *kuiper) setUp(ctx context.Context, rest int, server, job string, options map[string]any) error {
	if err := awaitPort(ctx, rest); err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", rest)
	if err := post(ctx, url+"/streams", map[string]any{
		"sql": `CREATE STREAM readings (sensor STRING, ts BIGINT, temp FLOAT, hum BIGINT, loc STRING) WITH (TYPE="mqtt", DATASOURCE="s/#", FORMAT="JSON")`,
	}); err != nil {
		return err
	}
	return post(ctx, url+"/rules", map[string]any{
		"id": "bench", "sql": rulesSQL[job], "options": options,
		"actions": []any{map[string]any{"mqtt": map[string]any{"server": server, "topic": resultTopic, "sendSingle": job == "filter"}}},
	})
}

func post(ctx context.Context, url string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	if resp.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // for the message only
		return fmt.Errorf("POST %s: %s: %s", url, resp.Status, answer)
	}
	return nil
}
