//go:build !linux

package serve

import "time"

// setLost does nothing: the system decides how long it sends again.
func setLost(int, time.Duration) error { return nil }
