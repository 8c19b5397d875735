package child_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
)

// parentEnv makes this test's program the parent that is killed.
const parentEnv = "BRAMBLE_TEST_CHILD_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "" {
		os.Exit(m.Run())
	}
	p, err := child.Start(exec.Command("sleep", "600"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.Cmd.Process.Pid)
	select {}
}

// runs says whether a process is there, and is not a zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

func TestAChildDoesNotOutliveItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !runs(pid) {
		t.Fatal("the child does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); runs(pid); <-tick.C {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("10s after its parent was killed the child is still there")
		}
	}
}

// TestThreadsThatEnd: a child lives on although the thread of the goroutine that asked for it has ended.
func TestThreadsThatEnd(t *testing.T) {
	started := make(chan *child.Process, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		p, err := child.Start(exec.Command("sleep", "600"))
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	p := <-started
	if p == nil {
		return
	}
	select {
	case <-p.Done():
		t.Error("the child has ended: ", p.Cmd.ProcessState)
	case <-time.After(200 * time.Millisecond):
	}
	if !p.End(syscall.SIGTERM, 10*time.Second) || !p.Ended() {
		t.Error("the child did not end on SIGTERM")
	}
}

// said is closed when something is written to it.
type said chan struct{}

func (s said) Write(p []byte) (int, error) {
	close(s)
	return len(p), nil
}

func TestEndKills(t *testing.T) {
	deaf := make(said)
	cmd := exec.Command("sh", "-c", "trap '' TERM; echo deaf; exec sleep 600")
	cmd.Stdout = deaf
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	<-deaf
	if p.End(syscall.SIGTERM, 50*time.Millisecond) {
		t.Error("a process that ignores SIGTERM has ended")
	}
	if !p.Ended() {
		t.Error("it was not killed")
	}
	if _, err := child.Start(exec.Command("/nonexistent")); err == nil {
		t.Error("a program that does not exist has been started")
	}
}
