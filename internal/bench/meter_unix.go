//go:build unix

package bench

import (
	"os/exec"
	"syscall"
	"time"
)

// cpuTime is what this process has used on all cores, in user mode and in the kernel.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// detach keeps Ctrl-C from a child: it ends when its parent says so.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
