package civil

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDateAgreesWithStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.Int64Range(-700_000, 2_900_000).Draw(t, "days")
		want := time.Unix(days*86400, 0).UTC()
		y, m, d := Date(days)
		if y != want.Year() || m != int(want.Month()) || d != want.Day() {
			t.Fatalf("Date(%d) = %d-%d-%d, want %s", days, y, m, d, want)
		}
		if back := Days(y, m, d); back != days {
			t.Fatalf("Days(%d-%d-%d) = %d, want %d", y, m, d, back, days)
		}
	})
}

func TestTimestampTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(Days(1, 1, 1)*Day, Days(MaxYear, 12, 31)*Day).Draw(t, "ms")
		text := AppendTimestamp(nil, ms, ' ', 3)
		got, zone, ok := ParseTimestamp(text)
		if !ok || zone != NoZone || got != ms {
			t.Fatalf("ParseTimestamp(%q) = %d, %v, %v; want %d", text, got, zone, ok, ms)
		}
	})
}

func TestParseTimestamp(t *testing.T) {
	base := Days(2026, 11, 21)*Day + 20*Hour + 5*Minute
	for _, c := range []struct {
		in   string
		want int64
		zone Zone
		ok   bool
	}{
		{"2026-11-21 20:05:00", base, NoZone, true},
		{"2026-11-21T20:05", base, NoZone, true},
		{"2026-11-21T20:05:00.1239", base + 123, NoZone, true},
		{"2026-11-21T20:05:00Z", base, UTCOffset, true},
		{"2026-11-21T21:05:00.5+01:00", base + 500, UTCOffset, true},
		{"2026-11-21 18:05:00-0200", base, UTCOffset, true},
		{"2026-11-21", base - 20*Hour - 5*Minute, NoZone, true},
		{"2026-02-29 00:00:00", 0, NoZone, false},
		{"2026-11-21 24:00:00", 0, NoZone, false},
		{"2026-11-21x", 0, NoZone, false},
		{"2026-11-21 20:05:00 ", 0, NoZone, false},
		{"", 0, NoZone, false},
	} {
		got, zone, ok := ParseTimestamp([]byte(c.in))
		if ok != c.ok || ok && (got != c.want || zone != c.zone) {
			t.Errorf("ParseTimestamp(%q) = %d, %v, %v; want %d, %v, %v", c.in, got, zone, ok, c.want, c.zone, c.ok)
		}
	}
}
