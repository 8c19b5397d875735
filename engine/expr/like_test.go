package expr

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestLikeIsRegexp compares LIKE with the regular expression that means the same.
func TestLikeIsRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`([abé%_]|!%|!_|!!){0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[abé%_!]{0,10}`).Draw(t, "s")
		var re strings.Builder
		escaped := false
		for _, r := range pattern {
			switch {
			case escaped:
				re.WriteString(regexp.QuoteMeta(string(r)))
				escaped = false
			case r == '!':
				escaped = true
			case r == '%':
				re.WriteString(".*")
			case r == '_':
				re.WriteString(".")
			default:
				re.WriteString(regexp.QuoteMeta(string(r)))
			}
		}
		p, err := parseLike(pattern, "!")
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		if got, want := p.match(s), regexp.MustCompile(`(?s)^(?:`+re.String()+`)$`).MatchString(s); got != want {
			t.Fatalf("%q LIKE %q ESCAPE '!': got %v, want %v", s, pattern, got, want)
		}
	})
}
