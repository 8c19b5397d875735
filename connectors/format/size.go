package format

import (
	"fmt"
	"strconv"
	"strings"
)

// sizeUnits are Flink's spellings; each is 1024 of the one before.
var sizeUnits = map[string]int64{
	"": 1, "b": 1, "bytes": 1,
	"k": 1 << 10, "kb": 1 << 10, "kibibytes": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mebibytes": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gibibytes": 1 << 30,
	"t": 1 << 40, "tb": 1 << 40, "tebibytes": 1 << 40,
}

// ParseSize reads a number of bytes as Flink's options write it: "128MB", "64 kb"; a bare number is bytes.
func ParseSize(s string) (int64, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	i := 0
	for i < len(t) && t[i] >= '0' && t[i] <= '9' {
		i++
	}
	unit, ok := sizeUnits[strings.TrimSpace(t[i:])]
	n, err := strconv.ParseInt(t[:i], 10, 64)
	if !ok || err != nil || n > (1<<63-1)/unit {
		return 0, fmt.Errorf("%q is no size; expected a number and a unit, such as '64 kb' or '128 mb'", s)
	}
	return n * unit, nil
}
