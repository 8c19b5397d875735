//go:build !linux

package child

import "os/exec"

// dieWithParent exists on Linux only; elsewhere a process that is killed leaves its children behind.
func dieWithParent(*exec.Cmd) {}
