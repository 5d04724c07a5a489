package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// tool is a program that an installer task puts before the others (K029). Nothing is
// downloaded: who runs the agent puts tools into its cache, laid out as the service does:
// TOOLS/name/version/arch with an empty file arch.complete beside it.
type tool struct {
	name string // folder in the cache
	bin  string // folder of the programs in it
	// version is the input that says which one is wanted, and otherwise what it is without.
	version, otherwise string
	// home is the environment variable that names the folder of the tool, if there is one.
	home string
}

// tools are the installers by the name of their task.
func installers() map[string]tool {
	return map[string]tool{
		"gotool@0":            {name: "go", bin: "bin", version: "version", otherwise: "x", home: "GOROOT"},
		"nodetool@0":          {name: "node", bin: "bin", version: "versionSpec", otherwise: "x"},
		"usepythonversion@0":  {name: "Python", bin: "bin", version: "versionSpec", otherwise: "3.x"},
		"usedotnet@2":         {name: "dotnet", bin: ".", version: "version", otherwise: "x", home: "DOTNET_ROOT"},
		"javatoolinstaller@0": {name: "Java", bin: "bin", version: "versionSpec", otherwise: "x", home: "JAVA_HOME"},
		"kubectlinstaller@0":  {name: "kubectl", bin: ".", version: "kubectlVersion", otherwise: "x"},
		"helminstaller@0":     {name: "helm", bin: ".", version: "helmVersion", otherwise: "x"},
		"helminstaller@1":     {name: "helm", bin: ".", version: "helmVersionToInstall", otherwise: "x"},
	}
}

// installTool finds a tool in the cache and puts it first in the search path.
func installTool(_ context.Context, s *stepRun) error {
	t := installers()[strings.ToLower(s.step.Task)]
	wanted := s.input(t.version)
	if wanted == "" || strings.EqualFold(wanted, "latest") {
		wanted = t.otherwise
	}
	want, err := parseVersions(wanted)
	if err != nil {
		return err
	}
	root := filepath.Join(s.agent.cfg.Shared, "tools", t.name)
	have, err := cached(root)
	if err != nil {
		return err
	}
	var found []string
	for _, v := range have {
		if want.has(parseVersion(v)) {
			return s.useTool(t, v, filepath.Join(root, v, toolArch()))
		}
		found = append(found, v)
	}
	there := "There is no version in it"
	if len(found) > 0 {
		there = "It has " + strings.Join(found, ", ")
	}
	return fmt.Errorf("%s %s is not in the tool cache of this agent, and agents download none. %s. Unpack it to %s and make the empty file %s beside it",
		t.name, wanted, there, filepath.Join(root, "VERSION", toolArch()), toolArch()+".complete")
}

// useTool puts a tool first for the steps that follow.
func (s *stepRun) useTool(t tool, version, dir string) error {
	bin := filepath.Join(dir, t.bin)
	if info, err := os.Stat(bin); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s is in the tool cache, but has no folder %s; unpack it again", t.name, version, bin)
	}
	if s.flag("addToPath", true) {
		s.prepend(bin)
	}
	if t.home != "" {
		s.vars.Set(plan.Value{Name: t.home, Text: dir})
	}
	if major := parseVersion(version).parts[0]; t.name == "Java" {
		s.vars.Set(plan.Value{Name: fmt.Sprintf("JAVA_HOME_%d_%s", major, strings.ToUpper(toolArch())), Text: dir})
	}
	for input, name := range map[string]string{"goPath": "GOPATH", "goBin": "GOBIN"} {
		if v := s.input(input); v != "" {
			s.vars.Set(plan.Value{Name: name, Text: v})
		}
	}
	if t.name == "Python" {
		s.setOutput(s.outputName(), "pythonLocation", plan.Value{Text: dir})
	}
	s.print(fmt.Sprintf("Using %s %s of %s", t.name, version, dir))
	return nil
}

// toolArch is the name of this machine's architecture in the cache.
func toolArch() string { return strings.ToLower(architecture()) }

// cached lists the complete versions of a tool, the newest first.
func cached(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the tool cache: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(root, e.Name(), toolArch()+".complete")); err == nil && parseVersion(e.Name()).known {
			out = append(out, e.Name())
		}
	}
	slices.SortFunc(out, func(a, b string) int { return parseVersion(b).compare(parseVersion(a)) })
	return out, nil
}

// version is a version of a tool: major, minor, patch, and what follows a "-".
type version struct {
	known bool
	parts [3]int
	given int // how many of the parts are said; the others are any
	pre   string
}

// parseVersion reads "v1.22.3", "1.22", "20.x", "*".
func parseVersion(text string) version {
	text = strings.TrimPrefix(strings.TrimSpace(text), "v")
	v := version{known: true}
	text, v.pre, _ = strings.Cut(text, "-")
	text, _, _ = strings.Cut(text, "+")
	for i, p := range strings.SplitN(text, ".", 3) {
		if p == "x" || p == "X" || p == "*" {
			return v
		}
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return version{}
		}
		v.parts[i], v.given = n, i+1
	}
	return v
}

func (v version) compare(o version) int {
	if c := slices.Compare(v.parts[:], o.parts[:]); c != 0 {
		return c
	}
	// A version before the release is older than it.
	if (v.pre == "") != (o.pre == "") {
		if v.pre == "" {
			return 1
		}
		return -1
	}
	return cmp.Compare(v.pre, o.pre)
}

// versions are what a version range allows: one of several lists of limits.
type versions [][]limit

type limit struct {
	op string // "=", ">=", ">", "<=", "<", "~", "^"
	v  version
}

// parseVersions reads ranges such as "20.x", ">=1.20 <1.23", "^18.1 || 20".
func parseVersions(text string) (versions, error) {
	var out versions
	for either := range strings.SplitSeq(text, "||") {
		var all []limit
		for _, word := range strings.Fields(strings.ReplaceAll(either, ",", " ")) {
			l := limit{op: "="}
			for _, op := range []string{">=", "<=", ">", "<", "~", "^", "="} {
				if rest, ok := strings.CutPrefix(word, op); ok {
					l.op, word = op, rest
					break
				}
			}
			if l.v = parseVersion(word); !l.v.known {
				return nil, fmt.Errorf("the version %q is not understood; write 1.22.3, 1.22, 1.x, >=1.20 <1.23, ^1.2 or latest", text)
			}
			all = append(all, l)
		}
		out = append(out, all)
	}
	return out, nil
}

func (r versions) has(v version) bool {
	return slices.ContainsFunc(r, func(all []limit) bool {
		return !slices.ContainsFunc(all, func(l limit) bool { return !l.allows(v) })
	})
}

func (l limit) allows(v version) bool {
	if v.pre != "" && l.v.pre == "" {
		return false
	}
	same := func(n int) bool { return slices.Equal(v.parts[:n], l.v.parts[:n]) }
	switch l.op {
	case ">=":
		return v.compare(l.v) >= 0
	case ">":
		return v.compare(l.v) > 0 && !same(l.v.given)
	case "<=":
		return v.compare(l.v) <= 0 || same(l.v.given)
	case "<":
		return v.compare(l.v) < 0
	case "~":
		return v.compare(l.v) >= 0 && same(min(max(l.v.given, 1), 2))
	case "^":
		first := 0
		for first < 2 && l.v.parts[first] == 0 {
			first++
		}
		return v.compare(l.v) >= 0 && same(first+1)
	}
	return same(l.v.given) && (l.v.given < 3 || v.pre == l.v.pre)
}
