//go:build integration && linux

// Package shell uses `bramble sql` and `bramble top` as people do: in a terminal, with a real cluster behind.
package shell

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// patience bounds waits, far above what is usual, since the machines are shared.
const patience = 60 * time.Second

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
			t.Logf("--- %s\n%s", name, out[max(0, len(out)-4000):])
		}
		_ = log.Close() // read above
	})
}

// cluster starts one and returns HOST:PORT of its jobmanager.
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
				return "127.0.0.1:" + rpc
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the jobmanager does not answer: %v", err)
		}
	}
}

// terminal is one in which a program runs.
type terminal struct {
	t    *testing.T
	keys *os.File
	cmd  *exec.Cmd
	mu   struct {
		sync.Mutex
		shown []byte
	}
	// seen is up to where expect has read.
	seen int
}

// open runs bramble in a terminal of so many columns and lines.
func open(t *testing.T, columns, lines int, args ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, keys: keys, cmd: exec.Command(testenv.Bin(t, "bramble"), args...)}
	term.resize(columns, lines)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = screen, screen, screen
	term.cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close() // the program has it
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := keys.Read(buf)
			term.mu.Lock()
			term.mu.shown = append(term.mu.shown, buf[:n]...)
			term.mu.Unlock()
			if err != nil { // the program has ended
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill() // it has ended, or the test has failed
		_ = keys.Close()            // nobody reads on
	})
	return term
}

func (x *terminal) resize(columns, lines int) {
	x.t.Helper()
	size := &unix.Winsize{Col: uint16(columns), Row: uint16(lines)} //nolint:gosec // small
	if err := unix.IoctlSetWinsize(int(x.keys.Fd()), unix.TIOCSWINSZ, size); err != nil {
		x.t.Fatal(err)
	}
}

// press types keys.
func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.keys.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// expect waits until the terminal has been sent a text, after what was expected before, and returns all up to its end.
func (x *terminal) expect(text string) string {
	x.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		x.mu.Lock()
		shown := x.mu.shown[x.seen:]
		i := bytes.Index(shown, []byte(text))
		if i >= 0 {
			x.seen += i + len(text)
			out := string(shown[:i+len(text)])
			x.mu.Unlock()
			return out
		}
		all := string(shown)
		x.mu.Unlock()
		if time.Now().After(end) {
			x.t.Fatalf("%q does not come; what came is\n%q", text, all)
		}
	}
}

// ends waits for the end of the program, which has to be a good one.
func (x *terminal) ends() {
	x.t.Helper()
	done := make(chan error, 1)
	go func() { done <- x.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			x.t.Fatal(err)
		}
	case <-time.After(patience):
		x.t.Fatal("it does not end")
	}
}

const (
	up, ctrlC, ctrlD = "\x1b[A", "\x03", "\x04"
	// alternate and ordinary switch to a page of its own and back.
	alternate, ordinary = "\x1b[?1049h", "\x1b[?1049l"
)

var (
	escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]`)
	// newLine is what begins a line of a page: only those that have changed are drawn.
	newLine = regexp.MustCompile(`\x1b\[[0-9;]*H|\n`)
)

// fits reports the first line of a page that is wider than the terminal.
func fits(t *testing.T, page string, columns int) {
	t.Helper()
	for _, line := range newLine.Split(page, -1) {
		if plain := strings.TrimRight(escapes.ReplaceAllString(line, ""), "\r"); utf8.RuneCountInString(plain) > columns {
			t.Errorf("a line of %d columns in %d: %q", utf8.RuneCountInString(plain), columns, plain)
			return
		}
	}
}

func TestShell(t *testing.T) {
	addr := cluster(t)
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	const prompt, more = "bramble> ", "      -> "
	x := open(t, 80, 24, "sql", "--jobmanager", addr)
	x.expect(prompt)
	x.press("CREATE TABLE s (k BIGINT) WITH ('connector' = 'datag\t")
	x.expect("datagen")
	x.press("', 'rows-per-second' = '50');\r")
	x.expect("ok\r\n")
	x.expect(prompt)

	// Several lines, a live table, and Ctrl-C, which ends the query and not the shell.
	x.press("SELECT k\r")
	x.expect(more)
	x.press("FROM s;\r")
	x.expect(alternate)
	x.expect("q ends   ")
	x.expect(" rows")
	x.press(ctrlC)
	x.expect(ordinary)
	x.expect("there may be more: stopped)")
	x.expect(prompt)

	// A narrow window, again from the history.
	x.resize(40, 12)
	x.press(up)
	x.expect("SELECT k FROM s;")
	x.press("\r")
	x.expect(alternate)
	x.expect(" rows")
	page := x.expect(" rows")
	fits(t, page, 40)
	x.press("q")
	x.expect(ordinary)
	x.expect(prompt)

	x.press("SELECT rubbish" + ctrlC)
	x.expect(prompt)
	x.press("DESCRIBE s;\r")
	x.expect("BIGINT | true")
	x.press("SHOW JOBS;\r")
	x.expect("job id")
	x.expect(prompt)
	x.press(ctrlD)
	x.ends()
	lines, err := os.ReadFile(filepath.Join(state, "bramble", "sql_history"))
	if err != nil || !strings.Contains(string(lines), "SELECT k FROM s;") || strings.Contains(string(lines), "rubbish") {
		t.Errorf("the history: %q, %v", lines, err)
	}
}

func TestTop(t *testing.T) {
	addr := cluster(t)
	sql := "CREATE TABLE s (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50'); CREATE TABLE b (k BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT k FROM s;"
	if out, err := exec.Command(testenv.Bin(t, "bramble"), "sql", "--jobmanager", addr, "-e", sql).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	x := open(t, 80, 24, "top", "--jobmanager", addr)
	x.expect(alternate)
	page := x.expect("insert-into_b")
	page += x.expect("q quit")
	fits(t, page, 80)
	x.press("\r")
	fits(t, x.expect("OPERATORS"), 80)
	x.expect("Source: s")
	x.resize(40, 12)
	x.expect("BUSY BACK\x1b") // the head of a narrow table
	fits(t, x.expect("…\x1b[0m"), 40)
	x.press("q")
	x.expect(ordinary)
	x.ends()
}
