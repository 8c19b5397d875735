package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestErrorsOfTheSystemSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "mkdir", Path: "/data", Err: syscall.EACCES}, "chown"},
		{fmt.Errorf("--data-dir: %w", &os.PathError{Op: "mkdir", Path: "/data", Err: syscall.EROFS}), "read-only"},
		{&os.PathError{Op: "write", Path: "/data/x", Err: syscall.ENOSPC}, "df -h"},
		{fmt.Errorf("listen on port 6123: %w", os.NewSyscallError("bind", syscall.EADDRINUSE)), "--rpc-port"},
		{os.NewSyscallError("bind", syscall.EADDRNOTAVAIL), "--bind-host"},
		{fmt.Errorf("list leader/: %w", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "s3", Err: "no such host"}}), "the name s3"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "nobody listens"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, "network up"},
		{errors.New("anything else"), ""},
	} {
		if got := hint(test.err); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%v: hint %q, want %q in it", test.err, got, test.want)
		}
		var out strings.Builder
		if code := exitCode(test.err, &out); code != ExitFailed {
			t.Errorf("%v: exit code %d", test.err, code)
		}
		if has := strings.Contains(out.String(), "\nhint: "); has != (test.want != "") {
			t.Errorf("%v: printed %q", test.err, out.String())
		}
	}
}

func TestWarningsSayWhatToDo(t *testing.T) {
	var out strings.Builder
	log, err := (&LogFlags{Format: "text", Level: "info"}).Logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	full := fmt.Errorf("put x: %w", syscall.ENOSPC)
	log = log.With("job", "j")
	log.Info("one", "error", full)
	log.Warn("two", "error", errors.New("anything else"))
	if strings.Contains(out.String(), "hint") {
		t.Errorf("printed %q", out.String())
	}
	log.Warn("three", "n", 3, "error", full)
	log.Warn("four", "error", full, "hint", "mine")
	if !strings.Contains(out.String(), "df -h") || !strings.Contains(out.String(), "hint=mine") || strings.Count(out.String(), "hint=") != 2 || strings.Count(out.String(), "job=j") != 4 {
		t.Errorf("printed %q", out.String())
	}
}

func TestDataDirectoryMustBeWritable(t *testing.T) {
	dir := t.TempDir()
	if err := checkWritable(dir + "/new"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir + "/new"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkWritable(dir + "/file"); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a file as directory: %v", err)
	}
}
