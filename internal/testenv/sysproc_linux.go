package testenv

import "syscall"

// dieWithParent makes the kernel kill a server when the test process ends without
// running its cleanups, as it does at go test's -timeout.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
