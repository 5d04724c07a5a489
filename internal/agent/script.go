package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// runScript is CmdLine@2, the task behind "script": the text is a script for bash, as
// it is for the Azure agent on Linux.
func runScript(ctx context.Context, s *stepRun) error {
	return s.script(ctx, s.input("script"), nil)
}

// runBash is Bash@3, the task behind "bash": a text, or a file with arguments.
func runBash(ctx context.Context, s *stepRun) error {
	if strings.EqualFold(s.input("targetType"), "inline") {
		return s.script(ctx, s.input("script"), nil)
	}
	path := s.input("filePath")
	if path == "" {
		return errors.New("the input filePath is empty; name a script, or set targetType to inline")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.space.path(dirSources), path)
	}
	args, err := splitArguments(s.input("arguments"))
	if err != nil {
		return err
	}
	return s.bash(ctx, path, args)
}

// script writes a text to a file of the temporary folder and runs it. Some shells read
// their script while it runs; bash of a file never mixes it up with its input.
func (s *stepRun) script(ctx context.Context, text string, args []string) error {
	name := filepath.Join(dirTemp, "step-"+strconv.Itoa(s.step.Number)+".sh")
	// An earlier attempt may have left its file.
	_ = s.space.root.Remove(name)
	if err := s.space.write(name, []byte(strings.ReplaceAll(text, "\r\n", "\n")), 0o700); err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return s.bash(ctx, s.space.path(name), args)
}

// bash runs a script file.
func (s *stepRun) bash(ctx context.Context, path string, args []string) error {
	env := s.environment()
	if v := s.input("bashEnvValue"); v != "" {
		env = append(env, "BASH_ENV="+v)
	}
	return s.interpret(ctx, "bash", env, append([]string{"/bin/bash", "--noprofile", "--norc", path}, args...))
}

// interpret runs the program that interprets the script of the step; what is its name in
// messages.
func (s *stepRun) interpret(ctx context.Context, what string, env, argv []string) error {
	dir, err := s.workingDirectory()
	if err != nil {
		return err
	}
	var failed []string
	var stderr func([][]byte)
	if s.flag("failOnStderr", false) {
		stderr = func(lines [][]byte) {
			for _, l := range lines {
				if len(failed) < 10 {
					failed = append(failed, string(l))
				}
			}
			s.consume(lines)
		}
	}
	exit, err := s.process(ctx, dir, env, argv, s.consume, stderr)
	if err := exitError(what, exit, err); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s wrote to standard error and failOnStderr is set: %s", what, failed[0])
	}
	return nil
}

// workingDirectory is where the step runs. It must be there; a step that was given a
// folder outside the workspace may run there as far as its user may.
func (s *stepRun) workingDirectory() (string, error) {
	dir := s.expand(s.step.WorkingDirectory)
	if dir == "" {
		dir = s.input("workingDirectory")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.space.path(dirSources), dir)
	}
	if strings.ContainsRune(dir, 0) {
		return "", errors.New("the working directory has a zero byte in its name")
	}
	return filepath.Clean(dir), nil
}

// splitArguments splits a command line into words as a shell does, with quotes and
// backslashes and nothing else: no variable, no pattern, no second command.
func splitArguments(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	quote := rune(0)
	escaped := false
	for _, c := range text {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("the arguments %q end inside a quotation", text)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
