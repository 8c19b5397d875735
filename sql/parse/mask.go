package parse

import (
	"regexp"
	"strings"
)

// Masked stands for a secret in printed SQL.
const Masked = "******"

// secretKeys are parts of an option's key that make its value a secret; Flink
// hides the same ones.
var secretKeys = []string{
	"password", "secret", "token", "apikey", "api-key", "auth-params", "service-key", "basic-auth",
	"jaas.config", "private-key", "access-key", "account.key", "credential", "http-headers",
}

// userInfo finds the password in scheme://user:password@host. It ends at the
// last @ before the path, as passwords may hold an @.
var userInfo = regexp.MustCompile(`(://[^/:@\s]*:)[^/\s]+@`)

// MaskValue returns an option's value as it may be shown in plans and logs:
// Masked for a secret, the password of a URL replaced. ${file:...} names a
// secret without being one and stays.
func MaskValue(key, value string) string {
	if strings.HasPrefix(value, "${file:") && strings.HasSuffix(value, "}") {
		return value
	}
	k := strings.ToLower(key)
	for _, s := range secretKeys {
		if strings.Contains(k, s) {
			return Masked
		}
	}
	return userInfo.ReplaceAllString(value, "${1}"+Masked+"@")
}
