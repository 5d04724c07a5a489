package depend

import (
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
)

// Limits of manifests.
const (
	maxGoMod        = 1 << 20
	maxLock         = 32 << 20
	maxRequirements = 100_000
	maxName         = 1 << 10
)

// ParseGoMod returns the modules that a go.mod requires, as its replace directives
// change them: a module that is replaced by a folder has no version and is left out. An
// error says the line.
func ParseGoMod(data []byte) ([]Requirement, error) {
	if len(data) > maxGoMod {
		return nil, fmt.Errorf("it is larger than %d bytes", maxGoMod)
	}
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	replaced := map[string]*modfile.Replace{}
	for _, r := range f.Replace {
		replaced[r.Old.Path+" "+r.Old.Version] = r
	}
	var out []Requirement
	for _, r := range f.Require {
		q := Requirement{Ecosystem: Go, Name: r.Mod.Path, Version: r.Mod.Version, Line: r.Syntax.Start.Line, Direct: !r.Indirect}
		by := replaced[r.Mod.Path+" "+r.Mod.Version]
		if by == nil {
			by = replaced[r.Mod.Path+" "]
		}
		if by != nil {
			if by.New.Version == "" {
				continue
			}
			q.Name, q.Version, q.Line = by.New.Path, by.New.Version, by.Syntax.Start.Line
		}
		q.Version = strings.TrimSuffix(strings.TrimPrefix(q.Version, "v"), "+incompatible")
		out = append(out, q)
	}
	return out, nil
}
