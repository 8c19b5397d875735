package rest

import (
	"bytes"
	"encoding/json"
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
	// member finds the value of a key of JSON that names a secret; the value may be cut off.
	member = regexp.MustCompile(`(?i)("[^"]*(?:` + strings.Join(quotedWords(), "|") + `)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s",{}\[\]]+)`)
	// setting finds 'key' = 'value', as in SET and in a WITH clause; quotes within are doubled.
	setting = regexp.MustCompile("('(?:[^']|'')*'|`[^`]*`)(\\s*=\\s*)'((?:[^']|'')*)'")
)

func quotedWords() []string {
	out := make([]string, 0, len(secretWords))
	for _, w := range secretWords {
		out = append(out, regexp.QuoteMeta(w))
	}
	return out
}

// RedactText masks passwords of URLs.
func RedactText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return userInfo.ReplaceAllString(s, "${1}"+Masked+"@")
}

// RedactPayload masks secrets in a record that may be JSON, or the beginning of it.
func RedactPayload(s string) string {
	return RedactText(member.ReplaceAllString(s, `${1}"`+Masked+`"`))
}

// redactObject masks secrets in an object of JSON; what is none goes.
func redactObject(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return []byte("null")
	}
	out := []byte{'{'}
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return []byte("null")
		}
		name, _ := key.(string)
		var text string
		switch {
		case RedactValue(name, "x") == Masked && string(value) != "null":
			value = quoteJSON(Masked)
		case json.Unmarshal(value, &text) == nil && string(value) != "null":
			value = quoteJSON(RedactPayload(text))
		case value[0] == '{':
			value = redactObject(value)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoteJSON(name)...), ':'), value...)
	}
	return append(out, '}')
}

func quoteJSON(s string) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		return []byte("null") // a string always has a text
	}
	return data
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
