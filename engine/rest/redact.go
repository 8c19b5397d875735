package rest

import (
	"regexp"
	"strings"
)

// Masked stands for a secret in an answer.
const Masked = "******"

// secretWords in a key make its value a secret. It is better to hide too much.
var secretWords = []string{
	"password", "passwd", "secret", "token", "apikey", "api-key", "auth-params", "service-key", "basic-auth", "jaas.config", "private-key",
	"access-key", "account.key", "credential", "http-headers",
}

var (
	// userInfo finds the password in scheme://user:password@host, up to the last @ before the path.
	userInfo = regexp.MustCompile(`(://[^/:@\s]*:)[^/\s]+@`)
	// setting finds 'key' = 'value', as in SET and in a WITH clause; quotes within are doubled.
	setting = regexp.MustCompile("('(?:[^']|'')*'|`[^`]*`)(\\s*=\\s*)'((?:[^']|'')*)'")
)

// RedactText masks passwords of URLs.
func RedactText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return userInfo.ReplaceAllString(s, "${1}"+Masked+"@")
}

// RedactScript masks the values of secret options and the passwords of URLs in a SQL script. A ${file:…} names a secret without being one.
func RedactScript(script string) string {
	script = setting.ReplaceAllStringFunc(script, func(s string) string {
		m := setting.FindStringSubmatch(s)
		return m[1] + m[2] + "'" + RedactValue(m[1], m[3]) + "'"
	})
	return RedactText(script)
}

// RedactValue is the value of an option as it may be shown.
func RedactValue(key, value string) string {
	if strings.HasPrefix(value, "${file:") && strings.HasSuffix(value, "}") || value == "" {
		return value
	}
	key = strings.ToLower(key)
	for _, w := range secretWords {
		if strings.Contains(key, w) {
			return Masked
		}
	}
	return RedactText(value)
}

// RedactConfig copies a configuration with its secrets masked.
func RedactConfig(config map[string]string) map[string]string {
	out := make(map[string]string, len(config))
	for k, v := range config {
		out[k] = RedactValue(k, v)
	}
	return out
}
