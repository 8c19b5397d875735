//go:build !linux

package testenv

import "syscall"

// dieWithParent exists on Linux only; elsewhere a test that times out leaves its servers
// behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
