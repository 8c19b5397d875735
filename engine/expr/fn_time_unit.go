package expr

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/vec"
)

// unit is a part of a time.
type unit uint8

const (
	unitNone unit = iota
	unitMillisecond
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
	unitDecade
	unitCentury
	unitMillennium
	// Those below are for EXTRACT only.
	unitMicrosecond
	unitNanosecond
	unitDOW
	unitISODOW
	unitDOY
	unitISOYear
	unitEpoch
)

var units = map[string]unit{
	"MILLISECOND": unitMillisecond, "SECOND": unitSecond, "MINUTE": unitMinute, "HOUR": unitHour, "DAY": unitDay, "WEEK": unitWeek,
	"MONTH": unitMonth, "QUARTER": unitQuarter, "YEAR": unitYear, "DECADE": unitDecade, "CENTURY": unitCentury, "MILLENNIUM": unitMillennium,
	"MICROSECOND": unitMicrosecond, "NANOSECOND": unitNanosecond, "DOW": unitDOW, "ISODOW": unitISODOW, "DOY": unitDOY, "ISOYEAR": unitISOYear,
	"EPOCH": unitEpoch,
}

// fixed is the length of a unit of constant length in ms, 0 for the others. A day of a local clock is taken as 24 hours.
func (u unit) fixed() int64 {
	switch u {
	case unitMillisecond:
		return 1
	case unitSecond:
		return msPerSecond
	case unitMinute:
		return msPerMinute
	case unitHour:
		return msPerHour
	case unitDay:
		return msPerDay
	case unitWeek:
		return 7 * msPerDay
	default:
		return 0
	}
}

// months is the length of a unit of months, 0 for the others.
func (u unit) months() int64 {
	switch u {
	case unitMonth:
		return 1
	case unitQuarter:
		return 3
	case unitYear:
		return 12
	case unitDecade:
		return 120
	case unitCentury:
		return 1200
	case unitMillennium:
		return 12000
	default:
		return 0
	}
}

var (
	_ = register(Func{Name: "EXTRACT", Usage: "EXTRACT(unit FROM time)", Min: 2, Max: 2, Bind: bindExtract, Build: buildExtract})
	_ = extractShort("YEAR", "YEAR")
	_ = extractShort("QUARTER", "QUARTER")
	_ = extractShort("MONTH", "MONTH")
	_ = extractShort("WEEK", "WEEK")
	_ = extractShort("DAYOFYEAR", "DOY")
	_ = extractShort("DAYOFMONTH", "DAY")
	_ = extractShort("DAYOFWEEK", "DOW")
	_ = extractShort("HOUR", "HOUR")
	_ = extractShort("MINUTE", "MINUTE")
	_ = extractShort("SECOND", "SECOND")

	_ = register(Func{Name: "FLOOR TO", Usage: "FLOOR(time TO unit)", Flags: hidden, Min: 2, Max: 2, Bind: bindRoundTo, Build: buildRoundTo(false)})
	_ = register(Func{Name: "CEIL TO", Usage: "CEIL(time TO unit)", Flags: hidden, Min: 2, Max: 2, Bind: bindRoundTo, Build: buildRoundTo(true)})

	_ = register(Func{Name: "TIMESTAMPDIFF", Usage: "TIMESTAMPDIFF(unit, from, to)", Min: 3, Max: 3, Bind: bindDiff, Build: buildDiff})
	_ = register(Func{Name: "TIMESTAMPADD", Usage: "TIMESTAMPADD(unit, count, time)", Min: 3, Max: 3, Bind: bindAdd, Build: buildAdd})
)

// extractShort registers YEAR(t) and its like.
func extractShort(name, unit string) struct{} {
	return register(Func{Name: name, Usage: name + "(time)", Min: 1, Max: 1, Rewrite: func(args []*Expr) (*Expr, error) {
		if k := args[0].Type.Kind; !isTimeKind(k) && k != vec.Null {
			return nil, errArgs
		}
		return Call("EXTRACT", Lit(vec.TypeString, unit), args[0])
	}})
}

// unitOf is the unit that a constant argument names.
func unitOf(e *Expr) (unit, error) {
	name, ok := constText(e)
	if u := units[name]; ok && u != unitNone {
		return u, nil
	}
	names := make([]string, 0, len(units))
	for n := range units {
		names = append(names, n)
	}
	err := fmt.Errorf("%s is no unit of time", e)
	if n := nearest(name, names); n != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, n)
	}
	return unitNone, err
}

func unitError(e *Expr, t vec.Type, what string) error {
	return fmt.Errorf("%s cannot be applied to %s with the unit %s", what, t.Nullable(), e.Lit)
}

func bindExtract(args []*Expr) (vec.Type, error) {
	u, err := unitOf(args[0])
	if err != nil {
		return vec.Type{}, err
	}
	if args[1].Type.Kind == vec.Null {
		return vec.TypeInt64, coerce(args, 1, vec.TypeTimestamp)
	}
	ok := true
	switch k := args[1].Type.Kind; {
	case k == vec.Time:
		ok = u <= unitHour || u == unitMicrosecond || u == unitNanosecond || u == unitEpoch
	case k == vec.IntervalYM:
		ok = u.months() > 0
	case k == vec.IntervalDT:
		ok = u <= unitDay || u == unitMicrosecond || u == unitNanosecond || u == unitEpoch
	case !isTimeKind(k):
		return vec.Type{}, errArgs
	}
	if !ok {
		return vec.Type{}, unitError(args[0], args[1].Type, "EXTRACT")
	}
	return vec.TypeInt64, nil
}

func buildExtract(s *Site) (Kernel, error) {
	u, err := unitOf(s.Call.Args[0])
	if err != nil {
		return nil, err
	}
	z := newZoned(s.Env.Location)
	switch k := s.Call.Args[1].Type.Kind; {
	case k == vec.IntervalYM:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			m := int64(At[int32](args[1], i))
			switch u {
			case unitMonth:
				return m % 12, true, nil
			case unitQuarter:
				return m%12/3 + 1, true, nil
			default:
				return m / u.months(), true, nil
			}
		}), nil
	case k == vec.IntervalDT:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			ms := At[int64](args[1], i)
			switch u {
			case unitDay:
				return ms / msPerDay, true, nil
			case unitEpoch:
				return ms / msPerSecond, true, nil
			default:
				return clockPart(u, ms), true, nil
			}
		}), nil
	case k == vec.TimestampLTZ && u == unitEpoch:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return floorDiv(At[int64](args[1], i), msPerSecond), true, nil
		}), nil
	}
	return FixedRows(func(args []Arg, i int) (int64, bool, error) { return extract(u, z.localMillis(args[1], i)), true, nil }), nil
}

// clockPart is a part of a time of day; ms may be negative (an interval) and may count more than a day.
func clockPart(u unit, ms int64) int64 {
	switch u {
	case unitHour:
		return ms / msPerHour % 24
	case unitMinute:
		return ms / msPerMinute % 60
	case unitSecond:
		return ms / msPerSecond % 60
	case unitMicrosecond:
		return ms % msPerSecond * 1000
	case unitNanosecond:
		return ms % msPerSecond * 1000000
	default:
		return ms % msPerSecond
	}
}

// extract is a part of a local time in ms.
func extract(u unit, local int64) int64 {
	days := floorDiv(local, msPerDay)
	switch u {
	case unitMillisecond, unitSecond, unitMinute, unitHour, unitMicrosecond, unitNanosecond:
		return clockPart(u, local-days*msPerDay)
	case unitEpoch:
		return floorDiv(local, msPerSecond)
	case unitDOW:
		return days + 4 - floorDiv(days+4, 7)*7 + 1
	case unitISODOW:
		return isoWeekday(days)
	case unitWeek:
		_, week := isoWeek(days)
		return week
	case unitISOYear:
		year, _ := isoWeek(days)
		return year
	default:
		return datePart(u, days)
	}
}

// datePart is a part of the date.
func datePart(u unit, days int64) int64 {
	y, m, d := civil(days)
	switch u {
	case unitDay:
		return d
	case unitMonth:
		return m
	case unitQuarter:
		return (m-1)/3 + 1
	case unitDOY:
		return days - daysOf(y, 1, 1) + 1
	case unitDecade:
		return floorDiv(y, 10)
	case unitCentury:
		return floorDiv(y-1, 100) + 1
	case unitMillennium:
		return floorDiv(y-1, 1000) + 1
	default:
		return y
	}
}

// isoWeekday is 1 for Monday to 7 for Sunday.
func isoWeekday(days int64) int64 { return days + 3 - floorDiv(days+3, 7)*7 + 1 }

// isoWeek is the ISO 8601 week and the year that it belongs to: that of its Thursday.
func isoWeek(days int64) (year, week int64) {
	thursday := days - isoWeekday(days) + 4
	year, _, _ = civil(thursday)
	return year, (thursday-daysOf(year, 1, 1))/7 + 1
}

func bindRoundTo(args []*Expr) (vec.Type, error) {
	t := args[0].Type
	u, err := unitOf(args[1])
	switch {
	case err != nil:
		return t, err
	case t.Kind == vec.Null:
		return vec.TypeTimestamp, coerce(args, 0, vec.TypeTimestamp)
	case !isTimeKind(t.Kind):
		return t, errArgs
	case u > unitMillennium, t.Kind == vec.Time && u > unitHour:
		return t, unitError(args[1], t, "rounding")
	}
	return t.Nullable(), nil
}

// floorDays is the first day of the unit that the day lies in. Weeks begin on Sunday, as in Flink.
func floorDays(u unit, days int64) int64 {
	if u <= unitDay {
		return days
	}
	if u == unitWeek {
		return days - (days + 4 - floorDiv(days+4, 7)*7)
	}
	y, m, _ := civil(days)
	switch u {
	case unitMonth:
		return daysOf(y, m, 1)
	case unitQuarter:
		return daysOf(y, (m-1)/3*3+1, 1)
	case unitDecade:
		y = floorDiv(y, 10) * 10
	case unitCentury:
		y = floorDiv(y-1, 100)*100 + 1
	case unitMillennium:
		y = floorDiv(y-1, 1000)*1000 + 1
	default:
	}
	return daysOf(y, 1, 1)
}

// ceilDays is the first day of a unit at or after the day.
func ceilDays(u unit, days int64) int64 {
	f := floorDays(u, days)
	switch {
	case f == days:
		return f
	case u == unitWeek:
		return f + 7
	default:
		return floorDiv(AddMonths(f*msPerDay, u.months()), msPerDay)
	}
}

// roundLocal rounds a local time in ms.
func roundLocal(u unit, local int64, ceil bool) int64 {
	if n := u.fixed(); n > 0 && u <= unitDay {
		f := floorDiv(local, n) * n
		if ceil && f != local {
			f += n
		}
		return f
	}
	days := floorDiv(local, msPerDay)
	if !ceil {
		return floorDays(u, days) * msPerDay
	}
	if local > days*msPerDay {
		days++
	}
	return ceilDays(u, days) * msPerDay
}

func buildRoundTo(ceil bool) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		u, err := unitOf(s.Call.Args[1])
		if err != nil {
			return nil, err
		}
		z := newZoned(s.Env.Location)
		switch s.Call.Type.Kind {
		case vec.Date:
			return FixedRows(func(args []Arg, i int) (int32, bool, error) {
				days := int64(At[int32](args[0], i))
				if ceil {
					return int32(ceilDays(u, days)), true, nil
				}
				return int32(floorDays(u, days)), true, nil
			}), nil
		case vec.Time:
			return FixedRows(func(args []Arg, i int) (int32, bool, error) {
				ms := roundLocal(u, int64(At[int32](args[0], i)), ceil)
				return int32(ms % msPerDay), true, nil
			}), nil
		case vec.Timestamp:
			return FixedRows(func(args []Arg, i int) (int64, bool, error) {
				return roundLocal(u, At[int64](args[0], i), ceil), true, nil
			}), nil
		default:
		}
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			ms := At[int64](args[0], i)
			local := z.local(ms)
			if u <= unitHour {
				// Moved on the time line, so that the hour that the clock shows twice is two.
				return ms + roundLocal(u, local, ceil) - local, true, nil
			}
			return z.instant(roundLocal(u, local, ceil)), true, nil
		}), nil
	}
}

// bindDiff counts in INT as Flink does, milliseconds in BIGINT.
func bindDiff(args []*Expr) (vec.Type, error) {
	u, err := unitOf(args[0])
	if err != nil {
		return vec.Type{}, err
	}
	for i := 1; i <= 2; i++ {
		other := args[3-i].Type
		if _, ok := constText(args[i]); ok && isTimeKind(other.Kind) {
			if err := coerce(args, i, other); err != nil {
				return vec.Type{}, err
			}
		}
	}
	t, err := castAll(args, []int{1, 2})
	switch {
	case err != nil || !isTimeKind(t.Kind) && t.Kind != vec.Null:
		return t, errArgs
	case u > unitMillennium || t.Kind == vec.Time && u > unitHour:
		return t, unitError(args[0], t, "TIMESTAMPDIFF")
	case u == unitMillisecond:
		return vec.TypeInt64, nil
	}
	return vec.TypeInt32, nil
}

// monthsBetween counts whole months from a to b, local times in ms.
func monthsBetween(a, b int64) int64 {
	if b < a {
		return -monthsBetween(b, a)
	}
	da, db := floorDiv(a, msPerDay), floorDiv(b, msPerDay)
	ya, ma, dayA := civil(da)
	yb, mb, dayB := civil(db)
	n := (yb-ya)*12 + mb - ma
	if dayB < dayA || dayB == dayA && b-db*msPerDay < a-da*msPerDay {
		n--
	}
	return n
}

func buildDiff(s *Site) (Kernel, error) {
	u, err := unitOf(s.Call.Args[0])
	if err != nil {
		return nil, err
	}
	z := newZoned(s.Env.Location)
	diff := func(args []Arg, i int) int64 {
		if n := u.fixed(); n > 0 && (u <= unitHour || args[1].Kind() != vec.TimestampLTZ) {
			if args[1].Kind() == vec.TimestampLTZ {
				return (At[int64](args[2], i) - At[int64](args[1], i)) / n
			}
			return (z.localMillis(args[2], i) - z.localMillis(args[1], i)) / n
		}
		a, b := z.localMillis(args[1], i), z.localMillis(args[2], i)
		if n := u.fixed(); n > 0 {
			return (b - a) / n
		}
		return monthsBetween(a, b) / u.months()
	}
	if s.Call.Type.Kind == vec.Int64 {
		return FixedRows(func(args []Arg, i int) (int64, bool, error) { return diff(args, i), true, nil }), nil
	}
	return FixedRows(func(args []Arg, i int) (int32, bool, error) { return int32(diff(args, i)), true, nil }), nil
}

// bindAdd makes a TIMESTAMP of a DATE when the unit is a part of a day.
func bindAdd(args []*Expr) (vec.Type, error) {
	u, err := unitOf(args[0])
	if err != nil {
		return vec.Type{}, err
	}
	if err := coerce(args, 1, vec.TypeInt64); err != nil {
		return vec.Type{}, err
	}
	t := args[2].Type
	switch {
	case t.Kind == vec.Null:
		t = vec.TypeTimestamp
		return t, coerce(args, 2, t)
	case !isTimeKind(t.Kind):
		return t, errArgs
	case u > unitMillennium || t.Kind == vec.Time && u > unitHour:
		return t, unitError(args[0], t, "TIMESTAMPADD")
	case t.Kind == vec.Date && u < unitDay:
		t = vec.TypeTimestamp
		return t, coerce(args, 2, t)
	}
	return t.Nullable(), nil
}

func buildAdd(s *Site) (Kernel, error) {
	u, err := unitOf(s.Call.Args[0])
	if err != nil {
		return nil, err
	}
	z := newZoned(s.Env.Location)
	add := func(local, n int64) int64 {
		if ms := u.fixed(); ms > 0 {
			return local + n*ms
		}
		return AddMonths(local, n*u.months())
	}
	switch s.Call.Type.Kind {
	case vec.Date:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			return int32(floorDiv(add(int64(At[int32](args[2], i))*msPerDay, At[int64](args[1], i)), msPerDay)), true, nil
		}), nil
	case vec.Time:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			ms := add(int64(At[int32](args[2], i)), At[int64](args[1], i))
			return int32(ms - floorDiv(ms, msPerDay)*msPerDay), true, nil
		}), nil
	default:
	}
	onClock := s.Call.Type.Kind == vec.TimestampLTZ && u.months() > 0
	return FixedRows(func(args []Arg, i int) (int64, bool, error) {
		ms, n := At[int64](args[2], i), At[int64](args[1], i)
		if onClock {
			return z.instant(add(z.local(ms), n)), true, nil
		}
		return add(ms, n), true, nil
	}), nil
}
