package expr

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

// zoned converts between instants and the local clock of a zone. It remembers the span around the last instant in which the offset
// does not change, so that a row costs a comparison and an addition.
type zoned struct {
	loc *time.Location
	// off, in ms, holds for instants in [lo, hi).
	lo, hi, off int64
}

func newZoned(loc *time.Location) *zoned {
	if loc == time.UTC {
		loc = nil
	}
	return &zoned{loc: loc}
}

// local is the clock's time at the instant.
func (z *zoned) local(ms int64) int64 {
	if z.loc == nil {
		return ms
	}
	if ms < z.lo || ms >= z.hi {
		z.load(ms)
	}
	return ms + z.off
}

func (z *zoned) load(ms int64) {
	t := time.UnixMilli(ms).In(z.loc)
	_, off := t.Zone()
	z.off = int64(off) * msPerSecond
	z.lo, z.hi = math.MinInt64/2, math.MaxInt64/2
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		z.lo = start.UnixMilli()
	}
	if !end.IsZero() {
		z.hi = end.UnixMilli()
	}
}

// instant is when the clock shows the local time; see FromLocal for times that it skips or shows twice.
func (z *zoned) instant(local int64) int64 {
	if z.loc == nil {
		return local
	}
	// A day away from a change of the offset there is no doubt.
	if ms := local - z.off; ms > z.lo+msPerDay && ms < z.hi-msPerDay {
		return ms
	}
	ms := FromLocal(local, z.loc)
	if ms < z.lo || ms >= z.hi {
		z.load(ms)
	}
	return ms
}

// localMillis is the local time at row i of a DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ argument.
func (z *zoned) localMillis(a Arg, i int) int64 {
	switch a.Kind() {
	case vec.Date:
		return int64(At[int32](a, i)) * msPerDay
	case vec.Time:
		return int64(At[int32](a, i))
	case vec.TimestampLTZ:
		return z.local(At[int64](a, i))
	default:
		return At[int64](a, i)
	}
}

var errNoClock = errors.New("the current time is not known here")

// clock registers a function without arguments that reads the wall clock: value gets the instant and its local time, in ms. All rows of a
// batch see the same time: they are processed together.
func clock(t vec.Type, value func(ms, local int64) int64, name string, aliases ...string) struct{} {
	return register(Func{
		Name: name, Aliases: aliases, Usage: name + "()", Flags: Volatile,
		Bind: func([]*Expr) (vec.Type, error) { return t, nil },
		Build: func(s *Site) (Kernel, error) {
			now := s.Env.Now
			if now == nil {
				return nil, errNoClock
			}
			z := newZoned(s.Env.Location)
			return func(f *Frame) error {
				ms := now().UnixMilli()
				v := value(ms, z.local(ms))
				f.Out.Resize(f.Rows)
				if t.Kind.Width() == 4 {
					fill(vec.Values[int32](f.Out), int32(v))
				} else {
					fill(vec.Values[int64](f.Out), v)
				}
				return nil
			}, nil
		},
	})
}

func fill[T vec.Fixed](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

func instantOf(ms, _ int64) int64 { return ms }

var (
	_ = clock(vec.TypeTimestampLTZ, instantOf, "CURRENT_TIMESTAMP", "NOW", "CURRENT_ROW_TIMESTAMP")
	_ = clock(vec.TypeTimestampLTZ, instantOf, "PROCTIME")
	_ = clock(vec.TypeTimestamp, func(_, local int64) int64 { return local }, "LOCALTIMESTAMP")
	_ = clock(vec.TypeDate, func(_, local int64) int64 { return floorDiv(local, msPerDay) }, "CURRENT_DATE")
	_ = clock(vec.TypeTime, func(_, local int64) int64 {
		return floorDiv(local-floorDiv(local, msPerDay)*msPerDay, msPerSecond) * msPerSecond
	}, "LOCALTIME", "CURRENT_TIME")
	_ = clock(vec.TypeInt64, func(ms, _ int64) int64 { return floorDiv(ms, msPerSecond) }, "UNIX_TIMESTAMP NOW")

	_ = register(Func{
		Name: "CURRENT_WATERMARK", Usage: "CURRENT_WATERMARK(rowtime)", Flags: Volatile | NullCall, Min: 1, Max: 1,
		Bind: func(args []*Expr) (vec.Type, error) {
			if !args[0].Type.Kind.IsTimestamp() {
				return vec.Type{}, errArgs
			}
			return vec.Type{Kind: args[0].Type.Kind, Precision: 3}, nil
		}, Build: buildWatermark,
	})
	_ = register(Func{Name: "CONVERT_TZ", Usage: "CONVERT_TZ(string, from zone, to zone)", Flags: MayNull, Min: 3, Max: 3, Bind: bindConvertTZ, Build: buildConvertTZ})
)

func buildWatermark(s *Site) (Kernel, error) {
	watermark := s.Env.Watermark
	return func(f *Frame) error {
		w := watermark()
		f.Out.Resize(f.Rows)
		fill(vec.Values[int64](f.Out), w)
		if w == math.MinInt64 && f.Rows > 0 {
			f.Out.EnsureValid().Fill(f.Rows, false)
		}
		return nil
	}, nil
}

// zoneNames are Java's short names of zones that the tz database does not have.
var zoneNames = map[string]string{
	"PST": "America/Los_Angeles", "CST": "America/Chicago", "AST": "America/Anchorage", "CTT": "Asia/Shanghai", "JST": "Asia/Tokyo",
	"IST": "Asia/Kolkata", "BST": "Asia/Dhaka", "AET": "Australia/Sydney", "PDT": "America/Los_Angeles",
}

// loadZone finds a zone by its name (Europe/Berlin), Java's short name (PST), or as GMT+08:00, UTC+8 or +08:00.
func loadZone(name string) (*time.Location, error) {
	if long, ok := zoneNames[name]; ok {
		name = long
	}
	rest := name
	for _, prefix := range []string{"GMT", "UTC"} {
		if len(rest) > 3 && rest[:3] == prefix && (rest[3] == '+' || rest[3] == '-') {
			rest = rest[3:]
		}
	}
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		if len(rest) == 2 || len(rest) > 2 && rest[2] == ':' {
			rest = rest[:1] + "0" + rest[1:]
		}
		if off, ok := parseZone(rest); ok {
			return time.FixedZone(name, int(off/msPerSecond)), nil
		}
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("unknown time zone '%s': write it as Europe/Berlin, UTC or GMT+02:00", name)
	}
	return loc, nil
}

func bindConvertTZ(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeString, vec.TypeString)(args)
	for _, a := range args[1:] {
		if name, ok := constText(a); ok && err == nil {
			_, err = loadZone(name)
		}
	}
	return t, err
}

// loadZoned is loadZone with a memory.
func loadZoned(name string) (*zoned, error) {
	loc, err := loadZone(name)
	if err != nil {
		return nil, err
	}
	return newZoned(loc), nil
}

// buildConvertTZ gives NULL for text that is no timestamp and for zones in data that do not exist.
func buildConvertTZ(s *Site) (Kernel, error) {
	from, err := newCompiledArg(s, 1, loadZoned)
	if err != nil {
		return nil, err
	}
	to, err := newCompiledArg(s, 2, loadZoned)
	if err != nil {
		return nil, err
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		ms, withOffset, err := ParseTimestamp(args[0].Str(i))
		src, errFrom := from.at(args, i)
		target, errTo := to.at(args, i)
		if err != nil || withOffset || errFrom != nil || errTo != nil {
			return dst, false, nil //nolint:nilerr // NULL, as in Flink
		}
		return AppendTimestamp(dst, target.local(src.instant(ms)), 0), true, nil
	}), nil
}
