//go:build integration

// Package web uses the dashboard as people do: a real browser (Chromium), a real jobmanager and real taskmanagers. What the browser does is in
// dashboard.mjs and beside it, driven by Playwright out of web/node_modules; here is the cluster around it.
package web

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

var (
	screenshots = flag.Bool("screenshots", false, "write the pictures of docs/images anew")
	withFirefox = flag.Bool("firefox", false, "look at every page in Firefox, too (firefox-esr or firefox)")
)

const (
	// patience bounds waits for our programs, and scenarioMax what a browser does: far above what is usual, since the machines are shared.
	patience    = 60 * time.Second
	scenarioMax = 6 * time.Minute
	// modules is where npm puts what web/package.json names.
	modules = "../../web/node_modules"
	openAPI = "../../engine/rest/openapi.yaml"
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

// program is one of ours that runs until the test's end, or until it is stopped.
type program struct {
	t    *testing.T
	dir  string
	name string
	args []string
	log  *os.File
	cmd  *exec.Cmd
}

// start runs a program of ours in a directory until the test's end.
func start(t *testing.T, dir, name string, args ...string) *program {
	t.Helper()
	logFile, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: dir, name: name, args: args, log: logFile}
	p.run()
	t.Cleanup(func() {
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			out, _ := os.ReadFile(logFile.Name())
			t.Logf("--- %s %s\n%s", name, strings.Join(args, " "), out[max(0, len(out)-8000):])
		}
		_ = logFile.Close() // read above
	})
	return p
}

func (p *program) run() {
	p.t.Helper()
	p.cmd = exec.Command(testenv.Bin(p.t, p.name), p.args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
}

// stop returns when it has ended.
func (p *program) stop(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended
	stop := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait() // how it ended is not this test's question
	stop.Stop()
	p.cmd = nil
}

// cluster is a jobmanager and taskmanagers. Addr is HOST:PORT of the dashboard.
type cluster struct {
	addr        string
	rpc         int
	checkpoints string
	// dir is where taskmanagers run.
	dir        string
	jobmanager *program
}

// newCluster starts one; more are further flags of the jobmanager.
func newCluster(t *testing.T, taskmanagers int, more ...string) *cluster {
	t.Helper()
	c := &cluster{rpc: testenv.FreePort(t), checkpoints: "file://" + t.TempDir(), dir: t.TempDir()}
	c.jobmanager, c.addr = startJobManager(t, c.rpc, c.checkpoints, more...)
	for range taskmanagers {
		start(t, c.dir, "taskmanager", "--jobmanager", fmt.Sprintf("127.0.0.1:%d", c.rpc), "--bind-host", "127.0.0.1", "--data-port", "0", "--metrics-port", "-1",
			"--slots", "4", "--data-dir", t.TempDir())
	}
	answers(t, c.addr, "/readyz", http.StatusOK)
	return c
}

func startJobManager(t *testing.T, rpc int, checkpoints string, more ...string) (p *program, addr string) {
	t.Helper()
	page := testenv.FreePort(t)
	return start(t, t.TempDir(), "jobmanager", append([]string{
		"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", strconv.Itoa(page), "--metrics-port", "-1",
		"--data-dir", t.TempDir(), "--checkpoint-dir", checkpoints,
	}, more...)...), fmt.Sprintf("127.0.0.1:%d", page)
}

// answers waits until path of a dashboard is answered with a status.
func answers(t *testing.T, addr, path string, status int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		resp, err := http.Get("http://" + addr + path)
		if err == nil {
			_ = resp.Body.Close() // it answers, that is all
			if resp.StatusCode == status {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the jobmanager does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// used are the parts of the API that have answered a page well, as "METHOD /path".
var used struct {
	sync.Mutex
	by map[string]bool
}

// play runs a scenario of dashboard.mjs against the dashboard at addr. A line "@word" of its output is told to each, which says whether it is done.
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
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, isWord := strings.CutPrefix(lines.Text(), "@")
		path, isUse := strings.CutPrefix(word, "used ")
		switch {
		case !isWord:
			t.Log(lines.Text())
		case isUse:
			used.Lock()
			if used.by == nil {
				used.by = map[string]bool{}
			}
			used.by[path] = true
			used.Unlock()
		default:
			each(word)
			if _, err := io.WriteString(in, "done\n"); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("scenario %s: %v", scenario, err)
	}
}

func nothing(t *testing.T) func(string) {
	return func(word string) { t.Errorf("unknown word %q", word) }
}

// TestDashboard goes through the dashboard, in several browsers at a time. Then every part of our API must have answered one of them well.
func TestDashboard(t *testing.T) {
	if !t.Run("each", func(t *testing.T) {
		for name, f := range map[string]func(*testing.T){
			"Job": theJob, "Pages": pages, "Editor": editor, "Trouble": trouble, "Empty": empty, "SignIn": signIn, "ReadOnly": readOnly, "Gone": gone, "Standby": standby,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t)
			})
		}
	}) {
		return
	}
	if f := flag.Lookup("test.run"); f != nil && strings.Contains(f.Value.String(), "/") {
		return // a part of the scenarios uses a part of the API
	}
	doc, err := os.ReadFile(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range unused(string(doc), slices.Sorted(maps.Keys(used.by))) {
		t.Errorf("no page has used %s", what)
	}
}

var (
	anAPIPath   = regexp.MustCompile(`^  (/api/v1/\S+):$`)
	anOperation = regexp.MustCompile(`^    (get|post|put|patch|delete):$`)
	aParameter  = regexp.MustCompile(`\\\{[a-z]+\\\}`)
)

// unused are the operations of an OpenAPI document that no request is of.
func unused(doc string, requests []string) (out []string) {
	path := ""
	for line := range strings.SplitSeq(doc, "\n") {
		if m := anAPIPath.FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		m := anOperation.FindStringSubmatch(line)
		if m == nil || path == "" || strings.HasSuffix(path, "/openapi.yaml") {
			continue
		}
		what := strings.ToUpper(m[1]) + " " + path
		like := regexp.MustCompile("^" + aParameter.ReplaceAllString(regexp.QuoteMeta(what), "[^/]+") + "$")
		if !slices.ContainsFunc(requests, like.MatchString) {
			out = append(out, what)
		}
	}
	return out
}

// theJob takes a job from the editor to its end.
func theJob(t *testing.T) {
	play(t, "job", newCluster(t, 2).addr, nothing(t))
}

func pages(t *testing.T) {
	play(t, "pages", newCluster(t, 2).addr, nothing(t))
}

func editor(t *testing.T) {
	play(t, "editor", newCluster(t, 1).addr, nothing(t))
}

// trouble has a job that fails, and one whose records are late and bad, out of files.
func trouble(t *testing.T) {
	c := newCluster(t, 1)
	dir := filepath.Join(c.dir, "readings")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files := 0
	play(t, "trouble", c.addr, func(word string) {
		if word != "records" {
			t.Errorf("unknown word %q", word)
			return
		}
		files++
		lines := []string{
			fmt.Sprintf(`{"sensor":"kitchen","reading":1,"ts":"2026-11-22 10:00:%02dZ"}`, 10*files),
			`{"sensor":"cellar","reading":9007199254740993,"ts":"2026-11-21 08:00:00Z"}`,
			`{"sensor":"attic","password":"hunter2","reading":"many"}`,
			`no JSON at all`,
		}
		if files == 1 {
			lines = lines[:1] // before the watermark has moved nothing is late
		}
		hidden := filepath.Join(dir, fmt.Sprintf(".%d.json", files))
		if err := os.WriteFile(hidden, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(hidden, filepath.Join(dir, fmt.Sprintf("%d.json", files))); err != nil {
			t.Error(err)
		}
	})
}

func empty(t *testing.T) {
	play(t, "empty", newCluster(t, 0).addr, nothing(t))
}

func signIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("open-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	play(t, "token", newCluster(t, 0, "--http-token-file", file).addr, nothing(t), "TOKEN=open-sesame")
}

func readOnly(t *testing.T) {
	play(t, "readonly", newCluster(t, 1, "--http-read-only").addr, nothing(t))
}

// gone kills the jobmanager under an open page, and starts it again.
func gone(t *testing.T) {
	c := newCluster(t, 1)
	play(t, "gone", c.addr, func(word string) {
		switch word {
		case "kill":
			c.jobmanager.stop(syscall.SIGKILL)
		case "start":
			c.jobmanager.run()
		default:
			t.Errorf("unknown word %q", word)
		}
	})
}

// standby opens the page of a jobmanager that does not lead, and has it lead.
func standby(t *testing.T) {
	c := newCluster(t, 0)
	_, second := startJobManager(t, testenv.FreePort(t), c.checkpoints)
	answers(t, second, "/", http.StatusServiceUnavailable)
	play(t, "standby", second, func(word string) {
		if word != "leave" {
			t.Errorf("unknown word %q", word)
			return
		}
		c.jobmanager.stop(syscall.SIGTERM)
	}, "LEADER=http://"+c.addr)
}

// TestFirefox looks at every page in a second browser. Not a part of the usual tests: few machines that build have it.
func TestFirefox(t *testing.T) {
	if !*withFirefox {
		t.Skip("only with -args -firefox")
	}
	program, err := exec.LookPath("firefox-esr")
	if err != nil {
		if program, err = exec.LookPath("firefox"); err != nil {
			t.Fatal("neither firefox-esr nor firefox is installed")
		}
	}
	c := newCluster(t, 1)
	out, err := exec.Command(testenv.Bin(t, "bramble"), "submit", "testdata/house.sql", "--jobmanager", fmt.Sprintf("127.0.0.1:%d", c.rpc)).CombinedOutput()
	if err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	job := string(regexp.MustCompile(`[0-9a-f]{32}`).Find(out))
	ctx, cancel := context.WithTimeout(t.Context(), scenarioMax)
	defer cancel()
	// Node 20 has WebSocket behind a flag, later ones take the flag without a word.
	cmd := exec.CommandContext(ctx, findBrowser(t).node, "--experimental-websocket", "firefox.mjs")
	cmd.Env = append(os.Environ(), "BASE=http://"+c.addr, "FIREFOX="+program, "PROFILE="+t.TempDir(), "JOB="+job)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}
