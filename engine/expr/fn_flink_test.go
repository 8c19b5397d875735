package expr

import (
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

// flinkCase is a call in the notation of the test files and its result, mostly from Flink's documentation of its functions and from the facts in
// its tests.
type flinkCase struct{ expr, want string }

// evalAllWays evaluates a call folded, with its first constant argument as a column, and that column dictionary-encoded; all must agree.
func evalAllWays(t *testing.T, text string, env *Env) string {
	t.Helper()
	e, err := (&testScanner{s: text}).expr()
	if err != nil {
		return "! " + err.Error()
	}
	one := vec.NewBatchOf(vec.NewSchema(), 1)
	folded := show(e, one, env)
	if e.Op != OpCall || len(e.Args) == 0 || e.Args[0].Op != OpLit || e.Args[0].Null || units[e.Args[0].Lit] != unitNone || strings.HasPrefix(e.Func, "JSON_O") || strings.HasPrefix(e.Func, "JSON_A") {
		return folded
	}
	lit := e.Args[0]
	col := vec.NewCol(lit.Type.Nullable())
	v, err := literalCol(lit)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		col.AppendFrom(v, 0)
		col.AppendNull()
	}
	c := *e
	c.Args = append([]*Expr{Column(0, "c", lit.Type.Nullable())}, e.Args[1:]...)
	c.Type = c.Type.Nullable()
	b := vec.NewBatchOf(vec.NewSchema(vec.Field{Name: "c", Type: lit.Type.Nullable()}), 4, col)
	for _, b := range []*vec.Batch{b, encoded(b)} {
		got := show(&c, b, env)
		if strings.HasPrefix(folded, "error: ") {
			if !strings.HasPrefix(got, "error: ") {
				t.Errorf("%s: folded %q, as a column %q", text, folded, got)
			}
			continue
		}
		if parts := strings.Split(got, " | "); len(parts) != 4 || parts[0] != folded || parts[2] != folded {
			t.Errorf("%s: folded %q, as a column %q", text, folded, got)
		} else if f := registry[e.Func]; f.Flags&NullCall == 0 && (parts[1] != "NULL" || parts[3] != "NULL") {
			t.Errorf("%s: of NULL is %q", text, parts[1])
		}
	}
	return folded
}

func runCases(t *testing.T, env *Env, cases []flinkCase) {
	t.Helper()
	for _, c := range cases {
		if got := evalAllWays(t, c.expr, env); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.expr, got, c.want)
		}
	}
}

func TestStringFunctions(t *testing.T) {
	runCases(t, &Env{}, []flinkCase{
		{`(UPPER 'grüße')`, "GRÜßE"},
		{`(LOWER 'ÄBC1')`, "äbc1"},
		{`(INITCAP 'tHIS is a TEST-string x2y')`, "This Is A Test-String X2y"},
		{`(REVERSE 'añb€')`, "€bña"},
		{`(TRIM '  ab ')`, "ab"},
		{`(TRIM ' xab' ' x' 'LEADING')`, "ab"},
		{`(TRIM 'abcc' 'c' 'TRAILING')`, "ab"},
		{`(TRIM 'ccabcc' 'c' 'BOTH')`, "ab"},
		{`(TRIM 'abc' 'c' 'BOHT')`, "! the side of TRIM cannot be 'BOHT'; did you mean 'BOTH'?"},
		{`(LTRIM ' This is a test String.')`, "This is a test String."},
		{`(RTRIM 'This is a test String. ')`, "This is a test String."},
		{`(BTRIM 'éaé' 'é')`, "a"},
		{`(BTRIM '' 'x')`, ""},
		{`(|| 'a' 'b')`, "ab"},
		{`(CONCAT 'AA' 'BB' 'CC')`, "AABBCC"},
		{`(CONCAT 'AA' (CAST NULL STRING) 'CC')`, "NULL"},
		{`(CONCAT_WS '~' 'AA' (CAST NULL STRING) 'BB' '' 'CC')`, "AA~BB~~CC"},
		{`(CONCAT_WS (CAST NULL STRING) 'AA')`, "NULL"},
		{`(CHAR_LENGTH 'añ€😀')`, "4"},
		{`(OCTET_LENGTH 'añ€😀')`, "10"},
		{`(REPLACE 'hello world' 'world' 'flink')`, "hello flink"},
		{`(REPLACE 'ababab' 'abab' 'z')`, "zab"},
		{`(REPLACE 'abc' '' 'z')`, "abc"},
		{`(TRANSLATE 'abcé' 'aéb' 'xy')`, "xcy"},
		{`(REPEAT 'This is a test String.' 2)`, "This is a test String.This is a test String."},
		{`(REPEAT 'a' -1)`, ""},
		{`(REPEAT 'abc' 100000000)`, "error: the result would be longer than 16 MiB in REPEAT('abc', 100000000)"},
		{`(LPAD 'hi' 4 '??')`, "??hi"},
		{`(LPAD 'hi' 1 '??')`, "h"},
		{`(LPAD 'hé' 5 'äö')`, "äöähé"},
		{`(LPAD '' 1 '??')`, "?"},
		{`(LPAD 'hi' 0 '?')`, ""},
		{`(LPAD 'hi' -1 '?')`, "NULL"},
		{`(LPAD 'hi' 4 '')`, "NULL"},
		{`(RPAD 'hi' 4 '??')`, "hi??"},
		{`(RPAD 'hi' 1 '??')`, "h"},
		{`(LEFT 'héllo' 2)`, "hé"},
		{`(LEFT 'hello' -2)`, ""},
		{`(RIGHT 'hell€' 2)`, "l€"},
		{`(RIGHT 'hello' 9)`, "hello"},
		{`(RIGHT 'hello' -1)`, ""},
		{`(SUBSTRING 'This is a test String.' 2)`, "his is a test String."},
		{`(SUBSTRING 'This is a test String.' 2 5)`, "his i"},
		{`(SUBSTRING 'hello' 0 2)`, "he"},
		{`(SUBSTRING 'hello' -3 2)`, "ll"},
		{`(SUBSTRING 'hello' -9)`, ""},
		{`(SUBSTRING 'hello' 9)`, ""},
		{`(SUBSTRING 'hello' 1 -1)`, "NULL"},
		{`(SUBSTR 'hé€o' 2 2)`, "é€"},
		{`(OVERLAY 'xxxxxtest' 'xxxx' 6)`, "xxxxxxxxx"},
		{`(OVERLAY 'xxxxxtest' 'xxxx' 6 2)`, "xxxxxxxxxst"},
		{`(OVERLAY 'abc' 'z' 9)`, "abc"},
		{`(OVERLAY 'äbc' 'z' 2 1)`, "äzc"},
		{`(POSITION 'c' 'äbc')`, "3"},
		{`(LOCATE 'a' 'aaaaa' 2)`, "2"},
		{`(LOCATE 'z' 'abc')`, "0"},
		{`(LOCATE 'a' 'abc' 0)`, "0"},
		{`(INSTR 'Corporate Floor' 'or')`, "2"},
		{`(STARTSWITH 'abc' 'ab')`, "TRUE"},
		{`(ENDSWITH 'abc' 'ab')`, "FALSE"},
		{`(SPLIT_INDEX 'a,b,,c' ',' 2)`, ""},
		{`(SPLIT_INDEX 'a,b,,c' ',' 3)`, "c"},
		{`(SPLIT_INDEX 'a,b' ',' 2)`, "NULL"},
		{`(SPLIT_INDEX 'a,b' ',' -1)`, "NULL"},
		{`(SPLIT_INDEX 'AQIDBA==' 73 0)`, "AQ"},
		{`(SPLIT_INDEX 'AQIDBA==' 256 0)`, "NULL"},
		{`(SPLIT_INDEX 'Jack,John,Mary' 44 2)`, "Mary"},
		{`(SPLIT_INDEX '' ',' 0)`, "NULL"},
		{`(SPLIT_INDEX 'a b' '' 1)`, "b"},
		{`(SPLIT 'a;b;;' ';')`, "[a, b, , ]"},
		{`(SPLIT 'abc' '')`, "[a, b, c]"},
		{`(SPLIT '' ';')`, "[]"},
		{`(is_alpha 'abé')`, "TRUE"},
		{`(is_alpha '')`, "FALSE"},
		{`(is_digit '12a')`, "FALSE"},
		{`(is_decimal '-1.5e3')`, "TRUE"},
		{`(is_decimal '1.2.3')`, "FALSE"},
		{`(UPPER 5)`, "! cannot apply 'UPPER' to arguments of type (INT); expected UPPER(string)"},
	})
}

func TestCodeFunctions(t *testing.T) {
	runCases(t, &Env{}, []flinkCase{
		{`(ASCII 'abc')`, "97"},
		{`(ASCII '')`, "0"},
		{`(CHR 97)`, "a"},
		{`(CHR 353)`, "a"},
		{`(CHR -1)`, ""},
		{`(BIN 4)`, "100"},
		{`(BIN 0)`, "0"},
		{`(BIN -1)`, strings.Repeat("1", 64)},
		{`(HEX 20)`, "14"},
		{`(HEX 100)`, "64"},
		{`(HEX 0)`, "0"},
		{`(HEX -1)`, "FFFFFFFFFFFFFFFF"},
		{`(HEX 'hello,world')`, "68656C6C6F2C776F726C64"},
		{`(DECODE (UNHEX '466C696E6B') 'UTF-8')`, "Flink"},
		{`(UNHEX 'F')`, "\x0f"},
		{`(UNHEX 'FZ')`, "NULL"},
		{`(TO_BASE64 'hello world')`, "aGVsbG8gd29ybGQ="},
		{`(FROM_BASE64 'aGVsbG8gd29ybGQ=')`, "hello world"},
		{`(FROM_BASE64 'a!')`, "NULL"},
		{`(URL_ENCODE 'https://flink.apache.org/ ä')`, "https%3A%2F%2Fflink.apache.org%2F+%C3%A4"},
		{`(URL_DECODE 'https%3A%2F%2Fflink.apache.org%2F+%C3%A4')`, "https://flink.apache.org/ ä"},
		{`(URL_DECODE '%2')`, "NULL"},
		{`(DECODE (ENCODE 'ä€😀' 'UTF-16LE') 'utf-16le')`, "ä€😀"},
		{`(HEX (ENCODE 'ä€' 'ISO-8859-1'))`, "E43F"},
		{`(HEX (ENCODE 'a' 'UTF-16'))`, "FEFF0061"},
		{`(ENCODE 'a' 'UTF-7')`, "! the character set cannot be 'UTF-7'; did you mean 'UTF-8'?"},
		{`(PARSE_URL 'http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1' 'HOST')`, "facebook.com"},
		{`(PARSE_URL 'http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1' 'QUERY' 'k2')`, "v2"},
		{`(PARSE_URL 'http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1' 'QUERY')`, "k1=v1&k2=v2"},
		{`(PARSE_URL 'http://u:p@facebook.com:80/path1/p.php?k1=v1#Ref1' 'AUTHORITY')`, "u:p@facebook.com:80"},
		{`(PARSE_URL 'http://u:p@facebook.com:80/path1/p.php?k1=v1#Ref1' 'USERINFO')`, "u:p"},
		{`(PARSE_URL 'http://facebook.com/path1/p.php?k1=v1#Ref1' 'FILE')`, "/path1/p.php?k1=v1"},
		{`(PARSE_URL 'http://facebook.com/path1/p.php?k1=v1#Ref1' 'REF')`, "Ref1"},
		{`(PARSE_URL 'no url' 'HOST')`, "NULL"},
		{`(STR_TO_MAP 'k1=v1,k2=v2')`, "{k1=v1, k2=v2}"},
		{`(STR_TO_MAP 'k1:v1;k2:v2;k1:v3;x' ';' ':')`, "{k1=v3, k2=v2, x=NULL}"},
		{`(STR_TO_MAP 'a=1xxb=2' 'x+')`, "{a=1, b=2}"},
		{`(STR_TO_MAP '')`, "{}"},
		{`(MD5 'test')`, "098f6bcd4621d373cade4e832627b4f6"},
		{`(SHA1 'test')`, "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"},
		{`(SHA224 'test')`, "90a3ed9e32b2aaf4c61c410eb925426119e1a9dc53d4286ade99a809"},
		{`(SHA256 'test')`, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{`(SHA2 'test' 256)`, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{`(SHA2 'test' 100)`, "! the length of SHA2 is 224, 256, 384 or 512, not 100"},
		{`(CRC32 'test')`, "3632233996"},
	})
}

func TestRegexpFunctions(t *testing.T) {
	runCases(t, &Env{}, []flinkCase{
		{`(REGEXP 'This is a test String.' '.*test.*')`, "TRUE"},
		{`(REGEXP 'abc' '')`, "FALSE"},
		{`(REGEXP 'abc' '^b')`, "FALSE"},
		{`(REGEXP_REPLACE 'foobar' 'oo|ar' '')`, "fb"},
		{`(REGEXP_REPLACE 'a1b2' '[0-9]' '$1')`, "a$1b$1"},
		{`(REGEXP_EXTRACT 'foothebar' 'foo(.*?)(bar)' 2)`, "bar"},
		{`(REGEXP_EXTRACT 'foothebar' 'foo([\w]+)' 1)`, "thebar"},
		{`(REGEXP_EXTRACT 'foothebar' 'foo.*?')`, "foo"},
		{`(REGEXP_EXTRACT 'foothebar' 'x')`, "NULL"},
		{`(REGEXP_EXTRACT 'foothebar' 'foo' 1)`, "! group 1 does not exist: the pattern 'foo' has 0"},
		{`(REGEXP_COUNT 'a1b22' '[0-9]+')`, "2"},
		{`(REGEXP_SUBSTR 'a1b22' '[0-9]{2}')`, "22"},
		{`(REGEXP 'ab' '(?=a)')`, "! regular expression '(?=a)': look-ahead (?=…) is not supported"},
		{`(REGEXP 'ab' '(?<!a)b')`, "! regular expression '(?<!a)b': look-behind (?<!…) is not supported"},
		{`(REGEXP 'aa' '(a)\1')`, `! regular expression '(a)\1': the back-reference \1 is not supported`},
		{`(REGEXP 'aa' 'a*+')`, "! regular expression 'a*+': a possessive quantifier (++, *+, ?+) is not supported"},
		{`(REGEXP 'aa' '[a&&b]')`, "! regular expression '[a&&b]': an intersection of classes (&&) is not supported"},
		{`(REGEXP 'aa' '(a')`, "! regular expression '(a': missing closing ): `(a`"},
		{`(REGEXP 'é' '^\u00e9$')`, "TRUE"},
		{`(REGEXP 'é9' '^\p{IsAlphabetic}\p{Digit}$')`, "TRUE"},
		{`(REGEXP 'A' '(?iu)a')`, "TRUE"},
		{`(REGEXP_EXTRACT 'k=v' '(?<key>\w+)=' 1)`, "k"},
		{`(SIMILAR 'abc' 'a(b|z)%')`, "TRUE"},
		{`(SIMILAR 'abc' 'b')`, "FALSE"},
		{`(SIMILAR 'a.c' 'a.c')`, "TRUE"},
		{`(SIMILAR 'abc' 'a.c')`, "FALSE"},
		{`(SIMILAR 'a%c' 'a!%c' '!')`, "TRUE"},
		{`(SIMILAR 'abc' 'a!%c' '!')`, "FALSE"},
		{`(SIMILAR 'ab12' '[[:ALPHA:]]+[0-9]{2}')`, "TRUE"},
	})
}

func TestJSONFunctions(t *testing.T) {
	runCases(t, &Env{}, []flinkCase{
		{`(JSON_VALUE '{"a": true}' '$.a')`, "true"},
		{`(JSON_VALUE '{"a": true}' 'lax $.b' 'DEFAULT' FALSE 'NULL' NULL)`, "FALSE"},
		{`(JSON_VALUE '{"a": true}' 'strict $.b' 'NULL' NULL 'DEFAULT' 'x')`, "x"},
		{`(JSON_VALUE '{"a.b": [0.998,0.996]}' '$.["a.b"][0]')`, "0.998"},
		{`(JSON_VALUE '{"a.b": [0.998,0.996]}' '$["a.b"][-1]')`, "0.996"},
		{`(JSON_VALUE '{"contains blank": "right"}' 'strict $["contains blank"]' 'NULL' NULL 'DEFAULT' 'wrong')`, "right"},
		{`(JSON_VALUE '{"a":"x\u00e9\n\"\ud83d\ude00"}' '$.a')`, "xé\n\"😀"},
		{`(JSON_VALUE '{"a":{"b":1}}' '$.a')`, "NULL"},
		{`(JSON_VALUE '{"a":{"b":1}}' 'lax $.a' 'DEFAULT' 'e' 'NULL' NULL)`, "e"},
		{`(JSON_VALUE '{"a":null}' '$.a' 'DEFAULT' 'e' 'NULL' NULL)`, "e"},
		{`(JSON_VALUE '{"a":1,"a":2}' '$.a')`, "2"},
		{`(JSON_VALUE '{"\u0061":1}' '$.a')`, "1"},
		{`(JSON_VALUE '{"a":1} x' '$.a')`, "NULL"},
		{`(JSON_VALUE '{"a":1' '$.a' 'NULL' NULL 'ERROR' NULL)`, "error: the text is not valid JSON, or a strict path does not fit it in JSON_VALUE('{\"a\":1', '$.a', 'NULL', 'ERROR')"},
		{`(JSON_VALUE '{}' 'lax $.a' 'ERROR' NULL 'NULL' NULL)`, "error: the JSON path leads to nothing, or to a value of another kind in JSON_VALUE('{}', 'lax $.a', 'ERROR', 'NULL')"},
		{`(JSON_VALUE '[1,2]' '$[*]')`, "NULL"},
		{`(JSON_VALUE ' 12 ' '$')`, "12"},
		{`(JSON_VALUE '{}' '$..a')`, "! JSON path '$..a': the descent to all levels (..) is not supported"},
		{`(JSON_VALUE '{}' '$.a[?(@.b)]')`, "! JSON path '$.a[?(@.b)]': a filter [?(…)] is not supported"},
		{`(JSON_VALUE '{}' 'a')`, "! JSON path 'a': it must begin with $"},
		{`(JSON_VALUE '{}' '$.a.length()')`, "! JSON path '$.a.length()': the function length() is not supported"},
		{`(JSON_VALUE '{}' 'loose $.a')`, "! JSON path 'loose $.a': the mode is lax or strict, not loose"},
		{`(JSON_QUERY '{ "a": { "b": 1 } }' '$.a')`, `{"b":1}`},
		{`(JSON_QUERY '[1, 2]' '$')`, "[1,2]"},
		{`(JSON_QUERY (CAST NULL STRING) '$')`, "NULL"},
		{`(JSON_QUERY '{"a":[{"c":"c1"},{"c":"c2"}]}' 'lax $.a[*].c')`, `["c1","c2"]`},
		{`(JSON_QUERY '{"a":[{"c":"c1"},{"d":"c2"}]}' 'strict $.a[*].c')`, `["c1"]`},
		{`(JSON_QUERY '{"a":{"x":1,"y":[2]}}' '$.a.*')`, `[1,[2]]`},
		{`(JSON_QUERY '{}' '$' 'CONDITIONAL')`, "[{}]"},
		{`(JSON_QUERY '[1, 2]' '$' 'CONDITIONAL')`, "[1,2]"},
		{`(JSON_QUERY '[1, 2]' '$' 'UNCONDITIONAL')`, "[[1,2]]"},
		{`(JSON_QUERY '1' '$')`, "NULL"},
		{`(JSON_QUERY '1' '$' 'CONDITIONAL')`, "[1]"},
		{`(JSON_QUERY '{}' 'lax $.invalid' 'WITHOUT' 'EMPTY OBJECT' 'NULL')`, "{}"},
		{`(JSON_QUERY '{}' 'strict $.invalid' 'WITHOUT' 'NULL' 'EMPTY ARRAY')`, "[]"},
		{`(JSON_QUERY '{}' '$.a' 'WITHOUT' 'NUL')`, "! what JSON_QUERY gives cannot be 'NUL'; did you mean 'NULL'?"},
		{`(JSON_EXISTS '{"a": true}' '$.a')`, "TRUE"},
		{`(JSON_EXISTS '{"a": true}' '$.b')`, "FALSE"},
		{`(JSON_EXISTS '{"a": [{ "b": 1 }]}' '$.a[0].b')`, "TRUE"},
		{`(JSON_EXISTS '{"a": true}' 'strict $.b' 'TRUE')`, "TRUE"},
		{`(JSON_EXISTS '{"a": true}' 'strict $.b' 'FALSE')`, "FALSE"},
		{`(JSON_EXISTS '{"a": true}' 'strict $.b' 'UNKNOWN')`, "NULL"},
		{`(JSON_EXISTS 'x' 'lax $.b' 'TRUE')`, "TRUE"},
		{`(JSON_EXISTS '{"a":[]}' '$.a[*]')`, "FALSE"},
		{`(IS_JSON '1')`, "TRUE"},
		{`(IS_JSON '[]')`, "TRUE"},
		{`(IS_JSON '"abc"')`, "TRUE"},
		{`(IS_JSON 'abc')`, "FALSE"},
		{`(IS_JSON (CAST NULL STRING))`, "FALSE"},
		{`(IS_JSON '1' 'SCALAR')`, "TRUE"},
		{`(IS_JSON '1' 'ARRAY')`, "FALSE"},
		{`(IS_JSON '{}' 'SCALAR')`, "FALSE"},
		{`(IS_JSON '{}' 'OBJECT')`, "TRUE"},
		{`(IS_JSON '01')`, "FALSE"},
		{`(IS_JSON '[1,]')`, "FALSE"},
		{`(JSON_STRING 1)`, "1"},
		{`(JSON_STRING TRUE)`, "true"},
		{`(JSON_STRING 'Hello, "World"!')`, `"Hello, \"World\"!"`},
		{`(JSON_STRING (ARRAY 1 2))`, "[1,2]"},
		{`(JSON_STRING (MAP 'k' 1.50))`, `{"k":1.50}`},
		{`(JSON_STRING (ROW 1 'x'))`, `{"EXPR$0":1,"EXPR$1":"x"}`},
		{`(JSON_STRING TIMESTAMP'2020-01-31 12:34:56.789')`, `"2020-01-31T12:34:56.789"`},
		{`(JSON_OBJECT 'NULL')`, "{}"},
		{`(JSON_OBJECT 'NULL' 'K1' 'V1' 'K2' 'V2')`, `{"K1":"V1","K2":"V2"}`},
		{`(JSON_OBJECT 'NULL' 'K1' (CAST NULL STRING))`, `{"K1":null}`},
		{`(JSON_OBJECT 'ABSENT' 'K1' (CAST NULL STRING))`, `{}`},
		{`(JSON_OBJECT 'NULL' 'K1' (JSON_OBJECT 'NULL' 'K2' 'V'))`, `{"K1":{"K2":"V"}}`},
		{`(JSON_ARRAY 'ABSENT' 1 '2')`, `[1,"2"]`},
		{`(JSON_ARRAY 'ABSENT' (JSON_ARRAY 'ABSENT' 1))`, "[[1]]"},
	})
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}
