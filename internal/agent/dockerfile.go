package agent

import (
	"io"
	"strings"
)

// maxDockerfile bounds what is read of a Dockerfile.
const maxDockerfile = 1 << 20

// baseImage is the image that the last stage of a Dockerfile stands on, "" when the file does
// not say it without its arguments.
func (s *stepRun) baseImage(dockerfile string) string {
	f, _, err := s.space.open(dockerfile)
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxDockerfile))
	if err != nil {
		return ""
	}
	return BaseImage(string(raw))
}

// BaseImage reads the base of the last stage of a Dockerfile, through the stages that it
// stands on: "alpine:3.20", with its digest when the file has it, in lower case as the task has
// it. It is "" for one that an argument decides.
func BaseImage(text string) string {
	stages := map[string]string{}
	base := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ToLower(line))
		if len(words) < 2 || words[0] != "from" {
			continue
		}
		words = words[1:]
		for len(words) > 1 && strings.HasPrefix(words[0], "--") {
			words = words[1:]
		}
		if base = words[0]; stages[base] != "" {
			base = stages[base]
		}
		if len(words) > 2 && words[1] == "as" {
			stages[words[2]] = base
		}
	}
	if strings.Contains(base, "$") {
		return ""
	}
	return base
}
