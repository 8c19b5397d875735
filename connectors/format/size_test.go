package format

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"7": 7, "64 kb": 64 << 10, "128MB": 128 << 20, " 2 g ": 2 << 30, "0b": 0, "1tebibytes": 1 << 40} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "kb", "-1", "1.5 mb", "3 apples", "9999999999 tb"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
