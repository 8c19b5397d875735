package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// hint says what a person can do about an error of the system, "" where there is nothing to add.
func hint(err error) string {
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return "is the name " + unknown.Name + " right, has its service been started, and is the network up (`ip addr`)?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there: is the server started, and the port right?"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "is the network up (`ip addr`), and that machine?"
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
