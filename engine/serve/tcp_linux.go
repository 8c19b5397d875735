package serve

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setLost ends a connection when its peer has acknowledged nothing for so long.
func setLost(fd int, after time.Duration) error {
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds())))
}
