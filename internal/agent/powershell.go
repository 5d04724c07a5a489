package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// runPowerShell is PowerShell@2, the task behind "pwsh" and "powershell": a text, or a file
// with arguments, for pwsh (K020).
func runPowerShell(ctx context.Context, s *stepRun) error {
	env := s.environment()
	pwsh := lookPath("pwsh", env)
	if s.in != nil {
		pwsh = "/usr/bin/pwsh" // The agent does not see the files of the container.
	}
	if pwsh == "" {
		return errors.New("PowerShell is not installed on this agent: install pwsh where its steps find programs, or use bash")
	}
	script := s.input("script")
	if !strings.EqualFold(s.input("targetType"), "inline") {
		file := s.input("filePath")
		if !strings.HasSuffix(strings.ToLower(file), ".ps1") {
			return fmt.Errorf("the input filePath is %q; name a script that ends with .ps1", file)
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.space.path(dirSources), file)
		}
		call := ". "
		if s.flag("runScriptInSeparateScope", false) {
			call = "& "
		}
		script = call + quotePowerShell(file) + " " + s.input("arguments")
	}
	var text strings.Builder
	for _, p := range []string{"errorAction", "warning", "information", "verbose", "debug", "progress"} {
		value := s.input(p + "Preference")
		if value == "" && p == "errorAction" {
			value = "stop"
		}
		if value != "" && !strings.EqualFold(value, "default") {
			fmt.Fprintf(&text, "$%sPreference = %s\n", p, quotePowerShell(value))
		}
	}
	text.WriteString(script + "\n")
	if !s.flag("ignoreLASTEXITCODE", false) {
		text.WriteString("if (!(Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit 0 }\nexit $LASTEXITCODE\n")
	}
	name := filepath.Join(dirTemp, "step-"+strconv.Itoa(s.step.Number)+".ps1")
	_ = s.space.root.Remove(name)
	// The mark tells every PowerShell that the text is UTF-8.
	if err := s.space.write(name, []byte("\uFEFF"+text.String()), 0o700); err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return s.interpret(ctx, "PowerShell", env, []string{pwsh, "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", ". " + quotePowerShell(s.space.path(name))})
}

// quotePowerShell makes a text a literal of PowerShell.
func quotePowerShell(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// lookPath finds a program in the folders that an environment names.
func lookPath(name string, env []string) string {
	for _, kv := range env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		return lookup(filepath.SplitList(path), name)
	}
	return ""
}
