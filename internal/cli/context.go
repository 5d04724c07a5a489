package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"towpath.dev/towpath/internal/fault"
)

// target is a server to talk to.
type target struct {
	Server string `json:"server"`
	Token  string `json:"token,omitempty"`
	User   string `json:"user,omitempty"`
}

// settings is the file of contexts: $TOWPATH_CONFIG, or towpath/config.json in the
// user's configuration folder. It holds tokens and has the mode 0600.
type settings struct {
	Current  string            `json:"current"`
	Contexts map[string]target `json:"contexts"`
	// EvidenceKeys are the keys with which servers sign bundles, by the server's address:
	// what `towpath verify` trusts without being told.
	EvidenceKeys map[string]string `json:"evidence_keys,omitempty"`
}

func (e *env) settingsPath() (string, error) {
	if p := e.getenv("TOWPATH_CONFIG"); p != "" {
		return p, nil
	}
	dir := e.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := e.getenv("HOME")
		if home == "" {
			return "", fault.New(fault.Invalid, "Neither HOME nor TOWPATH_CONFIG is set, so there is no place for contexts.").
				WithNext("set TOWPATH_CONFIG to a file")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "towpath", "config.json"), nil
}

func (e *env) settings() (settings, error) {
	s := settings{Contexts: map[string]target{}}
	path, err := e.settingsPath()
	if err != nil {
		return s, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fault.Wrap(fault.Invalid, err, "The contexts in %s cannot be read.", path)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fault.Wrap(fault.Invalid, err, "The contexts in %s are no valid JSON.", path).WithNext("mend the file, or remove it and run `towpath login`")
	}
	if s.Contexts == nil {
		s.Contexts = map[string]target{}
	}
	return s, nil
}

func (e *env) save(s settings) error {
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(fault.Invalid, err, "The folder of %s cannot be made.", path)
	}
	// Written beside and renamed, so that a full disk does not lose the tokens.
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fault.Wrap(fault.Invalid, err, "The contexts cannot be written to %s.", path)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fault.Wrap(fault.Invalid, err, "The contexts cannot be written to %s.", path)
	}
	return nil
}

// remember stores a context and makes it the current one.
func (e *env) remember(name string, t target) error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	s.Contexts[name], s.Current = t, name
	return e.save(s)
}

// chosen returns the server to talk to: flags first, then $TOWPATH_SERVER and
// $TOWPATH_TOKEN, then the current context. A context that is named by its flag goes
// before the environment: who names one must not reach another server.
func (e *env) chosen() (target, error) {
	first := func(vals ...string) string {
		for _, v := range vals {
			if v != "" {
				return v
			}
		}
		return ""
	}
	t := target{Server: e.server, Token: e.token}
	if e.contextName == "" {
		t = target{Server: first(t.Server, e.getenv("TOWPATH_SERVER")), Token: first(t.Token, e.getenv("TOWPATH_TOKEN"))}
	}
	if t.Server != "" && t.Token != "" {
		return t, nil
	}
	s, err := e.settings()
	if err != nil {
		return t, err
	}
	name := first(e.contextName, s.Current)
	c, ok := s.Contexts[name]
	if e.contextName != "" && !ok {
		return t, fault.New(fault.NotFound, "There is no context %s.", name).WithNext("list them with `towpath context list`")
	}
	// A token goes only to the server that it belongs to.
	if t.Server == "" || t.Server == c.Server {
		t.Server, t.Token = first(t.Server, c.Server), first(t.Token, c.Token)
	}
	if t.Server == "" {
		return t, fault.New(fault.Unavailable, "No server is chosen.").WithNext("start one with `towpath up`, or sign in to one with `towpath login URL`")
	}
	return t, nil
}
