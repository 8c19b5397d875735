package app

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// hint says what a person can do about an error of the system, "" where there is nothing to add.
func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has that port: `ss -ltnp` shows which; the flags --rpc-port, --http-port, --data-port and --metrics-port choose others"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have that address now: see --bind-host, and whether the network is up (`ip addr`)"
	case errors.Is(err, syscall.EROFS):
		return "the file system is mounted read-only: by its options, or because Linux found errors on a worn-out card or disk (`dmesg` shows them)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: `df -h` shows it"
	case errors.Is(err, os.ErrPermission):
		return fmt.Sprintf("this program runs as user %d: give it what it asks for, a directory for instance by `chown %[1]d:%[2]d DIR`", os.Getuid(), os.Getgid())
	}
	return ""
}
