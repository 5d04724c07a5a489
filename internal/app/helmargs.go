package app

import (
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// helmArguments are the words of the input arguments.
type helmArguments struct {
	words   []string // that are no options
	set     map[string][]string
	timeout time.Duration
}

func (a helmArguments) options(name string) []string { return a.set[name] }

func (a helmArguments) option(name string) string {
	if list := a.set[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

func (a helmArguments) on(name string) bool { return a.option(name) == "true" }

// helmShort are the short forms of options of helm.
var helmShort = map[string]string{"-f": "values", "-n": "namespace", "-i": "install", "-o": "output", "-q": "short", "-a": "all", "-u": "dependency-update", "-d": "destination"}

// helmSigning are the short forms that mean something else where one signs in.
var helmSigning = map[string]string{"-u": "username", "-p": "password"}

// helmValued and helmFlags are the options that are understood, by what takes them. What a
// release here does anyway, as to wait, to be rolled back and to make its namespace, is taken
// without a word.
var (
	helmValued = []string{"timeout", "set", "set-string", "set-json", "set-file", "set-literal", "values", "namespace", "output", "version", "app-version", "revision", "description",
		"history-max", "max", "destination", "cascade", "kube-version", "repo", "username", "password"}
	helmFlags = []string{"wait", "atomic", "rollback-on-failure", "create-namespace", "install", "reuse-values", "reset-values", "reset-then-reuse-values", "debug", "wait-for-jobs",
		"force", "force-replace", "force-conflicts", "cleanup-on-fail", "keep-history", "ignore-not-found", "no-hooks", "strict", "dry-run", "all", "short", "with-subcharts",
		"dependency-update", "devel", "plain-http", "force-update", "no-update", "logs", "pass-credentials", "skip-tests", "include-crds", "history", "hide-notes", "render-subchart-notes", "take-ownership"}
)

// readHelm reads a command line of helm. An option that is not known is an error, never
// ignored.
func readHelm(command string, words []string) (helmArguments, error) {
	a := helmArguments{set: map[string][]string{}}
	for i := 0; i < len(words); i++ {
		if !strings.HasPrefix(words[i], "-") {
			a.words = append(a.words, words[i])
			continue
		}
		name, value, has := strings.Cut(words[i], "=")
		if long, ok := helmSigning[name]; ok && command == "registry" {
			name = "--" + long
		} else if long, ok := helmShort[name]; ok {
			name = "--" + long
		}
		name = strings.TrimPrefix(name, "--")
		switch {
		case slices.Contains(helmFlags, name):
			if !has {
				value = "true"
			}
		case slices.Contains(helmValued, name):
			if !has {
				if i++; i >= len(words) {
					return a, fault.New(fault.Invalid, "The argument --%s of HelmDeploy@1 has no value.", name)
				}
				value = words[i]
			}
		default:
			return a, fault.New(fault.Invalid, "HelmDeploy@1 does not understand the argument %q of helm %s.", words[i], command).WithNext("remove it from the input arguments")
		}
		if name == "no-hooks" && command != "uninstall" {
			return a, fault.New(fault.Invalid, "HelmDeploy@1 runs the hooks of a chart, so it takes no --no-hooks with helm %s.", command).WithNext("remove it from the input arguments")
		}
		if name == "force-conflicts" || name == "force-replace" {
			name = "force"
		}
		a.set[name] = append(a.set[name], value)
	}
	if v := a.option("timeout"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return a, fault.New(fault.Invalid, "%q is no duration.", v).WithNext("write it as 2m or 90s")
		}
		a.timeout = d
	}
	return a, nil
}
