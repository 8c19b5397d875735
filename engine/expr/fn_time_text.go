package expr

import (
	"fmt"
	"math"

	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	timestampPattern = "yyyy-MM-dd HH:mm:ss"
	// minInstant and maxInstant are the first and last ms of the years 1 to 9999.
	minInstant = -62135596800000
	maxInstant = 253402300799999
)

var (
	_ = register(Func{Name: "DATE_FORMAT", Usage: "DATE_FORMAT(timestamp or string, pattern)", Flags: MayNull, Min: 2, Max: 2, Bind: bindDateFormat, Build: buildDateFormat})
	_ = register(Func{
		Name: "TO_TIMESTAMP", Usage: "TO_TIMESTAMP(string[, pattern])", Flags: MayNull, Min: 1, Max: 2,
		Bind: bindParse(vec.TypeTimestamp), Build: buildToTimestamp,
	})
	_ = register(Func{Name: "TO_DATE", Usage: "TO_DATE(string[, pattern])", Flags: MayNull, Min: 1, Max: 2, Bind: bindParse(vec.TypeDate), Build: buildToDate})
	_ = register(Func{
		Name: "TO_TIMESTAMP_LTZ", Usage: "TO_TIMESTAMP_LTZ(number[, 0 or 3]), TO_TIMESTAMP_LTZ(string[, pattern[, zone]])", Flags: MayNull, Min: 1, Max: 3,
		Bind: bindToLTZ, Build: buildToLTZ,
	})
	_ = register(Func{Name: "UNIX_TIMESTAMP", Usage: "UNIX_TIMESTAMP([string[, pattern]])", Min: 0, Max: 2, Rewrite: rewriteUnix, Bind: bindUnix, Build: buildUnix})
	_ = register(Func{Name: "FROM_UNIXTIME", Usage: "FROM_UNIXTIME(seconds[, pattern])", Min: 1, Max: 2, Bind: bindFromUnix, Build: buildFromUnix})
)

// bindDateFormat takes a DATE as a TIMESTAMP.
func bindDateFormat(args []*Expr) (vec.Type, error) {
	without := ""
	switch t := args[0].Type; {
	case t.Kind == vec.TimestampLTZ:
	case t.Kind == vec.Date || t.Kind == vec.Timestamp || t.Kind == vec.Null:
		if t.Kind != vec.Timestamp {
			if err := coerce(args, 0, vec.TypeTimestamp); err != nil {
				return t, err
			}
		}
		without = "TIMESTAMP"
	case t.Kind == vec.String:
		without = "the text"
	default:
		return t, errArgs
	}
	if err := coerce(args, 1, vec.TypeString); err != nil {
		return vec.Type{}, err
	}
	return vec.TypeString, checkPattern(args, 1, without)
}

func buildDateFormat(s *Site) (Kernel, error) {
	patterns, err := newDatePatterns(s, 1, "")
	if err != nil {
		return nil, err
	}
	kind := s.Call.Args[0].Type.Kind
	z, loc := newZoned(s.Env.Location), s.Env.Location
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		p, err := patterns.at(args, i)
		if err != nil {
			return nil, false, err
		}
		if kind == vec.TimestampLTZ {
			ms := At[int64](args[0], i)
			local := z.local(ms)
			return p.format(dst, local, local-ms, loc), true, nil
		}
		if p.zoned {
			return nil, false, fmt.Errorf("date pattern '%s' has a zone, but the value has none", patterns.last.text)
		}
		if kind == vec.Timestamp {
			return p.format(dst, At[int64](args[0], i), 0, loc), true, nil
		}
		ms, _, err := ParseTimestamp(args[0].Str(i))
		if err != nil {
			return dst, false, nil //nolint:nilerr // NULL, as in Flink
		}
		return p.format(dst, ms, 0, loc), true, nil
	}), nil
}

func bindParse(result vec.Type) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		t, err := Types(result, vec.TypeString)(args)
		if err == nil {
			err = checkPattern(args, 1, "")
		}
		return t, err
	}
}

// buildToTimestamp gives NULL for text that does not fit. A text with an offset gives the time in UTC.
func buildToTimestamp(s *Site) (Kernel, error) {
	parse, err := localParser(s)
	if err != nil {
		return nil, err
	}
	return FixedRows(func(args []Arg, i int) (int64, bool, error) {
		ms, _, ok, err := parse(args, i)
		return ms, ok, err
	}), nil
}

// localParser reads argument 0 with the pattern of argument 1, or as CAST does without one. The time is local, or in UTC when the text had an
// offset (zoned).
func localParser(s *Site) (func(args []Arg, i int) (ms int64, zoned, ok bool, err error), error) {
	if len(s.Call.Args) == 1 {
		return func(args []Arg, i int) (int64, bool, bool, error) {
			ms, zoned, err := ParseTimestamp(args[0].Str(i))
			return ms, zoned, err == nil, nil
		}, nil
	}
	patterns, err := newDatePatterns(s, 1, "")
	if err != nil {
		return nil, err
	}
	return func(args []Arg, i int) (int64, bool, bool, error) {
		p, err := patterns.at(args, i)
		if err != nil {
			return 0, false, false, err
		}
		ms, off, zoned, ok := p.parse(args[0].Str(i), false)
		return ms - off, zoned, ok, nil
	}, nil
}

func buildToDate(s *Site) (Kernel, error) {
	if len(s.Call.Args) == 1 {
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			d, err := ParseDate(args[0].Str(i))
			return d, err == nil, nil
		}), nil
	}
	patterns, err := newDatePatterns(s, 1, "")
	if err != nil {
		return nil, err
	}
	return FixedRows(func(args []Arg, i int) (int32, bool, error) {
		p, err := patterns.at(args, i)
		if err != nil {
			return 0, false, err
		}
		ms, _, _, ok := p.parse(args[0].Str(i), false)
		return int32(floorDiv(ms, msPerDay)), ok, nil
	}), nil
}

// bindToLTZ takes a number with a precision, or text with a pattern and a zone.
func bindToLTZ(args []*Expr) (vec.Type, error) {
	out := vec.TypeTimestampLTZ
	k := args[0].Type.Kind
	if k == vec.String {
		if err := coerceFrom(args, 1, vec.TypeString); err != nil {
			return out, err
		}
		if len(args) > 2 {
			if name, ok := constText(args[2]); ok {
				if _, err := loadZone(name); err != nil {
					return out, err
				}
			}
		}
		return out, checkPattern(args, 1, "")
	}
	if len(args) > 2 || !k.IsNumeric() && k != vec.Null {
		return out, errArgs
	}
	to := vec.TypeInt64
	if k == vec.Float32 || k == vec.Float64 || k == vec.Decimal {
		to = vec.TypeFloat64
	}
	if err := coerce(args, 0, to); err != nil {
		return out, err
	}
	if len(args) > 1 {
		if !args[1].Type.Kind.IsInteger() && args[1].Type.Kind != vec.Null {
			return out, errArgs
		}
		if v, ok := Literal(args[1]); ok && v != nil && v != int64(0) && v != int64(3) {
			return out, fmt.Errorf("the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds), not %v", v)
		}
		return out, coerce(args, 1, vec.TypeInt64)
	}
	return out, nil
}

// coerceFrom coerces all arguments from i on.
func coerceFrom(args []*Expr, i int, t vec.Type) error {
	for ; i < len(args); i++ {
		if err := coerce(args, i, t); err != nil {
			return err
		}
	}
	return nil
}

func buildToLTZ(s *Site) (Kernel, error) {
	if s.Call.Args[0].Type.Kind == vec.String {
		return buildTextToLTZ(s)
	}
	isFloat := s.Call.Args[0].Type.Kind == vec.Float64
	return FixedRows(func(args []Arg, i int) (int64, bool, error) {
		scale := int64(1)
		if len(args) > 1 {
			switch At[int64](args[1], i) {
			case 0:
				scale = 1000
			case 3:
			default:
				return 0, false, fmt.Errorf("the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds), not %d", At[int64](args[1], i))
			}
		}
		if isFloat {
			f := math.Floor(At[float64](args[0], i) * float64(scale))
			if !(f >= minInstant && f <= maxInstant) {
				return 0, false, nil
			}
			return int64(f), true, nil
		}
		v := At[int64](args[0], i)
		if v < minInstant/scale || v > maxInstant/scale {
			return 0, false, nil
		}
		return v * scale, true, nil
	}), nil
}

func buildTextToLTZ(s *Site) (Kernel, error) {
	parse, err := localParser(s)
	if err != nil {
		return nil, err
	}
	session := newZoned(s.Env.Location)
	var named *compiledArg[*zoned]
	if len(s.Call.Args) > 2 {
		if named, err = newCompiledArg(s, 2, loadZoned); err != nil {
			return nil, err
		}
	}
	return FixedRows(func(args []Arg, i int) (int64, bool, error) {
		ms, zoned, ok, err := parse(args, i)
		if !ok || zoned || err != nil {
			return ms, ok, err
		}
		z := session
		if named != nil {
			if z, err = named.at(args, i); err != nil {
				return 0, false, nil //nolint:nilerr // a zone in data that does not exist gives NULL
			}
		}
		return z.instant(ms), true, nil
	}), nil
}

// rewriteUnix tells the clock, which changes, from the conversion, which does not.
func rewriteUnix(args []*Expr) (*Expr, error) {
	if len(args) == 0 {
		return Call("UNIX_TIMESTAMP NOW")
	}
	return nil, nil
}

// bindUnix takes text, and a time without a pattern.
func bindUnix(args []*Expr) (vec.Type, error) {
	if isTimeKind(args[0].Type.Kind) && args[0].Type.Kind != vec.Time && len(args) == 1 {
		return vec.TypeInt64, coerce(args, 0, vec.TypeTimestampLTZ)
	}
	return bindParse(vec.TypeInt64)(args)
}

// buildUnix gives the least BIGINT for text that does not fit, as Flink does.
func buildUnix(s *Site) (Kernel, error) {
	if s.Call.Args[0].Type.Kind == vec.TimestampLTZ {
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return floorDiv(At[int64](args[0], i), msPerSecond), true, nil
		}), nil
	}
	patterns, err := newDatePatterns(s, 1, timestampPattern)
	if err != nil {
		return nil, err
	}
	z := newZoned(s.Env.Location)
	return FixedRows(func(args []Arg, i int) (int64, bool, error) {
		p, err := patterns.at(args, i)
		if err != nil {
			return 0, false, err
		}
		ms, off, zoned, ok := p.parse(args[0].Str(i), true)
		switch {
		case !ok:
			return math.MinInt64, true, nil
		case zoned:
			return floorDiv(ms-off, msPerSecond), true, nil
		}
		return floorDiv(z.instant(ms), msPerSecond), true, nil
	}), nil
}

func bindFromUnix(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeString, vec.TypeInt64, vec.TypeString)(args)
	if err == nil {
		err = checkPattern(args, 1, "")
	}
	return t, err
}

func buildFromUnix(s *Site) (Kernel, error) {
	z, loc := newZoned(s.Env.Location), s.Env.Location
	patterns, err := newDatePatterns(s, 1, timestampPattern)
	if err != nil {
		return nil, err
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		seconds := At[int64](args[0], i)
		if seconds < minInstant/msPerSecond || seconds > maxInstant/msPerSecond {
			return nil, false, fmt.Errorf("%d seconds lie outside the years 1 to 9999", seconds)
		}
		p, err := patterns.at(args, i)
		if err != nil {
			return nil, false, err
		}
		ms := seconds * msPerSecond
		local := z.local(ms)
		return p.format(dst, local, local-ms, loc), true, nil
	}), nil
}
