package app

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes as a flag: "256MiB", "1 GB", "64m", "1048576". As in Flink, k, kb, m and so on are powers of 1024.
type Bytes int64

// String is the size with the largest unit that divides it.
func (b *Bytes) String() string {
	n := int64(*b)
	for _, u := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Type is for --help.
func (b *Bytes) Type() string { return "size" }

// Set parses a size.
func (b *Bytes) Set(s string) error {
	text := strings.ToLower(strings.TrimSpace(s))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	unit := strings.TrimSpace(text[len(digits):])
	shift, ok := map[string]int{
		"": 0, "b": 0, "bytes": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30, "t": 40, "tb": 40, "tib": 40,
	}[unit]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !ok || n < 0 || n*math.Pow(2, float64(shift)) > math.MaxInt64/2 {
		return fmt.Errorf("%q is not a size: write it like 256MiB or 1GiB", s)
	}
	*b = Bytes(n * math.Pow(2, float64(shift)))
	return nil
}
