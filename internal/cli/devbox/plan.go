package devbox

import (
	"path/filepath"
	"slices"
	"strings"
)

// Plan says how a command becomes a program.
type Plan struct {
	// Build is the command that makes the program at Binary, nil when there is nothing to
	// build: then Run is started as it is.
	Build  []string
	Binary string
	Run    []string
}

// valued are the flags of `go run` that take a value in a word of its own (go help build);
// they are handed to `go build`.
var valued = []string{"-p", "-covermode", "-coverpkg", "-asmflags", "-buildmode", "-buildvcs", "-compiler", "-gccgoflags", "-gcflags", "-installsuffix", "-ldflags",
	"-mod", "-modfile", "-overlay", "-pgo", "-pkgdir", "-tags", "-toolexec", "-C"}

// NewPlan makes the plan of a command line. `go run` is built first, so that a program that
// does not compile replaces none; anything else is a matter of the shell.
func NewPlan(command, scratch string) Plan {
	words, plain := split(command)
	if !plain {
		return Plan{Run: []string{"/bin/sh", "-c", "exec " + command}}
	}
	if len(words) > 2 && words[0] == "go" && words[1] == "run" {
		if p, ok := goRun(words[2:], filepath.Join(scratch, "program")); ok {
			return p
		}
	}
	return Plan{Run: words}
}

// goRun makes `go build` of what follows `go run`; false when it has no equal.
func goRun(words []string, binary string) (Plan, bool) {
	build := []string{"go", "build", "-o", binary}
	i := 0
	for ; i < len(words) && strings.HasPrefix(words[i], "-"); i++ {
		flag := strings.Replace(words[i], "--", "-", 1)
		if flag == "-exec" || strings.HasPrefix(flag, "-exec=") || flag == "-n" {
			return Plan{}, false
		}
		build = append(build, flag)
		if slices.Contains(valued, flag) && i+1 < len(words) {
			i++
			build = append(build, words[i])
		}
	}
	if at := slices.Index(build, "-C"); at > 0 { // It must be the first flag.
		build = append([]string{"go", "build", "-C", build[at+1]}, append(slices.Clone(build[2:at]), build[at+2:]...)...)
	}
	if i == len(words) {
		return Plan{}, false
	}
	first := i
	for i++; strings.HasSuffix(words[first], ".go") && i < len(words) && strings.HasSuffix(words[i], ".go"); i++ {
	}
	build = append(build, words[first:i]...)
	return Plan{Build: build, Binary: binary, Run: append([]string{binary}, words[i:]...)}, true
}

// split cuts a command into words as a shell does; plain is false when it holds what only a
// shell understands.
func split(command string) (words []string, plain bool) {
	var word strings.Builder
	quote, open := byte(0), false
	for i := range len(command) {
		c := command[i]
		switch {
		case quote == c:
			quote = 0
		case quote == '\'' || quote == '"' && !strings.ContainsRune("$`\\", rune(c)):
			word.WriteByte(c)
		case quote != 0:
			return nil, false
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if open {
				words, open = append(words, word.String()), false
				word.Reset()
			}
		case strings.ContainsRune("|&;<>()$`\\*?[]#~{}!", rune(c)):
			return nil, false
		case c == '=' && len(words) == 0:
			return nil, false // A variable before the program.
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words, quote == 0 && len(words) > 0
}
