package chart

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Login opens a registry or a repository.
type Login struct{ Username, Password string }

// Logins are those of a job by host.
type Logins map[string]Login

// maxLogins bounds how many a job may have.
const maxLogins = 100

type loginsFile struct {
	Auths map[string]loginEntry `json:"auths"`
}

type loginEntry struct {
	Auth string `json:"auth"`
}

// ReadLogins reads a file registry/config.json; an empty one has none. What it does not hold
// itself, as entries of credential helpers, is left out.
func ReadLogins(text string) (Logins, error) {
	out := Logins{}
	if strings.TrimSpace(text) == "" {
		return out, nil
	}
	var f loginsFile
	if err := json.Unmarshal([]byte(text), &f); err != nil || len(f.Auths) > maxLogins {
		return nil, fault.New(fault.Invalid, "The file registry/config.json of this job cannot be read.").WithNext("sign in with helm registry login")
	}
	for host, e := range f.Auths {
		plain, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, ok := strings.Cut(string(plain), ":")
		if err == nil && ok {
			out[host] = Login{user, password}
		}
	}
	return out, nil
}

// Text is the file registry/config.json.
func (l Logins) Text() ([]byte, error) {
	f := loginsFile{Auths: map[string]loginEntry{}}
	for host, one := range l {
		f.Auths[host] = loginEntry{base64.StdEncoding.EncodeToString([]byte(one.Username + ":" + one.Password))}
	}
	return json.Marshal(f)
}

// With returns the logins with one more.
func (l Logins) With(host string, one Login) (Logins, error) {
	out := maps.Clone(l)
	if out == nil {
		out = Logins{}
	}
	if out[host] = one; len(out) > maxLogins {
		return nil, fault.New(fault.TooLarge, "The job is signed in to %d registries already.", maxLogins)
	}
	return out, nil
}

// Without returns the logins without that of a host.
func (l Logins) Without(host string) Logins {
	out := maps.Clone(l)
	delete(out, host)
	return out
}
