//go:build integration

// Package gateway runs Flink's own clients against our SQL gateway: its JDBC driver, by Client.java, and its SQL client. Maven fetches them; pom.xml pins them.
package gateway

import (
	"context"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

var update = flag.Bool("update", false, "write testdata anew")

// patience bounds waits for programs, far above what is usual, since the machines are shared; fetching is bounded by fetchMax.
const (
	patience = 2 * time.Minute
	fetchMax = 8 * time.Minute
)

// classPath are the jars of Flink's clients.
func classPath(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: run scripts/test-deps", program)
		}
	}
	out := filepath.Join(t.TempDir(), "classpath")
	run(t, fetchMax, nil, "mvn", "-q", "-B", "-f", "pom.xml", "dependency:build-classpath", "-Dmdep.outputFile="+out)
	jars, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(jars))
}

// run returns what a program prints.
func run(t *testing.T, most time.Duration, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// start runs a program of ours until the test's end.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testenv.Bin(t, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how it ended is not this test's question
		kill.Stop()
		if out, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("--- %s\n%s", name, out[max(0, len(out)-8000):])
		}
		_ = log.Close() // read above
	})
}

// cluster starts one and returns HOST:PORT of its gateway.
func cluster(t *testing.T) string {
	t.Helper()
	rpc, page := strconv.Itoa(testenv.FreePort(t)), strconv.Itoa(testenv.FreePort(t))
	start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", rpc, "--http-port", page, "--metrics-port", "-1")
	start(t, "taskmanager", "--jobmanager", "127.0.0.1:"+rpc, "--bind-host", "127.0.0.1", "--data-port", "0", "--metrics-port", "-1", "--slots", "4", "--data-dir", t.TempDir())
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://127.0.0.1:" + page + "/readyz")
		if err == nil {
			_ = resp.Body.Close() // it answers, that is all
			if resp.StatusCode == http.StatusOK {
				return "127.0.0.1:" + page
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the jobmanager does not answer: %v", err)
		}
	}
}

// differs are parts of answers that are never the same twice.
var differs = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`[0-9a-f]{32}`), "JOB"},
	{regexp.MustCompile(`20(?:2[6-9]|[3-9][0-9])-[0-9]{2}-[0-9]{2} [0-9:.]+`), "TIME"},
	{regexp.MustCompile(`\([0-9.]+ seconds\)`), "(SECONDS)"},
	{regexp.MustCompile(`(config-dir \| *)[^ ]+`), "${1}DIR"},
	{regexp.MustCompile(` +`), " "},
	{regexp.MustCompile(`\+?-{2,}[-+]*`), "---"},
	{regexp.MustCompile(`(?m)\x1b\[[0-9;]*m`), ""},
	{regexp.MustCompile(`(?m)[ \r]+$`), ""},
	{regexp.MustCompile(`RUNNING|FINISHED`), "STATE"},
	// What it echoes of a statement depends on the terminal.
	{regexp.MustCompile(`Flink SQL> .*?(---|\[INFO\]|\[ERROR\])`), "Flink SQL> $1"},
}

// compare compares with a file of testdata.
func compare(t *testing.T, file, got string) {
	t.Helper()
	for _, d := range differs {
		got = d.what.ReplaceAllString(got, d.as)
	}
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	have, lines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(have), len(lines)) {
		if i >= len(have) || i >= len(lines) || have[i] != lines[i] {
			t.Fatalf("%s differs from line %d on: -update writes it anew\ngot\n%s\nwant\n%s", file, i+1, strings.Join(have[min(i, len(have)):min(i+8, len(have))], "\n"),
				strings.Join(lines[min(i, len(lines)):min(i+8, len(lines))], "\n"))
		}
	}
}

func TestFlinkClients(t *testing.T) {
	jars, addr := classPath(t), cluster(t)
	const quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
	t.Run("jdbc", func(t *testing.T) {
		compare(t, "jdbc.txt", run(t, patience, nil, "java", quiet, "-Duser.timezone=UTC", "-cp", jars, "Client.java", addr, "testdata/jdbc.sql"))
	})
	t.Run("sql client", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		out := run(t, patience, []string{"FLINK_CONF_DIR=" + dir}, "java", quiet, "-cp", jars, "org.apache.flink.table.client.SqlClient", "gateway", "-e", "http://"+addr,
			"-hist", filepath.Join(dir, "history"), "-f", "testdata/client.sql")
		_, shown, _ := strings.Cut(out, "Command history file path")
		_, shown, ok := strings.Cut(shown, "\n")
		if !ok {
			t.Fatal(out)
		}
		compare(t, "client.txt", shown)
	})
}
