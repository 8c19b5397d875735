//go:build integration

// Package web uses the dashboard as people do: a real browser (Chromium), a real jobmanager and real taskmanagers. What the browser does is in
// dashboard.mjs, driven by Playwright out of web/node_modules; here is the cluster around it.
package web

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures of docs/images anew")

const (
	// patience bounds waits for our programs, and scenarioMax what a browser does: far above what is usual, since the machines are shared.
	patience    = 60 * time.Second
	scenarioMax = 6 * time.Minute
	// modules is where npm puts what web/package.json names.
	modules = "../../web/node_modules"
)

// browser is what a scenario needs of the machine.
type browser struct{ node, chromium string }

func findBrowser(t *testing.T) browser {
	t.Helper()
	var b browser
	var err error
	if b.node, err = exec.LookPath("node"); err != nil {
		t.Fatal("node is not installed: run scripts/test-deps")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if b.chromium, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if b.chromium == "" {
		t.Fatal("chromium is not installed: run scripts/test-deps")
	}
	if _, err := os.Stat(filepath.Join(modules, "playwright-core")); err != nil {
		t.Fatal("web/node_modules is not there: run make web/node_modules")
	}
	return b
}

// start runs a program of ours until the test's end.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	logFile, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testenv.Bin(t, name), args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		stop := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how it ended is not this test's question
		stop.Stop()
		if t.Failed() {
			out, _ := os.ReadFile(logFile.Name())
			t.Logf("--- %s %s\n%s", name, strings.Join(args, " "), out[max(0, len(out)-8000):])
		}
		_ = logFile.Close() // read above
	})
}

// cluster starts a jobmanager and taskmanagers, and returns HOST:PORT of its dashboard.
func cluster(t *testing.T, taskmanagers int, more ...string) string {
	t.Helper()
	rpc, page := testenv.FreePort(t), testenv.FreePort(t)
	args := append([]string{
		"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", strconv.Itoa(page), "--metrics-port", "-1",
		"--data-dir", t.TempDir(), "--checkpoint-dir", "file://" + t.TempDir(),
	}, more...)
	start(t, "jobmanager", args...)
	for range taskmanagers {
		start(t, "taskmanager", "--jobmanager", fmt.Sprintf("127.0.0.1:%d", rpc), "--bind-host", "127.0.0.1", "--data-port", "0", "--metrics-port", "-1",
			"--slots", "4", "--data-dir", t.TempDir())
	}
	addr := fmt.Sprintf("127.0.0.1:%d", page)
	deadline := time.Now().Add(patience)
	for {
		resp, err := http.Get("http://" + addr + "/api/v1/session")
		if err == nil {
			_ = resp.Body.Close() // it answers, that is all
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("the jobmanager does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// play runs a scenario of dashboard.mjs against the dashboard at addr. A line "@word" of its output is told to each.
func play(t *testing.T, scenario, addr string, each func(word string), env ...string) {
	t.Helper()
	b := findBrowser(t)
	ctx, cancel := context.WithTimeout(t.Context(), scenarioMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.node, "dashboard.mjs", scenario)
	cmd.Env = append(os.Environ(), "BASE=http://"+addr, "CHROMIUM="+b.chromium, "FAILURE="+filepath.Join(t.ArtifactDir(), scenario+".png"))
	cmd.Env = append(cmd.Env, env...)
	if *screenshots {
		cmd.Env = append(cmd.Env, "PICTURES=../../docs/images")
	}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if word, ok := strings.CutPrefix(lines.Text(), "@"); ok {
			each(word)
			continue
		}
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("scenario %s: %v", scenario, err)
	}
}

func none(string) {}

// TestJobThroughThePage takes a job from the first key in the editor to its end.
func TestJobThroughThePage(t *testing.T) {
	play(t, "job", cluster(t, 2), none)
}

func TestEmptyCluster(t *testing.T) {
	play(t, "empty", cluster(t, 0), none)
}

func TestSignIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("open-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	play(t, "token", cluster(t, 0, "--http-token-file", file), none, "TOKEN=open-sesame")
}

func TestReadOnly(t *testing.T) {
	play(t, "readonly", cluster(t, 1, "--http-read-only"), none)
}

// TestLostConnection cuts the browser off, and lets it back.
func TestLostConnection(t *testing.T) {
	proxy := testenv.Proxy(t, cluster(t, 1))
	play(t, "disconnect", proxy.Addr(), func(word string) {
		switch word {
		case "cut":
			proxy.Refuse()
			proxy.Cut()
		case "mend":
			proxy.Accept()
		default:
			t.Errorf("unknown word %q", word)
		}
	})
}
