package expr

import (
	"bytes"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

func TestTimeFunctions(t *testing.T) {
	runCases(t, &Env{}, []flinkCase{
		{`(EXTRACT 'DAY' DATE'2006-06-05')`, "5"},
		{`(YEAR DATE'1994-09-27')`, "1994"},
		{`(QUARTER DATE'1994-09-27')`, "3"},
		{`(MONTH DATE'1994-09-27')`, "9"},
		{`(WEEK DATE'1994-09-27')`, "39"},
		{`(DAYOFYEAR DATE'1994-09-27')`, "270"},
		{`(DAYOFMONTH DATE'1994-09-27')`, "27"},
		{`(DAYOFWEEK DATE'1994-09-27')`, "3"},
		{`(HOUR TIMESTAMP'1994-09-27 13:14:15')`, "13"},
		{`(MINUTE TIMESTAMP'1994-09-27 13:14:15')`, "14"},
		{`(SECOND TIMESTAMP'1994-09-27 13:14:15')`, "15"},
		{`(HOUR TIME'23:59:30')`, "23"},
		{`(EXTRACT 'MILLISECOND' TIMESTAMP'1969-12-31 23:59:59.123')`, "123"},
		{`(EXTRACT 'EPOCH' TIMESTAMP'1969-12-31 23:59:59.123')`, "-1"},
		{`(EXTRACT 'ISODOW' DATE'2021-01-03')`, "7"},
		{`(EXTRACT 'DOW' DATE'2021-01-03')`, "1"},
		{`(EXTRACT 'WEEK' DATE'2021-01-03')`, "53"},
		{`(EXTRACT 'ISOYEAR' DATE'2021-01-03')`, "2020"},
		{`(EXTRACT 'CENTURY' DATE'2000-01-03')`, "20"},
		{`(EXTRACT 'MILLENNIUM' DATE'2001-01-03')`, "3"},
		{`(EXTRACT 'DECADE' DATE'2021-01-03')`, "202"},
		{`(EXTRACT 'HOUR' ms:93784005)`, "2"},
		{`(EXTRACT 'DAY' ms:93784005)`, "1"},
		{`(EXTRACT 'YEAR' months:27)`, "2"},
		{`(EXTRACT 'MONTH' months:27)`, "3"},
		{`(EXTRACT 'YEAR' TIME'10:00:00')`, "! EXTRACT cannot be applied to TIME with the unit YEAR"},
		{`(EXTRACT 'MINUT' DATE'2021-01-03')`, "! 'MINUT' is no unit of time; did you mean MINUTE?"},
		{`(YEAR 'x')`, "! cannot apply 'YEAR' to arguments of type (STRING); expected YEAR(time)"},
		{`(FLOOR TIME'12:44:31' 'MINUTE')`, "12:44:00.000"},
		{`(CEIL TIME'12:44:31' 'MINUTE')`, "12:45:00.000"},
		{`(FLOOR TIMESTAMP'2018-03-20 06:44:31' 'YEAR')`, "2018-01-01 00:00:00.000"},
		{`(FLOOR TIMESTAMP'2018-03-20 06:44:31' 'QUARTER')`, "2018-01-01 00:00:00.000"},
		{`(FLOOR TIMESTAMP'2018-03-20 06:44:31' 'WEEK')`, "2018-03-18 00:00:00.000"},
		{`(CEIL TIMESTAMP'2018-03-20 06:44:31' 'WEEK')`, "2018-03-25 00:00:00.000"},
		{`(CEIL TIMESTAMP'2018-03-20 06:44:31' 'MONTH')`, "2018-04-01 00:00:00.000"},
		{`(CEIL TIMESTAMP'2018-12-01 06:44:31' 'QUARTER')`, "2019-01-01 00:00:00.000"},
		{`(CEIL TIMESTAMP'2018-03-20 06:44:31' 'DAY')`, "2018-03-21 00:00:00.000"},
		{`(CEIL TIMESTAMP'2018-03-20 00:00:00' 'DAY')`, "2018-03-20 00:00:00.000"},
		{`(FLOOR TIMESTAMP'1969-12-31 23:59:59.999' 'SECOND')`, "1969-12-31 23:59:59.000"},
		{`(FLOOR DATE'2018-03-20' 'DECADE')`, "2010-01-01"},
		{`(FLOOR DATE'2000-03-20' 'CENTURY')`, "1901-01-01"},
		{`(CEIL DATE'2018-03-20' 'MONTH')`, "2018-04-01"},
		{`(FLOOR DATE'2018-03-20' 'DOW')`, "! rounding cannot be applied to DATE with the unit DOW"},
		{`(TIMESTAMPDIFF 'DAY' TIMESTAMP'2003-01-02 10:00:00' TIMESTAMP'2003-01-03 10:00:00')`, "1"},
		{`(TIMESTAMPDIFF 'MONTH' DATE'2018-01-31' DATE'2018-02-28')`, "0"},
		{`(TIMESTAMPDIFF 'MONTH' TIMESTAMP'2018-02-28 12:00:00' TIMESTAMP'2018-01-28 12:00:01')`, "0"},
		{`(TIMESTAMPDIFF 'YEAR' DATE'2018-03-01' DATE'2016-02-28')`, "-2"},
		{`(TIMESTAMPDIFF 'HOUR' TIMESTAMP'2018-07-03 11:11:11' TIMESTAMP'2018-07-04 11:11:10')`, "23"},
		{`(TIMESTAMPDIFF 'SECOND' DATE'2018-07-03' TIMESTAMP'2018-07-03 00:01:00')`, "60"},
		{`(TIMESTAMPDIFF 'QUARTER' DATE'2018-01-01' DATE'2019-01-01')`, "4"},
		{`(TIMESTAMPDIFF 'DAY' DATE'2018-01-01' '2018-01-05')`, "4"},
		{`(TIMESTAMPADD 'DAY' 1 TIMESTAMP'2016-06-15 00:00:00')`, "2016-06-16 00:00:00.000"},
		{`(TIMESTAMPADD 'MONTH' 1 DATE'2016-01-31')`, "2016-02-29"},
		{`(TIMESTAMPADD 'HOUR' -1 DATE'2016-06-15')`, "2016-06-14 23:00:00.000"},
		{`(TIMESTAMPADD 'MINUTE' 2 TIME'23:59:00')`, "00:01:00.000"},
		{`(TIMESTAMPADD 'WEEK' 1 DATE'2016-06-15')`, "2016-06-22"},
		{`(DATE_FORMAT TIMESTAMP'2018-03-14 01:02:03.004' 'yyyy-MM-dd HH:mm:ss.SSS')`, "2018-03-14 01:02:03.004"},
		{`(DATE_FORMAT TIMESTAMP'2018-03-04 13:02:03.12' 'EEEE, d MMM yy h:mm a')`, "Sunday, 4 Mar 18 1:02 PM"},
		{`(DATE_FORMAT TIMESTAMP'2018-03-04 00:02:03.12' 'E D kk K hh SSSSSS MMMM QQQ')`, "Sun 63 24 0 12 120000 March Q1"},
		{`(DATE_FORMAT '2018-03-14 01:02:03' 'yyyy/MM/dd HH:mm:ss')`, "2018/03/14 01:02:03"},
		{`(DATE_FORMAT 'x' 'yyyy')`, "NULL"},
		{`(DATE_FORMAT DATE'2018-03-14' 'yyyyMMdd')`, "20180314"},
		{`(DATE_FORMAT DATE'2018-03-14' 'YYYY')`, "! date pattern 'YYYY': Y is the year of a week; write y for the year"},
		{`(DATE_FORMAT DATE'2018-03-14' 'yyyy w')`, "! date pattern 'yyyy w': the letter w is not supported"},
		{`(DATE_FORMAT DATE'2018-03-14' 'yyyy X')`, `! date pattern "yyyy X" has a zone, but TIMESTAMP has none; cast it to TIMESTAMP_LTZ`},
		{`(TO_TIMESTAMP '1990-10-14 12:22:22')`, "1990-10-14 12:22:22.000"},
		{`(TO_TIMESTAMP '1990-10-14T12:22:22.123Z')`, "1990-10-14 12:22:22.123"},
		{`(TO_TIMESTAMP 'abc')`, "NULL"},
		{`(TO_TIMESTAMP '2017-09-15 12:59' 'yyyy-MM-dd HH:mm')`, "2017-09-15 12:59:00.000"},
		{`(TO_TIMESTAMP '20170915125930' 'yyyyMMddHHmmss')`, "2017-09-15 12:59:30.000"},
		{`(TO_TIMESTAMP '15 Sep 2017 1:05 pm' 'd MMM yyyy h:mm a')`, "2017-09-15 13:05:00.000"},
		{`(TO_TIMESTAMP '2017-09-15' 'yyyy-MM-dd[ HH:mm]')`, "2017-09-15 00:00:00.000"},
		{`(TO_TIMESTAMP '2017-09-15 07:08' 'yyyy-MM-dd[ HH:mm]')`, "2017-09-15 07:08:00.000"},
		{`(TO_TIMESTAMP '2017-09-15x' 'yyyy-MM-dd')`, "NULL"},
		{`(TO_TIMESTAMP '2017-02-30' 'yyyy-MM-dd')`, "NULL"},
		{`(TO_TIMESTAMP '2017-02-10 01:00 +0130' 'yyyy-MM-dd HH:mm Z')`, "2017-02-09 23:30:00.000"},
		{`(TO_TIMESTAMP '2017-060' 'yyyy-DDD')`, "2017-03-01 00:00:00.000"},
		{`(TO_DATE '2018-03-14')`, "2018-03-14"},
		{`(TO_DATE '14.3.2018' 'd.M.yyyy')`, "2018-03-14"},
		{`(TO_DATE 'x')`, "NULL"},
		{`(FROM_UNIXTIME 44)`, "1970-01-01 00:00:44"},
		{`(FROM_UNIXTIME 44 'HH:mm:ss')`, "00:00:44"},
		{`(UNIX_TIMESTAMP '1970-01-01 00:00:01')`, "1"},
		{`(UNIX_TIMESTAMP '1970-1-1 0:0:1')`, "1"},
		{`(UNIX_TIMESTAMP 'x')`, "-9223372036854775808"},
		{`(TO_TIMESTAMP_LTZ 100 0)`, "1970-01-01 00:01:40.000"},
		{`(TO_TIMESTAMP_LTZ 100 3)`, "1970-01-01 00:00:00.100"},
		{`(TO_TIMESTAMP_LTZ 1.5 0)`, "1970-01-01 00:00:01.500"},
		{`(TO_TIMESTAMP_LTZ -1)`, "1969-12-31 23:59:59.999"},
		{`(TO_TIMESTAMP_LTZ 9223372036854775807 3)`, "NULL"},
		{`(TO_TIMESTAMP_LTZ 100 6)`, "! the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds), not 6"},
		{`(TO_TIMESTAMP_LTZ '2020-01-01 00:00:00' 'yyyy-MM-dd HH:mm:ss' 'Asia/Tokyo')`, "2019-12-31 15:00:00.000"},
		{`(CONVERT_TZ '1970-01-01 00:00:00' 'UTC' 'America/Los_Angeles')`, "1969-12-31 16:00:00"},
		{`(CONVERT_TZ '1970-01-01 00:00:00' 'GMT-08:00' 'PST')`, "1970-01-01 00:00:00"},
		{`(CONVERT_TZ 'x' 'UTC' 'UTC')`, "NULL"},
		{`(CONVERT_TZ '1970-01-01 00:00:00' 'UTC' 'Mars')`, "! unknown time zone 'Mars': write it as Europe/Berlin, UTC or GMT+02:00"},
	})
}

// In Berlin the clock went from 2:00 to 3:00 on 2021-03-28, and from 3:00 back to 2:00 on 2021-10-31.
func TestTimeFunctionsInBerlin(t *testing.T) {
	runCases(t, &Env{Location: zone(t, "Europe/Berlin")}, []flinkCase{
		{`(UNIX_TIMESTAMP '1970-01-01 08:00:01.001' 'yyyy-MM-dd HH:mm:ss.SSS')`, "25201"},
		{`(UNIX_TIMESTAMP '1970-01-01 08:00:01.001 +0800' 'yyyy-MM-dd HH:mm:ss.SSS X')`, "1"},
		{`(UNIX_TIMESTAMP '1970-01-01 08:00:01.001 +0800' 'yyyy-MM-dd HH:mm:ss.SSS')`, "25201"},
		{`(UNIX_TIMESTAMP '1970-01-01 08:00:01.001' 'yyyy-MM-dd HH:mm:ss.SSS X')`, "-9223372036854775808"},
		{`(FROM_UNIXTIME 1616893200)`, "2021-03-28 03:00:00"},
		{`(FROM_UNIXTIME 1616893199)`, "2021-03-28 01:59:59"},
		{`(FROM_UNIXTIME 1616893200 'HH:mm XXX z')`, "03:00 +02:00 CEST"},
		{`(UNIX_TIMESTAMP '2021-03-28 03:00:00')`, "1616893200"},
		{`(HOUR (TO_TIMESTAMP_LTZ 1616893200 0))`, "3"},
		{`(EXTRACT 'EPOCH' (TO_TIMESTAMP_LTZ 1616893200 0))`, "1616893200"},
		{`(FLOOR (TO_TIMESTAMP_LTZ 1616893200 0) 'DAY')`, "2021-03-28 00:00:00.000"},
		{`(TIMESTAMPDIFF 'HOUR' (FLOOR (TO_TIMESTAMP_LTZ 1616893200 0) 'DAY') (CEIL (TO_TIMESTAMP_LTZ 1616893200 0) 'DAY'))`, "23"},
		{`(TIMESTAMPDIFF 'DAY' (FLOOR (TO_TIMESTAMP_LTZ 1616893200 0) 'DAY') (CEIL (TO_TIMESTAMP_LTZ 1616893200 0) 'DAY'))`, "1"},
		// 2021-10-31 02:30 for the first and the second time.
		{`(EXTRACT 'EPOCH' (FLOOR (TO_TIMESTAMP_LTZ 1635640200 0) 'HOUR'))`, "1635638400"},
		{`(EXTRACT 'EPOCH' (FLOOR (TO_TIMESTAMP_LTZ 1635643800 0) 'HOUR'))`, "1635642000"},
		{`(TIMESTAMPADD 'MONTH' 1 (TO_TIMESTAMP_LTZ 1616893200 0))`, "2021-04-28 03:00:00.000"},
		{`(DATE_FORMAT (TO_TIMESTAMP_LTZ 1616893200 0) 'yyyy-MM-dd HH:mm VV')`, "2021-03-28 03:00 Europe/Berlin"},
		{`(TO_TIMESTAMP_LTZ '2021-03-28T01:00:00Z')`, "2021-03-28 03:00:00.000"},
		{`(UNIX_TIMESTAMP (TO_TIMESTAMP_LTZ '2021-03-28 03:00:00'))`, "1616893200"},
	})
}

func TestZonedAgreesWithSlowConversion(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"} {
		loc := zone(t, name)
		z := newZoned(loc)
		for range 20000 {
			ms := rng.Int64N(4e12) - 1e12
			if got, want := z.local(ms), ToLocal(ms, loc); got != want {
				t.Fatalf("%s: local(%d) = %d, want %d", name, ms, got, want)
			}
			if got, want := z.instant(ms), FromLocal(ms, loc); got != want {
				t.Fatalf("%s: instant(%d) = %d, want %d", name, ms, got, want)
			}
		}
	}
}

func TestClockFunctions(t *testing.T) {
	env := &Env{Now: func() time.Time { return time.UnixMilli(1616893200123) }, Location: zone(t, "Europe/Berlin")}
	runCases(t, env, []flinkCase{
		{`(CURRENT_TIMESTAMP)`, "2021-03-28 03:00:00.123"},
		{`(NOW)`, "2021-03-28 03:00:00.123"},
		{`(CURRENT_ROW_TIMESTAMP)`, "2021-03-28 03:00:00.123"},
		{`(PROCTIME)`, "2021-03-28 03:00:00.123"},
		{`(LOCALTIMESTAMP)`, "2021-03-28 03:00:00.123"},
		{`(CURRENT_DATE)`, "2021-03-28"},
		{`(CURRENT_TIME)`, "03:00:00"},
		{`(LOCALTIME)`, "03:00:00"},
		{`(UNIX_TIMESTAMP)`, "1616893200"},
	})
	runCases(t, &Env{}, []flinkCase{{`(NOW)`, "compile: the current time is not known here"}, {`(UUID)`, "compile: there is no source of randomness here"}})
	e, err := Call("NOW")
	if err != nil {
		t.Fatal(err)
	}
	if IsDeterministic(e) || !e.Type.NotNull {
		t.Errorf("NOW() is deterministic or nullable: %v", e.Type)
	}
}

func TestCurrentWatermark(t *testing.T) {
	w := int64(math.MinInt64)
	env := &Env{Watermark: func() int64 { return w }}
	ts := vec.NewCol(vec.TypeTimestamp)
	vec.AppendValue(ts, int64(5))
	ts.AppendNull()
	b := vec.NewBatchOf(vec.NewSchema(vec.Field{Name: "ts", Type: vec.TypeTimestamp}), 2, ts)
	e, err := Call("CURRENT_WATERMARK", Column(0, "ts", vec.TypeTimestamp))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile([]*Expr{e}, env)
	if err != nil {
		t.Fatal(err)
	}
	if got := showProgram(p, b, env.complete()); got != "NULL | NULL" {
		t.Errorf("no watermark: %s", got)
	}
	w = 1000
	if got := showProgram(p, b, env.complete()); got != "1970-01-01 00:00:01.000 | 1970-01-01 00:00:01.000" {
		t.Errorf("watermark 1000: %s", got)
	}
}

func TestUUID(t *testing.T) {
	seed := [32]byte{7}
	env := (&Env{Rand: rand.NewChaCha8(seed)}).complete()
	e, err := Call("UUID")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(show(e, vec.NewBatchOf(vec.NewSchema(), 100), env), " | ")
	seen := map[string]bool{}
	valid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, id := range got {
		if !valid.MatchString(id) || seen[id] {
			t.Errorf("bad or repeated UUID %q", id)
		}
		seen[id] = true
	}
	env.Rand = bytes.NewReader(nil)
	if got := show(e, vec.NewBatchOf(vec.NewSchema(), 1), env); got != "error: read random bytes: EOF in UUID()" {
		t.Error(got)
	}
}

// What is formatted is read back, for patterns that have all parts.
func TestDatePatternRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, text := range []string{
		"yyyy-MM-dd HH:mm:ss.SSS", "yyyyMMddHHmmssSSS", "d MMM yyyy h:mm:ss.SSS a", "EEE, d MMMM yyyy K:m:s.SSS a", "yyyy-DDD'T'kk:mm:ss.SSSSSS", "uuuu/M/d'' H.m.s SSS",
	} {
		p, err := compileDatePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			ms := rng.Int64N(maxInstant-minInstant) + minInstant
			out := p.format(nil, ms, 0, time.UTC)
			for _, lenient := range []bool{false, true} {
				if got, _, _, ok := p.parse(string(out), lenient); !ok || got != ms {
					t.Fatalf("%s: %d is %q, which is read as %d, %v", text, ms, out, got, ok)
				}
			}
		}
	}
}

func FuzzDatePattern(f *testing.F) {
	f.Add("yyyy-MM-dd HH:mm:ss.SSS", "2020-01-31 12:34:56.789", int64(5))
	f.Add("[yyyy][-MM]''X z", "2020-01+02:00", int64(-5))
	f.Add("'a''b' E a D h K k", "a'b Mon AM 1 2 3 4", int64(1e14))
	f.Fuzz(func(t *testing.T, pattern, text string, ms int64) {
		p, err := compileDatePattern(pattern)
		if err != nil {
			return
		}
		p.parse(text, false)
		p.parse(text, true)
		ms %= maxInstant
		p.format(nil, ms, 0, time.UTC)
	})
}

// Patterns, paths and zones that come from columns.
func TestFunctionsWithPatternsFromColumns(t *testing.T) {
	in := parseInput(t, strings.Join([]string{
		"re STRING: a+, (, a+, (?=x), NULL",
		"s STRING: xaay, xaay, b, x, x",
		"path STRING: $.a, $[0], $.a, $.b, NULL",
		"pat STRING: yyyy, MM, yyyy, dd, NULL",
		"z STRING: UTC, Asia/Tokyo, Mars, GMT+1, NULL",
		"zone: Europe/Berlin",
	}, "\n"))
	for text, want := range map[string]string{
		`(REGEXP s re)`:                                  "error: regular expression '(': missing closing ): `(` in REGEXP(s, re)",
		`(REGEXP_EXTRACT s re)`:                          "aa | NULL | NULL | NULL | NULL",
		`(REGEXP_REPLACE s re '-')`:                      "x-y | NULL | b | NULL | NULL",
		`(REGEXP_COUNT s re)`:                            "1 | NULL | 0 | NULL | NULL",
		`(JSON_VALUE '{"a": 7}' path)`:                   "7 | NULL | 7 | NULL | NULL",
		`(DATE_FORMAT '2018-03-14 01:02:03' pat)`:        "2018 | 03 | 2018 | 14 | NULL",
		`(CONVERT_TZ '2018-03-14 01:02:03' 'UTC' z)`:     "2018-03-14 01:02:03 | 2018-03-14 10:02:03 | NULL | 2018-03-14 02:02:03 | NULL",
		`(CONVERT_TZ '2018-03-14 01:02:03' z 'UTC')`:     "2018-03-14 01:02:03 | 2018-03-13 16:02:03 | NULL | 2018-03-14 00:02:03 | NULL",
		`(TO_TIMESTAMP_LTZ '2018-03-14' 'yyyy-MM-dd' z)`: "2018-03-14 01:00:00.000 | 2018-03-13 16:00:00.000 | NULL | 2018-03-14 00:00:00.000 | NULL",
	} {
		e, err := (&testScanner{s: text, cols: in.b.Schema().Fields}).expr()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := show(e, in.b, in.env); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
		if got := show(e, encoded(in.b), in.env); got != want {
			t.Errorf("%s with dictionaries\n got %s\nwant %s", text, got, want)
		}
	}
}
